from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from downloader.models import (
    Attempt,
    AttemptResult,
    Entry,
    ErrorKind,
    Failure,
    Partial,
    Saved,
)
from downloader.policy import frontier as frontier_module
from downloader.policy.frontier import (
    HOST_MINIMUM,
    HOST_SHARE,
    TOTAL_SHARE,
    Finished,
    Frontier,
    Limits,
    Redirected,
    Retrying,
    Verdict,
)
from downloader.policy.occupancy import Hold
from downloader.policy.retry import RetryRules

A, B, C = "a.test:80", "b.test:80", "c.test:80"
PART = Partial(100, '"v1"', 300)
SAVED = Saved(3, "00", length_known=True, etag=None, last_modified=None, modified_ns=1)
CONNECT = Failure(ErrorKind.CONNECT, "refused")
LOST = Failure(ErrorKind.WORKER_LOST, "killed")
STALE = Failure(ErrorKind.CONNECT, "reset", stale=True)
MISFIT = Failure("http_416", "no such range", refuses_range=True)
GONE = Failure("http_404", "gone")
DENIED = Failure("http_403", "403 Forbidden")


def wish(seconds: float) -> Failure:
    return Failure("http_429", "too many", seconds)


def entry(host: str, seq: int = 0, credentials: str | None = None) -> Entry:
    """The `seq`th request, for a host with port 80; its path is its number."""
    url = f"http://{host.removesuffix(':80')}/{seq}"
    return Entry(seq, url, url, url, host, str(seq), credentials)


def frontier(*hosts: str, per_host: int | None = 8, retries: int = 3) -> Frontier:
    """A frontier with a request for each of the hosts, numbered from 0."""
    made = Frontier(Limits(per_host=per_host, retry=RetryRules(retries=retries)))
    for seq, host in enumerate(hosts):
        made.add(entry(host, seq))
    return made


def take_all(made: Frontier, now: float = 0.0, most: int = 1) -> list[list[int]]:
    """The numbers of all that may start now, batch by batch."""
    batches = iter(lambda: made.take(now, most), [])
    return [[int(attempt.path) for attempt in batch] for batch in batches]


def take_one(made: Frontier, now: float = 0.0) -> Attempt:
    (attempt,) = made.take(now, 1)
    return attempt


def judge(
    made: Frontier,
    attempt: Attempt,
    failure: Failure | None = None,
    *,
    redirect: str | None = None,
    now: float = 0.0,
    jitter: float = 0.5,
    partial: Partial | None = None,
    http_status: int | None = None,
) -> Verdict | None:
    """What follows when the attempt fails or is redirected; it is saved otherwise."""
    saved = SAVED if failure is None and redirect is None else None
    result = AttemptResult(
        attempt.id,
        saved,
        redirect,
        failure,
        http_status,
        attempt.hops + (redirect is not None),
        1.5,
        partial=partial,
    )
    return made.judge(result, now, jitter)


class TestHold:
    def test_what_stands_ready_is_held_by_the_hosts_limit(self) -> None:
        made = frontier(A, A, per_host=1)
        first = take_one(made)

        assert made.hold is Hold.LIMITS
        judge(made, first)
        take_one(made)
        assert made.hold is Hold.NOTHING

    def test_what_waits_for_another_try_is_held_by_its_pause(self) -> None:
        made = frontier(A)
        judge(made, take_one(made), CONNECT)

        assert made.hold is Hold.PAUSES

    def test_a_paused_host_holds_what_it_has_ready(self) -> None:
        made = frontier(A, A, A, per_host=1)
        judge(made, take_one(made), wish(5.0))

        assert take_all(made, now=1.0) == []
        assert made.hold is Hold.PAUSES
        take_one(made, now=6.0)
        assert made.hold is Hold.LIMITS

    def test_what_was_spilled_waits_as_well(self) -> None:
        made = frontier(A, per_host=1)
        made.add(entry(A, 1))
        made.spill(A)
        take_one(made)

        assert made.hold is Hold.LIMITS

    def test_without_anything_there_is_no_hold(self) -> None:
        assert frontier().hold is Hold.NOTHING


class TestTurns:
    def test_hosts_take_turns(self) -> None:
        made = frontier(A, A, A, B, B, C)

        assert take_all(made) == [[0], [3], [5], [1], [4], [2]]

    def test_host_starts_no_more_than_its_slots(self) -> None:
        made = frontier(*[A] * 5, B, per_host=2)

        assert take_all(made) == [[0], [5], [1]]

    def test_end_of_an_attempt_frees_its_slot(self) -> None:
        made = frontier(A, A, per_host=1)
        first = take_one(made)
        judge(made, first)

        assert take_all(made) == [[1]]

    def test_no_bound_starts_all(self) -> None:
        made = frontier(*[A] * 50, per_host=None)

        assert len(take_all(made)) == 50

    def test_batch_is_of_one_host_and_no_longer_than_asked(self) -> None:
        made = frontier(A, B, A, A, B)

        assert take_all(made, most=2) == [[0, 2], [1, 4], [3]]

    def test_batch_shares_one_slot_until_its_last_attempt_ends(self) -> None:
        made = frontier(A, A, A, per_host=1)
        one, two = made.take(0.0, 2)

        assert take_all(made) == []
        judge(made, one)
        assert take_all(made) == []
        judge(made, two)
        assert take_all(made) == [[2]]

    def test_attempt_carries_what_its_worker_must_know(self) -> None:
        made = frontier()
        made.add(msgspec.structs.replace(entry(A, 7, "u:p"), partial=PART))

        assert take_one(made) == Attempt(
            0, "http://a.test/7", "7", 1, 0, "u:p", PART, None
        )

    def test_path_is_known_while_in_flight(self) -> None:
        made = frontier(A)
        attempt = take_one(made)

        assert made.path(attempt.id) == "0"
        judge(made, attempt)
        assert made.path(attempt.id) is None

    def test_nothing_to_do_is_nothing_to_take(self) -> None:
        made = frontier()

        assert made.take(0.0, 1) == []
        assert made.next_due() is None
        assert made.is_empty


class TestHunger:
    def test_is_hungry_with_little_queued(self) -> None:
        made = frontier(A, A)

        assert made.is_hungry(3)
        assert not made.is_hungry(2)

    def test_is_hungry_if_nothing_queued_may_start(self) -> None:
        made = frontier(*[A] * 9, per_host=1)
        take_one(made)

        assert made.is_hungry(2)

    def test_what_was_taken_is_queued_no_more(self) -> None:
        made = frontier(A, A, A)
        take_one(made)

        assert not made.is_hungry(2)
        assert made.is_hungry(3)


class TestEnds:
    def test_saved_file_is_the_end(self) -> None:
        made = frontier(A)

        verdict = judge(made, take_one(made), http_status=200)

        assert isinstance(verdict, Finished)
        assert (verdict.saved, verdict.failure) == (SAVED, None)
        assert (verdict.ticket.seconds, verdict.ticket.http_status) == (1.5, 200)
        assert made.is_empty

    def test_lasting_failure_is_the_end(self) -> None:
        made = frontier(A)

        verdict = judge(made, take_one(made), GONE)

        assert isinstance(verdict, Finished)
        assert (verdict.saved, verdict.failure) == (None, GONE)
        assert made.is_empty

    def test_result_that_comes_twice_counts_once(self) -> None:
        made = frontier(A, A)
        attempt = take_one(made)
        judge(made, attempt)

        assert judge(made, attempt) is None
        assert made.held == 1

    def test_seconds_and_last_status_are_those_of_all_attempts(self) -> None:
        made = frontier(A)
        judge(made, take_one(made), Failure("http_503", "busy"), http_status=503)

        verdict = judge(made, take_one(made, 1.0), GONE)

        assert isinstance(verdict, Finished)
        assert (verdict.ticket.seconds, verdict.ticket.http_status) == (3.0, 503)


class TestRetries:
    @pytest.mark.parametrize(
        ("jitter", "due"), [(0.0, [10.0] * 3), (0.5, [10.25, 10.75, 11.75])]
    )
    def test_waits_are_the_jittered_backoff(
        self, jitter: float, due: list[float]
    ) -> None:
        made, now, seen = frontier(A), 10.0, []
        for _ in range(3):
            judge(made, take_one(made, now), CONNECT, now=now, jitter=jitter)
            now = made.next_due() or 0.0
            seen.append(now)

        assert seen == due

    def test_waiting_request_starts_at_its_time_and_not_before(self) -> None:
        made = frontier(A)
        judge(made, take_one(made), CONNECT, jitter=1.0)

        assert made.take(0.49, 1) == []
        assert take_one(made, 0.5).number == 2

    def test_waiting_request_holds_no_slot(self) -> None:
        made = frontier(A, A, per_host=1)
        judge(made, take_one(made), CONNECT)

        assert take_all(made) == [[1]]

    def test_due_request_goes_first(self) -> None:
        made = frontier(A, A, A, per_host=1)
        first = take_one(made)
        judge(made, first, CONNECT)

        assert take_one(made, 1.0).path == "0"

    def test_n_retries_are_n_further_attempts(self) -> None:
        made = frontier(A, retries=2)
        verdicts = [judge(made, take_one(made, now), CONNECT) for now in (0, 9, 99)]

        assert [type(verdict) for verdict in verdicts] == [Retrying, Retrying, Finished]
        assert verdicts[-1] is not None
        assert verdicts[-1].ticket.history.number == 3

    def test_verdict_tells_the_wait(self) -> None:
        made = frontier(A)

        verdict = judge(made, take_one(made), CONNECT)

        assert isinstance(verdict, Retrying)
        assert (verdict.failure, verdict.delay_seconds) == (CONNECT, 0.25)

    def test_next_try_goes_on_with_the_part(self) -> None:
        made = frontier(A)
        judge(made, take_one(made), CONNECT, partial=PART)

        assert take_one(made, 1.0).partial == PART

    def test_part_that_was_dropped_is_asked_for_no_more(self) -> None:
        made = frontier()
        made.add(msgspec.structs.replace(entry(A), partial=PART))
        judge(made, take_one(made), CONNECT)

        assert take_one(made, 1.0).partial is None


class TestFreeTries:
    def test_lost_workers_cost_no_try_up_to_the_limit(self) -> None:
        made = frontier(A, retries=0)
        numbers, verdicts = [], []
        for _ in range(6):
            attempt = take_one(made)
            numbers.append(attempt.number)
            verdicts.append(judge(made, attempt, LOST))

        assert numbers == [1] * 6
        assert [type(verdict) for verdict in verdicts] == [Retrying] * 5 + [Finished]

    def test_dead_connection_is_free_once(self) -> None:
        made = frontier(A, retries=0)
        judge(made, take_one(made), STALE)
        again = take_one(made)

        assert again.number == 1
        assert isinstance(judge(made, again, STALE), Finished)

    def test_refused_range_is_followed_by_a_request_without_it_once(self) -> None:
        made = frontier(retries=0)
        made.add(msgspec.structs.replace(entry(A), partial=PART))
        judge(made, take_one(made), MISFIT, partial=PART)
        again = take_one(made)
        verdict = judge(made, again, DENIED, partial=PART)

        assert (again.number, again.partial, again.without_range) == (1, PART, True)
        assert isinstance(verdict, Finished)
        assert verdict.ticket.detail(verdict.failure) == (
            "403 Forbidden; resuming was refused (no such range)"
        )

    def test_failure_of_the_whole_request_leaves_the_part_to_the_next_try(self) -> None:
        made = frontier(retries=1)
        made.add(msgspec.structs.replace(entry(A), partial=PART))
        judge(made, take_one(made), MISFIT, partial=PART)
        judge(made, take_one(made), CONNECT, partial=PART)
        again = take_one(made, 1.0)
        verdict = judge(made, again, partial=PART)

        assert (again.number, again.partial, again.without_range) == (2, PART, False)
        assert isinstance(verdict, Finished)
        assert verdict.ticket.detail(None) is None

    def test_row_of_a_file_that_was_fetched_from_its_start_says_why(self) -> None:
        made = frontier(retries=0)
        made.add(msgspec.structs.replace(entry(A), partial=PART))
        judge(made, take_one(made), MISFIT, partial=PART)
        verdict = judge(made, take_one(made))

        assert isinstance(verdict, Finished)
        assert verdict.ticket.detail(None) == (
            "resuming was refused (no such range), so the file was fetched from its start"
        )
        verdict.ticket.note = "odd"
        assert verdict.ticket.detail(None) == (
            "odd; resuming was refused (no such range), so the file was fetched from "
            "its start"
        )

    def test_attempt_given_back_is_as_if_never_taken(self) -> None:
        made = frontier(A, A, per_host=1)
        first = take_one(made)
        made.give_back(first.id)
        again = take_one(made)

        assert (again.path, again.number) == ("0", 1)
        assert made.in_flight == 1
        assert made.take(0.0, 1) == []

    def test_given_back_hop_of_a_redirect_keeps_its_number(self) -> None:
        made = frontier(A)
        judge(made, take_one(made), redirect="http://b.test/x")
        made.give_back(take_one(made).id)
        again = take_one(made)

        assert (again.url, again.number) == ("http://b.test/x", 1)

    def test_giving_back_what_is_not_in_flight_is_nothing(self) -> None:
        made = frontier(A)
        attempt = take_one(made)
        judge(made, attempt)

        made.give_back(attempt.id)

        assert made.is_empty


class TestPauses:
    def test_retry_after_pauses_the_whole_host(self) -> None:
        made = frontier(A, A, B)
        judge(made, take_one(made), wish(10.0))

        assert take_all(made, 9.9) == [[2]]
        assert made.next_due() == 10.0
        assert take_all(made, 10.0) == [[1]]  # the probe; another one than was refused

    def test_request_added_to_a_paused_host_waits_too(self) -> None:
        made = frontier(A)
        judge(made, take_one(made), wish(10.0))
        made.add(entry(A, 1))

        assert made.take(9.9, 1) == []
        assert take_all(made, 10.0) == [[1]]

    def test_longest_wish_holds(self) -> None:
        made = frontier(A, A, A)
        one, two = take_one(made), take_one(made)
        judge(made, one, wish(20.0))
        judge(made, two, wish(5.0))

        assert take_all(made, 19.9) == []
        assert len(take_all(made, 20.0)) == 1

    def test_host_that_was_redirected_to_is_the_one_paused(self) -> None:
        made = frontier(A, B, A)
        judge(made, take_one(made), redirect="http://b.test/x")
        judge(made, take_one(made), wish(10.0))

        assert take_all(made, 5.0) == [[2]]
        assert sorted(take_all(made, 10.0)) == [[0], [1]]

    def test_pause_outlives_the_hosts_last_request(self) -> None:
        made = frontier(A)
        judge(made, take_one(made), redirect="http://b.test/x")
        judge(made, take_one(made), wish(10.0))  # B has nothing left, the wait is A's
        made.add(entry(B, 1))

        assert take_all(made, 9.9) == []
        assert sorted(take_all(made, 10.0)) == [[0], [1]]

    def test_end_of_a_pause_leaves_a_busy_host_in_place(self) -> None:
        made = frontier(A, per_host=1)
        judge(made, take_one(made), redirect="http://b.test/x")
        judge(made, take_one(made), wish(10.0))
        made.add(entry(B, 1))
        made.add(entry(B, 2))

        assert sorted(take_all(made, 10.0)) == [[0], [1]]

        made.add(entry(B, 3))  # would find a fresh host, with a slot of its own
        assert take_all(made, 10.0) == []


class TestRedirects:
    def test_request_queues_at_the_other_host_under_the_same_number(self) -> None:
        made = frontier(A)
        first = take_one(made)

        verdict = judge(made, first, redirect="http://b.test/x")

        assert isinstance(verdict, Redirected)
        assert take_one(made) == Attempt(
            1, "http://b.test/x", "0", 1, 1, None, None, "http://a.test:80"
        )

    def test_first_origin_is_kept_over_many_hosts(self) -> None:
        made = frontier(A)
        judge(made, take_one(made), redirect="http://b.test/x")
        judge(made, take_one(made), redirect="https://c.test/x")
        third = take_one(made)

        assert (third.origin, third.hops, third.number) == ("http://a.test:80", 2, 1)

    def test_request_waits_for_a_slot_of_the_other_host_at_its_head(self) -> None:
        made = frontier(B, B, A, per_host=1)
        (busy,) = made.take(0.0, 1)
        moving = take_one(made)
        judge(made, moving, redirect="http://b.test/x")

        assert take_all(made) == []
        judge(made, busy)
        assert take_all(made) == [[2]]

    def test_retry_begins_again_at_home(self) -> None:
        made = frontier(A)
        judge(made, take_one(made), redirect="http://b.test/x")
        judge(made, take_one(made), CONNECT)
        again = take_one(made, 1.0)

        assert (again.url, again.number) == ("http://a.test/0", 2)
        assert (again.hops, again.origin) == (0, None)

    def test_free_retry_away_from_home_keeps_the_number(self) -> None:
        made = frontier(A)
        judge(made, take_one(made), redirect="http://b.test/x")
        judge(made, take_one(made), LOST)
        again = take_one(made)

        assert (again.url, again.number) == ("http://a.test/0", 1)

    def test_redirect_back_home_finds_its_host(self) -> None:
        made = frontier(A, per_host=1)
        judge(made, take_one(made), redirect="http://b.test/x")
        judge(made, take_one(made), redirect="http://a.test/y")
        judge(made, take_one(made))

        assert made.is_empty
        assert not made._hosts


class TestMemory:
    def test_unknown_host_has_room(self) -> None:
        assert frontier().room(A)

    def test_host_has_room_up_to_its_share(self) -> None:
        made = frontier(*[A] * (HOST_SHARE - 1))

        assert made.room(A)
        made.add(entry(A, HOST_SHARE))
        assert not made.room(A)
        assert made.room(B)

    def test_host_with_spilled_requests_takes_no_others_before_them(self) -> None:
        made = frontier(A)
        made.spill(A)

        assert not made.room(A)

    def test_full_memory_leaves_each_host_its_minimum(self) -> None:
        made = frontier(*[B] * TOTAL_SHARE, *[A] * (HOST_MINIMUM - 1))

        assert made.room(A)
        made.add(entry(A))
        assert not made.room(A)

    def test_nothing_spilled_is_no_thirst(self) -> None:
        assert list(frontier(A).thirsty()) == []

    def test_host_thirsts_once_half_its_share_is_done(self) -> None:
        made = frontier(*[A] * (HOST_SHARE // 2 + 1))
        for _ in range(HOST_SHARE):
            made.spill(A)

        assert list(made.thirsty()) == []
        judge(made, take_one(made))
        assert list(made.thirsty()) == [(A, HOST_SHARE // 2)]

    def test_thirst_is_no_greater_than_what_was_spilled(self) -> None:
        made = frontier()
        made.spill(B)
        made.spill(A)
        made.spill(A)

        assert list(made.thirsty()) == [(B, 1), (A, 2)]

    def test_thirst_is_small_while_memory_is_full(self) -> None:
        made = frontier(*[B] * TOTAL_SHARE)
        for _ in range(HOST_SHARE):
            made.spill(A)

        assert list(made.thirsty()) == [(A, HOST_MINIMUM)]

    def test_thirst_of_many_hosts_ends_when_memory_is_full(self) -> None:
        made = frontier()
        for seq in range(30 * HOST_SHARE):
            made.spill(f"{seq % 30}.test:80")

        for key, room in made.thirsty():
            made.unspill(key, [entry(key)] * room)

        assert made.held == TOTAL_SHARE + 10 * HOST_MINIMUM

    def test_spilled_requests_come_back_oldest_first(self) -> None:
        made = frontier(A)
        for _ in range(3):
            made.spill(A)
        made.unspill(A, [entry(A, 1), entry(A, 2)])

        assert (made.held, made.spilled) == (3, 1)
        assert not made.room(A)
        made.unspill(A, [entry(A, 3)])
        assert made.room(A)
        assert take_all(made) == [[0], [1], [2], [3]]

    def test_hosts_that_are_answered_while_thirsty_is_read_do_no_harm(self) -> None:
        made = frontier()
        made.spill(A)
        made.spill(B)

        for key, room in made.thirsty():
            made.unspill(key, [entry(key, room)])

        assert (made.held, made.spilled) == (2, 0)

    def test_spilled_request_is_left_to_do(self) -> None:
        made = frontier()
        made.spill(A)

        assert not made.is_empty
        assert (made.held, made.spilled) == (0, 1)

    def test_finished_host_is_forgotten(self) -> None:
        made = frontier(*[A] * 3, *[B] * 2)
        for attempt in [*made.take(0.0, 3), *made.take(0.0, 3)]:
            judge(made, attempt)

        assert made.is_empty
        assert not made._hosts

    def test_host_that_a_retry_left_for_home_is_forgotten(self) -> None:
        made = frontier(A)
        judge(made, take_one(made), redirect="http://b.test/x")
        judge(made, take_one(made), CONNECT)

        assert list(made._hosts) == [A]


class TestDrain:
    def test_everything_held_comes_out_once(self) -> None:
        made = frontier(A, A, A, B)
        judge(made, take_one(made), CONNECT)  # 0 waits
        take_one(made)  # 3 is in flight
        made.spill(C)

        drained = sorted(ticket.entry.seq for ticket in made.drain())

        assert drained == [0, 1, 2, 3]

    def test_pause_is_no_request(self) -> None:
        made = frontier(A)
        judge(made, take_one(made), wish(10.0))

        assert [ticket.entry.seq for ticket in made.drain()] == [0]

    def test_nothing_is_left_behind(self) -> None:
        made = frontier(A, A)
        attempt = take_one(made)
        made.spill(A)
        list(made.drain())

        assert made.is_empty
        assert (made.held, made.spilled, made.in_flight) == (0, 0, 0)
        assert made.is_hungry(1)
        assert made.take(99.0, 1) == []
        assert judge(made, attempt) is None
        assert list(made.thirsty()) == []
        assert list(made.drain()) == []


def divided() -> tuple[Frontier, Attempt]:
    """A frontier whose first request is at work on a file that others may help with."""
    made = Frontier(Limits(per_host=2, segments=4))
    made.add(entry(A))
    attempt = take_one(made)
    made.divide(attempt.id, msgspec.structs.replace(PART, is_divided=True), 4)
    return made, attempt


class TestDivided:
    def test_nobody_helps_with_what_waits_for_another_try(self) -> None:
        made, lead = divided()
        judge(made, lead, CONNECT, partial=PART)

        assert made.take(0.0, 1) == []
        (again,) = made.take(99.0, 1)
        judge(made, again, now=99.0)
        assert made.is_empty
        assert list(made.drain()) == []

    def test_its_host_is_the_same_for_what_comes_after(self) -> None:
        made, lead = divided()
        judge(made, lead)
        for seq in range(1, 10):
            made.add(entry(A, seq))
            made.take(0.0, 1)

        assert made.in_flight == 2
        assert len(list(made.drain())) == 9


HOSTS = [A, B, C]
SMALL_SHARES = {"HOST_SHARE": 6, "TOTAL_SHARE": 9, "HOST_MINIMUM": 2}
FAILURES = [CONNECT, LOST, STALE, MISFIT, GONE]
# Which attempt in flight ends, how (a host's name: redirected there), and the jitter.
ENDS = st.tuples(
    st.integers(0, 99),
    st.sampled_from([None, None, "given back", *HOSTS, *FAILURES]),
    st.sampled_from([0.0, 0.5, 0.75]),
)


@dataclass
class Batch:
    """One slot in use: whose it is, and which attempts still hold it."""

    host: str
    attempts: dict[int, int]  # number of the request by attempt


@dataclass
class Model:
    """Where every request must be: the frontier's truth in the plainest words."""

    per_host: int | None
    queued: dict[str, list[int]] = field(
        default_factory=lambda: {host: [] for host in HOSTS}
    )
    waiting: dict[int, float] = field(default_factory=dict)
    spilled: dict[str, list[int]] = field(
        default_factory=lambda: {host: [] for host in HOSTS}
    )
    homes: dict[int, str] = field(default_factory=dict)
    batches: list[Batch] = field(default_factory=list)
    finished: list[int] = field(default_factory=list)

    def flying(self) -> dict[int, int]:
        return {
            attempt_id: seq
            for batch in self.batches
            for attempt_id, seq in batch.attempts.items()
        }

    def held_by(self, host: str) -> int:
        waiting = sum(self.homes[seq] == host for seq in self.waiting)
        flying = sum(len(b.attempts) for b in self.batches if b.host == host)
        return len(self.queued[host]) + waiting + flying

    def held(self) -> int:
        return sum(self.held_by(host) for host in HOSTS)

    def share(self) -> int:
        return 6 if self.held() < 9 else 2

    def wake(self, now: float) -> None:
        for seq in [seq for seq, due in self.waiting.items() if due <= now]:
            del self.waiting[seq]
            self.queued[self.homes[seq]].append(seq)

    def may_start(self, host: str) -> bool:
        slots = sum(batch.host == host for batch in self.batches)
        has_slot = self.per_host is None or slots < self.per_host
        return bool(self.queued[host]) and has_slot

    def next_change(self) -> float | None:
        """The first moment at which more may start by waiting alone."""
        return min(self.waiting.values(), default=None)

    def land(self, attempt_id: int) -> tuple[int, str]:
        """Take an attempt out of its batch; its request's number and host."""
        batch = next(b for b in self.batches if attempt_id in b.attempts)
        seq = batch.attempts.pop(attempt_id)
        self.batches = [batch for batch in self.batches if batch.attempts]
        return seq, batch.host


class Crawl(RuleBasedStateMachine):
    """Any order of events; after each of them frontier and model must agree."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        for name, value in SMALL_SHARES.items():
            self.patch.setattr(frontier_module, name, value)
        self.now = 0.0
        self.judged: list[Attempt] = []
        self.attempts: dict[int, Attempt] = {}
        self.ends_by_draining = False

    @initialize(
        per_host=st.sampled_from([None, 1, 2, 3]), ends_by_draining=st.booleans()
    )
    def begin(self, per_host: int | None, ends_by_draining: bool) -> None:
        # Pauses of hosts are `test_limited_hosts` and `test_frontier_giving_up`.
        self.made = Frontier(
            Limits(per_host=per_host, host_failures=None, retry=RetryRules(retries=2))
        )
        self.model = Model(per_host)
        self.ends_by_draining = ends_by_draining

    @rule(host=st.sampled_from(HOSTS), requests=st.integers(1, 4))
    def arrive(self, host: str, requests: int) -> None:
        for _ in range(requests):
            self.admit(host)

    def admit(self, host: str) -> None:
        model, seq = self.model, len(self.model.homes)
        has_room = not model.spilled[host] and model.held_by(host) < model.share()
        assert self.made.room(host) is has_room
        model.homes[seq] = host
        if has_room:
            self.made.add(entry(host, seq))
            model.queued[host].append(seq)
        else:
            self.made.spill(host)
            model.spilled[host].append(seq)

    @precondition(lambda self: self.made.spilled)
    @rule()
    def refill(self) -> None:
        for host, room in self.made.thirsty():
            share, held = self.model.share(), self.model.held_by(host)
            assert held <= share // 2
            assert room == min(len(self.model.spilled[host]), share - held)
            back = self.model.spilled[host][:room]
            del self.model.spilled[host][:room]
            self.model.queued[host].extend(back)
            self.made.unspill(host, [entry(host, seq) for seq in back])
        share = self.model.share()
        assert not [
            host
            for host in HOSTS
            if self.model.spilled[host] and self.model.held_by(host) <= share // 2
        ]

    @precondition(lambda self: self.made.held)
    @rule(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4))
    def take(self, sizes: list[int]) -> None:
        for most in sizes:
            self.start(most)

    def start(self, most: int) -> bool:
        batch = self.made.take(self.now, most)
        self.model.wake(self.now)
        startable = {host for host in HOSTS if self.model.may_start(host)}
        if not batch:
            assert not startable, "a host starves"
            return False
        seqs = [int(attempt.path) for attempt in batch]
        (host,) = {self.host_of(seq) for seq in seqs}
        assert host in startable, "a host gets more than it may have"
        assert len(batch) == min(most, len(self.model.queued[host]))
        for attempt, seq in zip(batch, seqs, strict=True):
            self.model.queued[host].remove(seq)
            assert attempt.url.startswith(f"http://{host.removesuffix(':80')}/")
            assert 1 <= attempt.number <= 3
            self.attempts[attempt.id] = attempt
        ids = [attempt.id for attempt in batch]
        self.model.batches.append(Batch(host, dict(zip(ids, seqs, strict=True))))
        return True

    def host_of(self, seq: int) -> str:
        return next(host for host in HOSTS if seq in self.model.queued[host])

    @precondition(lambda self: self.model.batches)
    @rule(ends=st.lists(ENDS, min_size=1, max_size=4))
    def hear(self, ends: list[tuple[int, str | Failure | None, float]]) -> None:
        for pick, end, jitter in ends:
            flying = sorted(self.model.flying())
            if flying:
                self.land(self.attempts[flying[pick % len(flying)]], end, jitter)

    def land(self, attempt: Attempt, end: str | Failure | None, jitter: float) -> None:
        seq, host = self.model.land(attempt.id)
        self.judged.append(attempt)
        if end == "given back":
            self.made.give_back(attempt.id)
            self.model.queued[host].append(seq)
        elif isinstance(end, str):
            self.redirect(attempt, seq, end)
        else:
            self.conclude(attempt, seq, host, end, jitter)

    def redirect(self, attempt: Attempt, seq: int, goal: str) -> None:
        url = f"http://{goal.removesuffix(':80')}/moved"

        verdict = judge(self.made, attempt, redirect=url, now=self.now)

        assert isinstance(verdict, Redirected)
        assert verdict.ticket.entry.seq == seq
        self.model.queued[goal].append(seq)

    def conclude(
        self,
        attempt: Attempt,
        seq: int,
        host: str,
        failure: Failure | None,
        jitter: float,
    ) -> None:
        verdict = judge(self.made, attempt, failure, now=self.now, jitter=jitter)
        assert verdict is not None
        assert verdict.ticket.entry.seq == seq
        if isinstance(verdict, Finished):
            assert seq not in self.model.finished
            self.model.finished.append(seq)
            return
        assert failure is not None
        assert isinstance(verdict, Retrying)
        due = self.now + verdict.delay_seconds
        self.model.waiting[seq] = due

    @precondition(lambda self: self.judged)
    @rule(failure=st.sampled_from([None, CONNECT]))
    def hear_again(self, failure: Failure | None) -> None:
        attempt = self.judged[-1]

        assert judge(self.made, attempt, failure, now=self.now) is None
        self.made.give_back(attempt.id)

    @precondition(lambda self: self.made.next_due() is not None)
    @rule(seconds=st.sampled_from([0.125, 0.5, 5.0, 30.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def counters_agree(self) -> None:
        spilled = sum(len(seqs) for seqs in self.model.spilled.values())

        assert self.made.held == self.model.held()
        assert self.made.spilled == spilled
        assert self.made.in_flight == len(self.model.flying())
        assert self.made.is_empty is not bool(self.model.held() or spilled)
        assert self.model.held() + spilled + len(self.model.finished) == len(
            self.model.homes
        )

    @invariant()
    def nobody_starves(self) -> None:
        # The ends of pauses since then are timers still, for `take` to find.
        in_the_round = {host.key for host in self.made._ready}

        assert in_the_round >= {host for host in HOSTS if self.model.may_start(host)}

    @invariant()
    def paths_agree(self) -> None:
        for attempt_id, seq in self.model.flying().items():
            assert self.made.path(attempt_id) == str(seq)

    @invariant()
    def nobody_oversleeps(self) -> None:
        change, due = self.model.next_change(), self.made.next_due()

        assert change is None or (due is not None and due <= change)

    def teardown(self) -> None:
        try:
            if hasattr(self, "made"):
                self.finish_all()
        finally:
            self.patch.undo()

    def finish_all(self) -> None:
        if self.ends_by_draining:
            self.drain()
            return
        while not self.made.is_empty:
            self.refill()
            for attempt_id in self.model.flying():
                self.model.finished.append(self.model.land(attempt_id)[0])
                judge(self.made, self.attempts[attempt_id], now=self.now)
            if not self.start(4):
                self.now = max(self.now, self.made.next_due() or self.now)
        self.counters_agree()
        assert sorted(self.model.finished) == list(self.model.homes)
        assert self.made.take(self.now + 1_000.0, 1) == []
        assert self.made.next_due() is None
        assert not self.made._hosts

    def drain(self) -> None:
        drained = [ticket.entry.seq for ticket in self.made.drain()]
        spilled = [seq for seqs in self.model.spilled.values() for seq in seqs]
        assert sorted(drained + spilled + self.model.finished) == list(self.model.homes)
        assert self.made.is_empty
        assert not self.made._hosts


TestCrawl = Crawl.TestCase
TestCrawl.settings = settings(deadline=None, max_examples=300, stateful_step_count=40)

"""Hosts that are down: the frontier pauses them, probes, and gives them up."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from downloader.models import (
    AttemptResult,
    Entry,
    ErrorKind,
    Failure,
    Saved,
)
from downloader.policy.breaker import (
    COOL_DOWN_SECONDS,
    LONGEST_COOL_DOWN_SECONDS,
    WIDE,
    Breakers,
    Rest,
)
from downloader.policy.frontier import Frontier, Limits
from downloader.policy.retry import RetryRules
from downloader.policy.ticket import Finished

SAVED = Saved(3, "00", length_known=True, etag=None, last_modified=None, modified_ns=1)
DOWN = Failure(ErrorKind.CONNECT, "refused")
BUSY = Failure("http_503", "busy")
CUT = Failure(ErrorKind.TRUNCATED, "cut")
OURS = Failure(ErrorKind.WORKER_LOST, "killed")
SLOWLY = Failure("http_429", "slowly")
WISH = Failure("http_403", "slowly", 3.0)
LONG_WISH = Failure("http_429", "tomorrow", 500.0)
A = "a.test:80"


def entry(seq, host=A):
    url = f"http://{host.removesuffix(':80')}/{seq}"
    return Entry(seq, url, url, url, host, str(seq))


def make(count, host_failures=3, retries=0, per_host=8, total_seconds=600.0):
    rules = RetryRules(retries=retries, total_seconds=total_seconds)
    made = Frontier(Limits(per_host=per_host, retry=rules, host_failures=host_failures))
    for seq in range(count):
        made.add(entry(seq))
    return made


def judge(made, attempt, failure=DOWN, now=0.0, is_unconnected=True):
    saved = SAVED if failure is None else None
    result = AttemptResult(
        attempt.id, saved, None, failure, is_unconnected=is_unconnected
    )
    return made.judge(result, now, 0.0)


def fail(made, times, now=0.0):
    for _ in range(times):
        (attempt,) = made.take(now, 1)
        judge(made, attempt, DOWN, now)


def test_a_host_that_is_not_reached_rests_and_is_probed_by_one():
    made = make(9)
    fail(made, 3)
    (rest,) = made.resting

    assert made.take(1.0, 8) == []
    assert rest == Rest(
        "a.test:80 was not reached 3 times in a row, the last time: refused",
        COOL_DOWN_SECONDS,
        is_first=True,
    )
    assert made.next_due() == COOL_DOWN_SECONDS
    assert len(made.take(COOL_DOWN_SECONDS, 8)) == 1
    assert made.take(COOL_DOWN_SECONDS, 8) == []


def test_a_probe_that_is_answered_opens_the_way_for_all():
    made = make(9)
    fail(made, 3)
    (probe,) = made.take(COOL_DOWN_SECONDS, 8)
    judge(made, probe, CUT)

    assert len(made.take(COOL_DOWN_SECONDS, 8)) == 5
    assert list(made.give_up()) == []


def test_a_probe_that_fails_ends_all_that_waits_for_the_host():
    made = make(9)
    fail(made, 3)
    (probe,) = made.take(COOL_DOWN_SECONDS, 1)
    judge(made, probe, now=COOL_DOWN_SECONDS)
    (given_up,) = made.give_up()

    assert given_up.host == A
    assert len(given_up.tickets) == 5
    assert given_up.failure.kind == ErrorKind.CONNECT
    assert made.is_empty
    assert made.take(COOL_DOWN_SECONDS, 8) == []


def test_what_waits_for_a_retry_ends_too():
    made = make(4, retries=5)
    fail(made, 3)
    (probe,) = made.take(COOL_DOWN_SECONDS, 1)
    judge(made, probe, now=COOL_DOWN_SECONDS)
    (given_up,) = made.give_up()

    # The probe was one that had never been tried.
    assert sorted(ticket.history.number for ticket in given_up.tickets) == [0, 0, 1, 3]
    assert made.is_empty


def test_later_lines_for_a_dead_host_end_at_once_until_the_next_probe():
    made = make(4)
    fail(made, 3)
    (probe,) = made.take(COOL_DOWN_SECONDS, 1)
    judge(made, probe, now=COOL_DOWN_SECONDS)
    list(made.give_up())
    made.add(entry(10))

    assert made.take(COOL_DOWN_SECONDS + 1, 1) == []
    (given_up,) = made.give_up()
    assert [ticket.entry.seq for ticket in given_up.tickets] == [10]
    made.add(entry(11))
    assert len(made.take(3 * COOL_DOWN_SECONDS, 1)) == 1


def test_spilled_requests_of_a_dead_host_are_the_callers_to_end():
    made = make(4)
    made.spill(A)
    fail(made, 3)
    (probe,) = made.take(COOL_DOWN_SECONDS, 1)
    judge(made, probe, now=COOL_DOWN_SECONDS)
    (given_up,) = made.give_up()

    assert given_up.has_spilled
    assert made.is_empty
    assert list(made.thirsty()) == []


def test_an_answer_while_it_rests_ends_the_rest():
    made = make(9)
    early, *_ = made.take(0.0, 1)
    fail(made, 3)
    judge(made, early, None, now=1.0)

    assert len(made.take(1.0, 8)) == 5


@pytest.mark.parametrize("failure", [CUT, BUSY, None])
def test_after_any_answer_a_lost_connection_is_an_outage(failure):
    made = make(20)
    fail(made, 2)
    (attempt,) = made.take(0.0, 1)
    judge(made, attempt, failure)
    fail(made, 1)

    assert made.resting == [
        Rest("a.test:80 is not reached: refused", 1.0, is_first=True)
    ]


def test_a_fault_of_our_own_says_nothing_of_the_host():
    made = make(9)
    fail(made, 2)
    (attempt,) = made.take(0.0, 1)
    judge(made, attempt, OURS)
    fail(made, 1)

    assert len(made.resting) == 1


def test_without_a_limit_no_host_is_given_up():
    made = make(30, host_failures=None)
    fail(made, 30)

    assert made.is_empty
    assert made.resting == []


def test_only_so_many_hosts_are_remembered(monkeypatch):
    monkeypatch.setattr(Breakers, "MOST", 2)
    made = make(0)
    for number in range(4):
        made.add(entry(number, f"h{number}:80"))
    fail(made, 4)

    assert len(made._breakers) == 2


def test_no_retry_begins_after_the_total_time():
    made = make(1, host_failures=None, retries=9, total_seconds=10.0)
    (attempt,) = made.take(0.0, 1)
    judge(made, attempt, now=9.0)
    (attempt,) = made.take(9.9, 1)

    assert isinstance(judge(made, attempt, now=10.1), Finished)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 60),
    hosts=st.integers(1, 4),
    per_host=st.integers(1, 4),
    health=st.integers(0, 4),
)
def test_every_request_ends_exactly_once_whatever_hosts_do(
    seed, count, hosts, per_host, health
):
    chance = random.Random(seed)
    made = make(0, host_failures=3, retries=2, per_host=per_host)
    names = [f"h{number}:80" for number in range(hosts)]
    for seq in range(count):
        made.add(entry(seq, chance.choice(names)))
    ended, flying, now = [], [], 0.0
    results = [DOWN, DOWN, CUT, OURS, BUSY, SLOWLY, WISH, *[None] * health]
    results += [LONG_WISH] * (health == 1)
    while not made.is_empty:
        while batch := made.take(now, chance.randint(1, 3)):
            flying.append(batch)
        for one in names:
            busy = sum(one in f"{batch[0].url.split('/')[2]}:80" for batch in flying)
            assert busy <= per_host
        for given_up in made.give_up():
            ended += [ticket.entry.seq for ticket in given_up.tickets]
        if not flying:
            now = max(now, made.next_due() or now)
            continue
        for attempt in flying.pop(chance.randrange(len(flying))):
            now += chance.random()
            if not chance.randrange(9):
                made.give_back(attempt.id)
                continue
            is_unconnected = chance.choice([False, True])
            verdict = judge(made, attempt, chance.choice(results), now, is_unconnected)
            if isinstance(verdict, Finished):
                ended.append(verdict.ticket.entry.seq)

    assert sorted(ended) == list(range(count))


def lead_away(made, attempt, now=0.0):
    result = AttemptResult(attempt.id, redirect="http://b.test/x", hops=1)
    return made.judge(result, now, 0.5)


def test_a_host_that_leads_elsewhere_was_reached():
    made = make(9)
    fail(made, 2)
    lead_away(made, *made.take(0.0, 1))
    fail(made, 1)

    assert [rest.seconds for rest in made.resting] == [1.0]


def test_a_probe_that_is_led_elsewhere_opens_the_way_for_all():
    made = make(9)
    fail(made, 3)
    (probe,) = made.take(COOL_DOWN_SECONDS, 8)
    lead_away(made, probe, COOL_DOWN_SECONDS)

    # Five that wait, and the one that is led on.
    assert sum(len(made.take(COOL_DOWN_SECONDS, 1)) for _ in range(9)) == 6


def test_a_host_that_was_reached_after_its_probe_had_failed_is_not_given_up():
    made = make(9)
    (old,) = made.take(0.0, 1)
    fail(made, 3)
    (probe,) = made.take(COOL_DOWN_SECONDS, 1)
    judge(made, probe, now=COOL_DOWN_SECONDS)
    judge(made, old, None, COOL_DOWN_SECONDS)

    assert list(made.give_up()) == []
    assert len(made.take(COOL_DOWN_SECONDS, 8)) > 0


def test_a_host_that_was_never_reached_is_given_up_for_ever_longer():
    made = make(40)
    fail(made, 3)
    breaker = made._breakers.get(A)
    lengths = []
    for _ in range(5):
        now = breaker.until
        (probe,) = made.take(now, 1)
        judge(made, probe, now=now)
        list(made.give_up())
        lengths.append(breaker.until - now)
        made.add(entry(99))

    assert lengths == [60.0, 120.0, 240.0, *[LONGEST_COOL_DOWN_SECONDS] * 2]


def reached(count, **more):
    """A frontier whose host has answered once, at 0."""
    made = make(count + 1, **more)
    (attempt,) = made.take(0.0, 1)
    judge(made, attempt, None)
    return made


def probe_once(made, failure=DOWN, is_unconnected=True):
    """The one attempt that goes out when the pause is over; when that was."""
    now = made.next_due()
    (attempt,) = made.take(now, 8)
    assert made.take(now, 8) == []
    judge(made, attempt, failure, now, is_unconnected)
    return now


def test_a_reached_host_that_is_away_rests_longer_and_longer_and_loses_nothing():
    made = reached(4)
    flying = [made.take(0.0, 1)[0] for _ in range(3)]
    for attempt in flying:
        judge(made, attempt)
    at = [probe_once(made) for _ in range(8)]
    probe_once(made, None)

    assert at == [1, 3, 7, 15, 31, 61, 91, 121]
    assert made.held == 3
    assert list(made.give_up()) == []
    assert all(attempt.number == 1 for attempt in made.take(151.0, 8))


def test_a_reached_host_is_given_up_when_it_was_away_for_the_whole_time():
    made = reached(4, total_seconds=20.0)
    fail(made, 1)
    at = [probe_once(made) for _ in range(5)]
    (given_up,) = made.give_up()

    assert at == [1, 3, 7, 15, 20]
    assert given_up.failure == Failure(
        ErrorKind.CONNECT,
        "a.test:80 was not reached for 20 s (--retry-max-time), the last time: refused",
    )
    assert len(given_up.tickets) == 4
    assert made.is_empty


def test_without_a_limit_an_outage_ends_all_the_same():
    made = reached(2, total_seconds=2.0, host_failures=None)
    fail(made, 1)
    [probe_once(made) for _ in range(2)]

    assert [len(given_up.tickets) for given_up in made.give_up()] == [2]


def test_a_page_without_an_answer_is_no_outage():
    made = reached(1)
    (attempt,) = made.take(0.0, 1)
    verdict = judge(made, attempt, is_unconnected=False)

    assert isinstance(verdict, Finished)
    assert made.resting == []


def test_many_requests_without_an_answer_are_an_outage():
    made = reached(WIDE + 1, host_failures=20)
    for _ in range(WIDE):
        judge(made, *made.take(0.0, 1), is_unconnected=False)

    assert len(made.resting) == 1
    assert made.take(0.9, 1) == []


def test_a_probe_that_comes_back_without_a_word_is_sent_again():
    made = reached(3)
    fail(made, 1)
    (lost,) = made.take(1.0, 1)
    judge(made, lost, OURS, 1.0)
    (given_back,) = made.take(1.0, 1)
    made.give_back(given_back.id)

    assert len(made.take(1.0, 8)) == 1
    assert made.take(1.0, 8) == []


def test_the_first_bytes_of_a_large_probe_end_the_pause():
    made = reached(3)
    fail(made, 1)
    (probe,) = made.take(1.0, 8)
    made.moved(probe.id, 1.0)
    made.moved(probe.id, 1.1)
    made.moved(999, 1.1)

    assert len(made.take(1.1, 8)) == 2


def test_a_dead_connection_that_was_reused_is_no_outage():
    made = reached(1)
    (attempt,) = made.take(0.0, 1)
    judge(made, attempt, Failure(ErrorKind.CONNECT, "lost", stale=True))

    assert made.resting == []

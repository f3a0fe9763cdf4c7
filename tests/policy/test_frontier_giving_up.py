"""Hosts that are down: the frontier gives them a rest, probes, and gives them up."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from downloader.models import AttemptResult, Entry, ErrorKind, Failure, Saved
from downloader.policy.breaker import COOL_DOWN_SECONDS, Breakers
from downloader.policy.frontier import Frontier, Limits
from downloader.policy.retry import RetryRules
from downloader.policy.ticket import Finished

SAVED = Saved(3, "00", length_known=True, etag=None, last_modified=None, modified_ns=1)
DOWN = Failure(ErrorKind.CONNECT, "refused")
BUSY = Failure("http_503", "busy")
CUT = Failure(ErrorKind.TRUNCATED, "cut")
OURS = Failure(ErrorKind.WORKER_LOST, "killed")
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


def judge(made, attempt, failure=DOWN, now=0.0):
    saved = SAVED if failure is None else None
    return made.judge(AttemptResult(attempt.id, saved, None, failure), now, 0.5)


def fail(made, times, now=0.0):
    for _ in range(times):
        (attempt,) = made.take(now, 1)
        judge(made, attempt, DOWN, now)


def test_a_host_that_is_not_reached_rests_and_is_probed_by_one():
    made = make(9)
    fail(made, 3)
    ((why, seconds),) = made.resting

    assert made.take(1.0, 8) == []
    assert (why.kind, seconds) == (ErrorKind.CONNECT, COOL_DOWN_SECONDS)
    assert made.next_due() == COOL_DOWN_SECONDS
    assert len(made.take(COOL_DOWN_SECONDS, 8)) == 1
    assert made.take(COOL_DOWN_SECONDS, 8) == []


def test_a_probe_that_is_answered_opens_the_way_for_all():
    made = make(9)
    fail(made, 3)
    (probe,) = made.take(COOL_DOWN_SECONDS, 8)
    judge(made, probe, BUSY)

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

    assert sorted(ticket.history.number for ticket in given_up.tickets) == [0, 1, 1, 2]
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
def test_any_answer_begins_the_count_anew(failure):
    made = make(20)
    for _ in range(4):
        fail(made, 2)
        (attempt,) = made.take(0.0, 1)
        judge(made, attempt, failure)

    assert made.resting == []


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

    assert isinstance(judge(made, attempt, now=9.9), Finished)


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
    results = [DOWN, DOWN, DOWN, CUT, OURS, *[None] * health]
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
            verdict = judge(made, attempt, chance.choice(results), now)
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

    assert list(made.resting) == []


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

import pytest
from simulated_host import BUSY, DOWN, REFUSAL, entry

from downloader.models import AttemptResult, Failure
from downloader.policy.frontier import Frontier, Limits

WISH = Failure("http_429", "slowly", 9.0)


def frontier(*hosts):
    """A frontier with five requests for each host, of which each granted one."""
    made = Frontier(Limits())
    for seq, host in enumerate(hosts * 6):
        made.add(entry(seq, host))
    for _ in hosts:
        made.judge(AttemptResult(made.take(0.0, 1)[0].id), 0.0, 0.0)
    return made


def fail(made, failure, now=0.0):
    (attempt,) = made.take(now, 1)
    result = AttemptResult(attempt.id, failure=failure, is_unconnected=failure is DOWN)
    made.judge(result, now, 0.0)


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (WISH, "a.test:80 asked for a pause: 9 s left (5 files)"),
        (REFUSAL, "a.test:80 busy: next try in 1 s (5 files)"),
        (DOWN, "a.test:80 not reached: next try in 1 s (5 files)"),
        (BUSY, ""),
    ],
)
def test_a_pause_is_named_with_its_end(failure, text):
    made = frontier("a.test:80")
    fail(made, failure)

    assert made.waits(0.0) == text


@pytest.mark.parametrize(
    ("one", "other", "text"),
    [
        (DOWN, DOWN, "2 hosts not reached: next try in 1 s (10 files)"),
        (DOWN, REFUSAL, "2 hosts paused: next try in 1 s (10 files)"),
        (WISH, WISH, "2 hosts busy: next try in 9 s (10 files)"),
    ],
)
def test_pauses_of_several_hosts_are_counted(one, other, text):
    made = frontier("a.test:80", "b.test:80")
    fail(made, one)
    fail(made, other)

    assert made.waits(0.0) == text


def test_a_probe_is_the_next_try():
    made = frontier("a.test:80")
    fail(made, REFUSAL)
    made.take(1.0, 1)

    assert made.waits(1.0) == "a.test:80 busy: trying again (5 files)"


def test_a_limited_rate_is_named_while_there_is_something_to_do():
    made = frontier("a.test:80")
    fail(made, REFUSAL)
    (probe,) = made.take(1.0, 1)
    made.judge(AttemptResult(probe.id), 1.0, 0.0)
    said = made.waits(1.0)
    for _ in range(4):
        now = made.next_due()
        made.judge(AttemptResult(made.take(now, 1)[0].id), now, 0.0)

    assert said == "a.test:80 limited to 2.0 requests/s (4 files)"
    assert made.waits(9.0) == ""


def test_a_small_rate_is_told_by_the_minute():
    made = frontier("a.test:80")
    fail(made, Failure("http_429", "slowly", 100.0))
    (probe,) = made.take(100.0, 1)
    made.judge(AttemptResult(probe.id), 100.0, 0.0)
    made._breakers.get("a.test:80").throttle.rate = 0.05

    assert made.waits(100.0) == "a.test:80 limited to 3 requests/min (4 files)"

import pytest

from downloader.models import Failure
from downloader.policy.breaker import (
    COOL_DOWN_SECONDS,
    LONGEST_COOL_DOWN_SECONDS,
    Breaker,
    State,
)

FAILURE = Failure("connect", "no connection: refused")


def opened():
    breaker = Breaker("h:80", 2)
    assert not breaker.failed(FAILURE, 0.0)
    assert breaker.failed(FAILURE, 0.0)
    return breaker


@pytest.mark.parametrize(
    ("kind", "counts"),
    [
        ("connect", True),
        ("dns", True),
        ("timeout", True),
        ("http_503", False),
        ("truncated", False),
        ("tls", False),
        ("worker_lost", False),
    ],
)
def test_only_a_host_that_is_not_reached_counts(kind, counts):
    assert Breaker.counts(Failure(kind, "")) is counts


def test_it_opens_with_its_limit_and_refuses_nothing_yet():
    breaker = opened()

    assert breaker.state is State.OPEN
    assert breaker.until == COOL_DOWN_SECONDS
    assert not breaker.refuses(1.0)


def test_while_open_further_failures_are_no_news():
    breaker = opened()

    assert not breaker.failed(FAILURE, 5.0)
    assert breaker.until == COOL_DOWN_SECONDS


def test_a_probe_that_fails_is_the_hosts_death_for_twice_as_long():
    breaker = opened()
    breaker.probe()

    assert breaker.state is State.PROBING
    assert breaker.failed(FAILURE, 30.0)
    assert breaker.state is State.DEAD
    assert breaker.refuses(89.9)
    assert not breaker.refuses(90.0)


def test_the_rest_has_a_longest_length():
    breaker = opened()
    for _ in range(9):
        breaker.probe()
        breaker.failed(FAILURE, 0.0)

    assert breaker.until == LONGEST_COOL_DOWN_SECONDS


def test_a_closed_one_needs_no_probe():
    breaker = Breaker("h:80", 2)
    breaker.probe()

    assert breaker.state is State.CLOSED


def test_its_failure_says_what_happened_last():
    assert opened().failure() == Failure(
        "connect",
        "h:80 was not reached 2 times in a row, the last time: no connection: refused",
    )

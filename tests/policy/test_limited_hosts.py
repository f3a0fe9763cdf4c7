"""Whole runs against hosts that ask for less, in simulated time."""

import pytest
from simulated_host import BUSY, DOWN, REFUSAL, Simulation, bucket, entry, window

from downloader.models import AttemptResult, Failure
from downloader.policy.breaker import WIDE
from downloader.policy.frontier import Frontier, Limits
from downloader.policy.retry import RetryRules

refusals = pytest.mark.parametrize("refusal", [REFUSAL, BUSY], ids=["429", "503"])
TOMORROW = Failure("http_429", "tomorrow", 86_400.0)


@refusals
@pytest.mark.parametrize("per_host", [1, 8, 50])
@pytest.mark.parametrize("make", [window, bucket])
def test_a_host_that_bears_ten_a_second_is_served_at_about_that(
    make, per_host, refusal
):
    limits = {"window": (10, 1), "bucket": (10, 10)}[make.__name__]
    run = Simulation(make(*limits, refusal), per_host=per_host)

    assert run.arrived == 60
    assert 5 <= run.seconds <= 12
    assert len(run.failures) <= per_host + 10


@pytest.mark.parametrize(
    ("answer", "count", "seconds", "refused"),
    [
        (window(10, 1), 600, 90, 30),
        (bucket(10, 100), 600, 60, 30),
        (bucket(10, 1), 60, 15, 15),
        (window(100, 60), 300, 200, 30),
        (window(1, 1), 20, 30, 20),
        (window(1, 10), 20, 300, 30),
    ],
    ids=["10/s", "10/s bursts", "10/s no burst", "100/min", "1/s", "6/min"],
)
def test_the_rate_of_any_limit_is_found(answer, count, seconds, refused):
    run = Simulation(answer, count)

    assert run.arrived == count
    assert run.seconds <= seconds
    assert len(run.failures) <= refused


@pytest.mark.parametrize("retries", [0, 1])
def test_a_host_that_limits_its_rate_uses_up_no_retries(retries):
    run = Simulation(window(10, 1), retries=retries)

    assert run.arrived == 60
    assert max(run.attempts.values()) == 1


def test_a_retry_after_is_obeyed_to_the_second():
    wish = Failure("http_403", "slowly", 5.0)
    run = Simulation(window(10, 6, wish), 12)

    assert run.arrived == 12
    assert [at - run.failures[0][0] for at, _ in run.failures[-1:]] == [
        pytest.approx(5, abs=0.1)
    ]


@refusals
def test_a_host_that_refuses_for_a_minute_loses_nothing(refusal):
    run = Simulation(lambda now, _: refusal if 1 < now < 61 else None, 5000)

    assert run.arrived == 5000
    assert run.seconds <= 130


@refusals
def test_a_host_that_refuses_everything_is_given_up_after_a_minute(refusal):
    run = Simulation(lambda *_: refusal, 200)

    assert run.arrived == 0
    assert 59 <= run.seconds <= 63
    assert len(run.failures) <= 20
    assert "refused every request for 6" in run.rows[150].detail


def test_a_host_that_has_granted_something_is_given_up_after_the_whole_time():
    run = Simulation(
        lambda now, _: REFUSAL if now > 1 else None, 5000, total_seconds=50.0
    )

    assert 50 <= run.seconds <= 52
    assert "for 50 s (--retry-max-time), the last time: the" in run.rows[4999].detail


@refusals
@pytest.mark.parametrize("retries", [0, 3])
def test_a_single_url_that_is_always_refused_has_its_retries(refusal, retries):
    run = Simulation(lambda *_: refusal, 1, retries=retries)

    assert run.attempts == {0: retries + 1}
    assert len(run.failures) == retries + 1
    assert run.rows[0] == refusal


@pytest.mark.parametrize("seq", [7, 199])
def test_a_page_that_is_always_503_is_no_limit_of_its_host(seq):
    run = Simulation(lambda _, one: BUSY if one == seq else None, 200)

    assert run.arrived == 199
    assert run.attempts[seq] == 4
    assert run.resting == []


@pytest.mark.parametrize("seq", [7, 199])
def test_a_page_that_is_always_429_ends_after_its_retries(seq):
    run = Simulation(lambda _, one: REFUSAL if one == seq else None, 200)

    assert run.arrived == 199
    assert run.attempts[seq] == 4
    assert run.seconds < 25


@refusals
def test_many_pages_that_are_always_refused_cost_no_other_page(refusal):
    run = Simulation(lambda _, one: refusal if one % 10 == 0 else None, 200)

    assert run.arrived == 180


@pytest.mark.parametrize("wish", [None, 5.0])
def test_a_host_that_refuses_each_request_once_is_served(wish):
    seen = set()
    refusal = Failure("http_202", "not yet", wish) if wish else REFUSAL

    def answer(_, seq):
        is_first = seq not in seen
        seen.add(seq)
        return refusal if is_first else None

    run = Simulation(answer, 100)

    assert run.arrived == 100
    assert len(run.failures) == 100


def test_many_requests_refused_at_once_are_one_refusal():
    made = Frontier(Limits(per_host=50))
    for seq in range(50):
        made.add(entry(seq))
    flying = [made.take(0.0, 1)[0] for _ in range(50)]
    made.judge(AttemptResult(flying.pop().id), 0.1, 0.0)
    for attempt in flying:
        made.judge(AttemptResult(attempt.id, failure=REFUSAL), 0.1, 0.0)

    assert [rest.seconds for rest in made.resting] == [1.0]
    assert made.next_due() == pytest.approx(1.1)


def test_an_old_answer_ends_no_pause_that_a_host_asked_for():
    made = Frontier(Limits())
    for seq in range(3):
        made.add(entry(seq))
    old, refused = (made.take(0.0, 1)[0] for _ in range(2))
    made.judge(AttemptResult(refused.id, failure=REFUSAL), 0.1, 0.0)
    made.judge(AttemptResult(old.id), 0.2, 0.0)

    assert made.take(1.0, 1) == []
    assert len(made.take(1.1, 1)) == 1


def test_a_longer_pause_of_a_request_under_way_holds():
    made = Frontier(Limits())
    for seq in range(3):
        made.add(entry(seq))
    one, two = (made.take(0.0, 1)[0] for _ in range(2))
    made.judge(AttemptResult(one.id, failure=REFUSAL), 0.0, 0.0)
    wish = Failure("http_429", "slowly", 9.0)
    made.judge(AttemptResult(two.id, failure=wish), 0.0, 0.0)

    assert made.take(8.9, 1) == []
    assert len(made.take(9.0, 1)) == 1


def test_a_straggler_of_a_pause_that_is_over_begins_no_other():
    made = Frontier(Limits())
    for seq in range(4):
        made.add(entry(seq))
    one, late = (made.take(0.0, 1)[0] for _ in range(2))
    made.judge(AttemptResult(one.id, failure=REFUSAL), 0.0, 0.0)
    (probe,) = made.take(1.0, 1)
    made.judge(AttemptResult(probe.id), 1.0, 0.0)
    made.judge(AttemptResult(late.id, failure=REFUSAL), 1.1, 0.0)

    assert len(made.resting) == 1
    assert len(made.take(2.0, 1)) == 1


def test_a_pause_beyond_the_bound_gives_the_host_up_at_once():
    run = Simulation(lambda *_: TOMORROW, 200)

    assert len(run.failures) <= 8
    (detail,) = {row.detail for row in run.rows.values()}
    assert detail == (
        "a.test:80 asks for a pause of 86400 s (Retry-After), longer than "
        "--max-retry-wait 120: tomorrow"
    )


def test_an_answer_to_an_earlier_request_takes_no_given_up_host_back():
    made = Frontier(Limits())
    for seq in range(3):
        made.add(entry(seq))
    refused, late = (made.take(0.0, 1)[0] for _ in range(2))
    made.judge(AttemptResult(refused.id, failure=TOMORROW), 0.0, 0.0)
    made.judge(AttemptResult(late.id), 0.1, 0.0)

    assert made.take(0.2, 1) == []
    assert [one.host for one in made.give_up()] == ["a.test:80"]


def test_a_host_that_was_given_up_for_a_long_pause_is_asked_again_after_it():
    made = Frontier(Limits())
    made.add(entry(0))
    (attempt,) = made.take(0.0, 1)
    made.judge(AttemptResult(attempt.id, failure=TOMORROW), 0.0, 0.0)
    made.add(entry(1))

    assert made.take(86_399.0, 1) == []
    assert len(list(made.give_up())) == 1
    made.add(entry(2))
    assert len(made.take(86_400.0, 1)) == 1


def test_old_refusals_of_a_host_that_was_given_up_end_their_requests():
    made = Frontier(Limits(retry=RetryRules(retries=0)))
    for seq in range(2):
        made.add(entry(seq))
    one, two = (made.take(0.0, 1)[0] for _ in range(2))
    made.judge(AttemptResult(one.id, failure=TOMORROW), 0.0, 0.0)
    made.judge(AttemptResult(two.id, failure=REFUSAL), 0.0, 0.0)

    assert made.is_empty


def test_a_host_whose_rate_has_grown_back_is_limited_no_more():
    run = Simulation(lambda now, _: REFUSAL if 0.5 < now < 0.51 else None, 20_000)

    assert run.arrived == 20_000
    assert run.frontier._breakers.get("a.test:80") is None


def test_one_of_two_hosts_that_asks_for_less_holds_the_other_up_by_nothing():
    made = Frontier(Limits())
    for seq in range(4):
        made.add(entry(seq, f"{'ab'[seq % 2]}.test:80"))
    (attempt,) = made.take(0.0, 1)
    made.judge(AttemptResult(attempt.id, failure=REFUSAL), 0.0, 0.0)

    assert [made.take(0.0, 1)[0].path for _ in range(2)] == ["1", "3"]
    assert made.take(0.9, 1) == []


def test_an_outage_of_a_minute_costs_a_minute_and_no_request():
    run = Simulation(lambda now, _: DOWN if 0.1 < now < 60 else None, 1000)

    assert run.arrived == 1000
    assert run.seconds < 75
    assert max(run.attempts.values()) == 1
    assert len(run.failures) <= WIDE + 10


@pytest.mark.parametrize("seed", range(5))
def test_a_restart_within_three_seconds_costs_a_few_seconds(seed):
    run = Simulation(lambda now, _: DOWN if 0.1 < now < 3.1 else None, 1000, seed=seed)

    assert run.arrived == 1000
    assert run.seconds < 5

import pytest

from downloader.policy.throttle import FREE_RATE, INCREASE, Throttle


def throttle(granted=10):
    return Throttle(0.0, granted, first_rate=1.0, least_rate=0.1)


def resume(made, now, was_refused_again=False, paused_at=0.0):
    made.resume(now, paused_at, was_refused_again=was_refused_again)
    return made.rate


def grant(made, times):
    for _ in range(times):
        made.grant(raises_rate=True)


def test_the_rate_is_what_was_granted_in_the_time_with_the_pause():
    assert resume(throttle(20), 2.0) == 10.0


def test_after_few_grants_the_rate_is_a_guess_that_grows_quickly():
    made = throttle(1)

    assert resume(made, 5.0) == 1.0
    grant(made, 2)
    assert made.rate == 3.0


def test_each_answer_adds_the_same():
    made = throttle()
    resume(made, 1.0)
    grant(made, 4)

    assert made.rate == pytest.approx(10 + 4 * INCREASE)


def test_a_small_rate_grows_by_a_share_of_it():
    made = throttle()
    resume(made, 50.0)
    grant(made, 1)

    assert made.rate == pytest.approx(0.21)


def test_an_answer_to_a_request_from_before_the_pause_raises_nothing():
    made = throttle()
    resume(made, 1.0)
    made.grant(raises_rate=False)

    assert made.rate == 10.0


@pytest.mark.parametrize(
    ("grants", "seconds", "was_refused_again", "rate"),
    [
        (100, 1.0, False, 8.0),  # at most four fifths of the rate before
        (7, 1.0, False, 7.0),  # what was measured
        (1, 1.0, False, 5.0),  # at least half: the host may have been ready for long
        (1, 1.0, True, 1.0),  # but not if it was refused again
        (1, 100.0, True, 0.1),  # never less than one start in the longest rest
        (0, 1.0, True, 0.5),  # nor than one in twice the pause
    ],
)
def test_a_refusal_makes_the_rate_smaller(grants, seconds, was_refused_again, rate):
    made = throttle()
    resume(made, 1.0)
    for _ in range(grants):
        made.grant(raises_rate=False)

    assert resume(made, 1.0 + seconds, was_refused_again, 1.0) == pytest.approx(rate)


def test_starts_keep_the_rates_distance():
    made = throttle()
    resume(made, 1.0)

    assert made.next_at == pytest.approx(1.1)
    assert made.start(1.1) == pytest.approx(1.2)


def test_a_late_start_is_made_up_for_once():
    made = throttle()
    resume(made, 1.0)

    assert made.start(1.15) == pytest.approx(1.2)
    assert made.start(9.0) == pytest.approx(9.0)
    assert made.start(9.0) == pytest.approx(9.1)


def test_a_rate_that_limits_nothing_is_over():
    made = throttle()
    is_over_before = made.is_over
    resume(made, 10 / (FREE_RATE + 1))

    assert (is_over_before, made.is_over) == (False, True)

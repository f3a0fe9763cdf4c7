import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from downloader.bench.statistics import (
    crossing,
    differs,
    estimate,
    paired_ratio,
    quantile,
)


def test_the_estimate_is_the_median():
    assert estimate([3.0, 1.0, 2.0]).median == 2.0
    assert estimate([4.0, 1.0, 2.0, 3.0]).median == 2.5


@pytest.mark.parametrize(
    ("repeats", "confidence"), [(1, 0.0), (2, 0.5), (3, 0.75), (5, 0.9375)]
)
def test_few_values_give_their_range_with_its_true_confidence(repeats, confidence):
    values = [float(number) for number in range(repeats)]

    told = estimate(values)

    assert (told.low, told.high, told.repeats) == (0.0, repeats - 1.0, repeats)
    assert told.confidence == confidence


def test_six_values_and_more_are_resampled_at_95_per_cent():
    told = estimate([float(number) for number in range(1, 22)])

    assert told.confidence == 0.95
    assert told.median == 11.0
    assert 5.0 <= told.low <= 9.0
    assert 13.0 <= told.high <= 17.0


@pytest.mark.parametrize("count", range(6, 16))
def test_an_interval_holds_the_median_as_often_as_it_says(count):
    """All orders of values on either side of the median are equally likely."""
    values = [float(number) for number in range(count)]
    told = estimate(values)
    below = sum(value <= told.low for value in values) - 1

    missed = 2 * sum(math.comb(count, k) for k in range(below + 1)) / 2**count
    assert 1 - missed >= 0.95


def test_equal_seeds_give_equal_intervals():
    values = [float(number**2 % 17) for number in range(12)]

    assert estimate(values, seed=5) == estimate(values, seed=5)


def test_no_value_is_no_estimate():
    with pytest.raises(ValueError, match="no values"):
        estimate([])


@settings(deadline=None)
@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=12))
def test_an_interval_holds_its_median_and_stays_within_the_values(values):
    told = estimate(values)

    assert min(values) <= told.low <= told.median <= told.high <= max(values)


def test_pairs_cancel_what_both_met():
    fast, slow = [2.0, 20.0, 200.0], [1.0, 10.0, 100.0]

    ratio = paired_ratio(fast, slow)

    assert (ratio.low, ratio.median, ratio.high) == (2.0, 2.0, 2.0)


def test_a_reference_of_nothing_makes_no_pair():
    assert paired_ratio([1.0, 2.0], [0.0, 1.0]).repeats == 1
    assert paired_ratio([1.0], [0.0]) is None


@pytest.mark.parametrize(
    ("ratios", "is_shown"),
    [
        ([0.9, 1.0, 1.2], False),
        ([1.0, 1.1, 1.2], False),
        ([1.1, 1.2, 1.3], True),
        ([0.7, 0.8, 0.9], True),
        ([5.0], False),
    ],
)
def test_a_difference_is_shown_when_the_interval_leaves_1_out(ratios, is_shown):
    assert differs(estimate(ratios)) is is_shown


def test_a_quantile_lies_between_two_values():
    assert quantile([0.0, 10.0], 0.25) == 2.5
    assert quantile([7.0], 0.9) == 7.0


def test_two_curves_cross_where_the_line_says():
    assert crossing([0.0, 1.0, 2.0], [4.0, 2.0, 0.0], [0.0, 2.0, 4.0]) == 1.0
    assert crossing([0.0, 2.0], [3.0, 0.0], [0.0, 3.0]) == 1.0


@pytest.mark.parametrize(
    ("first", "second"),
    [([1.0, 1.0], [2.0, 2.0]), ([2.0, 2.0], [1.0, 1.0]), ([1.0], [2.0])],
)
def test_curves_that_keep_their_order_do_not_cross(first, second):
    assert crossing([0.0, 1.0][: len(first)], first, second) is None


def test_the_last_crossing_counts():
    first, second = [3.0, 1.0, 3.0, 1.0], [2.0, 2.0, 2.0, 2.0]

    assert 2.0 < crossing([0.0, 1.0, 2.0, 3.0], first, second) < 3.0

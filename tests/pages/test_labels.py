import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.pages.labels import elided, number, spread, tick, width_of


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (8.0, "8"),
        (12345.6, "12,346"),
        (123.4, "123"),
        (12.34, "12.3"),
        (1.234, "1.23"),
        (1.2, "1.20"),
        (0.1234, "0.123"),
        (0.00123, "0.001"),
    ],
)
def test_three_digits_count(value, text):
    assert number(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.5, "0.5"), (2.5, "2.5"), (100, "100")])
def test_a_tick_has_no_zeros_at_its_end(value, text):
    assert tick(value) == text


def test_a_long_text_loses_its_middle():
    assert elided("127.0.0.1:80", 12) == "127.0.0.1:80"
    assert elided("a-very-long-name.example:8080", 12) == "a-very…:8080"


def test_a_wide_letter_takes_more_room_than_a_narrow_one():
    assert width_of("mmm") > width_of("iii") > 0


@given(
    st.lists(st.floats(0, 100), min_size=1, max_size=6),
)
def test_spread_labels_never_touch_and_keep_their_order(wanted):
    placed = spread(wanted, 15, 0, 100)
    pairs = sorted(zip(placed, wanted, strict=True))

    assert [want for _, want in pairs] == sorted(wanted)
    gaps = [high[0] - low[0] for low, high in itertools.pairwise(pairs)]
    assert all(gap >= 15 - 1e-9 for gap in gaps)
    assert pairs[0][0] >= -1e-9
    assert pairs[-1][0] <= 100 + 1e-9


def test_labels_with_room_stay_where_they_are():
    assert spread([80.0, 10.0, 50.0], 15, 0, 100) == [80.0, 10.0, 50.0]

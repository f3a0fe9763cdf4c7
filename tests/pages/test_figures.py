import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.pages.figures import Timeline, go_over


def row(host="h:80", began=0.0, size=10, is_new=1, first_byte=0.0, body=0.0):
    return (host, is_new, size, began, 0.0, 0.0, first_byte, body, 0.0, 0.0)


@given(
    st.lists(
        st.tuples(st.floats(0, 12), st.floats(0, 12), st.floats(0, 1e6)), max_size=30
    )
)
def test_all_that_is_spread_over_time_is_there(spans):
    timeline = Timeline(10.0)
    for began, length, amount in spans:
        timeline.add(began, began + length, amount)

    total = sum(rate * timeline.width for rate in timeline.rates)
    assert total == pytest.approx(sum(amount for *_, amount in spans), abs=1e-3)


def test_an_amount_lies_where_its_time_was():
    timeline = Timeline(60.0)
    timeline.add(10.5, 20.0, 95.0)

    rates = timeline.rates
    assert rates[9] == 0
    assert rates[10] == pytest.approx(5.0)
    assert rates[11:20] == pytest.approx([10.0] * 9)
    assert rates[20] == pytest.approx(0.0)


def test_what_took_no_time_counts_all_the_same():
    timeline = Timeline(0.0)
    timeline.add(0.0, 0.0, 7.0)

    assert sum(rate * timeline.width for rate in timeline.rates) == pytest.approx(7.0)


def test_where_nothing_was_there_is_nothing():
    # Of a seed whose sums leave a rest of 2e-15 without care.
    chance = random.Random(0)
    timeline = Timeline(0.3)
    for _ in range(39):
        began = chance.uniform(0.0, 0.1)
        length = chance.uniform(0.01, 0.075)
        timeline.add(began, began + length, length)

    assert timeline.rates[36:] == [0.0] * 24


def test_attempts_in_flight_are_those_at_the_same_time():
    in_flight = go_over([row(first_byte=6.0)] * 5, 12.0, []).in_flight.rates

    assert in_flight[:30] == pytest.approx([5.0] * 30)
    assert in_flight[31:] == pytest.approx([0.0] * 29, abs=1e-9)


def test_bytes_come_while_the_body_does():
    received = go_over([row(size=120, first_byte=6.0, body=6.0)], 12.0, []).received

    assert received.rates[:30] == pytest.approx([0.0] * 30, abs=1e-9)
    assert received.rates[31:] == pytest.approx([20.0] * 29)


def test_what_was_not_saved_was_in_flight_all_the_same():
    passed = go_over([row(is_new=0, body=12.0)], 12.0, ["h:80"])

    assert passed.in_flight.rates == pytest.approx([1.0] * 60)
    assert sum(passed.received.rates) == 0
    assert passed.files == {"h:80": 0}


def test_latency_is_told_by_host_and_others_are_left_out():
    rows = [row("a:1", body=1.0), row("a:1", first_byte=1.0), row("b:1", body=9.0)]
    passed = go_over(rows, 10.0, ["a:1"])

    assert passed.files == {"a:1": 2}
    assert passed.latency["a:1"].quantile(0.99) == pytest.approx(1.0, rel=0.01)


def test_memory_does_not_grow_with_the_rows():
    rows = (
        row(f"h{number % 5000}:80", number / 1e5, number, body=number % 977 / 100)
        for number in range(100_000)
    )
    tracemalloc.start()
    try:
        passed = go_over(rows, 1.0, [f"h{number}:80" for number in range(12)])
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert sum(passed.files.values()) == 12 * 20
    assert peak_bytes < 2**20

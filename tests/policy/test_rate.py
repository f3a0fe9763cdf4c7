import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.policy.rate import TokenBucket


def test_no_rate_lets_everything_pass() -> None:
    bucket = TokenBucket(None)

    assert bucket.bytes_per_second is None
    assert bucket.take(10**12, now=0.0) == 0.0


def test_first_bytes_are_paid_for_too() -> None:
    assert TokenBucket(100.0).take(50, now=7.0) == pytest.approx(0.5)


def test_debts_add_up() -> None:
    bucket = TokenBucket(100.0)
    bucket.take(50, now=0.0)

    assert bucket.take(50, now=0.0) == pytest.approx(1.0)


def test_time_pays_debts() -> None:
    bucket = TokenBucket(100.0)
    bucket.take(100, now=0.0)

    assert bucket.take(0, now=0.75) == pytest.approx(0.25)
    assert bucket.take(0, now=1.5) == 0.0


def test_long_rest_saves_up_a_quarter_of_a_second_only() -> None:
    bucket = TokenBucket(100.0)
    bucket.take(0, now=0.0)

    assert bucket.take(25, now=1_000.0) == 0.0
    assert bucket.take(10, now=1_000.0) == pytest.approx(0.1)


def test_change_keeps_what_is_owed() -> None:
    bucket = TokenBucket(100.0)
    bucket.take(100, now=0.0)

    bucket.change(50.0)

    assert bucket.bytes_per_second == 50.0
    assert bucket.take(0, now=0.0) == pytest.approx(2.0)


@given(
    st.lists(st.tuples(st.integers(0, 5_000), st.floats(0, 3)), max_size=50),
    st.integers(1, 10_000),
)
def test_transfers_that_wait_as_told_keep_to_the_rate(
    arrivals: list[tuple[int, float]], rate: int
) -> None:
    bucket, now = TokenBucket(rate), 0.0

    for size_bytes, idle_seconds in arrivals:
        now += idle_seconds
        now += bucket.take(size_bytes, now)

    total = sum(size_bytes for size_bytes, _ in arrivals)
    assert total <= rate * (now + TokenBucket.BURST_SECONDS) + 1

import sys
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.models import (
    AttemptResult,
    Failure,
    Outcome,
    Phases,
    Saved,
    Status,
    WorkerUsage,
)
from downloader.policy.bound import Bound
from downloader.tally import Quantiles, Tally

SAVED = Saved(3, "ab" * 32, True, None, None, 0)


def outcome(status=Status.OK, **fields):
    return Outcome(seq=0, url="http://h/a", status=status, **fields)


def summary(tally, **changes):
    values = {
        "strategy": "threads",
        "workers": 4,
        "per_host": 8,
        "duplicates": 0,
        "usage": (),
        "own_peak_bytes": 1000,
        "interrupted_by": None,
        "list_complete": True,
        "manifest_complete": True,
    }
    return tally.summary(**values | changes)


def test_without_values_there_is_no_quantile():
    assert Quantiles().quantile(0.5) is None


@given(
    st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=200),
    st.sampled_from([0.5, 0.95, 0.99, 1.0]),
)
def test_a_quantile_is_right_to_half_a_per_cent(values, share):
    quantiles = Quantiles()
    for value in values:
        quantiles.add(value)
    exact = sorted(values)[max(1, -int(-share * len(values) // 1)) - 1]

    assert quantiles.quantile(share) == pytest.approx(exact, rel=0.006)


@pytest.mark.parametrize("value", [0.0, -1.0, sys.float_info.min])
def test_a_duration_of_nothing_counts_too(value):
    quantiles = Quantiles()
    quantiles.add(value)

    assert quantiles.quantile(0.5) < 1e-8


def test_a_million_values_take_no_more_than_a_few_kilobytes():
    quantiles = Quantiles()
    tracemalloc.start()
    try:
        for number in range(200_000):
            quantiles.add(0.001 + number / 1e4)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak_bytes < 500_000


def test_an_empty_run_has_a_summary_of_zeros():
    found = summary(Tally())

    assert (found.lines, found.rows, found.ok, found.bytes, found.retries) == (0,) * 5
    assert (found.latency_p50_seconds, found.files_per_second) == (None, 0.0)


def test_rows_are_counted_by_their_end():
    tally = Tally()
    for status, count in zip(Status, (4, 3, 2, 1), strict=True):
        for _ in range(count):
            error = "timeout" if status is Status.FAILED else None
            tally.outcome(outcome(status, error=error))
    found = summary(tally, duplicates=5)

    assert (found.ok, found.unchanged, found.skipped, found.failed) == (4, 3, 2, 1)
    assert (found.rows, found.duplicates, found.lines) == (10, 5, 15)
    assert found.files_per_second == pytest.approx(9 / found.seconds)


def test_only_files_that_were_saved_now_count_their_bytes():
    tally = Tally()
    tally.outcome(outcome(bytes=10))
    tally.outcome(outcome(Status.SKIPPED, bytes=10))
    tally.outcome(outcome(Status.UNCHANGED, bytes=10))

    assert summary(tally).bytes == 10


def test_what_came_over_the_network_counts_even_if_it_was_lost():
    tally = Tally()
    tally.result(AttemptResult(1, received_bytes=100))
    tally.result(AttemptResult(2, saved=SAVED, received_bytes=3, seconds=0.5))
    found = summary(tally)

    assert found.received_bytes == 103
    assert found.mib_per_second == pytest.approx(103 / 2**20 / found.seconds)
    assert found.latency_p50_seconds == pytest.approx(0.5, rel=0.006)


def test_the_times_of_all_attempts_are_summed_up():
    tally = Tally()
    phases = Phases(7.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0)
    tally.result(AttemptResult(1, saved=SAVED, phases=phases), "h:80")
    tally.result(AttemptResult(2, failure=Failure("http_503", "busy"), phases=phases))
    tally.helped(AttemptResult(3, has_helped=True, phases=phases))
    tally.result(AttemptResult(4, failure=Failure("worker_lost", "killed")))
    times = tally.times

    assert (times.attempts, times.refused) == (4, 1)
    assert times.network_seconds == 3 * (1 + 2 + 3 + 4)
    assert (times.connect_seconds, times.tls_seconds, times.body_seconds) == (3, 6, 12)
    assert (times.first_byte_seconds, times.paused_seconds) == (9, 15)
    assert (times.hash_seconds, times.store_seconds) == (18, 21)


def test_only_good_answers_of_a_host_are_compared():
    tally = Tally()
    phases = Phases(7.0, 1.0, 2.0, 3.0)
    tally.result(AttemptResult(1, saved=SAVED, phases=phases), "h:80")
    tally.result(
        AttemptResult(2, failure=Failure("http_429", "no"), phases=phases), "i"
    )
    tally.result(AttemptResult(3, saved=SAVED, hops=1, phases=phases), "j")
    tally.helped(AttemptResult(4, has_helped=True, phases=phases))

    assert tally.times.crowding._hosts == {"h:80": [(10.0, 3.0)]}


def test_what_bound_the_run_is_asked_with_its_length_and_its_cpu_time():
    asked = []
    found = summary(Tally(), bound=lambda *of: asked.append(of) or Bound("mixed", "x"))

    assert found.bound == Bound("mixed", "x")
    ((seconds, cpu_seconds),) = asked
    assert (seconds, cpu_seconds) == (found.seconds, found.cpu_seconds)


def test_an_attempt_without_a_file_has_no_latency():
    tally = Tally()
    tally.result(AttemptResult(1, seconds=9.0))

    assert summary(tally).latency_p50_seconds is None


def test_retries_are_the_attempts_after_the_first():
    tally = Tally()
    for attempts in (0, 1, 3):
        tally.outcome(outcome(attempts=attempts))
    found = summary(tally)

    assert (found.attempts, found.retries) == (4, 2)


def test_errors_are_counted_by_kind_and_sorted():
    tally = Tally()
    for error in ("timeout", "http_404", "timeout"):
        tally.outcome(outcome(Status.FAILED, error=error))
    tally.outcome(outcome())

    assert list(summary(tally).errors.items()) == [("http_404", 1), ("timeout", 2)]


def test_workers_add_their_cpu_time_and_memory():
    usage = iter([WorkerUsage(1, 100.0, 10), WorkerUsage(2, 200.0, 20)])
    found = summary(Tally(), usage=usage)

    assert 300.0 <= found.cpu_seconds < 400.0
    assert found.peak_memory_bytes == 1030


def test_how_the_run_ended_is_passed_on():
    found = summary(Tally(), interrupted_by=15, list_complete=False)

    assert (found.interrupted_by, found.list_complete) == (15, False)

import pytest
from bench_figures import MIB

from downloader.bench.experiments import (
    computing,
    deadlock,
    futures,
    memory_use,
    passing,
    sharing,
    starting,
)
from downloader.bench.memory import can_tell
from downloader.bench.result import Word
from downloader.bench.verdicts.safety import futures as judge_futures

pytestmark = pytest.mark.usefixtures("counted")


def test_all_mechanisms_compute_in_every_round():
    found = computing.measure(workers=2, rounds=2, seed=1)

    assert set(found.seconds) == {"serial", "threads", "processes", "child programs"}
    assert {len(one) for one in found.seconds.values()} == {2}
    assert found.utilisation.keys() == found.seconds.keys()
    assert all(used > 0 for one in found.utilisation.values() for used in one)
    assert found.two_at_once["serial"] == [0.0, 0.0]


def test_the_computation_is_the_same_each_time():
    assert computing.compute(1000) == computing.compute(1000)


def test_two_orders_lock_up_and_two_ways_out_do_not():
    found = deadlock.measure(rounds=20, patience_seconds=0.3)

    assert found.stuck == 2
    assert (found.same_order_done, found.retreating_done) == (20, 20)


def test_futures_of_both_executors_answer_alike():
    assert judge_futures(futures.measure()).word is Word.HOLDS


def test_a_lock_loses_no_update_and_processes_share_none():
    found = sharing.measure(rounds=1, times=2_000)

    assert found.expected == 8_000
    assert found.lost_locked == [0]
    assert found.seen_by_parent == 0
    assert 0 <= found.lost_call[0] < 8_000


def test_results_of_processes_cross_a_pipe_and_those_of_threads_do_not():
    found = passing.measure(rounds=1)

    small, large = passing.SIZES
    assert found.crossing_bytes["thread"] == {small: 0, large: 0}
    assert found.crossing_bytes["process"][large] > large
    assert all(one[large][0] > 0 for one in found.seconds.values())


def test_every_start_method_is_timed(monkeypatch):
    monkeypatch.setattr(starting, "_pin", lambda: False)
    monkeypatch.setattr(starting, "_PROCESSES", 1)

    found = starting.measure(rounds=1)

    kinds = {f"process by {method}" for method in starting.start_methods()}
    assert set(found.start_seconds) == {"thread", *kinds}
    assert set(found.switch_seconds) == {"thread", "process"}


@pytest.mark.skipif(not can_tell(), reason="needs /proc/PID/smaps_rollup (Linux)")
def test_a_worker_more_takes_memory_and_a_program_more_than_a_thread():
    found = memory_use.measure(rounds=1, workers=1, seed=1, budget_seconds=0.0)

    assert set(found.worker_bytes) == set(memory_use.kinds())
    (thread,), (program,) = (
        found.worker_bytes[kind] for kind in ("thread", "child program")
    )
    assert program > 5 * MIB > thread


def test_where_the_system_is_silent_no_memory_is_told(monkeypatch):
    monkeypatch.setattr(memory_use, "tree_bytes", lambda pid: None)

    found = memory_use.measure(rounds=1, workers=1, seed=1, budget_seconds=0.0)

    assert found.worker_bytes == {}


def test_workers_run_at_once_where_their_stretches_overlap():
    first = computing.Computed(3.0, [0.0, 2.0, 3.0, 4.0])
    second = computing.Computed(2.0, [1.0, 3.5])
    third = computing.Computed(0.5, [3.25, 3.75])

    assert computing.at_once([first, second, third], 2) == 1.75
    assert computing.at_once([first, second, third], 3) == 0.25
    assert computing.at_once([first], 2) == 0.0


def test_one_thread_runs_in_stretches_that_follow_each_other():
    done = computing.compute_timed(computing.Piece(5, 2_000))

    assert done.spans == sorted(done.spans)
    assert len(done.spans) <= 10
    assert computing.at_once([done], 1) <= done.spans[-1] - done.spans[0]

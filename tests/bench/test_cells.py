import pytest
from bench_figures import MACHINE, arm, cells, sample, workload

from downloader.bench.cells import find_crossings, make_cells, ratio_of
from downloader.bench.doubts import doubts
from downloader.bench.runner import Rounds


def test_rates_and_use_of_the_cpu_come_from_the_same_run():
    (cell,) = cells({"serial": [2.0, 2.0, 2.0]}, cpu_seconds=1.0)

    assert cell.files_per_second.median == 50.0
    assert cell.mib_per_second.median == 0.5
    assert (cell.utilisation.median, cell.utilisation_of_all.median) == (0.5, 0.25)


def test_a_speed_up_is_paired_by_round():
    serial, threads = cells({"serial": [1, 10, 100], "threads": [0.5, 5, 50]})

    assert serial.speedup is None
    assert (threads.speedup.low, threads.speedup.high) == (2.0, 2.0)


def test_a_round_that_failed_for_one_is_left_out_for_both():
    arms = [arm("serial"), arm("threads", 4)]
    samples = {0: [sample(1, 1.0), sample(2, 4.0)], 1: [sample(2, 2.0)]}

    made = make_cells(arms, Rounds(samples=samples), workload(), cores=2, seed=1)

    assert made[1].speedup.median == 2.0
    assert made[1].speedup.repeats == 1


def test_an_arm_without_a_sample_has_no_cell():
    made = make_cells([arm()], Rounds(), workload(), cores=2, seed=1)

    assert made == []


def test_without_a_common_round_there_is_no_ratio():
    first, second = (
        make_cells([arm()], Rounds(samples={0: [sample(n)]}), workload(), 2, 1)[0]
        for n in (1, 2)
    )

    assert ratio_of(first, second) is None


@pytest.mark.parametrize(("limit", "is_bound"), [(105.0, True), (120.0, False)])
def test_a_tenth_below_the_servers_limit_is_server_bound(limit, is_bound):
    (cell,) = cells({"serial": [1.0, 1.0, 1.0]}, limit=limit)

    assert cell.is_server_bound is is_bound


def test_what_is_not_known_stays_unknown():
    (cell,) = cells({"serial": [1.0]})

    assert cell.memory_bytes is None
    assert cell.context_switches is None
    assert cell.startup_seconds is None


def test_phases_are_medians_of_what_the_runs_told():
    samples = [sample(n, phase_seconds={"body": float(n)}) for n in (1, 2, 3)]

    (cell,) = make_cells([arm()], Rounds(samples={0: samples}), workload(), 2, 1)

    assert cell.phase_seconds == {"body": 2.0}


def curve(strategy, by_stage):
    return [
        make_cells(
            [arm(strategy, 4, "stage-parse", stage)],
            Rounds(samples={0: [sample(1, seconds)]}),
            workload("stage-parse"),
            2,
            1,
        )[0]
        for stage, seconds in by_stage.items()
    ]


def test_processes_overtake_threads_where_the_curves_cross():
    threads = curve("threads", {0.0: 1.0, 0.01: 2.0, 0.02: 4.0})
    processes = curve("processes", {0.0: 2.0, 0.01: 2.5, 0.02: 2.0})

    (found,) = find_crossings([*threads, *processes], ("processes",))

    assert (found.before, found.after) == ("threads", "processes")
    assert 0.01 < found.stage_seconds < 0.02


def test_a_crossing_has_an_interval_from_its_rounds():
    def curve_by_round(strategy, by_stage):
        return [
            make_cells(
                [arm(strategy, 4, "stage-parse", stage)],
                Rounds(samples={0: [sample(n, s) for n, s in enumerate(seconds, 1)]}),
                workload("stage-parse"),
                2,
                1,
            )[0]
            for stage, seconds in by_stage.items()
        ]

    threads = curve_by_round("threads", {0.0: [1, 1, 1], 0.02: [4, 2, 1]})
    processes = curve_by_round("processes", {0.0: [2, 2, 2], 0.02: [1, 1, 2]})

    (found,) = find_crossings([*threads, *processes], ("processes",))

    assert (found.by_round.repeats, found.rounds) == (2, 3)
    assert found.by_round.low < found.by_round.high < 0.02


def test_work_without_a_stage_has_no_crossing():
    found = cells({"threads": [1.0], "processes": [2.0]})

    assert find_crossings(found, ("processes",)) == []


def test_an_idle_machine_and_steady_figures_raise_no_doubt():
    assert doubts(MACHINE, 2, cells({"serial": [1.0, 1.0, 1.1]})) == []


def test_load_noise_failures_and_a_servers_limit_are_doubts():
    import msgspec

    busy = msgspec.structs.replace(MACHINE, load_before=1.5)
    noisy = cells({"serial": [1.0, 3.0]}, limit=60.0)
    failing = make_cells(
        [arm("threads", 4)], Rounds(samples={0: [sample(failed=3)]}), workload(), 2, 1
    )

    told = " | ".join(doubts(busy, 2, [*noisy, *failing]))

    for clue in ("load 1.5", "3.0", "some downloads failed", "server-bound"):
        assert clue in told


def test_where_nothing_came_not_only_some_downloads_failed():
    samples = {0: [sample(files=0, failed=100)]}
    failing = make_cells([arm("threads", 4)], Rounds(samples=samples), workload(), 2, 1)

    (told,) = doubts(MACHINE, 2, failing)

    assert told.startswith("all downloads failed, ")
    assert "threads with 4 on latency" in told

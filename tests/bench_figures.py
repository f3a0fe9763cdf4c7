"""Made-up figures for tests of what a bench says of them."""

from datetime import UTC, datetime

from downloader.bench.cell import CellJob
from downloader.bench.cells import find_crossings, make_cells
from downloader.bench.experiments.findings import Computing, Starting
from downloader.bench.mechanisms import ELSEWHERE
from downloader.bench.result import BenchResult, Machine, Mode, Sample, Workload
from downloader.bench.runner import Arm, Rounds
from downloader.bench.verdicts import Evidence, judge

MIB = 1 << 20
NOISE = (0.98, 1.0, 1.02)
ROUNDS = 5

MACHINE = Machine(
    system="Linux",
    processor="made up",
    cores=2,
    usable_cores=2,
    quota_cores=None,
    memory_bytes=None,
    load_before=0.1,
    load_after=1.0,
    python="3.13.0",
    implementation="CPython",
    is_gil_enabled=True,
    start_method="fork",
    switch_interval_seconds=0.005,
    versions={"downloader": "0.1.0"},
)


def workload(name="latency", files=100, **values):
    return Workload(name=name, title=name, purpose="made up", files=files, **values)


def sample(number=1, seconds=1.0, cpu_seconds=0.2, **values):
    told = {
        "files": 100,
        "failed": 0,
        "received_bytes": MIB,
        "user_seconds": cpu_seconds / 2,
        "system_seconds": cpu_seconds / 2,
        **values,
    }
    return Sample(round=number, seconds=seconds, **told)


def arm(strategy="serial", workers=1, name="latency", stage_seconds=0.0):
    job = CellJob(strategy=strategy, workers=workers, folder="")
    return Arm(
        workload=name,
        strategy=strategy,
        workers=workers,
        job=job,
        stage_seconds=stage_seconds,
    )


def cells(seconds_by_strategy, name="latency", cpu_seconds=0.2, limit=None):
    """A cell a strategy, from its seconds by round."""
    arms = [arm(strategy, 4, name) for strategy in seconds_by_strategy]
    samples = {
        place: [
            sample(number, seconds, cpu_seconds)
            for number, seconds in enumerate(by_round, 1)
        ]
        for place, by_round in enumerate(seconds_by_strategy.values())
    }
    work = workload(name, server_files_per_second=limit)
    return make_cells(arms, Rounds(samples=samples), work, cores=2, seed=1)


def noisy(seconds, *factors):
    return [seconds * factor for factor in factors or NOISE]


def computing(threads=0.0, processes=0.9, children=0.9, gain=0.5, others=0.1, cores=0):
    """For which share of the time two of each ran at one moment, in five rounds.

    A list gives the rounds' own; `gain` is the processes' time to serial's, `cores` what
    each had of the CPU.
    """
    names = ("serial", "threads", "processes", "child programs")
    shares = {
        name: share if isinstance(share, list) else [share] * ROUNDS
        for name, share in zip(names, (0.0, threads, processes, children), strict=True)
    }
    times = zip(names, (1.0, 1.0, gain, gain), strict=True)
    return Computing(
        workers=2,
        seconds={name: [time] * ROUNDS for name, time in times},
        utilisation={name: [cores] * ROUNDS for name in names},
        two_at_once=shares,
        all_at_once=shares,
        others=[others] * ROUNDS,
    )


def starting(process_start=1e-2, process_switch=2e-5):
    return Starting(
        start_seconds={
            "thread": noisy(1e-4),
            "process by spawn": noisy(process_start),
        },
        switch_seconds={"thread": noisy(1e-5), "process": noisy(process_switch)},
        is_pinned=True,
    )


_STAGES = (0.0, 0.002, 0.005, 0.01, 0.03)
# Workers, cores that a CPU stage can have, and what a page costs beside it.
_STAGED = {
    "serial": (1, 1, 0.024),
    "threads": (16, 1, 0.006),
    "processes": (4, 2, 0.01),
    "subprocess": (4, 2, 0.011),
    "asyncio": (100, 1, 0.004),
    "curl": (100, 1, 0.003),
    "multicore": (100, 2, 0.006),
}
_CURVES = {
    "serial": {1: 10.0},
    "threads": {4: 2.6, 16: 0.7, 64: 0.3},
    "processes": {4: 3.0, 16: 6.0},
    "subprocess": {4: 2.9, 16: 5.5},
    "asyncio": {4: 2.5, 16: 0.7, 64: 0.21, 100: 0.2},
    "curl": {4: 2.5, 16: 0.65, 64: 0.2, 100: 0.22},
    "multicore": {4: 2.6, 16: 1.1},
    "auto": {64: 0.25},
}


def whole_result():
    """A bench's result with all that there can be in it."""
    staged = _made_cells(
        "stage-parse",
        {
            (name, workers, stage): 24 * (own + stage / cores)
            for name, (workers, cores, own) in _STAGED.items()
            for stage in _STAGES
        },
    )
    curves = _made_cells(
        "latency",
        {
            (name, workers, 0.0): seconds
            for name, curve in _CURVES.items()
            for workers, seconds in curve.items()
        },
    )
    large = _made_cells(
        "huge", {(name, 4, 0.0): 2.0 + len(name) / 9 for name in _CURVES}
    )
    evidence = Evidence(
        cores=2, cells=curves, computing=computing(), starting=starting()
    )
    return BenchResult(
        mode=Mode.FULL,
        started_at=datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
        seconds=560.0,
        seed=7,
        machine=MACHINE,
        workloads=(
            workload("latency", server_files_per_second=600.0),
            workload("huge", 1, file_bytes=192 * MIB, server_mib_per_second=0.6),
            workload("stage-parse", 24),
        ),
        cells=(*curves, *large, *staged),
        crossings=tuple(find_crossings(staged, ELSEWHERE)),
        verdicts=judge(evidence),
        warnings=("the moon was full", "<b>and</b> " + "w" * 200),
    )


def _made_cells(name, seconds_by_arm):
    arms = [
        arm(strategy, workers, name, stage_seconds)
        for strategy, workers, stage_seconds in seconds_by_arm
    ]
    told = {
        "memory_bytes": 90 * MIB,
        "worker_memory_bytes": 3.5 * MIB,
        "startup_seconds": 0.2,
        "phase_seconds": {"connect": 0.1, "tls": 0.0, "first_byte": 3.0, "body": 0.4},
    }
    samples = {
        place: [
            sample(number, one, **told) for number, one in enumerate(noisy(seconds), 1)
        ]
        for place, seconds in enumerate(seconds_by_arm.values())
    }
    rounds = Rounds(samples=samples)
    return tuple(make_cells(arms, rounds, workload(name), cores=2, seed=1))

"""Made-up figures for tests of what a bench says of them."""

from downloader.bench.cell import CellJob
from downloader.bench.cells import make_cells
from downloader.bench.experiments.findings import Computing, Starting
from downloader.bench.result import Machine, Sample, Workload
from downloader.bench.runner import Arm, Rounds

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

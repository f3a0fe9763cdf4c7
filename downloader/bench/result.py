"""What a bench came to: frozen values that become `bench.json` as they stand.

Nothing is measured or judged here. Every estimate carries its interval, how many repeats
it rests on, and how sure the interval is.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from downloader.delivery import deliver

if TYPE_CHECKING:
    import os

__all__ = [
    "BenchResult",
    "Cell",
    "Crossing",
    "Estimate",
    "Figure",
    "Machine",
    "Mode",
    "Sample",
    "Verdict",
    "Word",
    "Workload",
    "read_json",
    "write_json",
]


class Word(StrEnum):
    """The three things that can be said of a claim."""

    HOLDS = "holds here"
    FAILS = "does not hold here"
    UNDECIDED = "no difference shown"


class Mode(StrEnum):
    """What kind of bench it was."""

    QUICK = "quick"
    FULL = "full"
    LIST = "list"


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """A median with its interval.

    Attributes:
        median: The median of the repeats.
        low: The interval's lower end.
        high: Its upper end.
        repeats: How many values it rests on.
        confidence: How sure the interval is to hold the true median if repeats are
            independent: 0.95, or less where there are too few of them for that.
    """

    median: float
    low: float
    high: float
    repeats: int
    confidence: float


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where and under what load it was measured.

    Attributes:
        cores: Logical cores of the machine.
        usable_cores: Those that this process may run on.
        quota_cores: What a container's limit leaves of them; None without a limit.
        memory_bytes: Physical memory; None where the system does not say.
        load_before: The load average of the last minute when it began; None if unknown.
        load_after: The same at the end, the bench's own load included.
        is_gil_enabled: False on a free-threaded build that runs without the lock.
        start_method: The default of `multiprocessing` here.
        switch_interval_seconds: How long a thread may keep the interpreter's lock.
        versions: Version of each package that matters, by name.
    """

    system: str
    processor: str
    cores: int
    usable_cores: int
    quota_cores: float | None
    memory_bytes: int | None
    load_before: float | None
    load_after: float | None
    python: str
    implementation: str
    is_gil_enabled: bool
    start_method: str
    switch_interval_seconds: float
    versions: dict[str, str]


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of work, the same for every strategy.

    Attributes:
        name: A stable word: `latency`, `bandwidth`, `overhead`, `huge`, `stage-parse`,
            `stage-hash`, `copy`, `write` or `list`.
        title: A few words for a heading.
        purpose: A sentence on what it shows.
        files: Files of one run.
        file_bytes: The size of each; None where they differ.
        latency_seconds: How long the server holds each answer back.
        bytes_per_second: What the server sends at most on one connection; None for any.
        server_files_per_second: The most the load generator got out of the server on
            this work; None where there is no server, or it was not measured.
        server_mib_per_second: The same in MiB.
    """

    name: str
    title: str
    purpose: str
    files: int
    file_bytes: int | None = None
    latency_seconds: float = 0.0
    bytes_per_second: int | None = None
    server_files_per_second: float | None = None
    server_mib_per_second: float | None = None


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One run, in a fresh process of its own.

    Attributes:
        round: In which round of interleaved repeats, from 1.
        seconds: The run by the clock on the wall; its workers stood ready, but for
            those of a `list`, whose start is in it.
        files: Files that came.
        failed: Files that did not.
        received_bytes: Bytes of bodies.
        user_seconds: CPU time in programs, of the run and all its children meanwhile.
            Where a system tells of children only when they have ended, their start is
            in it.
        system_seconds: CPU time in the kernel for them.
        memory_bytes: The most private memory of all its processes together that was
            seen; None where the system does not tell.
        worker_memory_bytes: What the run added to the process before it, for each
            worker; None as above.
        startup_seconds: From an open folder to the end of a tiny file for each worker,
            16 at most, less the time that the site held those back: what starting
            workers costs. None if they stood already.
        voluntary_switches: Context switches while waiting, of all its processes.
        involuntary_switches: Those that the scheduler forced.
        ticker_lag_seconds: How late a thread that sleeps 10 ms at a time was waked, the
            95th percentile: waiting for the interpreter's lock and for a core together.
        latency_p50_seconds: Median time of an attempt in its worker.
        latency_p95_seconds: 95 of 100 attempts took no longer.
        phase_seconds: Worker time by phase, that of the start's tiny files included.
    """

    round: int
    seconds: float
    files: int
    failed: int
    received_bytes: int
    user_seconds: float
    system_seconds: float
    memory_bytes: int | None = None
    worker_memory_bytes: float | None = None
    startup_seconds: float | None = None
    voluntary_switches: int | None = None
    involuntary_switches: int | None = None
    ticker_lag_seconds: float | None = None
    latency_p50_seconds: float | None = None
    latency_p95_seconds: float | None = None
    phase_seconds: dict[str, float] = {}


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One workload by one strategy with one number of workers, over all its repeats.

    Attributes:
        workload: The `Workload`'s name.
        strategy: The strategy's name.
        workers: How many it had.
        stage_seconds: CPU seconds of work after each download, as one idle core does
            it; 0 without a stage. Cells that differ in this alone make a curve.
        speedup: Against `serial` in the same round; None for itself or without it.
        utilisation: CPU seconds a second: 1.0 is one core fully used.
        utilisation_of_all: The same as a share of all usable cores.
        is_server_bound: True if it sits within 10 % of the server's own limit.
        phase_seconds: Medians of the samples'.
    """

    workload: str
    strategy: str
    workers: int
    samples: tuple[Sample, ...]
    seconds: Estimate
    files_per_second: Estimate
    mib_per_second: Estimate
    cpu_seconds: Estimate
    user_seconds: Estimate
    system_seconds: Estimate
    utilisation: Estimate
    utilisation_of_all: Estimate
    stage_seconds: float = 0.0
    speedup: Estimate | None = None
    memory_bytes: Estimate | None = None
    worker_memory_bytes: Estimate | None = None
    startup_seconds: Estimate | None = None
    context_switches: Estimate | None = None
    ticker_lag_seconds: Estimate | None = None
    is_server_bound: bool = False
    phase_seconds: dict[str, float] = {}


class Crossing(msgspec.Struct, frozen=True, kw_only=True):
    """From which CPU work after a download on another strategy wins.

    Attributes:
        workload: The workload with the stage.
        before: The strategy that is faster with less CPU work.
        after: The one that is faster with more.
        stage_seconds: CPU seconds a file at which they are level, interpolated between
            the medians of two stages.
        by_round: The same of each round that has such a place, taken together; None if
            none has.
        rounds: How many rounds both were measured in.
    """

    workload: str
    before: str
    after: str
    stage_seconds: float
    by_round: Estimate | None = None
    rounds: int = 0


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A number that a verdict rests on.

    Attributes:
        low: Its interval's lower end; None of a plain count, and of a single value.
        high: The upper end.
        repeats: How many values it rests on; None of a plain count.
    """

    label: str
    value: float
    unit: str
    low: float | None = None
    high: float | None = None
    repeats: int | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the measurements say of one claim of the guidance."""

    number: int
    claim: str
    word: Word
    reason: str
    figures: tuple[Figure, ...]


class BenchResult(msgspec.Struct, frozen=True, kw_only=True):
    """A whole bench.

    Attributes:
        started_at: An aware UTC datetime.
        seed: Decides the order of runs and the resampling; the same for a repetition.
        seconds: How long the bench took.
        warnings: What a reader must know before believing a figure: noise, failures,
            what was left out.
        format: The version of this layout.
    """

    mode: Mode
    started_at: datetime
    seconds: float
    seed: int
    machine: Machine
    workloads: tuple[Workload, ...] = ()
    cells: tuple[Cell, ...] = ()
    crossings: tuple[Crossing, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    warnings: tuple[str, ...] = ()
    format: int = 1


def write_json(result: BenchResult, path: str | os.PathLike[str]) -> None:
    """Write a result as indented JSON; the file appears when it is whole.

    Raises:
        OSError: It cannot be written.
    """
    text = msgspec.json.format(msgspec.json.encode(result)) + b"\n"
    deliver(path, lambda sink: sink.write(text))


def read_json(path: str | os.PathLike[str]) -> BenchResult:
    """The result that `write_json` wrote.

    Raises:
        OSError: It cannot be read.
        msgspec.ValidationError: It is something else.
    """
    return msgspec.json.decode(Path(path).read_bytes(), type=BenchResult)

"""Runs in rounds: every arm once a round, in random order, each in a fresh process.

Whether another round is begun depends on the clock alone, never on what was measured, so
that stopping early favours nobody.
"""

from __future__ import annotations

import math
import random
import tempfile
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from downloader.bench.cell import CellJob, CellReport
from downloader.bench.child import BenchError, Child
from downloader.bench.memory import PeakMemory, tree_bytes
from downloader.bench.result import Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Arm", "Rounds", "run_rounds"]

# A run that takes longer than this is broken, not slow.
RUN_SECONDS = 120.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """What is compared with other arms: one strategy, so many workers, one stage.

    Attributes:
        job: What its process is told, but for the folder.
        stage_seconds: The CPU stage's length, for the cell.
    """

    workload: str
    strategy: str
    workers: int
    job: CellJob
    stage_seconds: float = 0.0

    @property
    def name(self) -> str:
        """How a person calls it."""
        stage = f", {self.stage_seconds * 1e3:.1f} ms" if self.stage_seconds else ""
        return f"{self.workload}: {self.strategy} with {self.workers}{stage}"


@dataclass(kw_only=True, slots=True)
class Rounds:
    """What came of the rounds: an arm that failed once has a message and goes on."""

    samples: dict[int, list[Sample]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


def run_rounds(
    arms: Sequence[Arm],
    *,
    most: int,
    fewest: int,
    until: float,
    deadline: float = math.inf,
    times_every_start: bool = True,
    chance: random.Random,
    tell: Callable[[str], None],
    run_seconds: float = RUN_SECONDS,
) -> Rounds:
    """Measure all arms in interleaved rounds.

    Args:
        arms: What to compare; `Rounds.samples` goes by their places.
        most: Rounds at most.
        fewest: Rounds that are wanted even if they take longer than `until`.
        until: When the rounds should be over, by `time.monotonic`.
        deadline: When they must be over.
        times_every_start: False to time the start of workers in the first round only.
        chance: Decides the order within each round.
        tell: Told what is measured now.
    """
    rounds = Rounds()
    last_seconds = 0.0
    for number in range(1, most + 1):
        began = time.monotonic()
        bound = until if number > fewest else deadline
        if number > 1 and began + last_seconds > bound:
            break
        order = chance.sample(range(len(arms)), len(arms))
        for place in order:
            arm = arms[place]
            tell(f"{arm.name} workers, round {number} of {most} at most")
            try:
                is_timed = times_every_start or number == 1
                sample = run_once(arm, number, run_seconds, is_start_timed=is_timed)
            except BenchError as error:
                rounds.failures.append(str(error))
            else:
                rounds.samples.setdefault(place, []).append(sample)
        last_seconds = time.monotonic() - began
    return rounds


def run_once(
    arm: Arm, number: int, run_seconds: float, *, is_start_timed: bool = True
) -> Sample:
    """One run in a fresh process with a folder of its own, watched from here.

    Raises:
        BenchError: It failed, or took too long.
    """
    with tempfile.TemporaryDirectory(prefix="downloader-bench-") as folder:
        job = msgspec.structs.replace(
            arm.job, folder=folder, is_start_timed=is_start_timed
        )
        if job.work is not None:
            work = msgspec.structs.replace(job.work, folder=folder)
            job = msgspec.structs.replace(job, work=work)
        line = msgspec.json.encode(job)
        with Child("downloader.bench.cell", line, arm.name, run_seconds) as child:
            child.prepare()
            before_bytes = tree_bytes(child.pid)
            with PeakMemory(child.pid) as memory:
                report = msgspec.json.decode(child.measure(), type=CellReport)
    return _sample(report, number, before_bytes, memory.peak_bytes, arm.workers)


def _sample(
    report: CellReport,
    number: int,
    before_bytes: int | None,
    peak_bytes: int | None,
    workers: int,
) -> Sample:
    grown = None
    if before_bytes is not None and peak_bytes is not None:
        grown = (peak_bytes - before_bytes) / workers
    return Sample(
        round=number,
        memory_bytes=peak_bytes,
        worker_memory_bytes=grown,
        **msgspec.structs.asdict(report),
    )

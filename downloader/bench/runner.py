"""Runs in rounds: every arm once a round, in random order, each in a fresh process.

Whether another round is begun depends on the clock alone, never on what was measured, so
that stopping early favours nobody.
"""

from __future__ import annotations

import math
import random
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import msgspec

from downloader.bench.cell import CellJob, CellReport
from downloader.bench.child import BenchError, Child
from downloader.bench.memory import PeakMemory, tree_bytes
from downloader.bench.result import Sample
from downloader.bench.usage import sees_living_children

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
    """What came of the rounds: an arm that failed once has a message and goes on.

    Attributes:
        was_cut: True if the deadline came within a round; what there was of it is left
            out, unless it was the first: a round cut off holds the quick ones alone.
    """

    samples: dict[int, list[Sample]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    was_cut: bool = False


def run_rounds(
    arms: Sequence[Arm],
    *,
    most: int,
    fewest: int,
    until: float,
    fewest_until: float = math.inf,
    deadline: float = math.inf,
    keeps_workers: bool = False,
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
        fewest_until: When no round is begun any more even for the fewest.
        deadline: When they must be over.
        keeps_workers: True to keep each arm's process and its workers for all rounds,
            which is quicker; False to have fresh ones for each run.
        chance: Decides the order within each round.
        tell: Told what is measured now.
    """
    rounds = Rounds()
    last_seconds = 0.0
    with _Stands(keeps_workers=keeps_workers) as stands:
        for number in range(1, most + 1):
            began = time.monotonic()
            bound = until if number > fewest else min(fewest_until, deadline)
            if number > 1 and began + last_seconds > bound:
                break
            found: dict[int, Sample] = {}
            for place in chance.sample(range(len(arms)), len(arms)):
                arm = arms[place]
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                tell(f"{arm.name} workers, round {number} of {most} at most")
                try:
                    found[place] = stands.run(arm, number, min(run_seconds, left))
                except BenchError as error:
                    if time.monotonic() < deadline:
                        rounds.failures.append(str(error))
            rounds.was_cut = time.monotonic() >= deadline
            if rounds.was_cut and number > 1:
                break
            for place, sample in found.items():
                rounds.samples.setdefault(place, []).append(sample)
            # Where workers stay, the first round has their start in it, no other has.
            is_start = keeps_workers and number == 1
            last_seconds = 0.0 if is_start else time.monotonic() - began
    return rounds


class _Stands:
    """Measuring processes, fresh for each run or kept from round to round."""

    def __init__(self, *, keeps_workers: bool) -> None:
        # What only the end of a process tells must be told in every run.
        self._keeps_workers = keeps_workers and sees_living_children()
        self._kept: dict[str, _Stand] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def run(self, arm: Arm, number: int, seconds: float) -> Sample:
        """One run; BenchError if it failed, or took too long."""
        if not self._keeps_workers or arm.job.work is not None:
            return run_once(arm, number, seconds)
        stand = self._kept.get(arm.name)
        if stand is None:
            stand = _Stand(arm, seconds, is_single_block=False)
            self._kept[arm.name] = self._stack.enter_context(stand)
        return stand.run(number, seconds)


def run_once(arm: Arm, number: int, run_seconds: float) -> Sample:
    """One run in a fresh process with a folder of its own, watched from here.

    Raises:
        BenchError: It failed, or took too long.
    """
    with _Stand(arm, run_seconds, is_single_block=True) as stand:
        return stand.run(number, run_seconds)


class _Stand:
    """A process that measures an arm in a folder of its own, ready from `with` on."""

    def __init__(self, arm: Arm, seconds: float, *, is_single_block: bool) -> None:
        self._arm = arm
        self._seconds = seconds
        self._is_single_block = is_single_block
        self._before_bytes: int | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            folder = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="downloader-bench-")
            )
            line = self._job(folder)
            self._child = stack.enter_context(
                Child("downloader.bench.cell", line, self._arm.name, self._seconds)
            )
            self._child.prepare()
            self._before_bytes = tree_bytes(self._child.pid)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def run(self, number: int, seconds: float) -> Sample:
        """Measure; once only if the process is for a single block."""
        with PeakMemory(self._child.pid) as memory:
            line = self._child.measure(seconds)
        report = msgspec.json.decode(line, type=CellReport)
        before, peak, workers = self._before_bytes, memory.peak_bytes, self._arm.workers
        if not self._is_single_block and report.startup_seconds is None:
            # Other arms' processes have come since, which share pages with this one's.
            before = peak = None
        return _sample(report, number, before, peak, workers)

    def _job(self, folder: str) -> bytes:
        job = msgspec.structs.replace(
            self._arm.job, folder=folder, is_single_block=self._is_single_block
        )
        if job.work is not None:
            work = msgspec.structs.replace(job.work, folder=folder)
            job = msgspec.structs.replace(job, work=work)
        return msgspec.json.encode(job)


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

"""The experiments of the claims as the bench runs them: fresh processes, within a time."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import msgspec

from downloader.bench.child import BenchError, Child
from downloader.bench.experiments import findings
from downloader.bench.experiments.job import ExperimentJob
from downloader.bench.verdicts import Evidence

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Trials"]

_TRIAL_SECONDS = 90.0
# Without any time left it is tried all the same: a process that starts at all is told of.
_LEAST_SECONDS = 1.0
_Finding = TypeVar("_Finding", bound=msgspec.Struct)


class Trials:
    """Runs experiments one after another and collects what went wrong.

    Args:
        deadline: When they must be over, by `time.monotonic`.

    Attributes:
        failures: A message for each that did not come about.
    """

    def __init__(
        self,
        *,
        is_quick: bool,
        seed: int,
        tell: Callable[[str], None],
        deadline: float = math.inf,
    ) -> None:
        self.failures: list[str] = []
        self._is_quick = is_quick
        self._seed = seed
        self._tell = tell
        self._deadline = deadline

    def needed(self, *, cores: int, is_gil_enabled: bool) -> Evidence:
        """Those that even a quick bench must decide."""
        return Evidence(
            cores=cores,
            is_gil_enabled=is_gil_enabled,
            computing=self._computing(max(2, cores)),
            sharing=self._run("sharing", self._rounds, findings.Sharing),
            futures=self._run("futures", 1, findings.Futures),
            deadlock=self._run("deadlock", 1, findings.Deadlock),
            memory=self._memory(),
        )

    def others(self, evidence: Evidence) -> Evidence:
        """The evidence with the rest."""
        return replace(
            evidence,
            starting=self._run("starting", self._rounds, findings.Starting),
            passing=self._run("passing", self._rounds, findings.Passing),
        )

    @property
    def _rounds(self) -> int:
        return 3 if self._is_quick else 9

    def _computing(self, workers: int) -> findings.Computing | None:
        job = ExperimentJob(
            name="computing",
            rounds=12 if self._is_quick else 30,
            workers=workers,
            seed=self._seed,
            budget_seconds=6.0 if self._is_quick else 40.0,
        )
        return self._do(job, findings.Computing)

    def _memory(self) -> findings.Memory | None:
        job = ExperimentJob(
            name="memory",
            rounds=3 if self._is_quick else 7,
            workers=1 if self._is_quick else 4,
            seed=self._seed,
            budget_seconds=6.0 if self._is_quick else 40.0,
        )
        return self._do(job, findings.Memory)

    def _run(self, name: str, rounds: int, kind: type[_Finding]) -> _Finding | None:
        return self._do(ExperimentJob(name=name, rounds=rounds, seed=self._seed), kind)

    def _do(self, job: ExperimentJob, kind: type[_Finding]) -> _Finding | None:
        """What an experiment found; None if it failed."""
        what = job.name
        self._tell(f"experiment: {what}")
        line = msgspec.json.encode(job)
        module = "downloader.bench.experiments"
        try:
            with Child(module, line, what, self._left_seconds()) as child:
                child.prepare()
                found = child.measure(self._left_seconds())
                return msgspec.json.decode(found, type=kind)
        except BenchError as error:
            self.failures.append(str(error))
            return None

    def _left_seconds(self) -> float:
        left_seconds = max(_LEAST_SECONDS, self._deadline - time.monotonic())
        return min(_TRIAL_SECONDS, left_seconds)

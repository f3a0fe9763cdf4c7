"""The experiments of the claims as the bench runs them: fresh processes, within a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from downloader.bench.child import BenchError, Child
from downloader.bench.experiments import findings, memory_use
from downloader.bench.experiments.job import ExperimentJob
from downloader.bench.verdicts import Evidence

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["run_trials"]

_TRIAL_SECONDS = 90.0
_Finding = TypeVar("_Finding", bound=msgspec.Struct)


def run_trials(
    *,
    cores: int,
    is_gil_enabled: bool,
    is_quick: bool,
    seed: int,
    tell: Callable[[str], None],
) -> tuple[Evidence, list[str]]:
    """All experiments, and a message for each that failed."""
    trials = _Trials(tell)
    compute = ExperimentJob(
        name="computing",
        rounds=6 if is_quick else 15,
        workers=max(2, cores),
        seed=seed,
    )
    rounds = 3 if is_quick else 9
    evidence = Evidence(
        cores=cores,
        is_gil_enabled=is_gil_enabled,
        computing=trials.run(compute, findings.Computing),
        starting=trials.run(
            ExperimentJob(name="starting", rounds=rounds), findings.Starting
        ),
        sharing=trials.run(
            ExperimentJob(name="sharing", rounds=rounds), findings.Sharing
        ),
        futures=trials.run(ExperimentJob(name="futures"), findings.Futures),
        deadlock=trials.run(ExperimentJob(name="deadlock"), findings.Deadlock),
        passing=trials.run(
            ExperimentJob(name="passing", rounds=rounds), findings.Passing
        ),
        memory=_memory(trials, repeats=2 if is_quick else 6),
    )
    return evidence, trials.failures


def _memory(trials: _Trials, repeats: int) -> dict[str, list[findings.Memory]]:
    found: dict[str, list[findings.Memory]] = {}
    for _ in range(repeats):
        for kind in memory_use.kinds():
            job = ExperimentJob(name="memory", kind=kind)
            one = trials.run(job, findings.Memory)
            if one is not None:
                found.setdefault(kind, []).append(one)
    return found


class _Trials:
    """Runs experiments one after another and collects what went wrong.

    Attributes:
        failures: A message for each that did not come about.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self.failures: list[str] = []

    def run(self, job: ExperimentJob, kind: type[_Finding]) -> _Finding | None:
        """What an experiment found; None if it failed."""
        what = f"{job.name} {job.kind}".strip()
        self._tell(f"experiment: {what}")
        line = msgspec.json.encode(job)
        module = "downloader.bench.experiments"
        try:
            with Child(module, line, what, _TRIAL_SECONDS) as child:
                child.prepare()
                return msgspec.json.decode(child.measure(), type=kind)
        except BenchError as error:
            self.failures.append(str(error))
            return None

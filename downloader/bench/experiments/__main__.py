"""`python -m downloader.bench.experiments`: one experiment, as its job says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from downloader.bench.child import serve

if TYPE_CHECKING:
    from collections.abc import Callable

    from downloader.bench.experiments.job import ExperimentJob


def main() -> None:
    """Serve the parent that started this process."""
    serve(_prepare)


def _prepare(line: bytes) -> Callable[[], bytes]:
    from downloader.bench.experiments.job import ExperimentJob

    job = msgspec.json.decode(line, type=ExperimentJob)
    return lambda: msgspec.json.encode(_run(job))


def _run(job: ExperimentJob) -> msgspec.Struct:
    from downloader.bench.experiments import (
        computing,
        deadlock,
        futures,
        memory_use,
        passing,
        sharing,
        starting,
    )

    runs: dict[str, Callable[[], msgspec.Struct]] = {
        "computing": lambda: computing.measure(
            job.workers, job.rounds, job.seed, job.budget_seconds
        ),
        "deadlock": lambda: deadlock.measure(rounds=200, patience_seconds=0.5),
        "futures": futures.measure,
        "memory": lambda: memory_use.measure(
            job.rounds, job.workers, job.seed, job.budget_seconds
        ),
        "passing": lambda: passing.measure(job.rounds),
        "sharing": lambda: sharing.measure(job.rounds, times=100_000),
        "starting": lambda: starting.measure(job.rounds, job.seed),
    }
    return runs[job.name]()


if __name__ == "__main__":
    main()

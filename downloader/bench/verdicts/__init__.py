"""What the measurements say of each claim of the guidance. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from downloader.bench.cells import BASELINE
from downloader.bench.verdicts.cost import memory, passing, starting
from downloader.bench.verdicts.safety import deadlock, futures, shared_data
from downloader.bench.verdicts.speed import (
    child_programs,
    file_work,
    io_bound,
    one_thread,
)
from downloader.bench.verdicts.words import CLAIMS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from downloader.bench.experiments.findings import (
        Computing,
        Deadlock,
        Futures,
        Memory,
        Passing,
        Sharing,
        Starting,
    )
    from downloader.bench.result import Cell, Verdict

__all__ = ["CLAIMS", "Evidence", "judge"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """All that was measured; what is None or empty was not.

    Attributes:
        cores: How many this process may have at once.
        is_in_memory: True if files were written to memory, and to no disk.
    """

    cores: int
    is_gil_enabled: bool = True
    is_in_memory: bool = False
    cells: tuple[Cell, ...] = ()
    memory: Memory | None = None
    computing: Computing | None = None
    starting: Starting | None = None
    sharing: Sharing | None = None
    futures: Futures | None = None
    deadlock: Deadlock | None = None
    passing: Passing | None = None


def judge(evidence: Evidence) -> tuple[Verdict, ...]:
    """A verdict on every claim for which there is evidence, by number."""
    found = [
        *_from_cells(evidence),
        *_from_computing(evidence),
        *_from_costs(evidence),
        *_from_safety(evidence),
    ]
    return tuple(sorted(found, key=lambda verdict: verdict.number))


def _from_cells(evidence: Evidence) -> Iterator[Verdict]:
    quickest = _quickest(evidence.cells)
    if quickest:
        yield io_bound(quickest)
    files = [cell for cell in evidence.cells if cell.workload in {"copy", "write"}]
    if any(cell.strategy == BASELINE for cell in files):
        yield file_work(files, is_in_memory=evidence.is_in_memory)


def _quickest(cells: Iterable[Cell]) -> list[Cell]:
    """Each strategy on latency-bound work with the number of workers that suits it best.

    The claim is that downloads can be sped up, not that any number of workers does it.
    """
    best: dict[str, Cell] = {}
    for cell in cells:
        if cell.workload != "latency" or cell.strategy == BASELINE or cell.workers == 1:
            continue
        known = best.get(cell.strategy)
        speed = cell.files_per_second.median
        if known is None or speed > known.files_per_second.median:
            best[cell.strategy] = cell
    return list(best.values())


def _from_computing(evidence: Evidence) -> Iterator[Verdict]:
    found = evidence.computing
    if found is not None:
        yield one_thread(found, evidence.cores, is_gil_enabled=evidence.is_gil_enabled)
        yield child_programs(found, evidence.cores)


def _from_costs(evidence: Evidence) -> Iterator[Verdict]:
    if evidence.memory is not None:
        yield memory(evidence.memory)
    if evidence.starting is not None:
        yield starting(evidence.starting)
    if evidence.passing is not None:
        yield passing(evidence.passing)


def _from_safety(evidence: Evidence) -> Iterator[Verdict]:
    if evidence.sharing is not None:
        yield shared_data(evidence.sharing, is_gil_enabled=evidence.is_gil_enabled)
    if evidence.futures is not None:
        yield futures(evidence.futures)
    if evidence.deadlock is not None:
        yield deadlock(evidence.deadlock)

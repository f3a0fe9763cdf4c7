"""What a reader should hold against the figures: load, noise, failures, few repeats. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from downloader.bench.result import Cell, Machine

__all__ = ["doubts"]

# Other work on more than a third of the cores is felt in every figure.
_BUSY_SHARE = 0.35
# A median whose ends differ by more says little about a difference of that size.
_NOISY = 1.5
_MOST_NAMED = 3


def doubts(machine: Machine, cores: int, cells: Sequence[Cell]) -> list[str]:
    """Warnings, each a clause; empty if there is nothing to warn of."""
    return [
        *_load(machine, cores),
        *_noise(cells),
        *_failures(cells),
        *_server_bound(cells),
    ]


def _load(machine: Machine, cores: int) -> Iterator[str]:
    load = machine.load_before
    if load is not None and load > _BUSY_SHARE * cores:
        yield (
            f"the machine was busy when the bench began: load {load:.1f} on "
            f"{cores} cores; run it again when it is idle"
        )
    if cores == 1:
        yield "one core only: nothing here can tell processes from threads"


def _noise(cells: Sequence[Cell]) -> Iterator[str]:
    by_workload: dict[str, list[Cell]] = {}
    for cell in cells:
        by_workload.setdefault(cell.workload, []).append(cell)
    for workload, others in by_workload.items():
        noisy = [cell for cell in others if _spread(cell) > _NOISY]
        if not noisy:
            continue
        worst = max(noisy, key=_spread)
        yield (
            f"too noisy to say much: on {workload} the times of {len(noisy)} of "
            f"{len(others)} rows differ by more than {_NOISY:g} times, those of "
            f"{worst.strategy} with {worst.workers} by {_spread(worst):.1f}"
        )


def _spread(cell: Cell) -> float:
    return cell.seconds.high / cell.seconds.low


def _failures(cells: Sequence[Cell]) -> Iterator[str]:
    failing = [cell for cell in cells if any(sample.failed for sample in cell.samples)]
    vain = [cell for cell in failing if not any(one.files for one in cell.samples)]
    some = [cell for cell in failing if cell not in vain]
    if some:
        yield (
            f"some downloads failed, so these were not given the same work: "
            f"{_named(some)}"
        )
    if vain:
        yield f"all downloads failed, so these say how fast that is: {_named(vain)}"


def _server_bound(cells: Sequence[Cell]) -> Iterator[str]:
    bound = [cell for cell in cells if cell.is_server_bound]
    if bound:
        yield (
            f"server-bound, so that these say nothing of the strategy: {_named(bound)}"
        )


def _named(cells: Sequence[Cell]) -> str:
    named = [
        f"{cell.strategy} with {cell.workers} on {cell.workload}"
        for cell in cells[:_MOST_NAMED]
    ]
    more = len(cells) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")

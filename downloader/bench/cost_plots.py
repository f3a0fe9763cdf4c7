"""What a bench's page shows of the cost: memory, CPU time, and where time went."""

from __future__ import annotations

from typing import TYPE_CHECKING

from downloader.bench.cell_words import (
    bar_of,
    best_of,
    capital,
    name_of,
    one,
    scaled,
    three,
)
from downloader.pages import theme
from downloader.pages.charts import Part, bars, stacks
from downloader.pages.labels import number
from downloader.pages.page import Block, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from downloader.bench.result import (
        Cell,
        Estimate,
        Workload,
    )
    from downloader.pages.page import Draw

__all__ = ["cpu_block", "memory_block", "phase_block"]

_MIB = 1 << 20
_MS = 1e3


def memory_block(workload: Workload, cells: Sequence[Cell], draw: Draw) -> Block | None:
    """Memory at its peak, and what each worker added; None where it is not known."""
    known = [cell for cell in best_of(cells) if cell.memory_bytes is not None]
    if not known:
        return None
    ordered = sorted(known, key=lambda cell: scaled(cell.memory_bytes, _MIB)[0])
    rows = [bar_of(cell, cell.memory_bytes, 1 / _MIB) for cell in ordered]
    table = Table(
        headings=("strategy", "workers", "MiB in all", "from", "to", "MiB a worker"),
        rows=[
            (
                cell.strategy,
                str(cell.workers),
                *three(cell.memory_bytes, 1 / _MIB),
                one(cell.worker_memory_bytes, 1 / _MIB),
            )
            for cell in ordered
        ],
    )
    return Block(
        title=capital(workload.title),
        text="Private memory of all processes of a run together, at its peak.",
        svg=draw(bars(rows, "MiB"), f"memory on {workload.title}"),
        table=table,
    )


def cpu_block(workload: Workload, cells: Sequence[Cell], draw: Draw) -> Block:
    """CPU time for each file, in programs and in the kernel."""
    ordered = sorted(best_of(cells), key=_cpu_of_file)
    rows = [
        (
            name_of(cell),
            0.0,
            (
                Part(_of_file(cell, cell.user_seconds), theme.BLUE),
                Part(_of_file(cell, cell.system_seconds), theme.ORANGE),
            ),
        )
        for cell in ordered
    ]
    table = Table(
        headings=(
            "strategy",
            "workers",
            "programs, ms",
            "kernel, ms",
            "cores used",
            "switches",
            "lag, ms",
        ),
        rows=[
            (
                cell.strategy,
                str(cell.workers),
                number(_of_file(cell, cell.user_seconds)),
                number(_of_file(cell, cell.system_seconds)),
                one(cell.utilisation),
                one(cell.context_switches),
                one(cell.ticker_lag_seconds, _MS),
            )
            for cell in ordered
        ],
    )
    return Block(
        title=f"{capital(workload.title)}: CPU time a file",
        text="What is not CPU time is waiting. Cores used: CPU seconds a second. Lag: how "
        "late a thread woke that sleeps 10 ms at a time.",
        key=((theme.BLUE, "■", "in programs"), (theme.ORANGE, "■", "in the kernel")),
        svg=draw(
            stacks(rows, "CPU milliseconds a file"), f"CPU time on {workload.title}"
        ),
        table=table,
    )


def phase_block(workload: Workload, cells: Sequence[Cell], draw: Draw) -> Block | None:
    """Where workers' time went, by phase; None where it was not told."""
    known = [cell for cell in best_of(cells) if sum(cell.phase_seconds.values()) > 0]
    if not known:
        return None
    told = {name for cell in known for name, own in cell.phase_seconds.items() if own}
    phases = {name: theme.PHASES[name] for name in theme.PHASES if name in told}
    shares = [(name_of(cell), _shares(cell, phases)) for cell in known]
    colours = [colour for _, colour in phases.values()]
    rows = [
        (name, 0.0, [Part(*one) for one in zip(own, colours, strict=True)])
        for name, own in shares
    ]
    words = [words for words, _ in phases.values()]
    return Block(
        title=f"{capital(workload.title)}: the workers' time by phase",
        key=[(colour, "■", name) for name, colour in phases.values()],
        svg=draw(
            stacks(rows, "per cent of the workers' time", ends=False),
            f"where workers' time went on {workload.title}",
        ),
        table=Table(
            headings=("per cent, by strategy", *words),
            rows=[(name, *map(number, own)) for name, own in shares],
        ),
    )


def _shares(cell: Cell, phases: Iterable[str]) -> list[float]:
    total = sum(cell.phase_seconds.values())
    return [100 * cell.phase_seconds.get(name, 0.0) / total for name in phases]


def _cpu_of_file(cell: Cell) -> float:
    return _of_file(cell, cell.cpu_seconds)


def _of_file(cell: Cell, told: Estimate) -> float:
    files = max(sample.files for sample in cell.samples)
    return told.median * _MS / max(1, files)

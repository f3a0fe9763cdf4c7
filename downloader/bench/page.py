"""A bench's result as a page with plots: `bench.html`."""

from __future__ import annotations

from collections import Counter
from itertools import count
from typing import TYPE_CHECKING

from downloader.bench import cost_plots, plots
from downloader.bench.result import Word
from downloader.bench.text import header_lines, how_measured, intervals
from downloader.bench.verdict_plots import verdict_block
from downloader.pages.drawing import drawing, to_svg
from downloader.pages.page import Page, Section, render
from downloader.wording import duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.figure import Figure

    from downloader.bench.result import BenchResult, Cell, Workload
    from downloader.pages.page import Block, Draw

__all__ = ["as_page"]

_PRESUMED = (
    "Intervals are percentile bootstraps from six repeats on, and presume that repeats "
    "are independent."
)
_WORDS = {
    Word.HOLDS: "claims that hold",
    Word.FAILS: "that do not",
    Word.UNDECIDED: "undecided",
}


def as_page(result: BenchResult) -> bytes:
    """The whole result as HTML."""
    numbers = count(1)

    with drawing():

        def draw(figure: Figure, description: str) -> str:
            return to_svg(figure, f"p{next(numbers)}", description)

        sections = tuple(_sections(result, draw))
    return render(
        Page(
            title="downloader bench",
            lead="The same work by every strategy, and what the measurements say of "
            "ten claims about Python's concurrency.",
            facts=tuple(_facts(result)),
            notes=result.warnings,
            notes_title="Before you believe a figure",
            sections=sections,
            details=(*header_lines(result), _how_sure(result)),
        )
    )


def _how_sure(result: BenchResult) -> str:
    return f"{intervals(result, 'From and to say')} {_PRESUMED}"


def _facts(result: BenchResult) -> Iterator[tuple[str, str]]:
    machine = result.machine
    words = Counter(verdict.word for verdict in result.verdicts)
    for word, name in _WORDS.items():
        if words[word]:
            yield name, str(words[word])
    yield "measured", f"{result.started_at:%Y-%m-%d %H:%M} UTC"
    yield "it took", duration(result.seconds)
    yield "cores", f"{machine.usable_cores} of {machine.cores}"
    yield "Python", f"{machine.python}{'' if machine.is_gil_enabled else ', no GIL'}"
    if machine.load_before is not None and machine.load_after is not None:
        yield "load", f"{machine.load_before:.1f} to {machine.load_after:.1f}"


def _sections(result: BenchResult, draw: Draw) -> Iterator[Section]:
    if result.verdicts:
        yield Section(
            name="verdicts",
            title="Verdicts",
            blocks=[verdict_block(one, draw) for one in result.verdicts],
        )
    by_workload = {
        workload.name: (
            workload,
            [cell for cell in result.cells if cell.workload == workload.name],
        )
        for workload in result.workloads
    }
    for workload, cells in by_workload.values():
        if cells:
            yield _speed(workload, cells, result, draw)
    fetched = [
        (workload, cells)
        for workload, cells in by_workload.values()
        if cells and not _is_staged(cells)
    ]
    memory = [cost_plots.memory_block(*one, draw) for one in fetched]
    yield from _section("memory", "Memory", memory)
    time = [
        block
        for one in fetched
        for block in (
            cost_plots.phase_block(*one, draw),
            cost_plots.cpu_block(*one, draw),
        )
    ]
    yield from _section("time", "Where time went", time)


def _speed(
    workload: Workload, cells: Sequence[Cell], result: BenchResult, draw: Draw
) -> Section:
    if _is_staged(cells):
        crossings = [one for one in result.crossings if one.workload == workload.name]
        blocks = [plots.turn_block(cells, crossings, draw)]
    else:
        blocks = list(plots.speed_blocks(workload, cells, draw))
    text = f"{how_measured(workload, cells)}: {workload.purpose}"
    return Section(
        name=workload.name,
        title=workload.title[:1].upper() + workload.title[1:],
        text=f"{text}.",
        blocks=blocks,
    )


def _section(
    name: str, title: str, blocks: Sequence[Block | None]
) -> Iterator[Section]:
    shown = [block for block in blocks if block is not None]
    if shown:
        yield Section(name=name, title=title, blocks=shown)


def _is_staged(cells: Sequence[Cell]) -> bool:
    return any(cell.stage_seconds for cell in cells)

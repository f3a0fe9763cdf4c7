"""Cells of a bench as bars, names and numbers, for all of its plots and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from downloader.pages import theme
from downloader.pages.charts import Bar
from downloader.pages.labels import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from downloader.bench.result import Cell, Estimate

__all__ = [
    "DASH",
    "TIMES",
    "bar_of",
    "best_of",
    "by_strategy",
    "capital",
    "name_of",
    "one",
    "scaled",
    "three",
]

DASH = "-"
TIMES = "\N{MULTIPLICATION SIGN}"


def best_of(cells: Sequence[Cell]) -> list[Cell]:
    """Of each strategy the cell with the most files a second, the fastest first."""
    best = [
        max(own, key=lambda cell: cell.files_per_second.median)
        for own in by_strategy(cells).values()
    ]
    return sorted(best, key=lambda cell: -cell.files_per_second.median)


def by_strategy(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    """The cells of each strategy, by rising stage and workers."""
    found: dict[str, list[Cell]] = {}
    for cell in sorted(cells, key=lambda cell: (cell.stage_seconds, cell.workers)):
        found.setdefault(cell.strategy, []).append(cell)
    return found


def bar_of(
    cell: Cell, told: Estimate | None, scale: float = 1.0, unit: str = ""
) -> Bar:
    """A strategy's bar, in its colour, with its interval."""
    assert told is not None
    has_interval = told.repeats > 1
    return Bar(
        label=name_of(cell),
        value=told.median * scale,
        low=told.low * scale if has_interval else None,
        high=told.high * scale if has_interval else None,
        colour=theme.colour_of(cell.strategy),
        text=number(told.median * scale) + unit,
    )


def name_of(cell: Cell) -> str:
    """Strategy and workers."""
    return f"{cell.strategy} {TIMES}{cell.workers}"


def capital(text: str) -> str:
    """A text that begins a heading."""
    return text[:1].upper() + text[1:]


def scaled(told: Estimate | None, divisor: float) -> tuple[float, float, float]:
    """Median and ends, divided."""
    assert told is not None
    return told.median / divisor, told.low / divisor, told.high / divisor


def three(told: Estimate | None, scale: float = 1.0) -> tuple[str, str, str]:
    """Median and ends as text, dashes without an estimate; one value has no ends."""
    if told is None or told.repeats == 1:
        return one(told, scale), DASH, DASH
    return (
        number(told.median * scale),
        number(told.low * scale),
        number(told.high * scale),
    )


def one(told: Estimate | None, scale: float = 1.0) -> str:
    """A median as text, a dash without one."""
    return DASH if told is None else number(told.median * scale)

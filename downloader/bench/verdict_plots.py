"""What a bench's page shows of a verdict: the word, why, and the figures that say so."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from downloader.pages.charts import Bar, Dot, bars, dots
from downloader.pages.labels import number
from downloader.pages.page import Block, Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.figure import Figure

    from downloader.bench.result import Figure as Number
    from downloader.bench.result import Verdict
    from downloader.pages.page import Draw

__all__ = ["verdict_block"]

_DASH = "-"


def verdict_block(verdict: Verdict, draw: Draw) -> Block:
    """A claim, its verdict, and the figures that say so."""
    return Block(
        title=f"{verdict.number}. {verdict.claim}",
        badge=str(verdict.word),
        text=verdict.reason,
        svg="".join(
            draw(figure, f"the figures of claim {verdict.number}")
            for figure in _verdict_figures(verdict.figures)
        ),
        table=_figure_table(verdict.figures) if verdict.figures else None,
    )


def _verdict_figures(figures: Sequence[Number]) -> Iterator[Figure]:
    """Ratios on their own scale; of what has another unit, what can be compared."""
    ratios = [
        _dot(one)
        for one in figures
        # A ratio of nothing has no place on a scale of ratios.
        if one.unit == "times" and (one.value if one.low is None else one.low) > 0
    ]
    if ratios:
        yield dots(ratios, "times, 1 = no difference")
    units = Counter(one.unit for one in figures if one.unit != "times")
    unit, most = max(units.items(), key=lambda item: item[1], default=("", 0))
    if most > 1:
        rows = [
            Bar(label=one.label, value=one.value, low=one.low, high=one.high)
            for one in figures
            if one.unit == unit
        ]
        yield bars(rows, unit)


def _dot(one: Number) -> Dot:
    """A ratio; that of a single pair has no interval to draw."""
    return Dot(
        label=one.label,
        value=one.value,
        low=one.value if one.low is None else one.low,
        high=one.value if one.high is None else one.high,
    )


def _figure_table(figures: Sequence[Number]) -> Table:
    return Table(
        headings=("figure", "value", "from", "to", "unit"),
        rows=[
            (
                one.label,
                number(one.value),
                _DASH if one.low is None else number(one.low),
                _DASH if one.high is None else number(one.high),
                one.unit,
            )
            for one in figures
        ],
    )

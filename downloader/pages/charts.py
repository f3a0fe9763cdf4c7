"""The plots that pages are made of, each from values to an SVG; no run and no bench here.

All are laid out for a phone's width. Bars begin at zero. What is what stands at the bar,
the line or the mark itself; a unit stands at each axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from downloader.pages.drawing import WIDTH, blank
from downloader.pages.labels import elided, number, spread, tick, width_of
from downloader.pages.marks import (
    LINE,
    above,
    apart,
    axes_width,
    beside,
    few_ticks,
    mark_limit,
    mark_place,
    ratio_ticks,
    whisker,
)
from downloader.pages.theme import BLUE, GROUND, SOFT, Token

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "Bar",
    "Dot",
    "Line",
    "Part",
    "Range",
    "areas",
    "bars",
    "curves",
    "dots",
    "ranges",
    "stacks",
]

_ROW = 24
_LEAST_ROOM = 12
_MOST_LABEL = 128
_AXIS = 44
# Values further apart than that share a scale of ratios.
_WIDE_SPREAD = 40
# A label is told in full in the table beside; here it may take this much.
_CHARACTERS = 17


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """A horizontal bar.

    Attributes:
        label: What it is.
        value: How long it is, from zero.
        low: The lower end of its interval; None without one.
        high: The upper one.
        colour: Of its filling.
        text: What stands at its end; None for the value.
    """

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    colour: Token = BLUE
    text: str | None = None

    @property
    def end(self) -> float:
        """As far as it reaches, with its interval."""
        return self.value if self.high is None else max(self.high, self.value)


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A curve through measured points; one point alone is drawn as a level.

    Attributes:
        places: Where on the horizontal axis, rising.
        values: The height at each.
        lows: The lower end of each interval.
        highs: The upper ends.
        mark: matplotlib's name of the shape at each point.
    """

    label: str
    places: Sequence[float]
    values: Sequence[float]
    lows: Sequence[float]
    highs: Sequence[float]
    colour: Token
    mark: str = "o"


@dataclass(frozen=True, kw_only=True, slots=True)
class Dot:
    """A value with its interval, on a scale of ratios."""

    label: str
    value: float
    low: float
    high: float


class Part(NamedTuple):
    """A piece of a stacked bar: how long, and in which colour."""

    length: float
    colour: Token


class Range(NamedTuple):
    """Some rising values of one thing, such as its quantiles."""

    label: str
    values: Sequence[float]


def bars(
    rows: Sequence[Bar], axis: str, *, limit: tuple[float, str] | None = None
) -> Figure:
    """Horizontal bars from zero, the first on top.

    Args:
        rows: At least one.
        axis: What the axis says: a quantity and its unit.
        limit: A value to mark with a line, and the words for it.
    """
    texts = [number(row.value) if row.text is None else row.text for row in rows]
    labels = [row.label for row in rows]
    # Words that would take the bars' room stand above them instead.
    is_above = max(map(width_of, labels)) > _MOST_LABEL
    pitch = 2 * _ROW if is_above else _ROW
    top = 2 * LINE if limit else _ROW if is_above else 8
    figure, axes = blank(
        top + pitch * len(rows) + _AXIS,
        left=10 if is_above else _label_room(labels),
        right=max(map(width_of, texts)) + 10,
        top=top,
    )
    _rows_axis(axes, labels, axis, max([*(row.end for row in rows), _limit_of(limit)]))
    thickness = 0.68 * _ROW / pitch
    for place, (row, text) in enumerate(zip(rows, texts, strict=True)):
        axes.barh(place, row.value, thickness, color=row.colour.light)
        if row.low is not None and row.high is not None:
            whisker(axes, place, row.low, row.high)
        beside(axes, row.end, place, text)
        if is_above:
            above(axes, place, row.label)
    if is_above:
        axes.set_yticks([])
    if limit is not None:
        mark_limit(axes, *limit)
    return figure


def stacks(
    rows: Sequence[tuple[str, float, Sequence[Part]]], axis: str, *, ends: bool = True
) -> Figure:
    """Stacked horizontal bars, each with a label and where it starts.

    Args:
        rows: Label, start and parts of each, the first on top.
        axis: What the axis says.
        ends: True to write each sum at its bar's end.
    """
    labels = [elided(label, _CHARACTERS) for label, _, _ in rows]
    sums = [sum(part.length for part in parts) for _, _, parts in rows]
    texts = [number(total) for total in sums]
    figure, axes = blank(
        8 + _ROW * len(rows) + _AXIS,
        left=_label_room(labels),
        right=max(map(width_of, texts)) + 10 if ends else 14,
    )
    most = max(start + total for (_, start, _), total in zip(rows, sums, strict=True))
    _rows_axis(axes, labels, axis, most)
    for place, (_, start, parts) in enumerate(rows):
        reached = start
        for part in parts:
            axes.barh(
                place, part.length, 0.68, left=reached, color=part.colour.light, lw=0
            )
            reached += part.length
        if ends:
            beside(axes, reached, place, texts[place])
    return figure


def dots(rows: Sequence[Dot], axis: str) -> Figure:
    """Ratios with their intervals on a scale of ratios, a line at 1."""
    pitch = 40
    figure, axes = blank(8 + pitch * len(rows) + _AXIS, left=10, right=14)
    ends = [end for row in rows for end in (row.low, row.high, row.value) if end > 0]
    axes.set_xscale("log")
    axes.set_xlim(min(*ends, 0.8) / 1.15, max(*ends, 1.25) * 1.15)
    axes.set_ylim(len(rows) - 0.45, -0.75)
    axes.set_yticks([])
    axes.set_xlabel(axis)
    ratio_ticks(axes)
    axes.axvline(1.0, color=SOFT.light, lw=1.2)
    for place, row in enumerate(rows):
        whisker(axes, place, max(row.low, min(ends)), row.high, 2.0)
        axes.plot([row.value], [place], "o", color=BLUE.light, ms=8)
        above(axes, place, row.label)
    return figure


def ranges(
    rows: Sequence[Range], axis: str, marks: Sequence[tuple[Token, str]]
) -> Figure:
    """Rising values of several things on one scale, a line through those of each.

    Args:
        rows: At least one, the first on top.
        axis: What the axis says.
        marks: Colour and shape of the first, second, ... value of each.
    """
    labels = [elided(row.label, _CHARACTERS) for row in rows]
    figure, axes = blank(
        8 + _ROW * len(rows) + _AXIS, left=_label_room(labels), right=16
    )
    values = [value for row in rows for value in row.values]
    _rows_axis(axes, labels, axis, max(values) * 1.03)
    if max(values) > _WIDE_SPREAD * min(values) > 0:
        axes.set_xscale("log")
        axes.set_xlim(min(values) / 1.2, max(values) * 1.2)
        ratio_ticks(axes)
    for place, row in enumerate(rows):
        axes.plot(
            [row.values[0], row.values[-1]], [place] * 2, color=SOFT.light, lw=1.5
        )
        for value, (colour, mark) in zip(row.values, marks, strict=True):
            axes.plot(
                [value],
                [place],
                mark,
                color=colour.light,
                ms=8,
                mec=GROUND.light,
                mew=0.8,
                clip_on=False,
            )
    return figure


def curves(
    lines: Sequence[Line],
    horizontal: str,
    vertical: str,
    *,
    doubling: bool = False,
    marks: Sequence[tuple[float, str]] = (),
) -> Figure:
    """Curves from zero up, each named at its right end.

    Args:
        lines: At least one.
        horizontal: What the horizontal axis says.
        vertical: What the vertical one says, above it.
        doubling: True for a scale on which each doubling is as wide as the next.
        marks: Places on the horizontal axis to mark, rising, and the words for each.
    """
    names = [line.label for line in lines]
    top = 30 + LINE * len(marks)
    height = 250 + LINE * len(marks)
    figure, axes = blank(height, left=44, right=max(map(width_of, names)) + 22, top=top)
    places = sorted({place for line in lines for place in line.places})
    if doubling:
        axes.set_xscale("log", base=2)
        shown = apart(axes, places)
        axes.set_xticks(shown, [tick(place) for place in shown])
        axes.minorticks_off()
    else:
        few_ticks(axes, "x")
        axes.set_xlim(0, (places[-1] or 1) * 1.02)
    highest = max(high for line in lines for high in (*line.highs, *line.values))
    axes.set_ylim(0, highest * 1.05 or 1.0)
    few_ticks(axes, "y")
    axes.set_xlabel(horizontal)
    figure.text(4 / WIDTH, 1 - 4 / height, vertical, va="top", color=SOFT.light)
    for line in lines:
        _curve(axes, line, len(places))
    for rank, (place, words) in enumerate(marks):
        mark_place(axes, place, words, rank)
    _name_lines(axes, lines, height - top - _AXIS)
    return figure


def areas(
    edges: Sequence[float], values: Sequence[float], vertical: str, colour: Token
) -> Figure:
    """A quantity over the time of a run, from zero up, constant within each bin.

    Args:
        edges: The bins' ends in seconds, one more than there are values.
        values: The mean in each.
        vertical: What the vertical axis says, above it.
        colour: Of the area.
    """
    height = 180
    figure, axes = blank(height, left=48, right=12, top=30)
    axes.stairs(values, edges, fill=True, color=colour.light, alpha=0.25, lw=0)
    axes.stairs(values, edges, color=colour.light, lw=1.5, baseline=None)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, (max(values) or 1.0) * 1.08)
    few_ticks(axes, "x")
    few_ticks(axes, "y")
    axes.set_xlabel("seconds since the run began")
    figure.text(4 / WIDTH, 1 - 4 / height, vertical, va="top", color=SOFT.light)
    return figure


def _limit_of(limit: tuple[float, str] | None) -> float:
    return 0.0 if limit is None else limit[0]


def _label_room(labels: Sequence[str]) -> float:
    widest = max(map(width_of, labels))
    return min(_MOST_LABEL, widest) + _LEAST_ROOM


def _rows_axis(axes: Axes, labels: Sequence[str], axis: str, most: float) -> None:
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_yticks(range(len(labels)), labels)
    axes.grid(visible=False, axis="y")
    axes.set_xlim(0, most or 1.0)
    axes.set_xlabel(axis)
    few_ticks(axes, "x")
    axes.axvline(0, color=SOFT.light, lw=1)


def _curve(axes: Axes, line: Line, places: int) -> None:
    colour = line.colour.light
    if len(line.places) == 1 and places > 1:
        axes.axhline(line.values[0], color=colour, lw=1.5, ls=(0, (4, 3)))
        return
    axes.fill_between(
        line.places, line.lows, line.highs, color=colour, alpha=0.12, lw=0
    )
    axes.plot(
        line.places,
        line.values,
        color=colour,
        marker=line.mark,
        ms=7,
        mec=GROUND.light,
        mew=1,
        clip_on=False,
    )


def _name_lines(axes: Axes, lines: Sequence[Line], height: float) -> None:
    """Each line's name to the right of its end, none over another."""
    top, right = axes.get_ylim()[1], axes.get_xlim()[1]
    axes.set_xlim(axes.get_xlim())  # what is drawn up to the edge must not move it
    wanted = [line.values[-1] / top * height for line in lines]
    free = spread(wanted, LINE, 0, height)
    for line, at, label_at in zip(lines, wanted, free, strict=True):
        colour = line.colour.light
        last = line.places[-1]
        if len(line.places) > 1:
            axes.plot([last, right], [line.values[-1]] * 2, color=colour, lw=1, ls=":")
        axes.annotate(
            line.label,
            (1.0, at / height),
            xycoords="axes fraction",
            xytext=(1.0 + 16 / axes_width(axes), label_at / height),
            textcoords="axes fraction",
            va="center",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "lw": 1.2,
                "relpos": (0.0, 0.5),
                "shrinkA": 1,
                "shrinkB": 0,
            },
        )

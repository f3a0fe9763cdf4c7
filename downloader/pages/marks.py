"""Ticks, whiskers, lines and words on the axes of a plot."""

from __future__ import annotations

from math import log2
from typing import TYPE_CHECKING

from downloader.pages.drawing import WIDTH
from downloader.pages.labels import elided, tick, width_of
from downloader.pages.theme import GROUND, INK, SOFT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

__all__ = [
    "LINE",
    "above",
    "apart",
    "axes_width",
    "beside",
    "few_ticks",
    "mark_limit",
    "mark_place",
    "ratio_ticks",
    "whisker",
]

LINE = 15
"""The height of a line of words, in units."""

_TICKS = 4
_LONG = 42
_RATIOS = tuple(step * 10.0**power for power in range(-5, 7) for step in (1, 2, 5))
_FINE_RATIOS = (0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 1.75, 2, 2.5, 3, 4)
# Lines that run below a text end before it.
_CLEAR = {"facecolor": GROUND.light, "edgecolor": "none", "pad": 1.0}


def above(axes: Axes, place: float, label: str) -> None:
    """A label in a line of its own above a row."""
    axes.annotate(
        elided(label, _LONG),
        (0.0, place),
        xycoords=("axes fraction", "data"),
        xytext=(1, 9),
        textcoords="offset points",
        va="bottom",
        bbox=_CLEAR,
        annotation_clip=False,
    )


def few_ticks(axes: Axes, which: str) -> None:
    """Round numbers, as few as a phone's width takes without touching each other."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    most = _TICKS
    if which == "x":
        widest = max(width_of(tick(float(f"{axes.get_xlim()[1]:.2g}"))), 20)
        most = max(1, min(6, int(axes_width(axes) / (widest + 18))))
    one = axes.xaxis if which == "x" else axes.yaxis
    one.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))
    one.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))


def ratio_ticks(axes: Axes) -> None:
    """Round ratios where a scale of ratios has room, 1 among them."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    low, high = axes.get_xlim()
    steps = next(
        inside
        for steps in (_RATIOS, _FINE_RATIOS)
        if len(inside := [step for step in steps if low <= step <= high]) > 2  # noqa: PLR2004 - less is no scale
        or steps is _FINE_RATIOS
    )
    while len(steps) > _TICKS + 2:
        steps = [step for step in steps if step == 1 or step not in steps[1::2]]
    axes.xaxis.set_major_locator(FixedLocator(steps))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))


def whisker(
    axes: Axes, place: float, low: float, high: float, width: float = 1.5
) -> None:
    """An interval, with a rim in the ground's colour to stand out from any bar."""
    for colour, wide in ((GROUND.light, width + 2), (INK.light, width)):
        axes.plot([low, high], [place] * 2, color=colour, lw=wide, clip_on=False)
        axes.plot(
            [low, high],
            [place] * 2,
            "|",
            color=colour,
            ms=7 + wide - width,
            mew=wide,
            clip_on=False,
        )


def beside(axes: Axes, end: float, place: float, text: str) -> None:
    """A bar's value, to the right of its end."""
    axes.annotate(
        text,
        (end, place),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        annotation_clip=False,
        bbox=_CLEAR,
    )


def mark_limit(axes: Axes, value: float, words: str) -> None:
    """A line across all bars, its words above."""
    axes.axvline(value, color=INK.light, lw=1.2, ls=(0, (4, 3)))
    share = value / (axes.get_xlim()[1] or 1.0)
    axes.annotate(
        words,
        (value, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(0, 6),
        textcoords="offset points",
        ha="right" if share > 0.5 else "left",  # noqa: PLR2004 - the middle
        color=SOFT.light,
        annotation_clip=False,
    )


def mark_place(axes: Axes, place: float, words: str, rank: int) -> None:
    """A line at a place of the horizontal axis, its words above, each rank higher."""
    axes.axvline(place, color=INK.light, lw=1, ls=(0, (2, 2)))
    share = place / (axes.get_xlim()[1] or 1.0)
    axes.annotate(
        words,
        (place, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(0, 4 + LINE * rank),
        textcoords="offset points",
        ha="right" if share > 0.5 else "left",  # noqa: PLR2004 - the middle
        color=INK.light,
        annotation_clip=False,
    )


def apart(axes: Axes, places: Sequence[float]) -> list[float]:
    """Those of the places whose numbers do not touch on a scale of doublings."""
    span = log2(places[-1] / places[0]) or 1.0
    unit = axes_width(axes) / (span * 1.1)
    shown: list[float] = []
    for place in places:
        room = (
            4
            + (width_of(tick(place)) + (width_of(tick(shown[-1])) if shown else 0)) / 2
        )
        if not shown or log2(place / shown[-1]) * unit >= room:
            shown.append(place)
    return shown


def axes_width(axes: Axes) -> float:
    """In units."""
    return float(axes.get_position().width * WIDTH)

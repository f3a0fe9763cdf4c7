"""What a bench's page shows of speed: each block a plot and its figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from downloader.bench.cell_words import (
    DASH,
    TIMES,
    bar_of,
    best_of,
    by_strategy,
    capital,
    name_of,
    one,
    scaled,
    three,
)
from downloader.pages import theme
from downloader.pages.charts import Line, bars, curves
from downloader.pages.labels import number
from downloader.pages.page import Block, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from matplotlib.figure import Figure

    from downloader.bench.result import (
        Cell,
        Crossing,
        Estimate,
        Workload,
    )
    from downloader.pages.page import Draw

__all__ = ["speed_blocks", "turn_block"]

_MIB = 1 << 20
_MS = 1e3


class _Pace(NamedTuple):
    """How fast a work is told: by its files, or by its bytes where files are large."""

    unit: str
    of: Callable[[Cell], Estimate]
    limit: float | None


def speed_blocks(
    workload: Workload, cells: Sequence[Cell], draw: Draw
) -> Iterator[Block]:
    """How fast each strategy did the work: itself, against serial, over its workers."""
    pace = _pace(workload)
    best = best_of(cells)
    has_curve = len(cells) > len(best)
    yield Block(
        title=f"{capital(pace.unit)} a second",
        text="Each strategy with the number of workers that suits it best; the thin "
        "line at a bar's end is the interval of the median."
        if has_curve
        else "The thin line at a bar's end is the interval of the median.",
        svg=draw(_pace_bars(best, pace), _told(best, pace)),
        table=_pace_table(cells, pace),
    )
    compared = [cell for cell in best if cell.speedup is not None]
    if compared:
        yield _speedup_block(compared, draw)
    if has_curve:
        yield _curve_block(cells, pace, draw)


def turn_block(
    cells: Sequence[Cell], crossings: Sequence[Crossing], draw: Draw
) -> Block:
    """How fast each strategy is with more and more CPU work behind each download."""
    lines = [
        _line(name, [(cell.stage_seconds * _MS, cell.files_per_second) for cell in own])
        for name, own in by_strategy(cells).items()
    ]
    ranked = sorted(crossings, key=lambda one: one.stage_seconds)
    # The same place told of several pairs is one turn.
    first, last = (ranked[0], ranked[-1]) if ranked else (None, None)
    marks = [
        (one.stage_seconds * _MS, f"{one.after} pass {one.before}")
        for one in ([first, last] if first is not last else [first])
        if one is not None
    ]
    figure = curves(
        lines, "CPU work behind each download, ms", "files a second", marks=marks
    )
    told = "; ".join(
        f"{one.after} overtakes {one.before} from {number(one.stage_seconds * _MS)} ms on"
        for one in ranked
    )
    return Block(
        title="Files a second, over the CPU work a file",
        text=f"From bound by waiting, on the left, to bound by the CPU: {told}."
        if told
        else "No two curves that were compared cross for good.",
        svg=draw(figure, told or "files a second over CPU work, no crossing"),
        table=_turn_table(cells),
    )


def _pace(workload: Workload) -> _Pace:
    if workload.file_bytes is not None and workload.file_bytes >= _MIB:
        return _Pace(
            "MiB", lambda cell: cell.mib_per_second, workload.server_mib_per_second
        )
    return _Pace(
        "files", lambda cell: cell.files_per_second, workload.server_files_per_second
    )


def _pace_bars(best: Sequence[Cell], pace: _Pace) -> Figure:
    rows = [bar_of(cell, pace.of(cell)) for cell in best]
    longest = max(row.end for row in rows)
    # Far to the right of all bars it would only flatten them; the table has it.
    near = pace.limit is not None and pace.limit < 3 * longest
    limit = (pace.limit, "the server's limit") if near and pace.limit else None
    return bars(rows, f"{pace.unit} a second", limit=limit)


def _speedup_block(compared: Sequence[Cell], draw: Draw) -> Block:
    ordered = sorted(compared, key=lambda cell: -scaled(cell.speedup, 1)[0])
    rows = [bar_of(cell, cell.speedup, unit=TIMES) for cell in ordered]
    return Block(
        title="Times as fast as serial",
        text="Compared round by round; the line marks serial itself.",
        svg=draw(
            bars(rows, "times as fast as serial", limit=(1.0, "serial")),
            "speed-up over serial",
        ),
        table=Table(
            headings=("strategy", "workers", "times", "from", "to"),
            rows=[
                (cell.strategy, str(cell.workers), *three(cell.speedup))
                for cell in ordered
            ],
        ),
    )


def _curve_block(cells: Sequence[Cell], pace: _Pace, draw: Draw) -> Block:
    lines = [
        _line(name, [(float(cell.workers), pace.of(cell)) for cell in own])
        for name, own in by_strategy(cells).items()
    ]
    figure = curves(lines, "workers", f"{pace.unit} a second", doubling=True)
    counts = sorted({cell.workers for cell in cells})
    own = {(cell.strategy, cell.workers): pace.of(cell) for cell in cells}
    return Block(
        title="Over the number of workers",
        text="Each step to the right doubles the workers; a dashed line is a strategy "
        "measured with one number only. The shade is the interval.",
        svg=draw(figure, "curves over the number of workers"),
        table=Table(
            headings=(f"{pace.unit} a second, by workers", *map(str, counts)),
            rows=[
                (name, *(one(own.get((name, count))) for count in counts))
                for name in by_strategy(cells)
            ],
        ),
    )


def _line(name: str, points: Sequence[tuple[float, Estimate]]) -> Line:
    colour, mark = theme.STRATEGIES.get(name, (theme.SOFT, "o"))
    return Line(
        label=name,
        places=[place for place, _ in points],
        values=[told.median for _, told in points],
        lows=[told.low for _, told in points],
        highs=[told.high for _, told in points],
        colour=colour,
        mark=mark,
    )


def _pace_table(cells: Sequence[Cell], pace: _Pace) -> Table:
    ordered = sorted(cells, key=lambda cell: -pace.of(cell).median)
    return Table(
        headings=(
            "strategy",
            "workers",
            f"{pace.unit}/s",
            "from",
            "to",
            "repeats",
            "start, s",
        ),
        rows=[
            (
                cell.strategy + (" (server-bound)" if cell.is_server_bound else ""),
                str(cell.workers),
                *three(pace.of(cell)),
                str(cell.seconds.repeats),
                one(cell.startup_seconds),
            )
            for cell in ordered
        ],
    )


def _turn_table(cells: Sequence[Cell]) -> Table:
    stages = sorted({cell.stage_seconds for cell in cells})
    own = {(cell.strategy, cell.stage_seconds): cell for cell in cells}
    return Table(
        headings=(
            "files/s, by CPU work",
            *(f"{number(stage * _MS)} ms" for stage in stages),
        ),
        rows=[
            (
                name,
                *(
                    one(own[name, stage].files_per_second)
                    if (name, stage) in own
                    else DASH
                    for stage in stages
                ),
            )
            for name in by_strategy(cells)
        ],
    )


def _told(best: Sequence[Cell], pace: _Pace) -> str:
    texts = [f"{name_of(cell)} {number(pace.of(cell).median)}" for cell in best]
    return f"{pace.unit} a second: {', '.join(texts)}"

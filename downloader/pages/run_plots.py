"""What a run's page shows: each block a plot and its figures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from downloader import wording
from downloader.pages import theme
from downloader.pages.charts import Bar, Part, Range, areas, bars, ranges, stacks
from downloader.pages.labels import number
from downloader.pages.page import Block, Table
from downloader.timings import SIZE_STEPS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from downloader.pages.figures import RunFigures, Timeline
    from downloader.pages.page import Draw
    from downloader.report import Summary
    from downloader.tally import Quantiles
    from downloader.timings import HostTimes, Slow

__all__ = ["errors", "latency", "over_time", "phases", "sizes", "slowest"]

_MIB = 1 << 20
# Of a row's attempt: not of what it waited for before.
_ATTEMPT = ("connect", "tls", "first_byte", "body", "rate", "hash", "store")
_PHASES = tuple(theme.PHASES[name][0] for name in _ATTEMPT)
_COLOURS = tuple(theme.PHASES[name][1] for name in _ATTEMPT)
_SHARES = ((0.5, "median"), (0.95, "95 %"), (0.99, "99 %"))
_MARKS = ((theme.BLUE, "o"), (theme.ORANGE, "D"), (theme.VERMILION, "^"))
_KEY = ((theme.BLUE, "●"), (theme.ORANGE, "◆"), (theme.VERMILION, "▲"))
_TABLE_BINS = 6
# A waterfall's bars must be long enough to be seen: with more room than that around
# them they start side by side instead.
_MOST_ROOM = 12


def over_time(figures: RunFigures, draw: Draw) -> Iterator[Block]:
    """How much came, and how many were under way, over the time of the run."""
    received = [rate / _MIB for rate in figures.passed.received.rates]
    in_flight = figures.passed.in_flight.rates
    edges = figures.passed.received.edges
    yield Block(
        title="Throughput of saved files",
        text="Bytes of files that were saved, spread evenly over the time that their "
        "bodies took.",
        svg=draw(
            areas(edges, received, "MiB a second, of saved files", theme.BLUE),
            f"throughput of saved files over time, {number(max(received))} MiB a second at most",
        ),
        table=_over_time_table("MiB/s", figures.passed.received, received),
    )
    yield Block(
        title="In flight",
        text="Attempts under way at once, on average.",
        svg=draw(
            areas(edges, in_flight, "attempts under way", theme.GREEN),
            f"attempts in flight over time, {number(max(in_flight))} at most",
        ),
        table=_over_time_table("in flight", figures.passed.in_flight, in_flight),
    )


def _over_time_table(
    heading: str, timeline: Timeline, values: Sequence[float]
) -> Table:
    rows = []
    step = _TABLE_BINS * timeline.width
    for place in range(0, len(values), _TABLE_BINS):
        own = values[place : place + _TABLE_BINS]
        ends = (place * timeline.width, (place + len(own)) * timeline.width)
        rows.append(
            (
                *(_seconds(end, step) for end in ends),
                number(sum(own) / len(own)),
                number(max(own)),
            )
        )
    return Table(
        headings=("from, s", "to, s", f"{heading}, mean", "highest"),
        rows=rows,
        texts=(),
    )


def latency(figures: RunFigures, draw: Draw) -> Iterator[Block]:
    """Quantiles of the time of an attempt, by host."""
    passed = figures.passed
    hosts = {
        host: _quantiles(passed.latency[host])
        for host, files in passed.files.items()
        if files
    }
    scale, unit = _unit(max(values[-1] for values in hosts.values()))
    rows = [
        Range(host, [value * scale for value in values])
        for host, values in hosts.items()
    ]
    yield Block(
        title="Latency by host",
        text="How long the attempt took that saved a file, in its worker: half of them "
        "no longer than the median, 95 and 99 of 100 no longer than the others.",
        key=[(*mark, words) for mark, (_, words) in zip(_KEY, _SHARES, strict=True)],
        svg=draw(ranges(rows, unit, _MARKS), "latency by host"),
        table=Table(
            headings=("host", "files", *(f"{name}, {unit}" for _, name in _SHARES)),
            rows=[
                (
                    row.label,
                    f"{passed.files[row.label]:,}",
                    *map(number, row.values),
                )
                for row in rows
            ],
        ),
    )


def _quantiles(latency: Quantiles) -> list[float]:
    return [latency.quantile(share) or 0.0 for share, _ in _SHARES]


def phases(summary: Summary, figures: RunFigures, draw: Draw) -> Iterator[Block]:
    """The workers' time, by what it went to."""
    spent = summary.phase_seconds
    total = sum(spent.values()) or 1.0
    rows = [
        Bar(
            label=theme.PHASES[phase][0],
            value=100 * seconds / total,
            colour=theme.PHASES[phase][1],
            text=f"{number(100 * seconds / total)} %",
        )
        for phase, seconds in spent.items()
    ]
    yield Block(
        title="The workers' time",
        text="Of all attempts, and of workers that stood idle for the sake of a host "
        "(politeness). Queue is what was handed out and not yet begun; connect has the "
        "look-up of names in it, held back is waiting for the sake of a rate.",
        svg=draw(
            bars(rows, "per cent of the workers' time"),
            "where time went: " + ", ".join(f"{row.label} {row.text}" for row in rows),
        ),
        table=Table(
            headings=("phase", "seconds", "%"),
            rows=[
                (row.label, number(seconds), number(row.value))
                for row, seconds in zip(rows, spent.values(), strict=True)
            ],
        ),
    )
    hosts = [one for one in figures.hosts if sum(one.seconds) > 0]
    if len(hosts) > 1:
        yield _phases_by_host(hosts, draw)


def _phases_by_host(hosts: Sequence[HostTimes], draw: Draw) -> Block:
    shares = {
        host: [100 * one / sum(seconds) for one in seconds]
        for host, _, seconds in hosts
    }
    rows = [
        (host, 0.0, [Part(*one) for one in zip(own, _COLOURS, strict=True)])
        for host, own in shares.items()
    ]
    figure = stacks(rows, "per cent of the attempts' time", ends=False)
    return Block(
        title="The attempts' time by host",
        text="Of the last attempt of each row alone, without what it waited for before.",
        key=_phase_key(),
        svg=draw(figure, "where attempts' time went, by host"),
        table=Table(
            headings=("per cent, by host", *_PHASES),
            rows=[(host, *map(number, own)) for host, own in shares.items()],
        ),
    )


def _phase_key() -> list[tuple[theme.Token, str, str]]:
    return [(colour, "■", name) for name, colour in zip(_PHASES, _COLOURS, strict=True)]


def sizes(figures: RunFigures, draw: Draw) -> Iterator[Block]:
    """How many files of which size."""
    used = [place for place, (files, _) in enumerate(figures.sizes) if files]
    if not used:
        return
    # Empty ranges between others stay: a gap is part of the shape.
    places = range(used[0], used[-1] + 1)
    rows = [
        Bar(
            label=_size_range(place),
            value=figures.sizes[place][0],
            colour=theme.SKY,
            text=f"{figures.sizes[place][0]:,}",
        )
        for place in places
    ]
    yield Block(
        title="Files by size",
        text="Each range is four times as wide as the one before.",
        svg=draw(bars(rows, "files"), "files by size"),
        table=Table(
            headings=("size", "files", "bytes in all"),
            rows=[
                (row.label, row.text or "", wording.size(figures.sizes[place][1]))
                for row, place in zip(rows, places, strict=True)
            ],
        ),
    )


def _size_range(place: int) -> str:
    if place == 0:
        return "below 1 KiB"
    low = _round_size(SIZE_STEPS[place - 1])
    if place == len(SIZE_STEPS):
        return f"{low} and more"
    high = _round_size(SIZE_STEPS[place])
    number_, _, unit = low.partition(" ")
    return f"{number_} to {high}" if high.endswith(unit) else f"{low} to {high}"


def _round_size(size_bytes: int) -> str:
    return wording.size(size_bytes).replace(".0 ", " ")


def errors(summary: Summary, figures: RunFigures, draw: Draw) -> Iterator[Block]:
    """Failures by kind, with an example of each."""
    ranked = sorted(summary.errors.items(), key=lambda item: (-item[1], item[0]))[:15]
    rows = [
        Bar(label=kind, value=rows, colour=theme.VERMILION, text=f"{rows:,}")
        for kind, rows in ranked
    ]
    nothing = ("-", "")
    yield Block(
        title="Failures by kind",
        svg=draw(bars(rows, "rows"), "failures by kind"),
        table=Table(
            headings=("kind", "rows", "such as"),
            # The reason beneath its URL: beside it, it would be out of a phone's sight.
            rows=[
                (
                    kind,
                    f"{rows:,}",
                    "\n".join(map(_shown, figures.examples.get(kind, nothing))).strip(),
                )
                for kind, rows in ranked
            ],
            texts=(0, 2),
            long=(2,),
        ),
        is_wide=True,
    )


def slowest(figures: RunFigures, draw: Draw) -> Iterator[Block]:
    """The rows whose last attempt took longest, each in its phases, as a waterfall."""
    began = min(one.began for one in figures.slowest)
    ended = max(one.began + one.seconds for one in figures.slowest)
    is_placed = ended - began <= _MOST_ROOM * figures.slowest[0].seconds
    shown = sorted(figures.slowest, key=_began) if is_placed else figures.slowest
    scale, unit = _unit(ended if is_placed else figures.slowest[0].seconds)
    numbered = list(enumerate(shown, 1))
    rows = [
        (
            str(place),
            (one.began - began) * scale if is_placed else 0.0,
            [
                Part(part * scale, colour)
                for part, colour in zip(one.parts, _COLOURS, strict=True)
            ],
        )
        for place, one in numbered
    ]
    since = "since the first of them began" if is_placed else "since its own beginning"
    yield Block(
        title=f"The {wording.plural(len(shown), 'row')} whose last attempt took longest",
        text=f"In the order in which they began, the first {wording.duration(began)} into the run."
        if is_placed
        else "They lie far apart in the run, so each is drawn from its own beginning.",
        key=_phase_key(),
        svg=draw(stacks(rows, f"{unit} {since}", ends=False), "the slowest rows"),
        table=_slowest_table(numbered, scale, unit, (ended - began) / len(shown)),
        is_wide=True,
    )


def _slowest_table(
    numbered: Sequence[tuple[int, Slow]], scale: float, unit: str, step: float
) -> Table:
    return Table(
        headings=(
            "",
            f"took, {unit}",
            "began, s",
            "size",
            "row",
            "came to",
            *(f"{name}, {unit}" for name in _PHASES),
        ),
        rows=[
            (
                str(place),
                number(one.seconds * scale),
                _seconds(one.began, step),
                wording.size(one.size_bytes),
                _shown(one.url),
                _shown(one.came_to),
                *(number(part * scale) if part else "-" for part in one.parts),
            )
            for place, one in numbered
        ],
        texts=(4, 5),
        long=(4,),
    )


def _began(one: Slow) -> float:
    return one.began


def _unit(most_seconds: float) -> tuple[float, str]:
    """The factor and the name of the unit in which such times are told."""
    return (1.0, "s") if most_seconds >= 10 else (1e3, "ms")  # noqa: PLR2004 - five digits of ms


def _seconds(seconds: float, step: float) -> str:
    """A moment of several that lie so far apart, with the digits that tell them apart."""
    digits = min(6, max(2, math.ceil(-math.log10(max(step, 1e-6)))))
    if seconds >= 100 and step >= 1:  # noqa: PLR2004 - digits
        digits = 0
    return f"{seconds:,.{digits}f}"


def _shown(text: str) -> str:
    return wording.shown(text) if text != "-" else text

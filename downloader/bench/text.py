"""A bench's result as plain text for a terminal: tables, verdicts, warnings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from downloader.bench.result import Mode
from downloader.bench.statistics import FEWEST_TO_RESAMPLE
from downloader.pages.labels import number
from downloader.wording import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from downloader.bench.result import (
        BenchResult,
        Cell,
        Crossing,
        Estimate,
        Figure,
        Machine,
        Verdict,
        Workload,
    )

__all__ = ["as_text", "header_lines", "how_measured", "intervals", "promise"]

_MIB = 1 << 20
_WIDTH = 88
_SPEED = (
    "strategy",
    "workers",
    "files/s",
    "MiB/s",
    "x serial",
    "start s",
    "MiB",
    "each",
)
_COST = (
    "strategy",
    "workers",
    "user s",
    "system s",
    "of a core",
    "of all",
    "switches",
    "lag ms",
)
_COLUMNS = (
    "MiB: private memory of all processes at its peak, each: what a worker added. User "
    "and system: CPU seconds with children. Switches: of context. Lag: how late a thread "
    "of the parent woke, the upper bound of its wait for the GIL."
)
_START = "Start: until each worker had fetched a tiny file; it is in no other figure."
_START_INSIDE = "Starting the workers is in all times."
_NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}
_PHASES = "where workers' time went, in per cent"


def as_text(result: BenchResult) -> str:
    """The whole result, without a newline at the end."""
    parts = [_header(result)]
    parts += [
        _table(workload, [c for c in result.cells if c.workload == workload.name])
        for workload in result.workloads
    ]
    if result.crossings:
        parts.append(_crossings(result.crossings))
    if result.verdicts:
        parts.append("\n\n".join(_verdict(verdict) for verdict in result.verdicts))
    if result.warnings:
        lines = [line for one in result.warnings for line in _wrapped(one, "! ")]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _header(result: BenchResult) -> str:
    lines = (*header_lines(result), _legend(result))
    return "\n".join(line for one in lines for line in _wrapped(one))


def _legend(result: BenchResult) -> str:
    """What the tables' words and brackets mean, as far as there are any."""
    parts = [intervals(result, "In brackets"), _COLUMNS]
    if result.mode is Mode.LIST:
        parts.insert(1, _START_INSIDE)
    elif any(cell.startup_seconds is not None for cell in result.cells):
        parts.insert(1, _START)
    return " ".join(parts)


def intervals(result: BenchResult, place: str) -> str:
    """What is a median, and how surely the intervals hold the true one.

    Args:
        result: The bench, whose numbers of repeats are the ones that are told of.
        place: Where an interval stands, which begins a sentence.
    """
    counts = {cell.seconds.repeats for cell in result.cells}
    counts |= {one.repeats or 0 for each in result.verdicts for one in each.figures}
    few = ", ".join(
        f"{1 - 2.0 ** (1 - count):.0%} of {_NUMBERS[count]}".replace("%", " %")
        for count in sorted(counts & _NUMBERS.keys(), reverse=True)
    )
    is_range = f"the range of all repeats, which holds the true median ({few})"
    if max(counts, default=0) < FEWEST_TO_RESAMPLE:
        return f"Medians. {place} {is_range}." if few else "Single values, not medians."
    below = f", below that {is_range}" if few else ""
    return (
        f"Medians. {place} where the true median lies: with 95 % "
        f"from six repeats on{below}."
    )


def header_lines(result: BenchResult) -> tuple[str, str, str]:
    """What was run when, on which machine, by which Python."""
    machine = result.machine
    lock = "with" if machine.is_gil_enabled else "without"
    versions = ", ".join(f"{name} {one}" for name, one in machine.versions.items())
    return (
        (
            f"downloader bench ({result.mode}), {result.started_at:%Y-%m-%d %H:%M} UTC, "
            f"{result.seconds:.0f} s, seed {result.seed}"
        ),
        (
            f"{machine.processor}, {_cores(machine)}, load {_load(machine)}, "
            f"{machine.system}"
        ),
        (
            f"{machine.implementation} {machine.python} {lock} the GIL, start method "
            f"{machine.start_method}; {versions}"
        ),
    )


def _cores(machine: Machine) -> str:
    quota = machine.quota_cores
    limit = "" if quota is None else f", limited to {quota:g}"
    return f"{machine.usable_cores} of {machine.cores} cores{limit}"


def _load(machine: Machine) -> str:
    loads = (machine.load_before, machine.load_after)
    return " to ".join("unknown" if one is None else f"{one:.1f}" for one in loads)


def _table(workload: Workload, cells: Sequence[Cell]) -> str:
    title = (
        f"{workload.title.upper()} ({how_measured(workload, cells)}): "
        f"{workload.purpose}"
    )
    lines = [*_wrapped(title), *_limit(workload)]
    lines += _aligned([_SPEED, *map(_speed, cells)], cells)
    lines += _aligned([_COST, *map(_cost, cells)], cells)
    lines += _phases(cells)
    return "\n".join(lines)


def how_measured(workload: Workload, cells: Sequence[Cell]) -> str:
    """How many files of what size, and how often: `64 files of 200 B; 9 repeats`."""
    repeats = sorted({cell.seconds.repeats for cell in cells})
    counts = " to ".join(
        dict.fromkeys(str(one) for one in repeats[:: len(repeats) - 1 or 1])
    )
    word = "repeat" if repeats[-1] == 1 else "repeats"
    return f"{plural(workload.files, 'file')}{_of_size(workload)}; {counts} {word}"


def _of_size(workload: Workload) -> str:
    if workload.file_bytes is None:
        return ""
    if workload.file_bytes < _MIB:
        return f" of {workload.file_bytes} B"
    return f" of {workload.file_bytes // _MIB} MiB"


def _speed(cell: Cell) -> tuple[str, ...]:
    name = cell.strategy + (" (server-bound)" if cell.is_server_bound else "")
    return (
        name,
        str(cell.workers),
        _told(cell.files_per_second),
        _short(cell.mib_per_second),
        _told(cell.speedup),
        _short(cell.startup_seconds),
        _short(cell.memory_bytes, 1 / _MIB),
        _short(cell.worker_memory_bytes, 1 / _MIB),
    )


def _cost(cell: Cell) -> tuple[str, ...]:
    return (
        cell.strategy,
        str(cell.workers),
        _short(cell.user_seconds),
        _short(cell.system_seconds),
        f"{cell.utilisation.median:.0%}",
        f"{cell.utilisation_of_all.median:.0%}",
        _short(cell.context_switches),
        _short(cell.ticker_lag_seconds, 1e3),
    )


def _phases(cells: Sequence[Cell]) -> list[str]:
    """A row for each cell whose runs told where their time went."""
    names = list(dict.fromkeys(name for cell in cells for name in cell.phase_seconds))
    known = [cell for cell in cells if sum(cell.phase_seconds.values()) > 0]
    if not known:
        return []
    rows = [("strategy", "workers", *(_heading(name) for name in names))]
    for cell in known:
        total = sum(cell.phase_seconds.values())
        shares = (cell.phase_seconds.get(name, 0.0) / total for name in names)
        told = (f"{share * 100:.0f}" for share in shares)
        rows.append((cell.strategy, str(cell.workers), *told))
    return [f"  {_PHASES}:", *_aligned(rows, known)]


def _heading(phase: str) -> str:
    return phase.removesuffix("_seconds").replace("_", " ")


def _told(estimate: Estimate | None) -> str:
    """A median with its interval, or a dash."""
    if estimate is None:
        return "-"
    ends = f"({number(estimate.low)} to {number(estimate.high)})"
    return f"{number(estimate.median)} {ends if estimate.repeats > 1 else ''}".rstrip()


def _short(estimate: Estimate | None, scale: float = 1.0) -> str:
    return "-" if estimate is None else number(estimate.median * scale)


def _limit(workload: Workload) -> Iterator[str]:
    files, mib = workload.server_files_per_second, workload.server_mib_per_second
    if files is not None and mib is not None:
        yield (
            f"  bare sockets get {number(files)} files/s, {number(mib)} MiB/s from the "
            "server"
        )


def _aligned(rows: Sequence[Sequence[str]], cells: Sequence[Cell]) -> Iterator[str]:
    """Columns: names to the left, figures to the right; stages, if any, come first."""
    if any(cell.stage_seconds for cell in cells):
        stages = ["stage ms", *(f"{cell.stage_seconds * 1e3:.1f}" for cell in cells)]
        rows = [(stage, *row) for stage, row in zip(stages, rows, strict=True)]
    used = [place for place, _ in enumerate(rows[0]) if _is_used(rows, place)]
    widths = {place: max(len(row[place]) for row in rows) for place in used}
    for row in rows:
        yield (
            "  "
            + "  ".join(
                row[place].ljust(widths[place])
                if rows[0][place] == "strategy"
                else row[place].rjust(widths[place])
                for place in used
            ).rstrip()
        )


def _is_used(rows: Sequence[Sequence[str]], place: int) -> bool:
    return any(row[place] != "-" for row in rows[1:])


def _crossings(crossings: Iterable[Crossing]) -> str:
    lines = ["FROM IO-BOUND TO CPU-BOUND"]
    lines += [
        f"  {one.workload}: {one.after} overtakes {one.before} from "
        f"{one.stage_seconds * 1e3:.1f} ms{_by_round(one)} of CPU work a file on"
        for one in crossings
    ]
    return "\n".join(lines)


def _by_round(crossing: Crossing) -> str:
    told = crossing.by_round
    if told is None:
        return ""
    ends = f"{told.low * 1e3:.1f} to {told.high * 1e3:.1f}"
    return f" ({ends} in {told.repeats} of {crossing.rounds} rounds)"


def _verdict(verdict: Verdict) -> str:
    lines = list(_wrapped(f"{verdict.number}. {verdict.claim}"))
    lines += _wrapped(f"{verdict.word.upper()}. {verdict.reason}", "   ")
    figures = "; ".join(_figure(one) for one in verdict.figures)
    return "\n".join([*lines, *_wrapped(figures, "   ")])


def _figure(figure: Figure) -> str:
    unit = "x" if figure.unit == "times" else f" {figure.unit}"
    text = f"{figure.label} {number(figure.value)}{unit}"
    if figure.low is None or figure.high is None:
        return text
    return f"{text} ({number(figure.low)} to {number(figure.high)})"


def _wrapped(text: str, start: str = "") -> list[str]:
    from textwrap import wrap

    indent = " " * len(start)
    return wrap(text, _WIDTH, initial_indent=start, subsequent_indent=indent)


def promise(mode: Mode) -> str:
    """How long a bench of this kind takes."""
    if mode is Mode.QUICK:
        return "ends within a minute"
    if mode is Mode.FULL:
        return "ends within ten minutes"
    return "takes as long as the servers let it"

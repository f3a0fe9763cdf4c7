"""A bench's result as plain text for a terminal: tables, verdicts, warnings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from downloader.bench.result import Mode
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

__all__ = ["as_text", "header_lines", "how_measured", "promise"]

_MIB = 1 << 20
_WIDTH = 88
_HEADINGS = (
    "strategy",
    "workers",
    "files/s",
    "MiB/s",
    "x serial",
    "CPU s",
    "cores",
    "MiB",
    "each",
    "start s",
)
_LEGEND = (
    "Medians. In brackets where the true median lies: with 95 % from six repeats on, "
    "below that the range of all (94 % of five, 75 % of three). Cores: CPU seconds a "
    "second. MiB: private memory of all processes at its peak, each: what a worker "
    "added. Start: a run of a tiny file a worker."
)


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
    lines = (*header_lines(result), _LEGEND)
    return "\n".join(line for one in lines for line in _wrapped(one))


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
    has_stage = any(cell.stage_seconds for cell in cells)
    headings = ("stage ms", *_HEADINGS) if has_stage else _HEADINGS
    rows = [_row(cell, has_stage=has_stage) for cell in cells]
    lines = [*_wrapped(title), *_aligned([headings, *rows]), *_limit(workload)]
    return "\n".join(lines)


def how_measured(workload: Workload, cells: Sequence[Cell]) -> str:
    """How many files of what size, and how often: `64 files of 200 B; 9 repeats`."""
    repeats = sorted({cell.seconds.repeats for cell in cells})
    counts = " to ".join(
        dict.fromkeys(str(one) for one in repeats[:: len(repeats) - 1 or 1])
    )
    return f"{plural(workload.files, 'file')}{_of_size(workload)}; {counts} repeats"


def _of_size(workload: Workload) -> str:
    if workload.file_bytes is None:
        return ""
    if workload.file_bytes < _MIB:
        return f" of {workload.file_bytes} B"
    return f" of {workload.file_bytes // _MIB} MiB"


def _row(cell: Cell, *, has_stage: bool) -> tuple[str, ...]:
    name = cell.strategy + (" (server-bound)" if cell.is_server_bound else "")
    row = (
        name,
        str(cell.workers),
        _told(cell.files_per_second),
        _short(cell.mib_per_second),
        _told(cell.speedup),
        _short(cell.cpu_seconds),
        _short(cell.utilisation),
        _short(cell.memory_bytes, 1 / _MIB),
        _short(cell.worker_memory_bytes, 1 / _MIB),
        _short(cell.startup_seconds),
    )
    return (f"{cell.stage_seconds * 1e3:.1f}", *row) if has_stage else row


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
            f"  the server gives at most {number(files)} files/s, {number(mib)} MiB/s"
        )


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns: the first two kinds of text to the left, all else to the right."""
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
        f"{one.stage_seconds * 1e3:.1f} ms of CPU work a file on"
        for one in crossings
    ]
    return "\n".join(lines)


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
        return "within a minute"
    return (
        "within ten minutes" if mode is Mode.FULL else "as long as the servers let it"
    )

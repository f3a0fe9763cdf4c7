"""A run's page: `downloader fetch --report page.html`."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from downloader import wording
from downloader.delivery import deliver
from downloader.pages import run_plots
from downloader.pages.drawing import drawing, to_svg
from downloader.pages.figures import gather
from downloader.pages.page import Page, Section, render
from downloader.version import __version__

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from matplotlib.figure import Figure

    from downloader.pages.figures import RunFigures
    from downloader.pages.page import Block, Draw
    from downloader.report import Report, Summary

__all__ = ["as_page", "write_page"]

_HOSTS = 12


def write_page(report: Report, destination: str | os.PathLike[str]) -> None:
    """Write a run's page; the file appears when it is whole.

    Raises:
        OSError: It cannot be written.
        ImportError: The libraries that it takes are gone, or broken.
    """
    page = as_page(report)
    deliver(destination, lambda sink: sink.write(page))


def as_page(report: Report) -> bytes:
    """The page as HTML, from one pass over the rows."""
    summary = report.summary
    figures = gather(report.timings(), summary.seconds, _HOSTS)
    numbers = count(1)

    def draw(figure: Figure, description: str) -> str:
        return to_svg(figure, f"p{next(numbers)}", description)

    with drawing():
        sections = tuple(_sections(summary, figures, draw))
    return render(
        Page(
            title="downloader report",
            lead=report.text().splitlines()[0],
            finding=summary.bound.text if summary.bound else "",
            facts=tuple(_facts(summary)),
            notes=tuple(_notes(summary, figures)),
            sections=sections,
            details=tuple(_details(summary, report.output)),
        )
    )


def _facts(summary: Summary) -> Iterator[tuple[str, str]]:
    for name in ("ok", "unchanged", "skipped", "failed"):
        number: int = getattr(summary, name)
        if number or name in {"ok", "failed"}:
            yield name, f"{number:,}"
    yield "received", wording.size(summary.received_bytes)
    yield "it took", wording.duration(summary.seconds)
    yield "files a second", wording.rate(summary.files_per_second)
    yield "MiB a second", f"{summary.mib_per_second:,.1f}"
    if summary.latency_p50_seconds is not None:
        yield "median latency", wording.delay(summary.latency_p50_seconds)
    if summary.latency_p95_seconds is not None:
        yield "latency, 95 %", wording.delay(summary.latency_p95_seconds)
    yield "retries", f"{summary.retries:,}"
    yield "CPU", wording.duration(summary.cpu_seconds)
    yield "memory", wording.size(summary.peak_memory_bytes)


def _notes(summary: Summary, figures: RunFigures) -> Iterator[str]:
    if summary.stopped_because is not None:
        yield f"the run was stopped: {summary.stopped_because}"
    elif summary.interrupted_by is not None:
        yield "the run was interrupted"
    if not summary.list_complete:
        yield "the list was not read to its end: what is missing has no row"
    if not summary.manifest_complete:
        yield "the folder's record could not be written to its end"
    untimed = summary.ok + summary.unchanged + summary.failed - figures.timed
    if untimed > 0:
        yield (
            f"{wording.plural(untimed, 'row')} without times (not tried, no URL, or "
            "a worker died): in no plot of time"
        )
    if summary.retries:
        yield "plots of time show the last attempt of each row, earlier ones are left out"
    if figures.has_more_hosts and figures.timed:
        yield f"of the hosts the {_HOSTS} with most rows are shown"


def _details(summary: Summary, output: str) -> Iterator[str]:
    if summary.auto is not None:
        yield f"auto kept {summary.auto.strategy}: {summary.auto.why}"
    limit = "no limit" if summary.per_host is None else f"{summary.per_host:,}"
    yield (
        f"downloader {__version__}, {summary.started_at:%Y-%m-%d %H:%M:%S} UTC: "
        f"{summary.strategy} with {wording.plural(summary.workers, 'worker')}, {limit} a "
        f"host, into {wording.shown(output)}"
    )
    yield (
        f"{wording.plural(summary.lines, 'line')}, {wording.plural(summary.rows, 'row')}, "
        f"{wording.plural(summary.duplicates, 'duplicate')}, "
        f"{wording.plural(summary.attempts, 'attempt')}. --report FILE.json has every row."
    )


def _sections(summary: Summary, figures: RunFigures, draw: Draw) -> Iterator[Section]:
    if figures.timed:
        yield _section("time", "Over time", run_plots.over_time(figures, draw))
        if any(figures.passed.files.values()):
            yield _section("latency", "Latency", run_plots.latency(figures, draw))
        phases = run_plots.phases(summary, figures, draw)
        yield _section("phases", "Where time went", phases)
    if summary.ok:
        yield _section("sizes", "Sizes", run_plots.sizes(figures, draw))
    if summary.errors:
        yield _section("errors", "Failures", run_plots.errors(summary, figures, draw))
    if figures.slowest:
        yield _section("slowest", "The slowest", run_plots.slowest(figures, draw))


def _section(name: str, title: str, blocks: Iterator[Block]) -> Section:
    return Section(name=name, title=title, blocks=tuple(blocks))

"""What a run came to: its figures, its rows, and the two ways to read them.

`Report` holds no row: it reads them from the run's ledger each time it is asked, so a
million lines cost no more memory than ten. Measuring is the session's; printing the
text and exiting are the command's.
"""

from __future__ import annotations

import signal
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, NoReturn, Protocol, Self

import msgspec

from downloader import wording
from downloader.delivery import deliver
from downloader.models import STOPPED, ErrorKind, Outcome
from downloader.policy.redaction import printable

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from types import TracebackType

    from downloader.delivery import Sink
    from downloader.policy.bound import Bound
    from downloader.policy.goodput import Choices
    from downloader.timings import Timings

__all__ = ["Report", "Rows", "Summary"]

_FAILURES_SHOWN = 5
_MIB = 1 << 20


class Rows(Protocol):
    """The run's rows, wherever they are kept; `downloader.ledger` has them in SQLite."""

    def rows(self, errors_only: bool = False) -> Iterator[Outcome]:  # noqa: FBT001, FBT002 - the ledger's signature
        """Each row in the list's order, read lazily, from the start at every call."""
        ...

    def timings(self) -> Timings:
        """What they say of time and size."""
        ...

    def __len__(self) -> int: ...

    def close(self) -> None:
        """Give the rows up; more than one call does no harm."""
        ...


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of a run; the names are the keys of the JSON report.

    Attributes:
        strategy: The strategy's name.
        workers: How many it had; with `auto`, the bound at the end.
        per_host: The limit of transfers at a time for one host, None for no limit.
        started_at: An aware UTC datetime.
        seconds: The run's length by the clock on the wall.
        lines: Lines that ask for something: rows plus duplicates.
        rows: Lines with a row of their own.
        duplicates: Lines identical to an earlier one; they share its row.
        ok: Rows whose file was saved in this run.
        unchanged: Rows whose server said that the file at hand is the newest.
        skipped: Rows whose file was there already.
        failed: Rows without a file.
        bytes: Size of the files that were saved.
        received_bytes: Bytes of bodies that came over the network, retries included.
        files_per_second: Rows that ended with their file, a second of `seconds`.
        mib_per_second: `received_bytes` in MiB a second of `seconds`.
        latency_p50_seconds: Median time of an attempt that saved its file, in its
            worker, queueing left out; None if there was none.
        latency_p95_seconds: 95 of 100 of these took no longer.
        latency_p99_seconds: 99 of 100 of these took no longer.
        cpu_seconds: CPU time of the run, its workers' and children's included.
        peak_memory_bytes: The most memory held, summed over all processes.
        retries: Attempts after the first of their line.
        attempts: Attempts in all.
        errors: How many rows failed of each kind.
        interrupted_by: The number of the signal that ended the run early, or None.
        list_complete: False if an interruption left lines unread, which then have
            no rows.
        manifest_complete: False if the folder's record could not be written to its end.
        stopped_because: Why the run ended early without a signal, or None.
        phase_seconds: Where the slots of workers were, in seconds summed over them:
            `politeness` (idle: limits of hosts, pauses, back-off), `queue` (handed out,
            but in no worker's hands), `connect`, `tls`, `first_byte`, `body`, `rate`
            (held back by --limit-rate), `hash`, `store` (writing, naming).
        bound: What bound the run, with evidence and advice; None if it was too short to
            tell.
        auto: What the strategy `auto` tried, decided and why; None with any other.
    """

    strategy: str
    workers: int
    per_host: int | None
    started_at: datetime
    seconds: float
    lines: int
    rows: int
    duplicates: int
    ok: int
    unchanged: int
    skipped: int
    failed: int
    bytes: int
    received_bytes: int
    files_per_second: float
    mib_per_second: float
    latency_p50_seconds: float | None = None
    latency_p95_seconds: float | None = None
    latency_p99_seconds: float | None = None
    cpu_seconds: float
    peak_memory_bytes: int
    retries: int
    attempts: int
    errors: dict[str, int]
    interrupted_by: int | None = None
    list_complete: bool = True
    manifest_complete: bool = True
    stopped_because: str | None = None
    phase_seconds: dict[str, float] = {}
    bound: Bound | None = None
    auto: Choices | None = None


class Report:
    """The outcome of a run; iterating it reads the rows, in the list's order.

    Every iteration is a fresh pass over the ledger. Closing gives the ledger up; a
    report that is never closed loses nothing but the moment of that. Not for use by
    several threads at once.
    """

    def __init__(self, rows: Rows, summary: Summary, output: str) -> None:
        self._rows = rows
        self._is_closed = False
        self.summary = summary
        self.output = output

    def __iter__(self) -> Iterator[Outcome]:
        return self._open_rows().rows()

    def __len__(self) -> int:
        return self.summary.rows if self._is_closed else len(self._rows)

    def __bool__(self) -> bool:
        # Without this a report of an empty list would count as false, as lists do.
        return True

    def __repr__(self) -> str:
        counts = ", ".join(f"{name}={count}" for name, count in self._counts())
        return f"<Report {counts} output={self.output!r}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a Report reads its rows from a file of its own process: "
            "pickle report.summary and list(report) instead"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def ok(self) -> bool:
        """True if the whole list was read and each line's file is there, and recorded."""
        summary = self.summary
        is_whole = summary.list_complete and not _is_cut_short(summary)
        return is_whole and summary.manifest_complete and not summary.failed

    @property
    def exit_code(self) -> int:
        """0 if all is there, else 1; the command puts a signal's own code above it."""
        return 0 if self.ok else 1

    @property
    def interrupted_by(self) -> int | None:
        """The number of the signal that ended the run early, or None."""
        return self.summary.interrupted_by

    def failures(self) -> Iterator[Outcome]:
        """The rows without a file, read lazily, in the list's order."""
        return self._open_rows().rows(errors_only=True)

    def text(self, rows_in: str | None = None) -> str:
        """The summary for people: some lines, without a newline at the end.

        Args:
            rows_in: What lists every row, to be named where there is no room for all;
                None if there is nothing yet.
        """
        summary = self.summary
        lines = [_headline(summary), *_details(summary, self._counts())]
        if summary.failed:
            lines += self._failure_lines(rows_in)
        if _is_cut_short(summary) or not summary.list_complete:
            lines.append(f"  {_interruption(summary)}")
        if summary.bound is not None:
            lines.append(f"  {summary.bound.text}")
        return "\n".join(lines)

    def failures_text(self, rows_in: str | None = None) -> str:
        """What a person must know even if nothing else is to be said; may be empty.

        Args:
            rows_in: As for `text`.
        """
        summary = self.summary
        if not summary.failed:
            return ""
        return "\n".join([_headline(summary), *self._failure_lines(rows_in)])

    def write_json(self, destination: str | os.PathLike[str]) -> None:
        """Write the summary and every row, one at a time, as one JSON object.

        A file appears under its name only when it is whole, with the mode that the
        umask gives; a device or a pipe is written to as it stands.

        Args:
            destination: A path, or `-` for standard output.

        Raises:
            OSError: It cannot be written.
        """
        deliver(destination, self._write)

    def timings(self) -> Timings:
        """What the rows say of time and size; only as long as the report is open."""
        return self._open_rows().timings()

    def close(self) -> None:
        """Give the rows up; the summary stays. Closing twice does no harm."""
        if not self._is_closed:
            self._is_closed = True
            self._rows.close()

    def _open_rows(self) -> Rows:
        if self._is_closed:
            raise ValueError("the report is closed: its rows can no longer be read")
        return self._rows

    def _counts(self) -> Iterator[tuple[str, int]]:
        """What people want to know: the counts that are not 0, and how many are ok."""
        names = ("ok", "unchanged", "skipped", "failed", "duplicates")
        for name in names:
            count: int = getattr(self.summary, name)
            if count or name == "ok":
                yield name, count

    def _failure_lines(self, rows_in: str | None) -> Iterator[str]:
        """Failures by kind, the first with their reasons, and where to find the others.

        What an interruption cut off is no news, and may be most of the list.
        """
        errors = self.summary.errors
        tried = self.summary.failed - sum(errors.get(kind, 0) for kind in STOPPED)
        wanted = min(tried, _FAILURES_SHOWN)
        yield f"  failed: {_by_kind(errors)}"
        if not wanted or self._is_closed:
            return
        failures = (row for row in self.failures() if row.error not in STOPPED)
        yield from (f"    {_reason(row)}" for row in islice(failures, wanted))
        if tried > wanted:
            more, place = tried - wanted, rows_in or "--report FILE.json"
            yield f"    and {more:,} more: {place} lists every one"

    def _write(self, stream: Sink) -> None:
        encode = msgspec.json.Encoder().encode
        stream.write(b'{"summary": ' + encode(_rounded(self.summary)))
        stream.write(b',\n"results": [')
        separator = b"\n"
        for outcome in self:
            stream.write(separator + encode(_row(outcome)))
            separator = b",\n"
        stream.write(b"\n]}\n")


class _Row(msgspec.Struct, frozen=True, gc=False):
    """A row as the JSON report has it; the order of its keys is that of the fields."""

    url: str
    status: str
    http_status: int | None
    path: str | None
    bytes: int
    sha256: str | None
    attempts: int
    seconds: float
    error: str | None
    detail: str | None
    length_known: bool | None
    digest: str | msgspec.UnsetType


def _row(outcome: Outcome) -> _Row:
    return _Row(
        url=outcome.url,
        status=outcome.status,
        http_status=outcome.http_status,
        path=outcome.path,
        bytes=outcome.bytes,
        sha256=outcome.sha256,
        attempts=outcome.attempts,
        seconds=round(outcome.seconds, 6),
        error=outcome.error,
        detail=outcome.detail,
        length_known=outcome.length_known,
        digest=outcome.digest or msgspec.UNSET,
    )


def _rounded(summary: Summary) -> dict[str, object]:
    """The summary's keys and values, seconds and rates down to their millionth."""
    return {
        name: round(value, 6) if isinstance(value, float) else value
        for name, value in msgspec.structs.asdict(summary).items()
    }


def _headline(summary: Summary) -> str:
    files = wording.plural(summary.rows, "file")
    if not (summary.ok or summary.failed) and summary.rows:
        seconds = wording.duration(summary.seconds)
        return f"{files}, none of them new, in {seconds}  ({_way(summary)})"
    if summary.failed:
        files = f"{summary.rows - summary.failed:,} of {files}"
    pace = f"{wording.rate(summary.files_per_second)} files/s"
    flow = f"{wording.size(summary.mib_per_second * _MIB)}/s"
    return (
        f"{files}, {_sizes(summary)} in {wording.duration(summary.seconds)}: "
        f"{pace}, {flow}  ({_way(summary)})"
    )


def _sizes(summary: Summary) -> str:
    """What was saved, and what came for it where that is not the same: the pace is its."""
    saved = wording.size(summary.bytes)
    received = wording.size(summary.received_bytes)
    return saved if saved == received else f"{saved} ({received} received)"


def _way(summary: Summary) -> str:
    """How the run went about it: `asyncio, 100 workers, 8 a host`."""
    limit = "no limit" if summary.per_host is None else f"{summary.per_host:,}"
    return f"{summary.strategy}, {wording.plural(summary.workers, 'worker')}, {limit} a host"


def _details(summary: Summary, counts: Iterator[tuple[str, int]]) -> Iterator[str]:
    yield "  " + " · ".join(f"{name} {count:,}" for name, count in counts)
    costs = [*_latency(summary)]
    if summary.retries:
        costs.append(wording.plural(summary.retries, "retry", "retries"))
    costs.append(f"CPU {wording.duration(summary.cpu_seconds)}")
    costs.append(f"memory {wording.size(summary.peak_memory_bytes)}")
    yield "  " + " · ".join(costs)
    if summary.auto is not None:
        yield f"  auto: {_choice(summary.auto)}"


def _choice(auto: Choices) -> str:
    kept = sum(one.is_kept for one in auto.decisions)
    trials = f" ({len(auto.decisions)} tried, {kept} kept)" if auto.decisions else ""
    return f"kept {auto.strategy} with {auto.workers:,} at once{trials}: {auto.why}"


def _latency(summary: Summary) -> Iterator[str]:
    quantiles = (
        ("median", summary.latency_p50_seconds),
        ("p95", summary.latency_p95_seconds),
        ("p99", summary.latency_p99_seconds),
    )
    known = [(name, seconds) for name, seconds in quantiles if seconds is not None]
    if known:
        texts = (f"{wording.delay(seconds)} {name}" for name, seconds in known)
        yield "latency " + ", ".join(texts)


def _by_kind(errors: dict[str, int]) -> str:
    """The kinds of failure with their counts, the most frequent first."""
    ranked = sorted(errors.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{printable(kind)} {count:,}" for kind, count in ranked)


def _reason(outcome: Outcome) -> str:
    """One failing line and why: `http://…/x  http_404: the server answered 404`."""
    if outcome.error == ErrorKind.INVALID_URL and outcome.detail:
        return f"{outcome.error}  {wording.shown(outcome.detail)}"  # it quotes the line itself
    url = wording.shown(outcome.url)
    if not outcome.detail:
        return f"{url}  {outcome.error}"
    return f"{url}  {outcome.error}: {wording.shown(outcome.detail)}"


def _is_cut_short(summary: Summary) -> bool:
    return summary.interrupted_by is not None or summary.stopped_because is not None


def _interruption(summary: Summary) -> str:
    cause = "interrupted"
    if summary.stopped_because is not None:
        cause = f"stopped: {summary.stopped_because}"
    elif summary.interrupted_by is not None:
        cause += f" by {_signal_name(summary.interrupted_by)}"
    untried = summary.errors.get(ErrorKind.NOT_TRIED, 0)
    losses = [f"{wording.plural(untried, 'line')} not tried"] if untried else []
    if not summary.list_complete:
        losses.append("the list not read to its end")
    # Of each that was under way; who has no part begins anew by itself.
    under_way = summary.errors.get(ErrorKind.INTERRUPTED, 0)
    parts = " from the parts that are kept" if under_way else ""
    return f"{', '.join([cause, *losses])}; the same command goes on{parts}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"

"""What people see of a run while it lasts: bars on a terminal, else a line now and then.

The session tells a `Progress` what happens; telling only counts. Drawing is done in
`tick`, when its time has come, and in `close`. A stream that can no longer be written
to turns the display off and is nobody's error. Nothing here measures the run: those
figures are the report's.

tqdm is loaded by the first frame that is drawn; a run that ends before it never pays.
"""

from __future__ import annotations

import heapq
import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, NoReturn, Protocol, TextIO

from downloader import wording
from downloader.models import STOPPED, Outcome, Status
from downloader.patterns import lazy
from downloader.tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from _typeshed import SupportsWrite
    from tqdm import tqdm

    Clock = Callable[[], float]

__all__ = ["Bars", "Lines", "Progress", "Silent", "make"]

_FRAME_SECONDS = 0.1
_FIRST_FRAME_SECONDS = 0.2  # bars that only flash up help nobody
_LINE_SECONDS = 10.0
_RATE_SECONDS = 5.0  # the span over which a rate is taken: calm, yet of now
_TRANSFER_ROWS = 4
_FAILURES_A_FRAME = 20  # a host that is down fails thousands of lines a second
_NOTE_SHOWN = 500  # characters; a line of a list may be megabytes long
_BAR_CELLS = 8  # the fewest that still show a movement
_ERASE = "\r\x1b[J"  # to the line's start, and clear from there to the screen's end
# In a name of `policy.naming`'s: `_key=value&key=value` before the hash and the ending.
_QUERY = lazy(r"_[^_/=~]*=[^/]*(~[0-9a-f]{10}(?:\.[A-Za-z0-9]{1,16})?)\Z")


def _no_waits() -> str:
    return ""


class Progress(Protocol):
    """What the session tells whoever watches; one thread calls all of it but `note`.

    Attributes:
        takes_notes: False if `note` shows nothing, so that it is better said elsewhere.
    """

    takes_notes: bool

    def grow(self, lines: int) -> None:
        """So many lines more were read that will each have an outcome."""

    def moved(
        self, attempt_id: int, name: str, received_bytes: int, total_bytes: int | None
    ) -> None:
        """A large transfer stands at `received_bytes` of a total, if that is known."""

    def ended(self, attempt_id: int) -> None:
        """An attempt is over, well or not; one that never moved may be named too."""

    def outcome(self, outcome: Outcome, received_bytes: int) -> None:
        """A line has its end, after so many bytes over the network."""

    def note(self, text: str) -> None:
        """Show a line of text, soon; from any thread, and from a signal handler."""

    def tick(self, in_flight: int, waits: Callable[[], str] = _no_waits) -> None:
        """Draw if it is time to; cheap enough to be called at every turn of a loop.

        Args:
            in_flight: Attempts under way.
            waits: Says what the run waits for; called only to be drawn.
        """

    def close(self) -> None:
        """Leave a clean screen; more than one call does no harm."""


def make(
    settings_quiet: bool,  # noqa: FBT001 - the session's call, by keyword
    show: bool,  # noqa: FBT001 - as above
    stream: TextIO | None,
    total: int | None = None,
    clock: Clock = time.monotonic,
) -> Progress:
    """The display that fits: nothing, bars on a terminal, or plain lines.

    Args:
        settings_quiet: Show nothing.
        show: False shows nothing either (`--no-progress`, use as a library).
        stream: Where to draw, standard error as a rule; None shows nothing.
        total: The number of outcomes to come, if it is known at the start.
        clock: Monotonic seconds.
    """
    if settings_quiet or not show or stream is None or stream.closed:
        return Silent()
    if _is_screen(stream):
        return Bars(stream, total, clock)
    return Lines(stream, total, clock)


def _is_screen(stream: TextIO) -> bool:
    """True for a terminal on which a cursor can be moved."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


class Silent:
    """Shows nothing."""

    takes_notes = False

    def grow(self, lines: int) -> None: ...
    def moved(
        self, attempt_id: int, name: str, received_bytes: int, total_bytes: int | None
    ) -> None: ...
    def ended(self, attempt_id: int) -> None: ...
    def outcome(self, outcome: Outcome, received_bytes: int) -> None: ...
    def note(self, text: str) -> None: ...
    def tick(self, in_flight: int, waits: Callable[[], str] = _no_waits) -> None: ...
    def close(self) -> None: ...


class _Sample(NamedTuple):
    """Where the counts stood at a moment."""

    at: float
    files: int
    received_bytes: int


class _Pace:
    """Rates over the last seconds, from samples of the counts."""

    def __init__(self, first: _Sample, span_seconds: float) -> None:
        self._span_seconds = span_seconds
        self._samples = deque([first])

    def add(self, sample: _Sample) -> tuple[float, float]:
        """Files and bytes a second, from a span ago up to this sample."""
        samples = self._samples
        samples.append(sample)
        # The last sample older than the span stays: it is where the span begins.
        while len(samples) > 2 and samples[1].at <= sample.at - self._span_seconds:  # noqa: PLR2004 - two make a rate
            samples.popleft()
        first = samples[0]
        seconds = max(sample.at - first.at, 1e-9)
        # A retry takes back what its first try had moved: never below nothing.
        received_bytes = max(sample.received_bytes - first.received_bytes, 0)
        return (sample.files - first.files) / seconds, received_bytes / seconds


class _Transfer:
    """A large body in flight."""

    __slots__ = ("first_bytes", "name", "pace", "received_bytes", "total_bytes")

    def __init__(
        self, name: str, received_bytes: int, total_bytes: int | None, now: float
    ) -> None:
        self.name = name
        # One that goes on with a part does not start at 0; the part is no traffic.
        self.first_bytes = received_bytes
        self.received_bytes = received_bytes
        self.total_bytes = total_bytes
        self.pace = _Pace(_Sample(now, 0, received_bytes), _RATE_SECONDS)

    @property
    def size_bytes(self) -> int:
        """What counts for being one of the largest."""
        return self.received_bytes if self.total_bytes is None else self.total_bytes

    def rate(self, now: float) -> float:
        """Bytes a second of late."""
        return self.pace.add(_Sample(now, 0, self.received_bytes))[1]


class _Screen:
    """The stream as tqdm sees it: collects a frame, sends it whole, never fails.

    A frame in one write does not flicker; and since no error comes out of here, none
    finds tqdm with its lock held.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._pieces: list[str] = []
        self.encoding = getattr(stream, "encoding", None) or "ascii"
        self.is_on = True

    def write(self, text: str) -> None:
        self._pieces.append(text)

    def flush(self) -> None:
        """Nothing: tqdm flushes at every movement of the cursor."""

    def send(self) -> None:
        """Write the frame; the first failure is the last attempt."""
        text = "".join(self._pieces)
        self._pieces.clear()
        if not text or not self.is_on:
            return
        try:
            # Characters that the stream's encoding lacks must not end the display.
            self._stream.write(
                text.encode(self.encoding, "replace").decode(self.encoding)
            )
            self._stream.flush()
        except (OSError, ValueError):  # ValueError: the stream was closed
            self.is_on = False

    def size(self) -> tuple[int, int]:
        """Columns and lines; asked at every frame, since windows are resized."""
        try:
            columns, lines = os.get_terminal_size(self._stream.fileno())
        except (OSError, ValueError):
            return 80, 24
        return columns or 80, lines or 24  # a new pseudo-terminal says 0


class _Tally:
    """What is counted in every display that shows something."""

    takes_notes = True

    def __init__(self, stream: TextIO, total: int | None, clock: Clock) -> None:
        self._screen = _Screen(stream)
        self._clock = clock
        self._started = clock()
        self._total = total or 0
        self._lines = 0
        self._files = 0
        self._failed = 0
        self._settled_bytes = 0
        self._transfers: dict[int, _Transfer] = {}
        self._notes: deque[str] = deque()

    def grow(self, lines: int) -> None:
        self._lines += lines

    def moved(
        self, attempt_id: int, name: str, received_bytes: int, total_bytes: int | None
    ) -> None:
        transfer = self._transfers.get(attempt_id)
        if transfer is None:
            now = self._clock()
            transfer = _Transfer(name, received_bytes, total_bytes, now)
            self._transfers[attempt_id] = transfer
        # Of a file that several fetch, what one tells may be older than another's word.
        transfer.received_bytes = max(transfer.received_bytes, received_bytes)
        transfer.total_bytes = total_bytes

    def ended(self, attempt_id: int) -> None:
        self._transfers.pop(attempt_id, None)

    def outcome(self, outcome: Outcome, received_bytes: int) -> None:
        self._files += 1
        self._settled_bytes += received_bytes
        if outcome.status is Status.FAILED:
            self._failed += 1

    def note(self, text: str) -> None:
        # Kept until the next tick: a signal may come in the midst of a write.
        self._notes.append(text)

    def _take_notes(self) -> list[str]:
        return [
            wording.shown(self._notes.popleft(), _NOTE_SHOWN)
            for _ in range(len(self._notes))
        ]

    def _sample(self, now: float) -> _Sample:
        moving = sum(
            transfer.received_bytes - transfer.first_bytes
            for transfer in self._transfers.values()
        )
        return _Sample(now, self._files, self._settled_bytes + moving)


class Lines(_Tally):
    """A plain line every ten seconds, for logs and pipes; notes as they come."""

    def __init__(
        self, stream: TextIO, total: int | None = None, clock: Clock = time.monotonic
    ) -> None:
        super().__init__(stream, total, clock)
        self._due = self._started + _LINE_SECONDS
        self._pace = _Pace(_Sample(self._started, 0, 0), _LINE_SECONDS)

    def tick(self, in_flight: int, waits: Callable[[], str] = _no_waits) -> None:
        now = self._clock()
        if now < self._due and not self._notes:
            return
        self._write_notes()
        if now >= self._due:
            self._due = now + _LINE_SECONDS
            self._screen.write(self._line(now, in_flight, waits()) + "\n")
        self._screen.send()

    def close(self) -> None:
        self._write_notes()
        self._screen.send()

    def _write_notes(self) -> None:
        for text in self._take_notes():
            self._screen.write(text + "\n")

    def _line(self, now: float, in_flight: int, waits: str) -> str:
        sample = self._sample(now)
        _, bytes_per_second = self._pace.add(sample)
        total = max(self._total, self._lines)
        of_all = f" of {total:,}" if total else ""
        waiting = total - self._files - in_flight
        parts = [
            f"{self._files:,}{of_all} done",
            f"{self._failed:,} failed",
            f"{in_flight:,} in flight",
            *([f"{waiting:,} waiting"] if waiting > 0 else []),
            wording.size(sample.received_bytes),
            f"{wording.size(bytes_per_second)}/s",
            *([waits] if waits else []),
        ]
        return ", ".join(parts)


class Bars(_Tally):
    """tqdm's bars on a terminal: one for all files, below it one for each large body.

    The cursor rests at the start of the first bar, where a terminal that breaks its
    lines anew on being resized takes it along; so a frame of another width can clear
    all that the last one left.
    """

    def __init__(
        self, stream: TextIO, total: int | None = None, clock: Clock = time.monotonic
    ) -> None:
        super().__init__(stream, total, clock)
        self._due = self._started + _FIRST_FRAME_SECONDS
        self._pace = _Pace(_Sample(self._started, 0, 0), _RATE_SECONDS)
        self._bars: list[tqdm[NoReturn]] = []
        self._bar_class: type[tqdm[NoReturn]] | None = None
        self._columns = 0
        self._shown: list[int] = []
        self._failure_notes = 0

    def outcome(self, outcome: Outcome, received_bytes: int) -> None:
        super().outcome(outcome, received_bytes)
        if outcome.error is not None and outcome.error not in STOPPED:
            self._note_failure(outcome)

    def tick(self, in_flight: int, waits: Callable[[], str] = _no_waits) -> None:
        now = self._clock()
        if now < self._due:
            return
        self._due = now + _FRAME_SECONDS
        if self._screen.is_on:
            self._draw(now, waits())
        else:
            self._notes.clear()

    def close(self) -> None:
        if self._bars:
            # First, lest the window was resized since the last frame.
            self._screen.write(_ERASE)
        self._write_notes()
        while self._bars:
            self._bars.pop().close()
        self._screen.send()

    def _note_failure(self, outcome: Outcome) -> None:
        self._failure_notes += 1
        if self._failure_notes <= _FAILURES_A_FRAME:
            # Of a line without end, the reason after it is to be seen all the same.
            url = wording.shown(outcome.url)
            detail = f": {outcome.detail}" if outcome.detail else ""
            self.note(f"failed: {url}  {outcome.error}{detail}")

    def _draw(self, now: float, waits: str) -> None:
        columns, lines = self._screen.size()
        if columns != self._columns:
            self._columns = columns
            self._screen.write(_ERASE)
        self._write_notes()
        self._draw_overall(now, waits)
        self._draw_transfers(now, min(_TRANSFER_ROWS, lines - 2))
        self._screen.write("\r")
        self._screen.send()

    def _write_notes(self) -> None:
        notes = self._take_notes()
        hidden = self._failure_notes - _FAILURES_A_FRAME
        self._failure_notes = 0
        if hidden > 0:
            notes.append(f"failed: {hidden:,} more")
        if not notes:
            return
        if self._bars:
            self._bars[0].write("\n".join(notes), file=self._screen)
        else:
            self._screen.write("\n".join(notes) + "\n")

    def _draw_overall(self, now: float, waits: str) -> None:
        sample = self._sample(now)
        files_per_second, bytes_per_second = self._pace.add(sample)
        # The list may be longer than was known, never shorter than what was read.
        total = max(self._total, self._lines)
        parts = [
            _Part(_files(self._files, total), 0),
            _Part(wording.size(sample.received_bytes), 2),
            _Part(f"{wording.size(bytes_per_second)}/s", 1),
            _Part(f"{files_per_second:,.0f} files/s", 3),
        ]
        if self._failed:
            parts.append(_Part(f"{self._failed:,} failed", 0))
        if waits:
            parts.append(_Part(waits, 1))
        self._draw_bar(0, "", self._files, total, parts)

    def _draw_transfers(self, now: float, rows: int) -> None:
        self._shown = _choose(self._transfers, self._shown, max(rows, 0))
        for row, attempt_id in enumerate(self._shown, 1):
            transfer = self._transfers[attempt_id]
            parts = [
                _Part(_of_size(transfer.received_bytes, transfer.total_bytes), 2),
                _Part(f"{wording.size(transfer.rate(now))}/s", 1),
            ]
            done, total = transfer.received_bytes, transfer.total_bytes or 0
            self._draw_bar(row, transfer.name, done, total, parts)
        while len(self._bars) > 1 + len(self._shown):
            self._bars.pop().close()

    def _draw_bar(
        self, row: int, name: str, done: int, total: int, parts: Iterable[_Part]
    ) -> None:
        bar = self._bar(row)
        # One column stays free: a terminal may break a line that fills the last.
        bar.ncols = self._columns - 1
        name_cells = bar.ncols // 3 if name else 0
        right = _fit(parts, bar.ncols - name_cells - len("100%||  ") - _BAR_CELLS)
        left = _cut_left(wording.shown(name), name_cells) if name else ""
        middle = "{percentage:3.0f}%|{bar}|" if total else ""
        bar.bar_format = f"{_verbatim(left)} {middle} {_verbatim(right)}".lstrip()
        bar.n, bar.total = min(done, total) if total else done, total
        bar.refresh()

    def _bar(self, row: int) -> tqdm[NoReturn]:
        if self._bar_class is None:
            self._bar_class = _load_bar()
        if row == len(self._bars):
            # Each option is given, since TQDM_… variables can change any default.
            bar = self._bar_class(
                file=self._screen,
                position=row,
                leave=False,
                bar_format=" ",
                disable=False,
                delay=0,
                gui=False,
                initial=0,
                nrows=_TRANSFER_ROWS + 3,  # tqdm hides what it thinks is below
            )
            self._bars.append(bar)
        return self._bars[row]


def _load_bar() -> type[tqdm[NoReturn]]:
    """tqdm without its thread, its process-wide lock and its padding with spaces."""
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[type-arg]  # generic in its stubs alone
        monitor_interval = 0  # the thread only helps those who draw in `update`

        @staticmethod
        def status_printer(file: SupportsWrite[str]) -> Callable[[str], None]:
            # tqdm pads with spaces to the last length, which spills over the edge of
            # a window that has become narrower.
            def print_status(text: str) -> None:
                file.write(f"\r{text}\x1b[K")

            return print_status

    # tqdm's own lock would start multiprocessing's resource tracker.
    Bar.set_lock(threading.RLock())
    return Bar


class _Part(NamedTuple):
    """A figure beside a bar; the greater its rank, the sooner it is left out."""

    text: str
    rank: int


def _fit(parts: Iterable[_Part], cells: int) -> str:
    """The parts in their order, without the least important that have no room."""
    kept = list(parts)
    while True:
        text = ", ".join(part.text for part in kept)
        least = max(kept, key=lambda part: part.rank)
        if len(text) <= cells or not least.rank:
            return text
        kept.remove(least)
        if not kept:
            return ""


def _choose(transfers: dict[int, _Transfer], shown: list[int], rows: int) -> list[int]:
    """The largest transfers, those that are on the screen in the rows they have."""
    largest = heapq.nlargest(
        rows, transfers, key=lambda id_: (transfers[id_].size_bytes, -id_)
    )
    kept = [attempt_id for attempt_id in shown if attempt_id in largest]
    return kept + [attempt_id for attempt_id in largest if attempt_id not in kept]


def _cut_left(text: str, cells: int) -> str:
    """The end of a text, which is where names differ, in just so many cells."""
    from tqdm.utils import disp_len

    if disp_len(text) > cells:
        # The query that a file's name has in it says less than the name before it.
        text = _QUERY.sub(r"\1", text)
    if disp_len(text) > cells:
        text = text[-cells:]  # no letter takes less than a cell
        while text and disp_len(text) >= cells:
            text = text[1:]
        text = f"…{text}"
    return text + " " * (cells - disp_len(text))


def _verbatim(text: str) -> str:
    """A text as a format string that gives just it."""
    return text.replace("{", "{{").replace("}", "}}")


def _files(done: int, total: int) -> str:
    """`1 file`, `1,234 files`, or `12/300 files` if there is a total."""
    if total:
        return f"{done:,}/{total:,} files"
    return f"{done:,} file{'' if done == 1 else 's'}"


def _of_size(done_bytes: int, total_bytes: int | None) -> str:
    if total_bytes is None:
        return wording.size(done_bytes)
    return f"{wording.size(done_bytes)}/{wording.size(total_bytes)}"

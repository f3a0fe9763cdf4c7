"""Lists of every kind to requests, streamed: a long list takes no more memory than a short one.

A list has a URL a line. Blank lines and lines that begin with `#` are skipped; a byte
order mark, CRLF, surrounding spaces, a missing last newline and bytes that are no UTF-8
do no harm. `policy.list_lines` says what a line holds.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import queue
import re
import stat
import threading
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from downloader.errors import UsageError
from downloader.models import Outcome, Request
from downloader.patterns import lazy
from downloader.policy.list_lines import trim
from downloader.policy.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

STDIN = "-"
# Who wants to be told of one request's outcome.
Sink = Callable[[Outcome], None]
_BLOCK_BYTES = 256 << 10
# What is kept of an endless line: more than any URL may have, so that it is refused.
_LONGEST_LINE = 20_000
_URL = lazy(r"https?://", re.IGNORECASE)
# A URL of another scheme is a bad line, not a list that cannot be read.
_ANY_URL = lazy(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins as UTF-16's does
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_LONGEST_BOM = 4
# Without a mark: a line begins with ASCII, whose other byte is zero.
_UNMARKED = lazy(rb"(?P<le>[^\0]\0(?!\0))|(?P<be>\0[^\0])", re.DOTALL)
_GZIP = b"\x1f\x8b"


def is_url(argument: str) -> bool:
    """True if a command-line argument is a URL and not a list's name."""
    return _URL.match(argument) is not None


class Feed(Protocol):
    """Where the session gets its requests from."""

    def take(self, most: int) -> list[tuple[Request, Sink | None]]:
        """Up to so many requests, each with who wants to know; may be none for now."""
        ...

    @property
    def is_done(self) -> bool:
        """True once nothing more will ever come."""
        ...

    @property
    def is_ready(self) -> bool:
        """True if `take` would bring something now; else the session is woken up for it."""
        ...

    def close(self) -> None:
        """Take no more."""
        ...


class ReadyFeed:
    """A feed from something that never keeps its reader waiting: a file, a list."""

    def __init__(self, requests: Iterable[Request]) -> None:
        self._requests = iter(requests)
        self.is_done = False

    @property
    def is_ready(self) -> bool:
        return not self.is_done

    def take(self, most: int) -> list[tuple[Request, Sink | None]]:
        taken: list[tuple[Request, Sink | None]] = [
            (request, None) for request in islice(self._requests, most)
        ]
        self.is_done = len(taken) < most
        return taken

    def close(self) -> None:
        self.is_done = True


class ThreadedFeed:
    """A feed from something that may block: stdin, a pipe, a caller's generator.

    A daemon thread reads ahead a little and wakes the session.

    Args:
        requests: What to read.
        wake: Called when there is something new; set by the session.
    """

    _AHEAD = 1_000

    def __init__(self, requests: Iterable[Request]) -> None:
        self._requests = requests
        self._queue: queue.Queue[Request | None] = queue.Queue(self._AHEAD)
        self._is_closed = False
        self.error: BaseException | None = None
        self.is_done = False
        self.wake: Callable[[], None] = lambda: None
        self._thread: threading.Thread | None = None

    @property
    def is_ready(self) -> bool:
        return not self._queue.empty()

    def take(self, most: int) -> list[tuple[Request, Sink | None]]:
        if self._thread is None and not self._is_closed:
            # Not before: a run that does not come about takes nothing from a caller.
            self._thread = threading.Thread(
                target=self._run, name="downloader-list", daemon=True
            )
            self._thread.start()
        taken: list[tuple[Request, Sink | None]] = []
        while len(taken) < most:
            try:
                request = self._queue.get_nowait()
            except queue.Empty:
                break
            if request is None:
                self.is_done = True
                break
            taken.append((request, None))
        if self.is_done and self.error is not None:
            error, self.error = self.error, None
            raise error
        return taken

    def close(self) -> None:
        self._is_closed = self.is_done = True

    def _run(self) -> None:
        try:
            for request in self._requests:
                self._put(request)
                if self._is_closed:
                    return
        except BaseException as error:  # noqa: BLE001 - it is raised again where it is taken
            self.error = error
        self._put(None)

    def _put(self, request: Request | None) -> None:
        while not self._is_closed:
            try:
                self._queue.put(request, timeout=0.2)
            except queue.Full:
                continue
            # Behind others it is taken with them: who took the last one looks again.
            if self._queue.qsize() <= 1:
                self.wake()
            return


def open_lists(arguments: Iterable[str]) -> Feed:
    """The feed for command-line arguments: URLs, list files, and `-` for stdin.

    Raises:
        UsageError: A list cannot be read; nothing has been requested yet.
    """
    with contextlib.ExitStack() as opened:
        parts = [
            _open(number, argument, opened)
            for number, argument in enumerate(arguments, 1)
        ]
        opened.pop_all()
    requests = (request for requests, _ in parts for request in requests)
    if any(may_block for _, may_block in parts):
        return ThreadedFeed(requests)
    return ReadyFeed(requests)


def as_requests(urls: Iterable[str | Request]) -> Iterator[Request]:
    """A caller's URLs as requests; each knows its position for messages.

    Raises:
        UsageError: One of them is neither a text nor a `Request`.
    """
    for number, url in enumerate(urls):
        if isinstance(url, Request):
            yield url
        elif isinstance(url, str):
            yield Request(url, f"urls[{number}]")
        else:
            raise UsageError(
                f"urls[{number}] is a {type(url).__name__}, not a text or a Request"
            )


def _open(
    number: int, argument: str, opened: contextlib.ExitStack
) -> tuple[Iterable[Request], bool]:
    if is_url(argument) or (_ANY_URL.match(argument) and not os.path.exists(argument)):
        return [Request(argument, f"argument {number}")], False
    name = "stdin" if argument == STDIN else argument
    try:
        descriptor = os.dup(0) if argument == STDIN else _open_list(argument)
        opened.callback(os.close, descriptor)
        may_block = not stat.S_ISREG(os.fstat(descriptor).st_mode)
        if not may_block:
            _refuse_compressed(descriptor, name)
    except OSError as error:
        # It may be a URL with something wrong about it, and a password in it.
        shown = redact(name) if ":" in name else name
        raise UsageError(
            f"cannot read the list {shown}: {error.strerror or error}; "
            "give a file with a URL a line, a URL, or - for stdin"
        ) from error
    return _requests(descriptor, name), may_block


def _refuse_compressed(descriptor: int, name: str) -> None:
    begins_at = os.lseek(descriptor, 0, os.SEEK_CUR)
    beginning = os.read(descriptor, len(_GZIP))
    os.lseek(descriptor, begins_at, os.SEEK_SET)
    if beginning == _GZIP:
        raise UsageError(
            f"the list {name} is compressed; give its lines: gzip -dc {name} | "
            "downloader fetch -"
        )


def _open_list(path: str) -> int:
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UsageError(f"cannot read the list {path}: it is a folder; give a file")
    return descriptor


def _requests(descriptor: int, name: str) -> Iterator[Request]:
    try:
        for number, line in enumerate(
            lines(lambda: os.read(descriptor, _BLOCK_BYTES)), 1
        ):
            text = trim(line)
            if text and not text.startswith("#"):
                yield Request(text, f"{name}:{number}")
    finally:
        os.close(descriptor)


def lines(read: Callable[[], bytes]) -> Iterator[str]:
    """The lines of a text that comes in blocks, without their ends.

    Args:
        read: Brings the next block, empty at the end.
    """
    block = _first_block(read)
    mark, encoding = _encoding(block)
    block = block[len(mark) :]
    errors = "surrogateescape" if encoding == "utf-8" else "replace"
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    pending = ""
    is_over = False
    while not is_over:
        *complete, rest = (pending + decoder.decode(block)).split("\n")
        yield from complete
        # An endless line is cut, not kept: it will be refused as too long anyway.
        pending = rest[:_LONGEST_LINE]
        block = read()
        is_over = not block
    pending += decoder.decode(b"", final=True)
    if pending:
        yield pending


def _encoding(block: bytes) -> tuple[bytes, str]:
    """The byte order mark that a list begins with, empty for none, and its encoding."""
    for bom, encoding in _BOMS:
        if block.startswith(bom):
            return bom, encoding
    match = _UNMARKED.match(block)
    return b"", "utf-8" if match is None else f"utf-16-{match.lastgroup}"


def _first_block(read: Callable[[], bytes]) -> bytes:
    """A first block that is long enough to tell its encoding by."""
    block = more = read()
    while more and len(block) < _LONGEST_BOM:
        more = read()
        block += more
    return block

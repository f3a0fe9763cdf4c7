"""What a worker does with one piece of work: real work by real libraries.

    stage-parse   fetch a page, then parse it as HTML: Python code, which holds the lock
    stage-hash    fetch a page, then hash and inflate: C code, which lets go of the lock
    copy, write   files on the disk, and no network

A `Work` is the whole description; it crosses to processes and child programs as JSON.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import threading
import time
import zlib
from html.parser import HTMLParser
from urllib.parse import urlsplit

import msgspec

__all__ = [
    "PAGE_STAGES",
    "Done",
    "Laps",
    "Work",
    "cpu",
    "perform",
    "process_cpu",
    "run_stage",
]

PAGE_STAGES = ("stage-parse", "stage-hash")
_BLOCK_BYTES = 1 << 20
_INFLATED_BYTES = 1 << 18


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What to do with each piece.

    Attributes:
        name: `stage-parse`, `stage-hash`, `copy` or `write`.
        stage_rounds: How often the stage is done for a piece.
        folder: Where files go.
        source: The file to copy.
        file_bytes: The size of files to write.
        is_synced: True to have each file on the disk before it counts.
    """

    name: str
    stage_rounds: int = 0
    folder: str = ""
    source: str = ""
    file_bytes: int = 0
    is_synced: bool = True


class Done(msgspec.Struct, frozen=True, array_like=True):
    """What one piece took.

    Attributes:
        size_bytes: Bytes moved.
        user_seconds: CPU seconds of the thread that did it.
        system_seconds: The same in the kernel.
        phases: Seconds by the clock on the wall: `connect`, `first_byte`, `body`,
            `cpu_stage`, `store`.
    """

    size_bytes: int
    user_seconds: float = 0.0
    system_seconds: float = 0.0
    phases: dict[str, float] = {}


class Laps:
    """A clock that is read at the end of each phase."""

    def __init__(self) -> None:
        self.phases: dict[str, float] = {}
        self._since = time.perf_counter()

    def end(self, phase: str) -> None:
        """What has passed since the last end was this phase."""
        now = time.perf_counter()
        self.phases[phase] = self.phases.get(phase, 0.0) + now - self._since
        self._since = now


class _Links(HTMLParser):
    """Collects what a page links to, as a scraper does."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value for name, value in attrs if name == "href" and value]


def perform(work: Work, piece: str) -> Done:
    """Do one piece; it is a URL, or a file's name for `copy` and `write`."""
    user, system = cpu()
    laps = Laps()
    match work.name:
        case "copy":
            size = _copy(work, piece)
            laps.end("store")
        case "write":
            size = _write(work, piece)
            laps.end("store")
        case _:
            page = _fetch(piece, laps)
            run_stage(work, page)
            laps.end("cpu_stage")
            size = len(page)
    user_after, system_after = cpu()
    return Done(size, user_after - user, system_after - system, laps.phases)


def cpu() -> tuple[float, float]:
    """User and system CPU seconds of this thread so far; all as user where unknown."""
    try:
        import resource

        used = resource.getrusage(resource.RUSAGE_THREAD)
    except (ImportError, AttributeError):
        return time.thread_time(), 0.0
    return used.ru_utime, used.ru_stime


def process_cpu() -> tuple[float, float]:
    """The same of this process; `os.times` counts in steps of 10 ms, which is too coarse."""
    try:
        import resource
    except ImportError:
        return time.process_time(), 0.0
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime, used.ru_stime


def run_stage(work: Work, page: bytes) -> None:
    """The CPU work on a fetched page."""
    if not work.stage_rounds:
        return
    if work.name == "stage-parse":
        text = page.decode(errors="replace")
        for _ in range(work.stage_rounds):
            _Links().feed(text)
        return
    # As large as an image or an archive: small buffers never let go of the lock.
    packed = _packed(page)
    for _ in range(work.stage_rounds):
        hashlib.sha256(zlib.decompress(packed)).digest()


_packed_pages: dict[bytes, bytes] = {}


def _packed(page: bytes) -> bytes:
    """The page, repeated to a quarter MiB and deflated; kept, since making it costs more."""
    key = hashlib.md5(page, usedforsecurity=False).digest()
    if key not in _packed_pages:
        repeated = page * (_INFLATED_BYTES // len(page) + 1)
        _packed_pages[key] = zlib.compress(repeated[:_INFLATED_BYTES])
    return _packed_pages[key]


_local = threading.local()


def _fetch(url: str, laps: Laps) -> bytes:
    """A page over this thread's kept connection."""
    parts = urlsplit(url)
    connection = getattr(_local, "connection", None)
    if connection is None:
        connection = http.client.HTTPConnection(parts.netloc, timeout=30)
        _local.connection = connection
        connection.connect()
        laps.end("connect")
    connection.request("GET", f"{parts.path}?{parts.query}")
    answer = connection.getresponse()
    laps.end("first_byte")
    page: bytes = answer.read()
    laps.end("body")
    if answer.status != http.client.OK:
        raise http.client.HTTPException(f"{url} answered {answer.status}")
    return page


def _copy(work: Work, piece: str) -> int:
    target = os.path.join(work.folder, piece)
    shutil.copyfile(work.source, target)
    if work.is_synced:
        _sync(target)
    return os.path.getsize(target)


def _write(work: Work, piece: str) -> int:
    block = bytes(min(work.file_bytes, _BLOCK_BYTES))
    with open(os.path.join(work.folder, piece), "wb", buffering=0) as file:
        file.writelines(block for _ in range(work.file_bytes // len(block)))
        if work.is_synced:
            os.fsync(file.fileno())
    return work.file_bytes


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

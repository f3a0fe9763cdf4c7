"""Who writes which bytes of a part: a small file beside its record, shared by all workers.

Threads, processes and the next run see the same numbers; a lock on the file (`flock`)
makes taking a span one step. A span's position is written after its bytes are, so that a
killed worker has at most one chunk to fetch again. One of them is its finisher, who
hashes the file and gives it its name; the others leave when nothing is left for them.

    head: mark, state, total, finisher | span: position, end, owner | span | …
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
from typing import TYPE_CHECKING

from downloader.errors import DiskError, PartLost
from downloader.policy import segments
from downloader.policy.segments import Span
from downloader.transfer.folder import (
    CLOEXEC,
    NOFOLLOW,
    NONBLOCK,
    disk_error,
    file_fault,
    translated,
)

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment] # Windows: files are fetched in one piece

if TYPE_CHECKING:
    from collections.abc import Iterator

    from downloader.transfer.folder import Folder

MOST_SPANS = 1_024
IS_AVAILABLE = fcntl is not None
_HEAD = struct.Struct("<qqqq")
_SPAN = struct.Struct("<qqq")
_NUMBER = struct.Struct("<q")
_MARK = 0x50414D32  # that it is a map, and what its head is like
_FINE, _VOID = 0, 1
_STATE_OFFSET, _FINISHER_OFFSET = 8, 24
_CREATE_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | NOFOLLOW | CLOEXEC
_OPEN_FLAGS = os.O_RDWR | NOFOLLOW | NONBLOCK | CLOEXEC


class SegmentMap:
    """The map of one part as one worker sees it.

    Every step of it raises `DiskError` where the disk refuses, and `PartLost` where the
    map has lost what was in it.

    Args:
        folder: The worker's view of the output folder.
        place: The map's name relative to it.
        owner: The worker's attempt, as a number above 0.
        total_bytes: The whole file's length.
        is_new: Whether it is to be made, with one span that this worker has.

    Raises:
        PartLost: There is none, or it is not this file's.
        DiskError: It cannot be made.
    """

    def __init__(
        self,
        folder: Folder,
        place: str,
        owner: int,
        total_bytes: int,
        *,
        is_new: bool,
    ) -> None:
        self._owner = owner
        self._total_bytes = total_bytes
        self._index = 0
        self.position = 0
        self._place = place
        with translated("write", place):
            parent, name = folder.locate(place)
            if is_new:
                self._fd = os.open(name, _CREATE_FLAGS, 0o600, dir_fd=parent)
            else:
                try:
                    self._fd = os.open(name, _OPEN_FLAGS, dir_fd=parent)
                except FileNotFoundError as error:
                    raise PartLost("go on with", place, "its map is gone") from error
                self._check_file(parent)
        if is_new:
            self._write(_HEAD.pack(_MARK, _FINE, total_bytes, owner), 0)
            self._append(0, [Span(0, total_bytes, owner)])
        elif not self._is_sound():
            self.close()
            raise PartLost("go on with", place, "its map is of another file")

    def __del__(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            self.close()

    def _check_file(self, parent: int | None) -> None:
        """Refuse a map that is somebody else's file as well; a new one will do."""
        above = None if parent is None else os.fstat(parent)
        fault = file_fault(os.fstat(self._fd), above)
        if fault is not None:
            self.close()
            raise PartLost("go on with", self._place, fault)

    def close(self) -> None:
        """Let go of the file; called again it does nothing."""
        if self._fd >= 0:
            descriptor, self._fd = self._fd, -1
            os.close(descriptor)

    def claim(self, bounds: segments.Bounds) -> tuple[int, int] | None:
        """Take some bytes to fetch.

        Returns:
            Where they begin and end; None if nothing is left that is worth it.
        """
        with self._locked():
            spans = self._spans()
            if self._state() != _FINE:
                return None
            claim = segments.claim(spans, self._owner, bounds)
            if claim is None:
                return None
            self._take(claim, spans)
        self.position = claim.first
        return claim.first, claim.end

    def _take(self, claim: segments.Claim, spans: list[Span]) -> None:
        """Write down who has which bytes now.

        What is added comes first, and only then what is cut off: whoever is killed in
        between leaves bytes that are in two spans, and not some that are in none.
        """
        found = spans[claim.place]
        ours = Span(claim.first, claim.end, self._owner)
        rest = [Span(claim.end, found.end, 0)] if claim.end < found.end else []
        if found.owner in {0, self._owner}:
            self._index = claim.place
            self._append(len(spans), rest)
            self._write_span(claim.place, ours)
        else:
            self._index = len(spans)
            self._append(len(spans), [ours, *rest])
            self._write_end(claim.place, claim.first)

    def advance(self, position: int) -> None:
        """All up to here is written."""
        self.position = position
        self._write(_NUMBER.pack(position), self._offset(self._index))

    @property
    def end(self) -> int:
        """Where this worker's bytes end now; 0 once the part is of no use any more."""
        if self._state() == _VOID:
            return 0
        return self._number(self._offset(self._index) + _NUMBER.size)

    @property
    def written_bytes(self) -> int:
        """What all together have written, or a little less: nobody is held up for it."""
        return self._total_bytes - sum(span.left_bytes for span in self._spans())

    @property
    def front(self) -> int:
        """Up to where every byte is written."""
        with self._locked():
            return segments.front(self._spans(), self._total_bytes)

    def release(self) -> None:
        """Leave this worker's bytes, and what it was to do at the end, to others."""
        with self._locked():
            self._release({self._owner})
            if self._finisher() == self._owner:
                self._set(_FINISHER_OFFSET, 0)

    def give_back(self) -> None:
        """Add what was taken from another worker's bytes to them again, if it can be."""
        with self._locked():
            spans = self._spans()
            ours = spans[self._index]
            for index, span in enumerate(spans):
                if span.owner and span.left_bytes and span.end == ours.position:
                    self._lengthen(index, self._index, spans)
                    break
            self._release({self._owner})

    def _lengthen(self, place: int, second: int, spans: list[Span]) -> None:
        """Add a span to the one before it, and what lies free behind it as well."""
        end = spans[second].end
        self._write_end(place, end)
        self._write_end(second, spans[second].position)
        for index, span in enumerate(spans):
            if not span.owner and span.left_bytes and span.position == end:
                self._write_end(place, span.end)
                self._write_end(index, span.position)
                return

    def release_others(self) -> None:
        """Leave the bytes of all others to whoever comes: they are gone."""
        with self._locked():
            spans = self._spans()
            self._release({span.owner for span in spans} - {self._owner})
            if segments.is_complete(spans):
                # One byte is asked for all the same: whether the file is still the one.
                index = max(range(len(spans)), key=lambda one: spans[one].end)
                end = spans[index].end
                self._write_span(index, Span(max(0, end - 1), end, 0))
            self._set(_FINISHER_OFFSET, self._owner)

    def finishes(self) -> bool:
        """True if it falls to this worker to finish the file: if to no other."""
        with self._locked():
            if self._state() != _FINE:
                return False
            if not self._finisher():
                self._set(_FINISHER_OFFSET, self._owner)
            return self._finisher() == self._owner

    def void(self) -> None:
        """What is written is of no use: whoever works on it shall stop."""
        with self._locked():
            self._set(_STATE_OFFSET, _VOID)

    def _release(self, owners: set[int]) -> None:
        for index, span in enumerate(self._spans()):
            if span.owner in owners:
                self._write_span(index, span._replace(owner=0))

    def _is_sound(self) -> bool:
        head = self._read(_HEAD.size, 0)
        if len(head) < _HEAD.size:
            return False
        mark, _, total_bytes, _ = _HEAD.unpack(head)
        if mark != _MARK or total_bytes != self._total_bytes:
            return False
        return all(
            span.position >= 0 and 0 <= span.end <= self._total_bytes
            for span in self._spans()
        )

    def _state(self) -> int:
        return self._number(_STATE_OFFSET)

    def _finisher(self) -> int:
        return self._number(_FINISHER_OFFSET)

    def _number(self, offset: int) -> int:
        data = self._read(_NUMBER.size, offset)
        if len(data) < _NUMBER.size:
            raise PartLost("go on with", self._place, "its map has become shorter")
        return int(_NUMBER.unpack(data)[0])

    def _set(self, offset: int, number: int) -> None:
        self._write(_NUMBER.pack(number), offset)

    def _spans(self) -> list[Span]:
        data = self._read(MOST_SPANS * _SPAN.size, _HEAD.size)
        whole = len(data) // _SPAN.size * _SPAN.size
        if not whole:  # nobody's bytes would count as written
            raise PartLost("go on with", self._place, "its map has become shorter")
        return [Span(*values) for values in _SPAN.iter_unpack(data[:whole])]

    def _append(self, count: int, spans: list[Span]) -> None:
        """Add spans behind so many, all at once."""
        if spans:
            data = b"".join(_SPAN.pack(*span) for span in spans)
            self._write(data, self._offset(count))

    def _write_span(self, index: int, span: Span) -> None:
        self._write(_SPAN.pack(*span), self._offset(index))

    def _write_end(self, index: int, end: int) -> None:
        # Its end alone: how far it has come is for whoever writes it to say.
        self._write(_NUMBER.pack(end), self._offset(index) + _NUMBER.size)

    def _read(self, size_bytes: int, offset: int) -> bytes:
        try:
            return os.pread(self._fd, size_bytes, offset)
        except OSError as error:
            raise disk_error("read", self._place, error) from error

    def _write(self, data: bytes, offset: int) -> None:
        try:
            written_bytes = os.pwrite(self._fd, data, offset)
        except OSError as error:
            raise disk_error("write", self._place, error) from error
        if written_bytes < len(data):  # so says a disk that fills up meanwhile
            raise DiskError("write", self._place, os.strerror(errno.ENOSPC))

    @staticmethod
    def _offset(index: int) -> int:
        return _HEAD.size + index * _SPAN.size

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with translated("lock", self._place):
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # closing it lets go as well
                fcntl.flock(self._fd, fcntl.LOCK_UN)

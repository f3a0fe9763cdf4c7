"""One attempt's share in a divided part: the bytes it fetches at present."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from downloader.errors import DiskError, TransportError
from downloader.models import Partial
from downloader.policy import digests, segments
from downloader.transfer import part_record
from downloader.transfer.front_digest import FrontDigest
from downloader.transfer.segment_map import MOST_SPANS, SegmentMap

if TYPE_CHECKING:
    from collections.abc import Callable

    from downloader.models import Attempt
    from downloader.transfer.folder import Folder
    from downloader.transfer.part_file import PartFile
    from downloader.transfer.plan import Plan


class Share:
    """Bytes of a divided part, claimed, written and given back.

    Args:
        folder: The worker's view of the output folder.
        attempt: Whose share it is.
        plan: The run's constants.
        part: The part, open.
        partial: What it is a part of; with its total.
        is_new: Whether this attempt divides it, and has all of it until others join.

    Attributes:
        awaited_seconds: Of the last `await_rest`: until others had written all.
    """

    def __init__(
        self,
        folder: Folder,
        attempt: Attempt,
        plan: Plan,
        part: PartFile,
        partial: Partial,
        *,
        is_new: bool,
    ) -> None:
        assert partial.total_bytes is not None
        self.partial = partial
        self.total_bytes = partial.total_bytes
        self._part = part
        self._folder, self._path = folder, attempt.path
        self._owner = _owner(attempt.id)
        self._bounds = segments.bounds(
            self.total_bytes,
            max(1, plan.segments),
            plan.min_segment_bytes,
            MOST_SPANS,
            hashes=part.algorithm not in digests.QUICK and plan.segments > 1,
        )
        # Against a claim by the thread that waits for the rest, after the attempt's end.
        self._lock = threading.Lock()
        self._longest_silence_seconds = _SILENCES * plan.timeout_seconds
        self._front: FrontDigest | None = None
        self._is_over = False
        self.has_enough = self.is_whole = False
        self.awaited_seconds = 0.0
        self._map = self._open_map(is_new=is_new)
        if not attempt.joins:
            if not is_new:
                self._map.release_others()
            self._follow()

    def __del__(self) -> None:
        if self._front is not None:
            self._front.stop()

    @property
    def written_bytes(self) -> int:
        """What all together have written."""
        return self._map.written_bytes

    def claim(self, *, alone: bool = False) -> tuple[int, int] | None:
        """The next bytes to fetch, from where to where; None if none are left for us.

        `alone` is for whoever begins: all that is free, of which others may take.
        """
        bounds = self._bounds
        if alone:
            bounds = bounds._replace(piece_bytes=self.total_bytes)
        with self._lock:
            self.has_enough = False
            return None if self._is_over else self._map.claim(bounds)

    def take(self, data: bytes) -> None:
        """Write some bytes; `has_enough` says that ours have all come.

        Raises:
            DiskError: The disk is full or refuses.
        """
        position = self._map.position
        room = self._map.end - position
        self.has_enough = room <= len(data)
        if room > 0:
            piece = memoryview(data)[:room]
            self._part.write_at(piece, position)
            self._map.advance(position + len(piece))
        if self.has_enough and self._front is not None:
            self._front.look()

    def finishes(self) -> bool:
        """True if it falls to us to finish the file; others have only to leave."""
        if not self._map.finishes():
            return False
        if self._front is None:  # whoever began it is gone
            self._follow()
        return True

    def await_rest(self) -> tuple[int, int] | None:
        """Wait until all of the part is written and hashed: `is_whole` then.

        Returns:
            Some bytes that are ours to fetch after all, left by others. None if the file
            is whole, what there was of it is of no use, or the wait was broken off.

        Raises:
            DiskError: The part cannot be read.
        """
        front = self._front
        assert front is not None
        written_bytes, since = -1, 0.0
        began_at = time.monotonic()
        self.awaited_seconds = 0.0
        while not front.wait(_LOOK_SECONDS):
            if self.written_bytes < self.total_bytes:
                self.awaited_seconds = time.monotonic() - began_at
            span = self.claim()
            if span is not None or not self._is_ours_still():
                return span
            now = time.monotonic()
            if self.written_bytes != written_bytes:
                written_bytes, since = self.written_bytes, now
            elif now - since > self._longest_silence_seconds:
                # Whoever was to write it could not even say that it will not come.
                self._take_over()
                since = now
        hash_seconds = time.monotonic() - began_at - self.awaited_seconds
        self._part.gathered(front.digest, self.total_bytes, hash_seconds)
        self.is_whole = True
        return None

    def _take_over(self) -> None:
        with self._lock:
            if not self._is_over:
                self._map.release_others()

    def _is_ours_still(self) -> bool:
        with self._lock:
            return not self._is_over and self._map.finishes()

    def interrupt(self) -> None:
        """End `await_rest`; from any thread."""
        self._is_over = True

    def leave(self) -> None:
        """Leave what of ours has not come to others."""
        self._end(self._map.release)

    def give_back(self) -> None:
        """Have whoever had our bytes before fetch them after all."""
        self._end(self._map.give_back)

    def void(self) -> None:
        """What has come is of no use; whoever works on it stops."""
        self._end(self._map.void)

    def _end(self, step: Callable[[], None]) -> None:
        with self._lock:
            self._is_over = True
            # A map that cannot be written any more must not end more than the attempt;
            # whoever waits for what is ours sees that nothing comes.
            with contextlib.suppress(DiskError, TransportError):
                step()
            self._map.close()
        if self._front is not None:
            self._front.stop()

    def _open_map(self, *, is_new: bool) -> SegmentMap:
        place = part_record.map_place(self._path)
        return SegmentMap(
            self._folder, place, self._owner, self.total_bytes, is_new=is_new
        )

    def _follow(self) -> None:
        """Hash the part while it comes, seeing the map through a view of its own."""
        view = self._open_map(is_new=False)
        digest, descriptor = self._part.new_digest()
        self._front = FrontDigest(
            digest, descriptor, view, self.total_bytes, self._path
        )


# How often whoever waits for the rest looks whether others have left something of it.
_LOOK_SECONDS = 0.05
# After so many times the patience for one silence all who are alive have ended.
_SILENCES = 3


def release_share(folder: Folder, path: str, attempt_id: int, partial: Partial) -> None:
    """Leave what an attempt had of a divided part to others: its worker is dead.

    Raises:
        DiskError: There is no such part any more.
    """
    place = part_record.map_place(path)
    shared = SegmentMap(
        folder, place, _owner(attempt_id), partial.total_bytes or 0, is_new=False
    )
    shared.release()
    shared.close()


def _owner(attempt_id: int) -> int:
    return attempt_id + 1  # 0 is nobody

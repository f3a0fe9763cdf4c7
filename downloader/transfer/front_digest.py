"""The digest of a part that several write, taken from its beginning while they do.

A thread reads what the map says is written, out of the system's cache, and waits where
something is missing. So when the last piece comes there is little left to hash, whoever
wrote the others: threads, processes or an earlier run.
"""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING

from downloader.errors import PartLost
from downloader.policy import digests
from downloader.transfer.folder import translated

if TYPE_CHECKING:
    from downloader.transfer.digest import Digest
    from downloader.transfer.segment_map import SegmentMap

# Read at a time: it stays in the processor's cache until it is hashed.
_READ_BYTES = 256 << 10
# How often to look at the map, which other processes change without a word.
_LOOK_SECONDS = 0.02


class FrontDigest:
    """Hashes a divided part in a thread of its own, from `start` to its end or `stop`.

    Args:
        digest: What takes the bytes in.
        descriptor: The part, open; closed here.
        segment_map: Its map, opened for this alone; closed here.
        total_bytes: The file's length.
        path: The file's name, for messages.

    Attributes:
        digest: Of use once `wait` has said so.
    """

    def __init__(
        self,
        digest: Digest,
        descriptor: int,
        segment_map: SegmentMap,
        total_bytes: int,
        path: str,
    ) -> None:
        self.digest = digest
        self._descriptor = descriptor
        self._map = segment_map
        self._total_bytes = total_bytes
        self._path = path
        self._error: Exception | None = None
        self._is_stopped = self._is_whole = False
        self._news = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name="downloader-front", daemon=True
        )
        self._thread.start()

    def look(self) -> None:
        """Something was written: look at once how far the front is."""
        self._news.set()

    def wait(self, seconds: float) -> bool:
        """True if all of the file has been hashed, within so many seconds.

        Raises:
            PartLost: The part is shorter than its map says.
            DiskError: It cannot be read.
        """
        self._over.wait(seconds)
        if self._error is not None:
            raise self._error
        return self._is_whole

    def stop(self) -> None:
        """End the thread, wherever it is; called again it does nothing."""
        self._is_stopped = True
        self._news.set()

    def _run(self) -> None:
        try:
            with translated("read", self._path):
                self._hash_all()
        except Exception as error:  # noqa: BLE001 - told to whoever waits
            self._error = error
        finally:
            self._map.close()
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._over.set()

    def _hash_all(self) -> None:
        position = 0
        while position < self._total_bytes and not self._is_stopped:
            self._news.clear()
            front = self._map.front
            if front <= position:
                self._news.wait(_LOOK_SECONDS)
            position = self._hash(position, front)
        self._is_whole = position >= self._total_bytes

    def _hash(self, position: int, front: int) -> int:
        if self.digest.algorithm == digests.NONE:
            return max(position, front)
        while position < front and not self._is_stopped:
            size_bytes = min(front - position, _READ_BYTES)
            block = os.pread(self._descriptor, size_bytes, position)
            if not block:
                raise PartLost("go on with", self._path, "its part has become shorter")
            self.digest.update(block)
            position += len(block)
        return position

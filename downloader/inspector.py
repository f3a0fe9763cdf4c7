"""Reads files for their digests beside a run, so that large ones hold nothing up."""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from downloader.errors import DownloaderError
from downloader.policy import digests
from downloader.transfer.digest import Digest
from downloader.transfer.folder import Folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import ThreadPoolExecutor

_READ_BYTES = 1 << 20
# hashlib lets go of the interpreter, so that threads use several cores; disks are not
# quicker for being asked by more.
_THREADS = 4

Subject = TypeVar("Subject")


class Inspector(Generic[Subject]):
    """Hashes files below a folder in threads; one thread asks, and collects.

    Args:
        root: The output folder's absolute path.
        wake: Called, from another thread, when there is something to collect.
    """

    # More than this many questions at a time are not to be asked.
    MOST_PENDING = 64

    def __init__(self, root: str, wake: Callable[[], None]) -> None:
        self._root = root
        self._wake = wake
        self._pool: ThreadPoolExecutor | None = None
        self._answers: deque[tuple[Subject, str | None]] = deque()
        # A plain value: a signal handler sets it, and must wait for no lock.
        self._is_stopped = False
        self.pending = 0

    @property
    def has_room(self) -> bool:
        """True if another file may be asked for."""
        return self.pending < self.MOST_PENDING

    def ask(self, subject: Subject, path: str, algorithm: str = digests.SHA256) -> None:
        """Have the file under a relative path read, and hashed as it was before."""
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor  # 11 ms

            self._pool = ThreadPoolExecutor(
                _THREADS, thread_name_prefix="downloader-inspector"
            )
        self.pending += 1
        self._pool.submit(self._run, subject, path, algorithm)

    def collect(self) -> list[tuple[Subject, str | None]]:
        """What has been found: each subject with its digest, None if it cannot be read."""
        found = []
        while self._answers:
            found.append(self._answers.popleft())
        self.pending -= len(found)
        return found

    def stop(self) -> None:
        """End early: what is not read yet is answered with None, in no time."""
        self._is_stopped = True

    def close(self) -> None:
        """End all threads; called again it does nothing."""
        self.stop()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, subject: Subject, path: str, algorithm: str) -> None:
        try:
            answer = self._read(path, algorithm)
        except (OSError, DownloaderError):
            answer = None
        self._answers.append((subject, answer))
        self._wake()

    def _read(self, path: str, algorithm: str) -> str | None:
        folder = Folder(self._root, most_open=1)
        try:
            descriptor = folder.open_file(path)
        finally:
            folder.close()
        digest = Digest(algorithm)
        with os.fdopen(descriptor, "rb", buffering=0) as stream:
            while block := stream.read(_READ_BYTES):
                if self._is_stopped:
                    return None
                digest.update(block)
        return digest.text()

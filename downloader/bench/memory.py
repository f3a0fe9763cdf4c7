"""Private memory of a process and its descendants, as Linux counts it; None elsewhere.

PSS, the proportional set size, gives each page divided by the number of processes that
share it, so that a sum over a tree counts no library twice. The resident size would, and
makes forked workers look as heavy as their parent.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["PeakMemory", "can_tell", "tree", "tree_bytes"]


def can_tell() -> bool:
    """True if this system says what a process holds for itself."""
    return os.path.exists("/proc/self/smaps_rollup")


def tree(pid: int) -> list[int]:
    """A process and all its descendants that live now."""
    found = [pid]
    for one in found:
        with suppress(OSError):
            for thread in os.listdir(f"/proc/{one}/task"):
                with open(f"/proc/{one}/task/{thread}/children", "rb") as file:
                    found += [int(child) for child in file.read().split()]
    return found


def _pss_bytes(pid: int) -> int:
    """What one process holds; 0 if it has just ended."""
    with suppress(OSError), open(f"/proc/{pid}/smaps_rollup", "rb") as file:
        for line in file:
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def tree_bytes(pid: int) -> int | None:
    """What a process and its descendants hold together; None if the system is silent."""
    if not can_tell():
        return None
    return sum(_pss_bytes(one) for one in tree(pid))


class PeakMemory:
    """The most that a process tree held, looked at from outside of it, from `with` on.

    A thread of the observer looks every tenth of a second, so what is held for less
    than that may be missed; the observed process spends nothing on it.

    Attributes:
        peak_bytes: None where the system does not tell.
    """

    INTERVAL_SECONDS = 0.1

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.peak_bytes: int | None = tree_bytes(pid)

    def __enter__(self) -> Self:
        if self.peak_bytes is not None:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        # The pause comes last, so that a short run is seen at least once.
        while True:
            self.peak_bytes = max(self.peak_bytes or 0, tree_bytes(self._pid) or 0)
            if self._is_over.wait(self.INTERVAL_SECONDS):
                return

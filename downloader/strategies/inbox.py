"""The queue through which other threads, and signal handlers, reach the owner's thread."""

from __future__ import annotations

import contextlib
import queue
from typing import Generic, TypeVar

T = TypeVar("T")


class Inbox(Generic[T]):
    """Things on their way to the owner's thread.

    A `SimpleQueue`, since its `put` is safe in a signal handler, which an event or a
    condition is not.
    """

    def __init__(self) -> None:
        self._things: queue.SimpleQueue[T | None] = queue.SimpleQueue()
        self.put = self._things.put

    def wake(self) -> None:
        """Make `collect` return, now or when it is called next."""
        self._things.put(None)

    def collect(self, timeout_seconds: float) -> list[T]:
        """All that is there, or the first that comes within the time."""
        things: list[T] = []
        with contextlib.suppress(queue.Empty):
            first = self._things.get(timeout=timeout_seconds)
            while True:
                if first is not None:
                    things.append(first)
                first = self._things.get_nowait()
        return things

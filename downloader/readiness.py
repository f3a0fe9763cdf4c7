"""How long threads of a run stood ready without a core, by the kernel's own account.

On a machine that others use as well the CPU time alone does not say whether a run lacks
CPU: one that gets half a core and wants a whole one looks idle otherwise.
"""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_OWN_TASKS = "/proc/self/task"


class Readiness:
    """Counts from its making on; where the system does not tell, always 0."""

    def __init__(self) -> None:
        self._before = _own_nanoseconds()

    def own_seconds(self) -> float:
        """Summed over this process's threads, but those that have ended."""
        return sum(map(self._since, _own_nanoseconds().items())) / 1e9

    def thread_seconds(self) -> float:
        """Those of the calling thread alone."""
        task = str(threading.get_native_id())
        return self._since((task, _own_nanoseconds().get(task, 0))) / 1e9

    def _since(self, task_now: tuple[str, int]) -> int:
        task, now = task_now
        return now - self._before.get(task, 0)


def ready_seconds(pids: Iterable[int]) -> float:
    """Summed over the main threads of these processes, but those that have ended."""
    return sum(_nanoseconds(f"/proc/{pid}/schedstat") for pid in pids) / 1e9


def _own_nanoseconds() -> dict[str, int]:
    """By thread."""
    tasks: list[str] = []
    with contextlib.suppress(OSError):
        tasks = os.listdir(_OWN_TASKS)
    return {task: _nanoseconds(f"{_OWN_TASKS}/{task}/schedstat") for task in tasks}


def _nanoseconds(path: str) -> int:
    """The second of three numbers: on a core, ready, and how often."""
    try:
        with open(path, "rb") as stream:
            return int(stream.read().split()[1])
    except (OSError, IndexError, ValueError):
        return 0

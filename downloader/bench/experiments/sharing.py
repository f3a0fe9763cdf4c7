"""Claim 5: updates of a number that threads share, with and without a lock."""

from __future__ import annotations

import multiprocessing
import threading
from typing import TYPE_CHECKING

from downloader.bench.experiments.findings import Sharing

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["measure"]

_THREADS = 4


class _Shared:
    """A number that everybody changes."""

    def __init__(self) -> None:
        self.number = 0
        self.lock = threading.Lock()


def _add_bare(shared: _Shared, times: int) -> None:
    for _ in range(times):
        shared.number += 1


def _add_by_call(shared: _Shared, times: int) -> None:
    # Between the call's return and the assignment another thread may have its turn.
    for _ in range(times):
        shared.number = int(shared.number) + 1


def _add_locked(shared: _Shared, times: int) -> None:
    for _ in range(times):
        with shared.lock:
            shared.number = int(shared.number) + 1


def measure(rounds: int, times: int) -> Sharing:
    """Rounds in which four threads change one number, `times` each."""
    lost = {
        way: [_lost(way, times) for _ in range(rounds)]
        for way in (_add_bare, _add_by_call, _add_locked)
    }
    return Sharing(
        expected=_THREADS * times,
        threads=_THREADS,
        lost_bare=lost[_add_bare],
        lost_call=lost[_add_by_call],
        lost_locked=lost[_add_locked],
        seen_by_parent=_seen_by_parent(),
    )


def _lost(way: Callable[[_Shared, int], None], times: int) -> int:
    shared = _Shared()
    threads = [
        threading.Thread(target=way, args=(shared, times)) for _ in range(_THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return _THREADS * times - shared.number


_own = [0]


def _add_in_process() -> None:
    _own[0] += 1


def _seen_by_parent() -> int:
    """What is left here of the updates that child processes make to the same name."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_add_in_process) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return _own[0]

"""Claim 10: two locks, two orders; and two ways out.

The stuck threads are real and stay stuck: they are daemons of a process that ends soon.
"""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING

from downloader.bench.experiments.findings import Deadlock

if TYPE_CHECKING:
    from collections.abc import Callable

    Pair = tuple[threading.Lock, threading.Lock]

__all__ = ["measure"]

_MOST_SECONDS = 10.0


def measure(rounds: int, patience_seconds: float) -> Deadlock:
    """Two threads each way; in both ways out they meet as often as they can."""
    return Deadlock(
        stuck=_opposite_orders(patience_seconds),
        waited_seconds=patience_seconds,
        rounds=rounds,
        same_order_done=_met(rounds, _in_order),
        retreating_done=_met(rounds, _retreating),
    )


def _opposite_orders(patience_seconds: float) -> int:
    """How many of two threads are still stuck after their time."""
    first, second = threading.Lock(), threading.Lock()
    both_hold_one = threading.Barrier(2)

    def take(one: threading.Lock, other: threading.Lock) -> None:
        with one:
            both_hold_one.wait()
            with other:
                pass

    threads = [
        threading.Thread(target=take, args=pair, daemon=True)
        for pair in ((first, second), (second, first))
    ]
    return _still_alive(threads, patience_seconds)


def _still_alive(threads: list[threading.Thread], seconds: float) -> int:
    for thread in threads:
        thread.start()
    until = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return sum(thread.is_alive() for thread in threads)


def _met(rounds: int, take: Callable[[Pair], None]) -> int:
    """Rounds that two threads finished that want the locks in two orders."""
    first, second = threading.Lock(), threading.Lock()
    both_are_there = threading.Barrier(2)
    done = [0, 0]

    def run(number: int, pair: Pair) -> None:
        for _ in range(rounds):
            both_are_there.wait()
            take(pair)
            done[number] += 1

    threads = [
        threading.Thread(target=run, args=(number, pair), daemon=True)
        for number, pair in enumerate(((first, second), (second, first)))
    ]
    _still_alive(threads, _MOST_SECONDS)
    return min(done)


def _in_order(pair: Pair) -> None:
    """Take the locks in the one order that all agree on, whatever was asked for."""
    one, other = sorted(pair, key=id)
    with one, other:
        pass


def _retreating(pair: Pair) -> None:
    """Take the second lock only if it comes soon; else let go of the first, try again."""
    one, other = pair
    while True:
        with one:
            if other.acquire(timeout=0.001):
                other.release()
                return
        # Random, so that two that retreat do not meet again for ever.
        time.sleep(random.uniform(0.0, 0.002))  # noqa: S311 - a pause

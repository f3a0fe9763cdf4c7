"""Claim 3: what it costs to start a worker, and to switch to another one."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any

from downloader.bench.experiments.findings import Starting

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

__all__ = ["measure", "start_methods"]

_THREADS = 100
_PROCESSES = 3
_HAND_OVERS = 2_000


def start_methods() -> list[str]:
    """The methods of `multiprocessing` that can be trusted on this system."""
    methods = multiprocessing.get_all_start_methods()
    # System libraries of macOS may crash in a forked process; see bpo-33725.
    return [name for name in methods if (name, sys.platform) != ("fork", "darwin")]


def measure(rounds: int) -> Starting:
    """Start and join, hand over and back; rounds interleave the kinds."""
    start: dict[str, list[float]] = {}
    switch: dict[str, list[float]] = {}
    with warnings.catch_warnings():
        # From 3.12 on a fork beside a sleeping thread warns; ours holds no lock.
        warnings.simplefilter("ignore", DeprecationWarning)
        for _ in range(rounds):
            start.setdefault("thread", []).append(_start_threads())
            for method in start_methods():
                kind = f"process by {method}"
                start.setdefault(kind, []).append(_start_processes(method))
    is_pinned = _pin()
    for _ in range(rounds):
        switch.setdefault("thread", []).append(_hand_over(threading.Thread))
        context: Any = multiprocessing.get_context(start_methods()[0])
        switch.setdefault("process", []).append(_hand_over(context.Process))
    return Starting(start_seconds=start, switch_seconds=switch, is_pinned=is_pinned)


def _nothing() -> None:
    """What a worker does whose start alone is of interest."""


def _start_threads() -> float:
    began = time.perf_counter()
    for _ in range(_THREADS):
        thread = threading.Thread(target=_nothing)
        thread.start()
        thread.join()
    return (time.perf_counter() - began) / _THREADS


def _start_processes(method: str) -> float:
    context: Any = multiprocessing.get_context(method)
    # The first one also starts the fork server, which serves all later ones.
    _start_one(context)
    began = time.perf_counter()
    for _ in range(_PROCESSES):
        _start_one(context)
    return (time.perf_counter() - began) / _PROCESSES


def _start_one(context: Any) -> None:
    process = context.Process(target=_nothing)
    process.start()
    process.join()


def _pin() -> bool:
    """Keep this process and its children on one core, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        return False
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    return True


def _hand_over(make: Callable[..., Any]) -> float:
    """Seconds of one hand-over: a byte goes to the other worker and back, many times."""
    here, there = multiprocessing.Pipe()
    worker = make(target=_echo, args=(there,))
    worker.start()
    _round_trip(here, _HAND_OVERS // 10)
    began = time.perf_counter()
    _round_trip(here, _HAND_OVERS)
    seconds = time.perf_counter() - began
    here.send_bytes(b"")
    worker.join()
    return seconds / _HAND_OVERS / 2


def _round_trip(here: Connection, times: int) -> None:
    for _ in range(times):
        here.send_bytes(b"x")
        here.recv_bytes()


def _echo(there: Connection) -> None:
    while there.recv_bytes() != b"":
        there.send_bytes(b"x")

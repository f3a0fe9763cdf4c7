"""Claim 3: what it costs to start a worker, and to switch to another one."""

from __future__ import annotations

import multiprocessing
import os
import random
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
# The difference is small, so it takes many short pairs to see it.
_PAIRS_A_ROUND = 5
_BYTE, _END = b"x", b"e"


def start_methods() -> list[str]:
    """The methods of `multiprocessing` that can be trusted on this system."""
    methods = multiprocessing.get_all_start_methods()
    # System libraries of macOS may crash in a forked process; see bpo-33725.
    return [name for name in methods if (name, sys.platform) != ("fork", "darwin")]


def measure(rounds: int, seed: int = 0) -> Starting:
    """Start and join, hand over and back; rounds interleave the kinds in random order."""
    start: dict[str, list[float]] = {}
    switch: dict[str, list[float]] = {}
    chance = random.Random(seed)  # noqa: S311 - an order
    with warnings.catch_warnings():
        # From 3.12 on a fork beside a sleeping thread warns; ours holds no lock.
        warnings.simplefilter("ignore", DeprecationWarning)
        kinds = [None, *start_methods()]
        for _ in range(rounds):
            for method in chance.sample(kinds, len(kinds)):
                kind = f"process by {method}" if method else "thread"
                seconds = _start_processes(method) if method else _start_threads()
                start.setdefault(kind, []).append(seconds)
    is_pinned = _pin()
    context: Any = multiprocessing.get_context(start_methods()[0])
    makers = {"thread": threading.Thread, "process": context.Process}
    for _ in range(rounds * _PAIRS_A_ROUND):
        for kind in chance.sample(list(makers), len(makers)):
            switch.setdefault(kind, []).append(_hand_over(makers[kind]))
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
    its_orders, to_it = multiprocessing.Pipe(duplex=False)
    from_it, its_answers = multiprocessing.Pipe(duplex=False)
    # Pinned by itself as well: a fork server's child has the server's cores.
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    worker = make(target=_echo, args=(its_orders, its_answers, cores))
    worker.start()
    _round_trips(to_it, from_it, _HAND_OVERS // 10)
    began = time.perf_counter()
    _round_trips(to_it, from_it, _HAND_OVERS)
    seconds = time.perf_counter() - began
    _write(to_it, _END)
    worker.join()
    for end in (to_it, its_orders, from_it, its_answers):
        end.close()
    return seconds / _HAND_OVERS / 2


def _round_trips(to_it: Connection, from_it: Connection, times: int) -> None:
    for _ in range(times):
        _write(to_it, _BYTE)
        _read(from_it)


def _echo(orders: Connection, answers: Connection, cores: list[int]) -> None:
    if cores:
        os.sched_setaffinity(0, cores)
    while _read(orders) == _BYTE:
        _write(answers, _BYTE)


def _write(end: Connection, byte: bytes) -> None:
    # Past the framing of `Connection`, which costs several times what a switch does.
    if os.name == "posix":
        os.write(end.fileno(), byte)
    else:
        end.send_bytes(byte)


def _read(end: Connection) -> bytes:
    return os.read(end.fileno(), 1) if os.name == "posix" else end.recv_bytes()

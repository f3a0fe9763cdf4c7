"""Claim 2: what one more worker that is ready to download adds to private memory."""

from __future__ import annotations

import gc
import multiprocessing
import os
import random
import subprocess
import sys
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any, Self

from downloader.bench.experiments.findings import Memory
from downloader.bench.experiments.starting import start_methods
from downloader.bench.memory import tree_bytes

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier, Event

__all__ = ["kinds", "measure"]

_FEWEST_ROUNDS = 3
_CHILD = (
    "import sys; from downloader.bench.experiments.memory_use import make_ready; "
    "kept = make_ready(); print(flush=True); sys.stdin.read()"
)


def kinds() -> list[str]:
    """Every kind of worker that this system has."""
    processes = [f"process by {method}" for method in start_methods()]
    return ["thread", *processes, "child program"]


def make_ready() -> object:
    """What a worker needs before its first download: the engine and an HTTP session."""
    import requests

    import downloader.strategies.blocking  # noqa: F401 - loading it is the point

    return requests.Session()


def measure(rounds: int, workers: int, seed: int, budget_seconds: float) -> Memory:
    """Memory with so many idle workers more less memory before, for each worker.

    Kinds come in random order in each round; this process stands for the parent of all.

    Args:
        rounds: Rounds at most.
        workers: Workers of each kind in each round.
        seed: Decides the order.
        budget_seconds: When over, no round begins but the first three.
    """
    kept = make_ready()
    if tree_bytes(os.getpid()) is None:
        return Memory(worker_bytes={})
    found: dict[str, list[float]] = {kind: [] for kind in kinds()}
    chance = random.Random(seed)  # noqa: S311 - an order
    began = time.monotonic()
    with warnings.catch_warnings(), _Threads() as threads:
        # From 3.12 on a fork beside a sleeping thread warns; ours holds no lock.
        warnings.simplefilter("ignore", DeprecationWarning)
        _start_fork_server()
        for number in range(rounds):
            is_late = time.monotonic() - began > budget_seconds
            if number >= _FEWEST_ROUNDS and is_late:
                break
            for kind in chance.sample(list(found), len(found)):
                found[kind].append(_added(kind, workers, threads) / workers)
    del kept
    return Memory(worker_bytes=found)


def _start_fork_server() -> None:
    """The server is there once for all workers, so it is not what one more costs."""
    if "forkserver" in start_methods():
        process = multiprocessing.get_context("forkserver").Process(target=_nothing)
        process.start()
        process.join()


def _nothing() -> None:
    """What a worker does that is started for its server alone."""


def _added(kind: str, workers: int, threads: _Threads) -> int:
    gc.collect()
    before = _settled_bytes()
    match kind.split(" by "):
        case ["thread"]:
            threads.add(workers)
            return _settled_bytes() - before
        case ["process", method]:
            return _with_processes(method, workers) - before
        case _:
            return _with_programs(workers) - before


class _Threads:
    """Idle threads that stay until the end, so that none gets what another one freed."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def add(self, workers: int) -> None:
        """Start so many more, and return when all are ready."""
        ready = threading.Barrier(workers + 1)
        more = [
            threading.Thread(target=_idle, args=(ready, self._over))
            for _ in range(workers)
        ]
        for thread in more:
            thread.start()
        ready.wait()
        self._threads += more


def _with_processes(method: str, workers: int) -> int:
    context: Any = multiprocessing.get_context(method)
    ready, over = context.Barrier(workers + 1), context.Event()
    processes = [
        context.Process(target=_idle, args=(ready, over)) for _ in range(workers)
    ]
    for process in processes:
        process.start()
    ready.wait()
    held = _settled_bytes()
    over.set()
    for process in processes:
        process.join()
    return held


def _idle(ready: Barrier, over: Event) -> None:
    kept = make_ready()
    ready.wait()
    over.wait()
    del kept


def _with_programs(workers: int) -> int:
    children = [
        subprocess.Popen(  # noqa: S603 - this interpreter, this module
            [sys.executable, "-P", "-c", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(workers)
    ]
    for child in children:
        assert child.stdout is not None
        child.stdout.readline()
    held = _settled_bytes()
    for child in children:
        child.communicate()
    return held


def _settled_bytes() -> int:
    time.sleep(0.05)
    return tree_bytes(os.getpid()) or 0

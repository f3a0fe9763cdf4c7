"""Claim 2: what one more worker that is ready to download adds to private memory."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from downloader.bench.experiments.findings import Memory
from downloader.bench.experiments.starting import start_methods
from downloader.bench.memory import tree_bytes

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier, Event

__all__ = ["kinds", "measure"]

_WORKERS = 4
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


def measure(kind: str) -> Memory:
    """Memory with idle workers less memory without, by worker; this process has both."""
    kept = make_ready()
    before = tree_bytes(os.getpid())
    if before is None:
        return Memory(kind=kind, worker_bytes=None)
    match kind.split(" by "):
        case ["thread"]:
            after = _with_threads()
        case ["process", method]:
            after = _with_processes(method)
        case _:
            after = _with_programs()
    del kept
    return Memory(kind=kind, worker_bytes=(after - before) / _WORKERS)


def _with_threads() -> int:
    ready, over = threading.Barrier(_WORKERS + 1), threading.Event()
    threads = [
        threading.Thread(target=_idle, args=(ready, over)) for _ in range(_WORKERS)
    ]
    return _look(threads, ready, over)


def _with_processes(method: str) -> int:
    context: Any = multiprocessing.get_context(method)
    ready, over = context.Barrier(_WORKERS + 1), context.Event()
    processes = [
        context.Process(target=_idle, args=(ready, over)) for _ in range(_WORKERS)
    ]
    return _look(processes, ready, over)


def _look(workers: list[Any], ready: Any, over: Any) -> int:
    for worker in workers:
        worker.start()
    ready.wait()
    held = _settled_bytes()
    over.set()
    for worker in workers:
        worker.join()
    return held


def _idle(ready: Barrier, over: Event) -> None:
    kept = make_ready()
    ready.wait()
    over.wait()
    del kept


def _with_programs() -> int:
    children = [
        subprocess.Popen(  # noqa: S603 - this interpreter, this module
            [sys.executable, "-P", "-c", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(_WORKERS)
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

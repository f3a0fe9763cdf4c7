"""Claim 7: what a result costs on its way from a worker, in time and in bytes."""

from __future__ import annotations

import multiprocessing
import pickle
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import TYPE_CHECKING

from downloader.bench.experiments.findings import Passing

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SIZES", "measure", "serve_child"]

# A row of a report, and a page's text.
SIZES = (200, 1 << 20)
_RESULTS = {SIZES[0]: 300, SIZES[1]: 12}
_LENGTH_BYTES = 8


def make(size: int) -> bytes:
    """A result of a size; every worker makes it anew."""
    return bytes(size)


def serve_child() -> None:
    """A child program: a size comes in a line, a length and so many bytes go out."""
    for line in sys.stdin.buffer:
        body = make(int(line))
        sys.stdout.buffer.write(len(body).to_bytes(_LENGTH_BYTES) + body)
        sys.stdout.buffer.flush()


def measure(rounds: int) -> Passing:
    """One result after another, by each way, in interleaved rounds; workers are warm."""
    context = multiprocessing.get_context("spawn")
    code = "from downloader.bench.experiments.passing import serve_child; serve_child()"
    child = subprocess.Popen(  # noqa: S603 - this interpreter, this module
        [sys.executable, "-P", "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with (
        ThreadPoolExecutor(1) as threads,
        ProcessPoolExecutor(1, mp_context=context) as processes,
    ):
        ways: dict[str, Callable[[int], bytes]] = {
            "thread": lambda size: threads.submit(make, size).result(),
            "process": lambda size: processes.submit(make, size).result(),
            "child program": lambda size: _ask(child, size),
        }
        seconds = _rounds(ways, rounds)
    child.communicate()
    return Passing(seconds=seconds, crossing_bytes=_crossing())


def _rounds(
    ways: dict[str, Callable[[int], bytes]], rounds: int
) -> dict[str, dict[int, list[float]]]:
    seconds: dict[str, dict[int, list[float]]] = {
        way: {size: [] for size in SIZES} for way in ways
    }
    for ask in ways.values():
        for size in SIZES:
            ask(size)
    for _ in range(rounds):
        for way, ask in ways.items():
            for size in SIZES:
                began = time.perf_counter()
                for _ in range(_RESULTS[size]):
                    ask(size)
                spent = time.perf_counter() - began
                seconds[way][size].append(spent / _RESULTS[size])
    return seconds


def _ask(child: subprocess.Popen[bytes], size: int) -> bytes:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(b"%d\n" % size)
    child.stdin.flush()
    length = int.from_bytes(child.stdout.read(_LENGTH_BYTES))
    return child.stdout.read(length)


def _crossing() -> dict[str, dict[int, int]]:
    return {
        "thread": dict.fromkeys(SIZES, 0),
        "process": {size: len(pickle.dumps(make(size))) for size in SIZES},
        "child program": {size: _LENGTH_BYTES + size for size in SIZES},
    }

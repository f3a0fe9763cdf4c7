"""Claims 4 and 8: Python code that only computes, by every mechanism."""

from __future__ import annotations

import math
import multiprocessing
import queue
import random
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import TYPE_CHECKING

from downloader.bench.experiments.findings import Computing
from downloader.bench.machine import busy_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["compute", "compute_timed", "measure", "serve_child"]

# The work of one round by one worker alone. Long against what a scheduler takes to give a
# worker a core of its own: with 0.12 s, on a busy machine, processes often shared one.
_ROUND_SECONDS = 0.4
# Several pieces a worker, so that one on a slower core gets fewer of them.
_PIECES_A_WORKER = 4
# Shorter ones would measure the handing over.
_SHORTEST_PIECE_SECONDS = 0.01
_FEWEST_ROUNDS = 3


def compute(steps: int) -> int:
    """Plain Python arithmetic: never waits, never lets go of the interpreter's lock."""
    total = 0
    for number in range(steps):
        total = (total * 31 + number) % 1_000_003
    return total


def compute_timed(steps: int) -> float:
    """The CPU seconds that the computation took its thread."""
    began = time.thread_time()
    compute(steps)
    return time.thread_time() - began


def serve_child() -> None:
    """A child program: a number of steps comes in a line, CPU seconds go out."""
    for line in sys.stdin:
        sys.stdout.write(f"{compute_timed(int(line))}\n")
        sys.stdout.flush()


def measure(
    workers: int, rounds: int, seed: int, budget_seconds: float = math.inf
) -> Computing:
    """Rounds of the same work by all mechanisms, in random order; workers are warm.

    When the budget is spent no round begins but the first three.
    """
    number = _PIECES_A_WORKER * workers
    piece = _steps_for(max(_ROUND_SECONDS / number, _SHORTEST_PIECE_SECONDS))
    pieces = [piece] * number
    seconds: dict[str, list[float]] = {}
    utilisation: dict[str, list[float]] = {}
    others: list[float] = []
    context = multiprocessing.get_context("spawn")
    children = [_spawn() for _ in range(workers)]
    with (
        ThreadPoolExecutor(workers) as threads,
        ProcessPoolExecutor(workers, mp_context=context) as processes,
        ThreadPoolExecutor(workers) as feeders,
    ):
        arms: dict[str, Callable[[], list[float]]] = {
            "serial": lambda: [compute_timed(piece) for piece in pieces],
            "threads": lambda: list(threads.map(compute_timed, pieces)),
            "processes": lambda: list(processes.map(compute_timed, pieces)),
            "child programs": lambda: _feed(feeders, children, pieces),
        }
        # Each of the pool's processes is held until all are there.
        list(processes.map(time.sleep, [0.2] * workers))
        for arm in arms.values():
            arm()
        chance = random.Random(seed)  # noqa: S311 - an order of runs
        spent_at = time.monotonic() + budget_seconds
        for number in range(rounds):
            if number >= _FEWEST_ROUNDS and time.monotonic() > spent_at:
                break
            for name in chance.sample(list(arms), len(arms)):
                busy, began = busy_seconds(), time.perf_counter()
                cpu_seconds = sum(arms[name]())
                wall_seconds = time.perf_counter() - began
                seconds.setdefault(name, []).append(wall_seconds)
                utilisation.setdefault(name, []).append(cpu_seconds / wall_seconds)
                others += _used_by_others(busy, cpu_seconds, wall_seconds)
    for child in children:
        child.communicate()
    return Computing(
        seconds=seconds, utilisation=utilisation, others=others, workers=workers
    )


def _used_by_others(
    busy: float | None, own_seconds: float, wall_seconds: float
) -> list[float]:
    """How many cores other programs had meanwhile; nothing where that is unknown."""
    now = busy_seconds()
    if busy is None or now is None:
        return []
    return [max(0.0, (now - busy - own_seconds) / wall_seconds)]


def _steps_for(seconds: float) -> int:
    """How many steps take so long on one core; the fastest of some tries is the truest."""
    steps = 20_000
    fastest = min(compute_timed(steps) for _ in range(10))
    return max(1, int(steps * seconds / fastest))


def _spawn() -> subprocess.Popen[str]:
    code = (
        "from downloader.bench.experiments.computing import serve_child; serve_child()"
    )
    return subprocess.Popen(  # noqa: S603 - this interpreter, this module
        [sys.executable, "-P", "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _feed(
    feeders: ThreadPoolExecutor,
    children: list[subprocess.Popen[str]],
    pieces: list[int],
) -> list[float]:
    """Give each child the next piece as soon as it has done one."""
    took: list[float] = []
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for piece in pieces:
        waiting.put(piece)

    def serve(child: subprocess.Popen[str]) -> None:
        assert child.stdin is not None
        assert child.stdout is not None
        while True:
            try:
                piece = waiting.get_nowait()
            except queue.Empty:
                return
            child.stdin.write(f"{piece}\n")
            child.stdin.flush()
            took.append(float(child.stdout.readline()))

    list(feeders.map(serve, children))
    return took

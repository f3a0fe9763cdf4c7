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

import msgspec

from downloader.bench.experiments.findings import Computing
from downloader.bench.machine import busy_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "Computed",
    "Piece",
    "at_once",
    "compute",
    "compute_timed",
    "measure",
    "serve_child",
]

# The work of one round by one worker alone. Many short rounds find two workers at one
# moment sooner than few long ones, when others take the cores most of the time.
_ROUND_SECONDS = 0.15
# Several pieces a worker, so that one on a slower core gets fewer of them.
_PIECES_A_WORKER = 4
# Shorter ones would measure the handing over.
_SHORTEST_PIECE_SECONDS = 0.01
_FEWEST_ROUNDS = 3
# Far less than the 5 ms after which a thread must hand the interpreter's lock over.
_STRETCH_SECONDS = 0.001
# A stretch that was kept waiting for more of its time is no proof that it ran throughout.
_MOST_DISTURBED = 0.05


def compute(steps: int) -> int:
    """Plain Python arithmetic: never waits, never lets go of the interpreter's lock."""
    total = 0
    for number in range(steps):
        total = (total * 31 + number) % 1_000_003
    return total


class Computed(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a piece took: CPU seconds, and when it ran, by the system-wide clock.

    Attributes:
        spans: Beginnings and ends, in turn, of stretches during which its worker had a
            core all the time.
    """

    cpu_seconds: float
    spans: list[float]


class Piece(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A computation: so many stretches of so many steps."""

    stretches: int
    steps: int


def compute_timed(piece: Piece) -> Computed:
    """Do a piece, and tell when it was that it ran."""
    spans: list[float] = []
    began = time.thread_time()
    for _ in range(piece.stretches):
        cpu, wall = time.thread_time(), time.monotonic()
        compute(piece.steps)
        ended, used = time.monotonic(), time.thread_time() - cpu
        if used >= (1 - _MOST_DISTURBED) * (ended - wall):
            spans += (wall, ended)
    return Computed(time.thread_time() - began, spans)


def at_once(done: Sequence[Computed], level: int) -> float:
    """For how many seconds at least so many workers were seen to run at one moment."""
    turns: list[tuple[float, int]] = []
    for one in done:
        turns += [(place, 1) for place in one.spans[::2]]
        turns += [(place, -1) for place in one.spans[1::2]]
    seconds, running, since = 0.0, 0, 0.0
    for place, change in sorted(turns):
        if running >= level:
            seconds += place - since
        running, since = running + change, place
    return seconds


def serve_child() -> None:
    """A child program: pieces come in, a line each, and what they took goes out."""
    for line in sys.stdin.buffer:
        done = compute_timed(msgspec.json.decode(line, type=Piece))
        sys.stdout.buffer.write(msgspec.json.encode(done) + b"\n")
        sys.stdout.buffer.flush()


def measure(
    workers: int, rounds: int, seed: int, budget_seconds: float = math.inf
) -> Computing:
    """Rounds of the same work by all mechanisms, in random order; workers are warm.

    When the budget is spent no round begins but the first three.
    """
    number = _PIECES_A_WORKER * workers
    piece_seconds = max(_ROUND_SECONDS / number, _SHORTEST_PIECE_SECONDS)
    piece = Piece(round(piece_seconds / _STRETCH_SECONDS), _steps_for(_STRETCH_SECONDS))
    pieces = [piece] * number
    found = Computing(workers=workers)
    context = multiprocessing.get_context("spawn")
    children = [_spawn() for _ in range(workers)]
    with (
        ThreadPoolExecutor(workers) as threads,
        ProcessPoolExecutor(workers, mp_context=context) as processes,
        ThreadPoolExecutor(workers) as feeders,
    ):
        arms: dict[str, Callable[[], list[Computed]]] = {
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
                _measure(name, arms[name], found)
    for child in children:
        child.communicate()
    return found


def _measure(name: str, arm: Callable[[], list[Computed]], found: Computing) -> None:
    """One mechanism's turn in a round, added to what was found."""
    busy, began = busy_seconds(), time.perf_counter()
    done = arm()
    wall_seconds = time.perf_counter() - began
    cpu_seconds = sum(one.cpu_seconds for one in done)
    # Not of all the time: what others took of it is no fault of the mechanism's.
    ran_seconds = at_once(done, 1) or math.inf
    told = {
        "seconds": wall_seconds,
        "utilisation": cpu_seconds / wall_seconds,
        "two_at_once": at_once(done, 2) / ran_seconds,
        "all_at_once": at_once(done, found.workers) / ran_seconds,
    }
    for key, value in told.items():
        getattr(found, key).setdefault(name, []).append(value)
    found.others.extend(_used_by_others(busy, cpu_seconds, wall_seconds))


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
    fastest = min(_wall_seconds(Piece(1, steps)) for _ in range(10))
    return max(1, int(steps * seconds / fastest))


def _wall_seconds(piece: Piece) -> float:
    # Not CPU time, which goes by ticks of 16 ms on some systems.
    began = time.perf_counter()
    compute_timed(piece)
    return time.perf_counter() - began


def _spawn() -> subprocess.Popen[bytes]:
    code = (
        "from downloader.bench.experiments.computing import serve_child; serve_child()"
    )
    return subprocess.Popen(  # noqa: S603 - this interpreter, this module
        [sys.executable, "-P", "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def _feed(
    feeders: ThreadPoolExecutor,
    children: list[subprocess.Popen[bytes]],
    pieces: list[Piece],
) -> list[Computed]:
    """Give each child the next piece as soon as it has done one."""
    took: list[Computed] = []
    waiting: queue.SimpleQueue[Piece] = queue.SimpleQueue()
    for piece in pieces:
        waiting.put(piece)

    def serve(child: subprocess.Popen[bytes]) -> None:
        assert child.stdin is not None
        assert child.stdout is not None
        while True:
            try:
                piece = waiting.get_nowait()
            except queue.Empty:
                return
            child.stdin.write(msgspec.json.encode(piece) + b"\n")
            child.stdin.flush()
            took.append(msgspec.json.decode(child.stdout.readline(), type=Computed))

    list(feeders.map(serve, children))
    return took

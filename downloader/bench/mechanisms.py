"""The mechanisms behind the strategies, bare: where a function runs, and how many at once.

For work that is no download of the engine's: a CPU stage after each fetch, files without
network, plain computing. Workers are started and warmed before the clock runs.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec

from downloader.bench.works import Done, Laps, Work, perform, process_cpu, run_stage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["ELSEWHERE", "NAMES", "Ran", "run"]

_CHILD = "downloader.bench.mechanism_child"


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """What a run by a mechanism took, from its first piece to its last.

    CPU seconds are the parent's and, where others did the work, the pieces' own.
    """

    seconds: float
    size_bytes: int
    user_seconds: float
    system_seconds: float
    phase_seconds: dict[str, float]


def run(name: str, workers: int, work: Work, pieces: Sequence[str]) -> Ran:
    """Do all pieces by the mechanism of that name; KeyError if there is none."""
    return _RUNS[name](workers, work, pieces)


class _Clock:
    """Wall and CPU time of this process from its making on."""

    def __init__(self) -> None:
        self._user, self._system = process_cpu()
        self._began = time.perf_counter()

    def stop(self, done: Sequence[Done], *, is_elsewhere: bool = False) -> Ran:
        """The run as it ends now; `is_elsewhere` if other processes did the pieces."""
        seconds = time.perf_counter() - self._began
        user, system = process_cpu()
        others = done if is_elsewhere else ()
        return Ran(
            seconds=seconds,
            size_bytes=sum(one.size_bytes for one in done),
            user_seconds=user - self._user + sum(d.user_seconds for d in others),
            system_seconds=system
            - self._system
            + sum(d.system_seconds for d in others),
            phase_seconds=_total(done),
        )


def _total(done: Sequence[Done]) -> dict[str, float]:
    """Workers' time by phase, over all pieces."""
    phases: Counter[str] = Counter()
    for one in done:
        phases.update(one.phases)
    return dict(phases)


def _serial(_: int, work: Work, pieces: Sequence[str]) -> Ran:
    clock = _Clock()
    return clock.stop([perform(work, piece) for piece in pieces])


def _threads(workers: int, work: Work, pieces: Sequence[str]) -> Ran:
    with ThreadPoolExecutor(workers) as pool:
        _warm(pool, workers)
        clock = _Clock()
        return clock.stop(list(pool.map(perform, [work] * len(pieces), pieces)))


def _processes(workers: int, work: Work, pieces: Sequence[str]) -> Ran:
    # Spawned on every system: the observing thread of this process must not be forked.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        _warm(pool, workers)
        clock = _Clock()
        done = list(pool.map(perform, [work] * len(pieces), pieces))
        return clock.stop(done, is_elsewhere=True)


def _warm(pool: Executor, workers: int) -> None:
    """Have every worker started: each is held until all had something to do."""
    seconds = 0.2 if isinstance(pool, ProcessPoolExecutor) else 0.01
    for future in [pool.submit(time.sleep, seconds) for _ in range(workers)]:
        future.result()


def _children(workers: int, work: Work, pieces: Sequence[str]) -> Ran:
    children = [_spawn(work) for _ in range(workers)]
    try:
        for child in children:
            assert child.stdout is not None
            child.stdout.readline()
        clock = _Clock()
        done = _feed_all(children, pieces)
        return clock.stop(done, is_elsewhere=True)
    finally:
        for child in children:
            child.communicate()


def _spawn(work: Work) -> subprocess.Popen[bytes]:
    child = subprocess.Popen(  # noqa: S603 - this interpreter, this package
        [sys.executable, "-P", "-m", _CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdin is not None
    child.stdin.write(msgspec.json.encode(work) + b"\n")
    child.stdin.flush()
    return child


def _feed_all(
    children: Sequence[subprocess.Popen[bytes]], pieces: Sequence[str]
) -> list[Done]:
    """Give each child the next piece as soon as it has done one."""
    waiting = iter(pieces)
    lock = threading.Lock()
    done: list[Done] = []

    def serve(child: subprocess.Popen[bytes]) -> None:
        assert child.stdin is not None
        assert child.stdout is not None
        while True:
            with lock:
                piece = next(waiting, None)
            if piece is None:
                return
            child.stdin.write(piece.encode() + b"\n")
            child.stdin.flush()
            done.append(msgspec.json.decode(child.stdout.readline(), type=Done))

    with ThreadPoolExecutor(len(children)) as pool:
        list(pool.map(serve, children))
    return done


def _asyncio(workers: int, work: Work, pieces: Sequence[str]) -> Ran:
    """An event loop: fetches overlap, and each stage holds all of them up."""
    return asyncio.run(_loop(workers, work, pieces))


async def _loop(workers: int, work: Work, pieces: Sequence[str]) -> Ran:
    import aiohttp

    waiting = iter(pieces)
    connector = aiohttp.TCPConnector(limit=workers)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def serve() -> Done:
            size, laps = 0, Laps()
            for piece in waiting:
                # Connecting, if need be, is in the first byte; and so is waiting for
                # other pieces' stages, here and in the body.
                async with session.get(piece) as answer:
                    answer.raise_for_status()
                    laps.end("first_byte")
                    page = await answer.read()
                laps.end("body")
                run_stage(work, page)
                laps.end("cpu_stage")
                size += len(page)
            return Done(size, phases=laps.phases)

        clock = _Clock()
        done = await asyncio.gather(*(serve() for _ in range(workers)))
    return clock.stop(done)


_RUNS: dict[str, Callable[[int, Work, Sequence[str]], Ran]] = {
    "serial": _serial,
    "threads": _threads,
    "processes": _processes,
    "subprocess": _children,
    "asyncio": _asyncio,
}

NAMES = tuple(_RUNS)
"""The strategies whose mechanism is at hand here."""

ELSEWHERE = ("processes", "subprocess")
"""Those whose workers are processes of their own."""

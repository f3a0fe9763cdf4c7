"""The `processes` strategy: a `ProcessPoolExecutor`, small batches over its pipe.

The pool loses all that is in flight when one of its processes dies. So every batch is
remembered here; after a death, or once one is silent for too long, the rest of the old
pool is ended for certain, a new one made, and each attempt is handed back as `worker_lost`.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from ctypes import c_longlong
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.process import current_process
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from downloader.errors import StrategyError
from downloader.models import AttemptResult, ErrorKind, Failure, Returned
from downloader.strategies import frames, pooled
from downloader.strategies.board import Board
from downloader.strategies.guard import (
    MOST_SILENT_SECONDS,
    STOPPED_SECONDS,
    interrupts_blocked,
)
from downloader.strategies.inbox import Inbox
from downloader.strategies.refusals import is_ending, refused
from downloader.strategies.results import BatchSize, bury

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from downloader.models import Attempt, Fact, WorkerUsage
    from downloader.transfer.plan import Plan

# Pools that die before they bring a single result, one after another, are hopeless.
MOST_FRUITLESS_POOLS = 3


class _Batch:
    """Attempts that one worker runs, from `start` to their results."""

    __slots__ = ("attempts", "beats", "future", "generation", "heard_at", "seat")

    def __init__(self, attempts: list[Attempt], seat: int, generation: int) -> None:
        self.attempts = attempts
        self.seat = seat
        self.generation = generation
        # How often its worker has told that it lives, and when it last did.
        self.beats = 0
        self.heard_at = 0.0
        self.future: Future[bytes] | None = None


class Processes:
    """Worker processes that run batches of attempts, each on requests."""

    name: ClassVar[str] = "processes"
    has_worker_processes: ClassVar[bool] = True
    wakes_within_a_transfer: ClassVar[bool] = True

    def __init__(self, plan: Plan, workers: int) -> None:
        _check_for_children(self.name)
        self._plan = frames.encode(plan)
        self._workers = workers
        # A batch more for each worker waits at its door, so that none waits for us.
        self._seats = list(range(2 * workers))
        self._in_flight: dict[int, _Batch] = {}
        self._inbox: Inbox[_Batch] = Inbox()
        self._usage: dict[int, WorkerUsage] = {}
        self._size = BatchSize()
        self._generation = 0
        self._stop: Failure | None = None
        self._fruitless = 0
        self._looked_at = time.monotonic()
        self._bytes_per_second = plan.bytes_per_second
        with _refusals(self.name):
            cells = _context.RawArray(c_longlong, Board.size(len(self._seats)))
        self._cells = cells
        self._board = Board(cells)
        self._pool = self._make_pool()
        self._share_rate()

    @property
    def capacity(self) -> int:
        return len(self._seats)

    @property
    def batch(self) -> int:
        return self._size.attempts

    def start(self, attempts: list[Attempt]) -> None:
        batch = _Batch(attempts, self._seats.pop(), self._generation)
        self._in_flight[batch.seat] = batch
        self._board.clear(batch.seat)
        self._share_rate()
        try:
            body = frames.encode(frames.pack(attempts))
            batch.future = self._pool.submit(pooled.run_batch, body, batch.seat)
        except BrokenProcessPool:
            self._inbox.put(batch)
        except (OSError, RuntimeError) as error:
            if is_ending() or not self._processes():
                raise refused(self.name, error, "a process") from error
            self._inbox.put(batch)
        else:
            batch.future.add_done_callback(lambda _: self._inbox.put(batch))

    def wait(self, timeout_seconds: float) -> list[Fact]:
        facts: list[Fact] = []
        for batch in self._inbox.collect(timeout_seconds):
            if batch.generation == self._generation:
                self._take_in(batch, facts)
        if self._has_silent(time.monotonic()):
            silent = f"its worker process was silent for {MOST_SILENT_SECONDS:.0f} s"
            self._recover(facts, silent)
        facts += self._progress()
        return facts

    def wake(self) -> None:
        self._inbox.wake()

    def cancel(self, failure: Failure) -> None:
        self._stop = failure
        self._board.end_all()

    def usage(self) -> list[WorkerUsage]:
        return list(self._usage.values())

    def close(self, grace_seconds: float) -> None:
        processes = self._processes()
        self._board.end_all()
        self._pool.shutdown(wait=False, cancel_futures=True)
        until = time.monotonic() + grace_seconds
        for process in processes:
            process.join(max(0.0, until - time.monotonic()))
        _end(processes)

    def _share_rate(self) -> None:
        """Each busy worker's part of the rate."""
        rate = self._bytes_per_second
        busy = max(1, min(self._workers, len(self._in_flight)))
        self._board.limit(None if rate is None else rate / busy)

    def _take_in(self, batch: _Batch, facts: list[Fact]) -> None:
        told = self._told(batch)
        if told is None:
            self._recover(facts)
            return
        self._fruitless = 0
        self._free(batch)
        facts += [self._with_reason(result) for result in told.results]
        facts += [Returned(attempt_id) for attempt_id in told.returned]
        self._usage[told.usage.pid] = told.usage
        self._size.learn(told.results)

    def _with_reason(self, result: AttemptResult) -> AttemptResult:
        """A worker that was told to stop does not know why; the board has but one bit."""
        failure = result.failure
        if self._stop is None or failure is None:
            return result
        if failure.kind != ErrorKind.INTERRUPTED:
            return result
        return msgspec.structs.replace(result, failure=self._stop)

    def _free(self, batch: _Batch) -> None:
        del self._in_flight[batch.seat]
        self._seats.append(batch.seat)

    def _recover(self, facts: list[Fact], why: str = "its worker process died") -> None:
        """Make a new pool once nothing of the old one can touch a file any more."""
        self._fruitless += 1
        if self._fruitless > MOST_FRUITLESS_POOLS:
            raise StrategyError(self.name, "its worker processes die as they start")
        dead = self._processes()
        _end(dead)
        bury(self._usage, [process.pid for process in dead])
        self._pool.shutdown(wait=False, cancel_futures=True)
        for batch in list(self._in_flight.values()):
            facts += self._salvage(batch, why)
            self._free(batch)
        self._generation += 1
        self._pool = self._make_pool()

    @staticmethod
    def _told(batch: _Batch) -> frames.Facts | None:
        """What a batch brought; None if its pool died first."""
        if batch.future is None or not batch.future.done():
            return None
        try:
            return frames.decode(frames.facts_decoder, batch.future.result())
        except BrokenProcessPool:
            return None

    def _salvage(self, batch: _Batch, why: str) -> Iterator[Fact]:
        """A batch's results if they came before the death, else its attempts as lost."""
        told = self._told(batch)
        if told is not None:
            yield from told.results
            yield from (Returned(attempt_id) for attempt_id in told.returned)
            return
        failure = Failure(ErrorKind.WORKER_LOST, why)
        yield from (
            AttemptResult(attempt.id, failure=failure) for attempt in batch.attempts
        )

    def _progress(self) -> Iterator[Fact]:
        for batch in self._in_flight.values():
            moved = self._board.moved(batch.seat)
            if moved is not None and any(
                a.id == moved.attempt_id for a in batch.attempts
            ):
                yield moved

    def _has_silent(self, now: float) -> bool:
        """True if a worker that has begun a batch does not even tell that it lives."""
        was_stopped = now - self._looked_at > STOPPED_SECONDS
        self._looked_at = now
        for batch in self._in_flight.values():
            beats = self._board.beats(batch.seat)
            if was_stopped or beats != batch.beats:
                batch.beats, batch.heard_at = beats, now
            elif beats and now - batch.heard_at > MOST_SILENT_SECONDS:
                return True
        return False

    def _processes(self) -> list[Any]:
        # No public way to them before Python 3.14.
        return list((self._pool._processes or {}).values())  # noqa: SLF001

    def _make_pool(self) -> ProcessPoolExecutor:
        # Already its making starts a program: multiprocessing's resource tracker.
        with _refusals(self.name), _spawning():
            return ProcessPoolExecutor(
                self._workers,
                mp_context=_context,
                initializer=pooled.begin,
                initargs=(self._plan, self._cells),
            )


def _check_for_children(strategy: str) -> None:
    if current_process().daemon:
        raise StrategyError(
            strategy,
            "a daemonic process, as each worker of a multiprocessing.Pool is, may not "
            "have processes of its own; choose 'subprocess' or 'threads'",
        )


@contextlib.contextmanager
def _refusals(strategy: str) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise refused(strategy, error, "a process") from error


def _end(processes: list[Any]) -> None:
    for process in processes:
        if process.is_alive():
            process.kill()
    for process in processes:
        process.join(5.0)


class _Process(SpawnProcess):
    """A process that is started afresh and never runs the caller's `__main__` again."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:  # noqa: N802 - multiprocessing's name
        with _spawning():
            return SpawnProcess._Popen(process_obj)  # noqa: SLF001 - what a context overrides


class _Context(SpawnContext):
    """Spawning, on every system alike: a child inherits no lock, socket or thread.

    A context of our own, since the standard one has each child import the caller's main
    script: without a guard in it every worker would start the run anew, and from stdin
    there is nothing to import.
    """

    Process = _Process


_context = _Context()
# Re-entrant, since what makes a pool may start a process at once.
_starting = threading.RLock()


@contextlib.contextmanager
def _spawning() -> Iterator[None]:
    """Conditions for starting a child: no main to import, Ctrl-C held back, no stray path.

    A folder in which the program runs must not provide modules. And multiprocessing's
    tracker need not tell the user of semaphores when we are killed.
    """
    variables = _environment(PYTHONSAFEPATH="1", PYTHONWARNINGS="ignore")
    # All of these are the whole process's: one thread that starts a child at a time, or
    # the second one takes what the first has set for what is to be restored.
    with _starting, interrupts_blocked(), _no_main(), variables:
        yield


@contextlib.contextmanager
def _no_main() -> Iterator[None]:
    """Nothing as the main module for a while."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    """These variables for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value

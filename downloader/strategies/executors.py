"""Strategies of this process's own threads: `serial`, the baseline, and `threads`."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ClassVar

from downloader.models import AttemptResult
from downloader.strategies.blocking import BlockingWorker
from downloader.strategies.inbox import Inbox
from downloader.strategies.refusals import is_ending, refused
from downloader.strategies.results import internal_failure
from downloader.transfer import descriptors
from downloader.transfer.engine import Engine
from downloader.transfer.watch import Watchdog

if TYPE_CHECKING:
    from collections.abc import Generator

    from downloader.models import Attempt, Fact, Failure, WorkerUsage
    from downloader.transfer.plan import Plan


class Serial:
    """One attempt at a time, in the caller's thread.

    The attempt is a generator that `wait` steps from chunk to chunk, so that progress
    is told and a stop is seen in between.
    """

    name: ClassVar[str] = "serial"
    has_worker_processes: ClassVar[bool] = False
    wakes_within_a_transfer: ClassVar[bool] = False
    batch = 1

    def __init__(self, plan: Plan, workers: int) -> None:
        self._engine = Engine(plan)
        self._watchdog = Watchdog(plan.timeout_seconds)
        self._worker = BlockingWorker(self._engine, self._watchdog)
        self._inbox: Inbox[Fact] = Inbox()
        self._steps: Generator[None, None, AttemptResult] | None = None

    @property
    def capacity(self) -> int:
        return 0 if self._steps is not None else 1

    def start(self, attempts: list[Attempt]) -> None:
        (attempt,) = attempts
        self._steps = self._worker.steps(attempt, self._inbox.put)

    def wait(self, timeout_seconds: float) -> list[Fact]:
        until = time.monotonic() + timeout_seconds
        while self._steps is not None:
            try:
                next(self._steps)
            except StopIteration as stop:
                self._steps = None
                return [*self._inbox.collect(0), stop.value]
            if time.monotonic() >= until:
                break
        return self._inbox.collect(max(0.0, until - time.monotonic()))

    def wake(self) -> None:
        self._inbox.wake()

    def cancel(self, failure: Failure) -> None:
        self._engine.stop = failure
        self._watchdog.abort_all(failure)

    def usage(self) -> list[WorkerUsage]:
        return []

    def close(self, grace_seconds: float) -> None:
        self._worker.close()
        self._watchdog.close()
        self._engine.close()


class Threads:
    """A `ThreadPoolExecutor`, with one driver and so one set of connections a thread."""

    name: ClassVar[str] = "threads"
    has_worker_processes: ClassVar[bool] = False
    wakes_within_a_transfer: ClassVar[bool] = True
    batch = 1

    def __init__(self, plan: Plan, workers: int) -> None:
        self._engine = Engine(plan)
        self._watchdog = Watchdog(plan.timeout_seconds)
        self._inbox: Inbox[Fact] = Inbox()
        self._local = threading.local()
        self._workers: list[BlockingWorker] = []
        self._threads: list[threading.Thread] = []
        self._share = descriptors.share(workers, workers)
        self._free = workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="downloader")

    @property
    def capacity(self) -> int:
        return self._free

    def start(self, attempts: list[Attempt]) -> None:
        (attempt,) = attempts
        self._free -= 1
        try:
            self._pool.submit(self._run, attempt)
        except RuntimeError as error:  # as many threads as the system allows
            if is_ending() or not self._threads:
                raise refused(self.name, error, "a thread") from error
            # It is queued all the same, for those that there are.

    def wait(self, timeout_seconds: float) -> list[Fact]:
        facts = self._inbox.collect(timeout_seconds)
        self._free += sum(isinstance(fact, AttemptResult) for fact in facts)
        return facts

    def wake(self) -> None:
        self._inbox.wake()

    def cancel(self, failure: Failure) -> None:
        self._engine.stop = failure
        self._watchdog.abort_all(failure)

    def usage(self) -> list[WorkerUsage]:
        return []

    def close(self, grace_seconds: float) -> None:
        """Threads that still hang after the time are left behind; the process's end ends them."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        until = time.monotonic() + grace_seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        for worker in self._workers:
            worker.close()
        self._watchdog.close()
        self._engine.close()

    def _run(self, attempt: Attempt) -> None:
        try:
            worker = self._local.worker
        except AttributeError:
            try:
                worker = self._begin_thread()
            except Exception as error:  # noqa: BLE001 - its attempt must come back
                self._inbox.put(internal_failure(attempt, error, 0.0))
                return
        self._inbox.put(worker.run(attempt, self._inbox.put))

    def _begin_thread(self) -> BlockingWorker:
        worker = BlockingWorker(self._engine, self._watchdog, self._share)
        self._threads.append(threading.current_thread())
        self._workers.append(worker)
        self._local.worker = worker
        return worker

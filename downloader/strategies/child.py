"""A child program of the `subprocess` strategy: `python -m downloader.strategies.child`.

Orders come in on stdin, facts go out on stdout. When stdin ends the parent is gone, and
so is this process, in the middle of a read too.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from typing import TYPE_CHECKING

from downloader.models import Moved
from downloader.strategies import frames
from downloader.strategies.guard import ignore_interrupts
from downloader.strategies.results import own_usage

if TYPE_CHECKING:
    from typing import BinaryIO

    from downloader.models import Attempt, AttemptResult, Failure
    from downloader.strategies.blocking import BlockingWorker
    from downloader.transfer.engine import Engine
    from downloader.transfer.watch import Watchdog

# How long results may wait for company before a frame goes out.
FLUSH_SECONDS = 0.02
FLUSH_RESULTS = 32


def main() -> None:
    """Serve the parent until it closes the pipe."""
    ignore_interrupts()
    orders, facts = _take_over_pipes()
    first = frames.receive(orders)
    if first is None:
        return
    plan = frames.order_decoder.decode(first).plan
    assert plan is not None
    # Imported only now: the parent knows by then that this process lives.
    from downloader.strategies.blocking import BlockingWorker
    from downloader.transfer.engine import Engine
    from downloader.transfer.watch import Watchdog

    engine, watchdog = Engine(plan), Watchdog(plan.timeout_seconds)
    child = Child(BlockingWorker(engine, watchdog), facts)
    reader = OrderReader(orders, engine, watchdog, child.attempts)
    threading.Thread(target=reader.run, name="downloader-orders", daemon=True).start()
    child.run()


def _take_over_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Keep the two pipes for frames alone; a stray print goes to stderr."""
    orders = os.fdopen(os.dup(0), "rb")
    facts = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    return orders, facts


class OrderReader:
    """The thread that reads orders, so that a stop is seen while bytes move."""

    def __init__(
        self,
        orders: BinaryIO,
        engine: Engine,
        watchdog: Watchdog,
        attempts: queue.SimpleQueue[Attempt],
    ) -> None:
        self._orders = orders
        self._engine = engine
        self._watchdog = watchdog
        self._attempts = attempts

    def run(self) -> None:
        """Read until the pipe ends, then end the process."""
        while (body := frames.receive(self._orders)) is not None:
            order = frames.order_decoder.decode(body)
            if order.bytes_per_second >= 0:
                self._engine.limit(order.bytes_per_second or None)
            if order.stop is not None:
                self._stop(order.stop)
            for batch in order.batches:
                for attempt in batch:
                    self._attempts.put(attempt)
        os._exit(0)

    def _stop(self, failure: Failure) -> None:
        self._engine.stop = failure
        self._watchdog.abort_all(failure)


class Child:
    """Runs attempts one after another and tells what came of them, several at a time."""

    def __init__(self, worker: BlockingWorker, facts: BinaryIO) -> None:
        self.attempts: queue.SimpleQueue[Attempt] = queue.SimpleQueue()
        self._worker = worker
        self._facts = facts
        self._results: list[AttemptResult] = []
        self._moved: list[Moved] = []
        self._flushed_at = time.monotonic()

    def run(self) -> None:
        """Serve for ever; the order reader ends the process."""
        while True:
            attempt = self._next()
            result = self._worker.run(attempt, self._tell)
            # Bound after the run: telling of progress swaps the list.
            self._results.append(result)
            is_due = time.monotonic() - self._flushed_at > FLUSH_SECONDS
            if is_due or len(self._results) >= FLUSH_RESULTS:
                self._flush()

    def _next(self) -> Attempt:
        try:
            return self.attempts.get_nowait()
        except queue.Empty:
            if self._results:
                self._flush()
            return self.attempts.get()

    def _tell(self, moved: Moved) -> None:
        self._moved.append(moved)
        self._flush()

    def _flush(self) -> None:
        message = frames.Facts(self._results, self._moved, [], own_usage())
        self._results, self._moved = [], []
        self._flushed_at = time.monotonic()
        try:
            frames.send(self._facts, message)
        except OSError:
            os._exit(1)  # nobody reads any more


if __name__ == "__main__":
    main()

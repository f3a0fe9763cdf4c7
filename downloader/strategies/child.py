"""A child program of the `subprocess` strategy: `python -m downloader.strategies.child`.

Orders come in on stdin, facts go out on stdout. When stdin ends the parent is gone, and
so is this process, in the middle of a read too. Whatever breaks here is told in a last
frame, and ends the process.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from typing import TYPE_CHECKING

from downloader.models import AttemptResult
from downloader.strategies import frames
from downloader.strategies.guard import end_with_parent, ignore_interrupts
from downloader.strategies.results import fault_text, own_usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from downloader.models import Attempt, Failure, Moved
    from downloader.strategies.blocking import BlockingWorker

# How long results may wait for company before a frame goes out.
FLUSH_SECONDS = 0.02
FLUSH_RESULTS = 32
# How often a child tells that it lives though there is nothing to tell.
BEAT_SECONDS = 5.0


def main() -> None:
    """Serve the parent until it closes the pipe."""
    end_with_parent()
    ignore_interrupts()
    orders, facts = take_over_pipes()
    with telling_faults(facts):
        _serve(orders, facts)


def _serve(orders: BinaryIO, facts: BinaryIO) -> None:
    first = frames.receive(orders)
    if first is None:
        return
    plan = frames.decode(frames.order_decoder, first).plan
    assert plan is not None
    # Imported only now: the parent knows by then that this process lives.
    from downloader.strategies.blocking import BlockingWorker
    from downloader.transfer.engine import Engine
    from downloader.transfer.watch import Watchdog

    engine, watchdog = Engine(plan), Watchdog(plan.timeout_seconds)
    child = Child(BlockingWorker(engine, watchdog), facts)

    def stop(failure: Failure) -> None:
        engine.stop = failure
        watchdog.abort_all(failure)

    def take(batches: list[list[frames.Packed]]) -> None:
        for batch in batches:
            for packed in batch:
                child.attempts.put(frames.unpack(packed))

    read_orders(orders, facts, engine.limit, stop, take)
    child.run()


def take_over_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Keep the two pipes for frames alone; a stray print goes to stderr."""
    orders = os.fdopen(os.dup(0), "rb")
    facts = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    return orders, facts


@contextlib.contextmanager
def telling_faults(facts: BinaryIO) -> Iterator[None]:
    """End this process with whatever is raised, and tell the parent first."""
    try:
        yield
    except BaseException as error:  # noqa: BLE001 - it must not live on half dead
        fault = fault_text(error)
        with contextlib.suppress(OSError):
            frames.send(facts, frames.Facts([], [], [], own_usage(0.0), fault))
        os._exit(1)


def read_orders(
    orders: BinaryIO,
    facts: BinaryIO,
    limit: Callable[[float | None], None],
    stop: Callable[[Failure], None],
    take: Callable[[list[list[frames.Packed]]], None],
) -> None:
    """Have a thread read orders, so that a stop is seen while bytes move.

    It ends the process with the pipe, and at an order that cannot be read. What the
    orders say is told to the three calls, in that thread: another rate, an end of
    everything, more batches. A second thread tells the parent that this process lives.
    """

    def run() -> None:
        with telling_faults(facts):
            while (body := frames.receive(orders)) is not None:
                order = frames.decode(frames.order_decoder, body)
                if order.bytes_per_second >= 0:
                    limit(order.bytes_per_second or None)
                if order.stop is not None:
                    stop(order.stop)
                if order.batches:
                    take(order.batches)
        os._exit(0)

    def beat() -> None:
        started = time.process_time()
        with telling_faults(facts):
            while True:
                time.sleep(BEAT_SECONDS)
                frames.send(facts, frames.Facts([], [], [], own_usage(started)))

    for work in (run, beat):
        threading.Thread(target=work, name="downloader-orders", daemon=True).start()


class Teller:
    """Sends what came of attempts to the parent, several at a time."""

    def __init__(self, facts: BinaryIO) -> None:
        self._facts = facts
        # Made when all is loaded: what follows is work.
        self._started = time.process_time()
        self._results: list[AttemptResult] = []
        self._moved: list[Moved] = []
        self._flushed_at = time.monotonic()

    def add(self, result: AttemptResult) -> None:
        """An attempt has ended."""
        self._results.append(result)

    def moved(self, moved: Moved) -> None:
        """A large body comes on."""
        self._moved.append(moved)

    @property
    def has_news(self) -> bool:
        """True if something waits to be sent."""
        return bool(self._results or self._moved)

    def flush_if_due(self) -> None:
        """Send, if enough has come together, or waited long enough."""
        is_due = time.monotonic() - self._flushed_at > FLUSH_SECONDS
        if is_due or len(self._results) >= FLUSH_RESULTS:
            self.flush()

    def flush(self) -> None:
        """Send all that waits."""
        message = frames.Facts(self._results, self._moved, [], own_usage(self._started))
        self._results, self._moved = [], []
        self._flushed_at = time.monotonic()
        try:
            frames.send(self._facts, message)
        except OSError:
            os._exit(1)  # nobody reads any more


class Child:
    """Runs attempts one after another and tells what came of them."""

    def __init__(self, worker: BlockingWorker, facts: BinaryIO) -> None:
        # Of an attempt that cannot be run there is its result already.
        self.attempts: queue.SimpleQueue[Attempt | AttemptResult] = queue.SimpleQueue()
        self._worker = worker
        self._teller = Teller(facts)
        self._telling = threading.Lock()
        self._is_late = threading.Event()

    def run(self) -> None:
        """Serve for ever; the thread that reads orders ends the process."""
        threading.Thread(
            target=self._flush_late, name="downloader-teller", daemon=True
        ).start()
        while True:
            attempt = self._next()
            result = (
                attempt
                if isinstance(attempt, AttemptResult)
                else self._worker.run(attempt, self._tell)
            )
            with self._telling:
                self._teller.add(result)
                self._teller.flush_if_due()
                is_late = self._teller.has_news
            if is_late:
                self._is_late.set()

    def _next(self) -> Attempt | AttemptResult:
        try:
            return self.attempts.get_nowait()
        except queue.Empty:
            self._flush_news()
            return self.attempts.get()

    def _tell(self, moved: Moved) -> None:
        with self._telling:
            self._teller.moved(moved)
            self._teller.flush()

    def _flush_news(self) -> None:
        with self._telling:
            if self._teller.has_news:
                self._teller.flush()

    def _flush_late(self) -> None:
        """What waits for company does not wait for an attempt that takes long."""
        while self._is_late.wait():
            self._is_late.clear()
            time.sleep(FLUSH_SECONDS)
            self._flush_news()


if __name__ == "__main__":
    main()

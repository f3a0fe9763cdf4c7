"""The `subprocess` strategy: child programs, each with work of its own over its pipes.

Each child is fed a few batches ahead and answers in frames. Two threads a child, one that
writes and one that reads, keep a stuck child from ever blocking the owner. A child that
dies is replaced, and what it had in hand is given back as `worker_lost`.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import msgspec

from downloader.errors import StrategyError
from downloader.models import AttemptResult, ErrorKind, Failure
from downloader.strategies import frames
from downloader.strategies.inbox import Inbox
from downloader.strategies.results import BatchSize, bury

if TYPE_CHECKING:
    from collections.abc import Iterator

    from downloader.models import Attempt, Fact, WorkerUsage
    from downloader.transfer.plan import Plan

# Batches that a child holds: one under way, one at its door.
BATCHES_A_CHILD = 2
# Children that die before they bring a single fact, one after another, are hopeless.
MOST_FRUITLESS_CHILDREN = 5
_MODULE = "downloader.strategies.child"


class Subprocess:
    """Child programs that run attempts one after another, each on requests."""

    name: ClassVar[str] = "subprocess"
    has_worker_processes: ClassVar[bool] = True
    wakes_within_a_transfer: ClassVar[bool] = True

    def __init__(self, plan: Plan, workers: int) -> None:
        self._plan = plan
        self._inbox: Inbox[tuple[_Child, frames.Facts | None]] = Inbox()
        self._size = BatchSize()
        self._usage: dict[int, WorkerUsage] = {}
        self._fruitless = 0
        self._bytes_per_second = plan.bytes_per_second
        self._sharers = 1
        self._children = [self._make_child() for _ in range(workers)]

    @property
    def capacity(self) -> int:
        return sum(child.room for child in self._children)

    @property
    def batch(self) -> int:
        return self._size.attempts

    def start(self, attempts: list[Attempt]) -> None:
        max(self._children, key=lambda child: child.room).take(attempts)

    def wait(self, timeout_seconds: float) -> list[Fact]:
        self._share_rate()
        for child in self._children:
            child.flush()
        facts: list[Fact] = []
        for child, told in self._inbox.collect(timeout_seconds):
            if told is None:
                facts += self._replace(child)
            else:
                self._take_in(child, told, facts)
        return facts

    def wake(self) -> None:
        self._inbox.wake()

    def cancel(self, failure: Failure) -> None:
        for child in self._children:
            child.order(frames.Order(stop=failure))

    def usage(self) -> list[WorkerUsage]:
        return list(self._usage.values())

    def close(self, grace_seconds: float) -> None:
        for child in self._children:
            child.close()
        until = time.monotonic() + grace_seconds
        for child in self._children:
            child.end(max(0.0, until - time.monotonic()))

    def _share_rate(self) -> None:
        """Divide the rate anew when more or fewer children than before have work."""
        sharers = max(1, sum(child.is_busy for child in self._children))
        if self._bytes_per_second is not None and sharers != self._sharers:
            self._sharers = sharers
            self._order_rate()

    def _order_rate(self) -> None:
        share = (self._bytes_per_second or 0.0) / self._sharers
        for child in self._children:
            child.order(frames.Order(bytes_per_second=share))

    def _take_in(self, child: _Child, told: frames.Facts, facts: list[Fact]) -> None:
        self._fruitless = 0
        child.settle(told.results)
        self._usage[told.usage.pid] = told.usage
        self._size.learn(told.results)
        facts += told.results
        facts += told.moved

    def _replace(self, child: _Child) -> Iterator[Fact]:
        """Put another child in a dead one's place and give its work back."""
        child.end(0.0)
        if child not in self._children:
            return
        self._fruitless += 1
        if self._fruitless > MOST_FRUITLESS_CHILDREN:
            raise StrategyError(self.name, "its child programs die as they start")
        self._children[self._children.index(child)] = self._make_child()
        bury(self._usage, [child.pid])
        failure = Failure(ErrorKind.WORKER_LOST, "its child program died")
        for attempt_id in child.unsettled():
            yield AttemptResult(attempt_id, failure=failure)

    def _make_child(self) -> _Child:
        rate = self._bytes_per_second
        share = None if rate is None else rate / self._sharers
        plan = msgspec.structs.replace(self._plan, bytes_per_second=share)
        return _Child(plan, self._inbox)


class _Child:
    """One child program, its pipes and the attempts it has in hand."""

    def __init__(
        self, plan: Plan, inbox: Inbox[tuple[_Child, frames.Facts | None]]
    ) -> None:
        self._inbox = inbox
        self._in_hand: list[set[int]] = []
        self._buffered: list[list[Attempt]] = []
        self._orders: queue.SimpleQueue[frames.Order | None] = queue.SimpleQueue()
        self._process = _spawn()
        self.order(frames.Order(plan=plan))
        for run in (self._write, self._read):
            threading.Thread(target=run, name="downloader-child", daemon=True).start()

    @property
    def pid(self) -> int:
        """Its process's number."""
        return self._process.pid

    @property
    def room(self) -> int:
        """How many more batches it may hold."""
        return BATCHES_A_CHILD - len(self._in_hand)

    @property
    def is_busy(self) -> bool:
        """True if it has work in hand."""
        return bool(self._in_hand)

    def take(self, attempts: list[Attempt]) -> None:
        """Give it a batch; sent by `flush`."""
        self._in_hand.append({attempt.id for attempt in attempts})
        self._buffered.append(attempts)

    def flush(self) -> None:
        """Send what was buffered, in one frame."""
        if self._buffered:
            self.order(frames.Order(batches=self._buffered))
            self._buffered = []

    def order(self, order: frames.Order) -> None:
        """Have an order written; never blocks."""
        self._orders.put(order)

    def settle(self, results: list[AttemptResult]) -> None:
        """Results came: take them out of what it has in hand."""
        done = {result.attempt_id for result in results}
        left = (batch - done for batch in self._in_hand)
        self._in_hand = [batch for batch in left if batch]

    def unsettled(self) -> list[int]:
        """Attempts it had in hand when it died."""
        return [attempt_id for batch in self._in_hand for attempt_id in sorted(batch)]

    def close(self) -> None:
        """Close its stdin, upon which it ends."""
        self._orders.put(None)

    def end(self, grace_seconds: float) -> None:
        """Wait for its end, and kill it when the time is over."""
        self.close()
        try:
            self._process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _write(self) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        with contextlib.suppress(OSError):  # its death is noticed by the reader
            while (order := self._orders.get()) is not None:
                frames.send(pipe, order)
        with contextlib.suppress(OSError):
            pipe.close()

    def _read(self) -> None:
        pipe = self._process.stdout
        assert pipe is not None
        while (body := frames.receive(pipe)) is not None:
            self._inbox.put((self, frames.facts_decoder.decode(body)))
        pipe.close()
        self._inbox.put((self, None))


def _spawn() -> subprocess.Popen[bytes]:
    """Start a child that finds this very package, and no module of the current folder."""
    package_root = Path(__file__).parents[2]
    path = [str(package_root), os.environ.get("PYTHONPATH", "")]
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path))}
    can_mask = hasattr(signal, "pthread_sigmask")
    # Until it has learnt to ignore Ctrl-C it starts with it blocked: the mask is inherited.
    before = (
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if can_mask else None
    )
    try:
        return subprocess.Popen(  # noqa: S603 - this interpreter, this package
            [sys.executable, "-P", "-m", _MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environ,
        )
    finally:
        if before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

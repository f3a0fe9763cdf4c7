"""The `subprocess` and `multicore` strategies: child programs, fed over their pipes.

Each child is fed a few batches ahead and answers in frames. Two threads a child, one that
writes and one that reads, keep a stuck child from ever blocking the owner. A child that
dies, or is silent for too long, is replaced, and what it had in hand is given back as
`worker_lost`.
"""

from __future__ import annotations

import contextlib
import queue
import subprocess
import threading
import time
from typing import TYPE_CHECKING, ClassVar

import msgspec

from downloader.errors import StrategyError
from downloader.models import AttemptResult, ErrorKind, Failure
from downloader.strategies import frames, programs
from downloader.strategies.contract import usable_cores
from downloader.strategies.guard import MOST_SILENT_SECONDS, STOPPED_SECONDS
from downloader.strategies.inbox import Inbox
from downloader.strategies.refusals import refused
from downloader.strategies.results import BatchSize, bury

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from downloader.models import Attempt, Fact, WorkerUsage
    from downloader.strategies.programs import Program
    from downloader.transfer.plan import Plan

# Batches at a child's door, beyond those under way.
BATCHES_AHEAD = 1
# Children that die before they bring a single fact, one after another, are hopeless.
MOST_FRUITLESS_CHILDREN = 5
# How long a killed child may take to end: one in the kernel's hands may not end at all.
_KILLED_SECONDS = 5.0


class _Children:
    """Child programs of one kind; see the two strategies below."""

    name: ClassVar[str]
    has_worker_processes: ClassVar[bool] = True
    wakes_within_a_transfer: ClassVar[bool] = True
    # What each of them runs.
    _module: ClassVar[str]

    def __init__(self, plan: Plan, lanes: Sequence[int]) -> None:
        self._plan = plan
        self._inbox: Inbox[tuple[_Child, frames.Facts | None]] = Inbox()
        self._size = BatchSize()
        self._usage: dict[int, WorkerUsage] = {}
        self._fruitless = 0
        self._is_stopped = False
        self._bytes_per_second = plan.bytes_per_second
        self._sharers = 1
        self._looked_at = time.monotonic()
        # Before any of them has its threads: with these this process is copied no more.
        started: list[Program] = []
        self._children: list[_Child] = []
        try:
            for _ in lanes:
                started.append(self._start())  # noqa: PERF401 - known if the next fails
            self._children = list(map(self._make_child, started, lanes))
        except (OSError, RuntimeError) as error:
            for program in started:
                program.kill()
                program.wait()
            raise refused(self.name, error, "a child program") from error

    @property
    def capacity(self) -> int:
        return sum(child.room for child in self._children)

    @property
    def batch(self) -> int:
        return self._size.attempts

    @property
    def is_up(self) -> bool:
        """True once every child has told of itself, which takes a few tenths of a second."""
        return len(self._usage) >= len(self._children)

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
        facts += self._replace_silent(time.monotonic())
        return facts

    def _replace_silent(self, now: float) -> Iterator[Fact]:
        was_stopped = now - self._looked_at > STOPPED_SECONDS
        self._looked_at = now
        for child in list(self._children):
            if was_stopped:
                child.heard_at = now
            elif child.is_busy and now - child.heard_at > MOST_SILENT_SECONDS:
                child.fault = f"it was silent for {MOST_SILENT_SECONDS:.0f} s"
                yield from self._replace(child)

    def wake(self) -> None:
        self._inbox.wake()

    def cancel(self, failure: Failure) -> None:
        self._is_stopped = True
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
        if told.results or told.moved:  # that it has come up is no fruit yet
            self._fruitless = 0
            child.is_fruitful = True
        child.fault = told.fault or child.fault
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
        self._fruitless += not child.is_fruitful
        if self._fruitless > MOST_FRUITLESS_CHILDREN:
            why = _with("its child programs die as they start", child.fault)
            raise StrategyError(self.name, why)
        place = self._children.index(child)
        try:
            if self._is_stopped:
                del self._children[place]
            else:
                self._children[place] = self._make_child(self._start(), child.lanes)
        except (OSError, RuntimeError) as error:
            if len(self._children) == 1:
                raise refused(self.name, error, "a child program") from error
            del self._children[place]  # the others are enough to go on
        bury(self._usage, [child.pid])
        why = _with("its child program died", child.fault)
        failure = Failure(ErrorKind.WORKER_LOST, why)
        for attempt_id in child.unsettled():
            yield AttemptResult(attempt_id, failure=failure)

    def _start(self) -> Program:
        return programs.start(self._module)

    def _make_child(self, program: Program, lanes: int) -> _Child:
        rate = self._bytes_per_second
        share = None if rate is None else rate / self._sharers
        plan = msgspec.structs.replace(self._plan, bytes_per_second=share)
        return _Child(program, plan, lanes, self._inbox)


class Subprocess(_Children):
    """Child programs that run attempts one after another, each on requests."""

    name: ClassVar[str] = "subprocess"
    _module = "downloader.strategies.child"

    def __init__(self, plan: Plan, workers: int) -> None:
        super().__init__(plan, [1] * workers)


class Multicore(_Children):
    """Child programs, one for each core, of which each runs an event loop."""

    name: ClassVar[str] = "multicore"
    _module = "downloader.strategies.core"

    def __init__(self, plan: Plan, workers: int) -> None:
        children = min(workers, usable_cores())
        lanes, more = divmod(workers, children)
        super().__init__(plan, [lanes + (child < more) for child in range(children)])

    def _start(self) -> Program:
        if not programs.can_copy():
            return super()._start()
        from downloader.strategies import core

        core.load()  # here, once, and not in each of them
        return programs.copy(core.main)


class _Child:
    """One child program, its pipes and the attempts it has in hand.

    Attributes:
        is_fruitful: True once it has told of any attempt.
        fault: Why it ended, as far as that is known.
        heard_at: When it last told anything.
    """

    def __init__(
        self,
        program: Program,
        plan: Plan,
        lanes: int,
        inbox: Inbox[tuple[_Child, frames.Facts | None]],
    ) -> None:
        self._inbox = inbox
        self.lanes = lanes
        self.is_fruitful = False
        self.fault: str | None = None
        self.heard_at = time.monotonic()
        self._most = lanes + BATCHES_AHEAD
        self._batches = 0
        # By attempt: the batch that it belongs to, as what is left of that.
        self._in_hand: dict[int, set[int]] = {}
        self._buffered: list[list[frames.Packed]] = []
        # Encoded by who gives them: an order that cannot be must not end the thread.
        self._orders: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._process = program
        self.order(frames.Order(plan=plan, lanes=lanes))
        for run in (self._write, self._read):
            threading.Thread(target=run, name="downloader-child", daemon=True).start()

    @property
    def pid(self) -> int:
        """Its process's number."""
        return self._process.pid

    @property
    def room(self) -> int:
        """How many more batches it may hold."""
        return self._most - self._batches

    @property
    def is_busy(self) -> bool:
        """True if it has work in hand."""
        return bool(self._in_hand)

    def take(self, attempts: list[Attempt]) -> None:
        """Give it a batch; sent by `flush`."""
        packed = frames.pack(attempts)
        batch = {attempt.id for attempt in attempts}
        self._in_hand |= dict.fromkeys(batch, batch)
        self._batches += 1
        self._buffered.append(packed)

    def flush(self) -> None:
        """Send what was buffered, in one frame."""
        if self._buffered:
            self.order(frames.Order(batches=self._buffered))
            self._buffered = []

    def order(self, order: frames.Order) -> None:
        """Have an order written; never blocks."""
        self._orders.put(frames.frame(order))

    def settle(self, results: list[AttemptResult]) -> None:
        """Results came: take them out of what it has in hand."""
        for result in results:
            batch = self._in_hand.pop(result.attempt_id, None)
            if batch is not None:
                batch.discard(result.attempt_id)
                self._batches -= not batch

    def unsettled(self) -> list[int]:
        """Attempts it had in hand when it died."""
        return sorted(self._in_hand)

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
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_KILLED_SECONDS)

    def _write(self) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        with contextlib.suppress(OSError):  # its death is noticed by the reader
            while (order := self._orders.get()) is not None:
                pipe.write(order)
                pipe.flush()
        with contextlib.suppress(OSError):
            pipe.close()

    def _read(self) -> None:
        pipe = self._process.stdout
        assert pipe is not None
        try:
            while (body := frames.receive(pipe)) is not None:
                self.heard_at = time.monotonic()
                self._inbox.put((self, frames.decode(frames.facts_decoder, body)))
        except (OSError, msgspec.MsgspecError) as error:
            self.fault = f"what it sent cannot be read: {error}"
        pipe.close()
        self._inbox.put((self, None))


def _with(text: str, fault: str | None) -> str:
    return text if fault is None else f"{text}: {fault}"

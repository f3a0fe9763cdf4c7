"""The `auto` strategy: gives the work to others, and finds out which of them to keep.

It holds the strategies that are being compared, each opened when it is to be tried and
closed when another is kept, and hands every batch to one of them. What to try, and what
to make of it, is decided in `downloader.policy.tuning`; here attempts are counted.
"""

from __future__ import annotations

import math
import time
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar

import msgspec

from downloader.errors import DownloaderError, StrategyError
from downloader.models import AttemptResult, Moved
from downloader.policy.goodput import OVERLOAD, Choices, Counts
from downloader.policy.tuning import Others, Tuner, View
from downloader.strategies.contract import (
    chosen,
    default_workers,
    load,
    usable_cores,
)
from downloader.transfer import socks

if TYPE_CHECKING:
    from downloader.models import Attempt, Fact, Failure, WorkerUsage
    from downloader.strategies.contract import Strategy
    from downloader.transfer.plan import Plan

# How often to look, if not for so many results that a block is over.
LOOK_SECONDS = 0.01
# The longest that one of several is waited for while the others have to be served too.
SLICE_SECONDS = 0.004
# It is begun with at once: who loads this module wants its libraries loaded, too.
load(chosen("default"))


class _Inner:
    """A strategy that is open, and how much it has under way."""

    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy
        self.most = strategy.capacity
        self.attempts = 0

    @property
    def batches(self) -> int:
        """Batches under way, each of which has one slot of its host."""
        return self.most - self.strategy.capacity

    @property
    def is_up(self) -> bool:
        """True if it can begin at once; child programs take their time."""
        return bool(getattr(self.strategy, "is_up", True))


class Auto:
    """The lightest strategy at first, and whatever proves better on the way.

    Args:
        plan: The run's plan.
        workers: The most downloads at once; it begins with the lightest's default.
    """

    name: ClassVar[str] = "auto"
    # From the time on when it tries those that have some.
    has_worker_processes: ClassVar[bool] = True
    wakes_within_a_transfer: ClassVar[bool] = True

    def __init__(self, plan: Plan, workers: int) -> None:
        self._plan = plan
        self._most = workers
        self._stop: Failure | None = None
        self._inner: dict[str, _Inner] = {}
        self._spent: list[WorkerUsage] = []
        self._is_woken = False
        lightest = chosen("default")
        self._active = self._open(lightest)
        # Those that have to be waited for; replaced, never changed: signal handlers read.
        self._turning: tuple[_Inner, ...] = (self._active,)
        now = time.monotonic()
        self._tuner = Tuner(
            lightest,
            _others(plan, workers),
            workers=min(workers, default_workers(lightest)),
            most_workers=workers,
            now=now,
        )
        # Under a rate there is nothing to find out, and two at once would exceed it.
        self._look_at = math.inf if plan.bytes_per_second is not None else now
        self._ended = self._files = self._bytes = self._errors = 0
        self._waited_seconds = self._full_seconds = 0.0
        self._room = 0
        self._measure_room()

    @property
    def capacity(self) -> int:
        return self._room

    @property
    def batch(self) -> int:
        return self._active.strategy.batch

    def start(self, attempts: list[Attempt]) -> None:
        active = self._active
        active.strategy.start(attempts)
        active.attempts += len(attempts)
        self._room -= 1

    def wait(self, timeout_seconds: float) -> list[Fact]:
        is_full = not self._room
        began_at = time.monotonic()
        if len(self._turning) == 1:
            facts = self._collect(self._active, timeout_seconds)
        else:
            facts = self._collect_from_all(began_at + timeout_seconds)
        self._is_woken = False
        now = time.monotonic()
        self._waited_seconds += now - began_at
        if is_full:
            self._full_seconds += now - began_at
        if now >= self._look_at or self._ended >= self._tuner.goal:
            self._look(now)
        self._measure_room()
        return facts

    def wake(self) -> None:
        self._is_woken = True
        for inner in self._turning:
            inner.strategy.wake()

    def cancel(self, failure: Failure) -> None:
        self._stop = failure
        self._is_woken = True
        for inner in list(self._inner.values()):
            inner.strategy.cancel(failure)

    def usage(self) -> list[WorkerUsage]:
        used = [one for i in self._inner.values() for one in i.strategy.usage()]
        if used:  # the memory of those before them is others' now
            spent = [msgspec.structs.replace(one, peak_bytes=0) for one in self._spent]
            return [*spent, *used]
        return list(self._spent)

    def choices(self) -> Choices:
        """What it has decided so far, and why."""
        if self._look_at == math.inf:
            kept = self._tuner.kept
            why = "the rate that was asked for bounds it"
            return Choices(strategy=kept.strategy, workers=kept.workers, why=why)
        return self._tuner.choices()

    def close(self, grace_seconds: float) -> None:
        until = time.monotonic() + grace_seconds
        # What has nothing in hand needs no time for it, and may still be starting.
        for inner in sorted(self._inner.values(), key=lambda one: one.attempts):
            left = max(0.0, until - time.monotonic())
            inner.strategy.close(left if inner.attempts or len(self._inner) == 1 else 0)

    # Waiting

    def _collect(self, inner: _Inner, timeout_seconds: float) -> list[Fact]:
        facts = inner.strategy.wait(timeout_seconds)
        for fact in facts:
            if isinstance(fact, Moved):
                continue
            inner.attempts -= 1
            if isinstance(fact, AttemptResult):
                self._count(fact)
        return facts

    def _count(self, result: AttemptResult) -> None:
        self._ended += 1
        if result.failure is not None:
            self._errors += result.failure.kind in OVERLOAD
        elif result.redirect is None and not result.has_helped:
            self._files += 1
            self._bytes += result.received_bytes

    def _collect_from_all(self, until: float) -> list[Fact]:
        facts: list[Fact] = []
        active = self._active
        while True:
            for inner in self._turning:
                if inner is not active:
                    facts += self._collect_from_other(inner)
            left = max(0.0, until - time.monotonic())
            patience = 0.0 if facts else min(left, SLICE_SECONDS)
            facts += self._collect(active, patience)
            if facts or self._is_woken or left <= SLICE_SECONDS:
                return facts

    def _collect_from_other(self, inner: _Inner) -> list[Fact]:
        try:
            return self._collect(inner, 0.0)
        except StrategyError as error:
            if inner.attempts:
                raise
            # It was only being opened; the run goes on without it.
            self._tuner.refuse(time.monotonic(), str(error))
            self._follow()
            return []

    # Looking

    def _look(self, now: float) -> None:
        if self._look_at == math.inf or self._stop is not None:
            return
        tuner = self._tuner
        self._look_at = now + LOOK_SECONDS
        opening = self._inner.get(tuner.opening) if tuner.opening else None
        view = View(
            in_flight=sum(inner.attempts for inner in self._inner.values()),
            is_drained=all(
                inner is self._active or not inner.attempts for inner in self._turning
            ),
            is_ready=opening is not None and opening.is_up,
        )
        tuner.look(now, self._counts(), view)
        self._follow()

    def _counts(self) -> Counts:
        return Counts(
            self._ended,
            self._files,
            self._bytes,
            self._errors,
            *_busy_seconds(),
            self._waited_seconds,
            self._full_seconds,
        )

    def _follow(self) -> None:
        """Do as the tuner says: open, turn to another, close what is not held any more."""
        tuner = self._tuner
        name = tuner.opening
        if name is not None and name not in self._inner:
            try:
                self._open(name)
            except (DownloaderError, OSError, RuntimeError) as error:
                tuner.refuse(time.monotonic(), str(error))
        before, self._active = self._active, self._inner[tuner.arm.strategy]
        held = tuner.held
        for name, inner in list(self._inner.items()):
            if name not in held and not inner.attempts:
                self._close_one(name, inner)
        self._turning = tuple(
            inner
            for name, inner in self._inner.items()
            if inner is self._active or inner.attempts or name == tuner.opening
        )
        if self._active is not before:
            self._active.strategy.wake()  # who woke the other must not wait for this one

    def _open(self, name: str) -> _Inner:
        inner = self._inner[name] = _Inner(load(name)(self._plan, self._most))
        if self._stop is not None:
            inner.strategy.cancel(self._stop)
        return inner

    def _close_one(self, name: str, inner: _Inner) -> None:
        # An error of what is given up must not end the run.
        with suppress(StrategyError):
            inner.strategy.close(0.0)
        self._spent += inner.strategy.usage()
        del self._inner[name]

    def _measure_room(self) -> None:
        under_way = sum(inner.batches for inner in self._turning)
        free = self._tuner.arm.workers - under_way
        self._room = max(0, min(free, self._active.strategy.capacity))


def _busy_seconds() -> tuple[float, float]:
    """How long this thread had something to do, and how long others had its CPU then."""
    with suppress(OSError, ValueError):  # Linux alone counts the waiting
        with open("/proc/thread-self/schedstat", "rb") as stat:
            used, waited, _ = stat.read().split()
        return (int(used) + int(waited)) / 1e9, int(waited) / 1e9
    return time.thread_time(), 0.0


def _others(plan: Plan, workers: int) -> Others:
    """What else there is to try on this machine for this run."""
    cores = "multicore" if min(usable_cores(), workers) > 1 else None
    has_all = plan.http_version == 1 and socks.is_served(plan.proxies)
    threads = "threads" if has_all and workers > 1 else None
    return Others(cores, threads)

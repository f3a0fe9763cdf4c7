"""A child program of the `multicore` strategy: `python -m downloader.strategies.core`.

It hosts an event loop and runs batches side by side, the attempts of each one after
another: a batch has one slot of its host, whoever runs it.
"""

from __future__ import annotations

import contextlib
import queue
from collections import deque
from typing import TYPE_CHECKING

from downloader.errors import StrategyUnavailable
from downloader.models import AttemptResult, Moved
from downloader.strategies import frames
from downloader.strategies.child import (
    FLUSH_SECONDS,
    Teller,
    read_orders,
    take_over_pipes,
    telling_faults,
)
from downloader.strategies.guard import end_with_parent, ignore_interrupts

if TYPE_CHECKING:
    from typing import BinaryIO

    from downloader.strategies.curl import Curl
    from downloader.strategies.event_loop import EventLoop

# An inner strategy's longest wait; orders wake it.
WAIT_SECONDS = 0.5


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
    order = frames.decode(frames.order_decoder, first)
    assert order.plan is not None
    loop = load()(order.plan, order.lanes)
    batches: queue.SimpleQueue[list[frames.Packed]] = queue.SimpleQueue()

    def take(more: list[list[frames.Packed]]) -> None:
        for batch in more:
            batches.put(batch)
        loop.wake()

    read_orders(orders, facts, loop.limit, loop.cancel, take)
    teller = Teller(facts)
    teller.flush()  # tells the parent that it is ready
    Core(loop, batches, teller).run(order.lanes)


def load() -> type[Curl | EventLoop]:
    """The inner strategy; its libraries are imported now."""
    try:
        from downloader.strategies.curl import Curl
    except StrategyUnavailable:
        from downloader.strategies.event_loop import EventLoop

        return EventLoop
    return Curl


class Core:
    """Keeps a number of lanes busy on one event loop."""

    def __init__(
        self,
        loop: Curl | EventLoop,
        batches: queue.SimpleQueue[list[frames.Packed]],
        teller: Teller,
    ) -> None:
        self._loop = loop
        self._batches = batches
        self._teller = teller
        # What is left of the batch that an attempt under way belongs to.
        self._lanes: dict[int, deque[frames.Packed]] = {}

    def run(self, lanes: int) -> None:
        """Serve for ever; the thread that reads orders ends the process."""
        while True:
            with contextlib.suppress(queue.Empty):
                while len(self._lanes) < lanes:
                    self._go_on(deque(self._batches.get_nowait()))
            if self._teller.has_news and not self._lanes:
                self._teller.flush()
            self._turn()

    def _turn(self) -> None:
        patience = FLUSH_SECONDS if self._teller.has_news else WAIT_SECONDS
        for fact in self._loop.wait(patience):
            if isinstance(fact, Moved):
                self._teller.moved(fact)
            elif isinstance(fact, AttemptResult):
                self._teller.add(fact)
                self._go_on(self._lanes.pop(fact.attempt_id))
        if self._teller.has_news:
            self._teller.flush_if_due()

    def _go_on(self, lane: deque[frames.Packed]) -> None:
        while lane:
            attempt = frames.unpack(lane.popleft())
            if not isinstance(attempt, AttemptResult):
                self._lanes[attempt.id] = lane
                self._loop.start([attempt])
                return
            self._teller.add(attempt)


if __name__ == "__main__":
    main()

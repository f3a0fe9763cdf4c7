"""A session that stays open and is handed one block of URLs after another.

The same engine as `downloader.fetch`, in a thread of its own as under `Downloader`, but
without a future for each file. Its workers are warm from the second block on.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from downloader.models import Request
from downloader.progress import Silent
from downloader.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from downloader.models import Outcome
    from downloader.report import Summary
    from downloader.settings import Settings
    from downloader.sources import Sink

__all__ = ["Block", "OpenSession"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """What came of a block.

    Attributes:
        seconds: From handing it over until the last of its outcomes.
        latency_seconds: Workers' time for each file that came, rising.
    """

    seconds: float
    files: int
    failed: int
    received_bytes: int
    latency_seconds: list[float]


class OpenSession:
    """An open session; one thread hands blocks over, each after the last one's end."""

    def __init__(self, settings: Settings) -> None:
        self._feed = _Feed()
        self._watch = _Watch()
        self._session = Session(settings, self._feed, self._watch)
        self._error: BaseException | None = None
        self._summary: Summary | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def fetch(self, urls: Sequence[str]) -> Block:
        """Fetch a block of URLs, each new to this session."""
        self._watch.expect(len(urls))
        began = time.perf_counter()
        self._feed.push(urls)
        if self._thread.ident is None:
            self._thread.start()
        self._session.wake()
        self._watch.is_over.wait()
        if self._error is not None:
            raise self._error
        return self._watch.block(began)

    def phase_seconds(self) -> dict[str, float]:
        """Where workers' time went in all blocks so far; asked between two of them."""
        return self._session.phase_seconds()

    def close(self) -> Summary:
        """End its workers; returns the figures of all blocks together."""
        self._feed.close()
        self._session.wake()
        self._thread.join()
        if self._error is not None:
            raise self._error
        assert self._summary is not None
        return self._summary

    def _run(self) -> None:
        try:
            with self._session.run() as report:
                self._summary = report.summary
        except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
            self._error = error
            self._watch.is_over.set()


class _Feed:
    """Requests that are pushed; the session may look at them at any time."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Request, Sink | None]] = deque()
        self._is_closed = False

    @property
    def is_done(self) -> bool:
        return self._is_closed and not self._waiting

    @property
    def is_ready(self) -> bool:
        return bool(self._waiting)

    def push(self, urls: Sequence[str]) -> None:
        """Add all of a block at once."""
        self._waiting.extend((Request(url), None) for url in urls)

    def take(self, most: int) -> list[tuple[Request, Sink | None]]:
        return [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]

    def close(self) -> None:
        self._is_closed = True


class _Watch(Silent):
    """Notes a block's outcomes, and the moment of the last one."""

    def __init__(self) -> None:
        self.is_over = threading.Event()
        self._expected = 0
        self._ended_at = 0.0
        self._outcomes: list[tuple[Outcome, int]] = []

    def expect(self, outcomes: int) -> None:
        """Forget what has been; so many are to come."""
        self.is_over.clear()
        self._outcomes = []
        self._expected = outcomes

    def outcome(self, outcome: Outcome, received_bytes: int) -> None:
        self._outcomes.append((outcome, received_bytes))
        if len(self._outcomes) == self._expected:
            self._ended_at = time.perf_counter()
            self.is_over.set()

    def block(self, began: float) -> Block:
        """What came since `expect`."""
        there = [one for one, _ in self._outcomes if one.is_there]
        return Block(
            seconds=self._ended_at - began,
            files=len(there),
            failed=len(self._outcomes) - len(there),
            received_bytes=sum(size for _, size in self._outcomes),
            latency_seconds=sorted(one.seconds for one in there),
        )

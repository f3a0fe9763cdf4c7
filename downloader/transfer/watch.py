"""Who ends an attempt that waits too long: a token for each, and what sweeps them.

A blocked read cannot look at a clock, so somebody else must: a thread beside the
blocking driver, a timer on the event loop. Both sweep the same tokens.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from downloader.models import Failure, Proxy
    from downloader.policy.patience import Patience


class Watch:
    """An attempt under way, as one that may have to be cut off.

    Args:
        patience: Its clock.
        cut: Ends its waiting, from any thread; called at most once.
        wants_fresh: Whether only a connection made for it will do.
    """

    __slots__ = (
        "_cut",
        "distrust",
        "failure",
        "handler",
        "is_fresh",
        "patience",
        "shakes_hands",
        "socks",
        "wants_fresh",
    )

    def __init__(
        self,
        patience: Patience,
        cut: Callable[[], object],
        *,
        wants_fresh: bool = False,
    ) -> None:
        self.wants_fresh = wants_fresh
        self.patience = patience
        self.failure: Failure | None = None
        # True once the attempt's request went out on a connection made for it.
        self.is_fresh = False
        # What reads the answer on that connection, where the library keeps it to itself.
        self.handler: Any = None
        # To be called if that connection's server has sent what nobody asked for.
        self.distrust: Callable[[], None] = _nothing
        # True if TLS follows as soon as that connection stands.
        self.shakes_hands = False
        # The SOCKS proxy that a connection made for it goes through.
        self.socks: Proxy | None = None
        self._cut = cut

    def abort(self, failure: Failure) -> None:
        """Cut the attempt off; it ends with this failure, whatever error comes of it."""
        if self.failure is None:
            self.failure = failure
            self._cut()

    def sweep(self, now: float) -> None:
        """Cut the attempt off if its patience is at an end."""
        failure = self.patience.verdict(now)
        if failure is not None:
            self.abort(failure)


def _nothing() -> None:
    """Do nothing: the default of a callback."""


def sweep_seconds(timeout_seconds: float) -> float:
    """How often to sweep: a fifth of the timeout, between 20 ms and a quarter second."""
    return min(0.25, max(0.02, timeout_seconds / 5))


class Watchdog:
    """A daemon thread that sweeps the watches of a process's blocking drivers.

    `live` may be read and changed from any thread: its operations are atomic under the
    interpreter's lock, and a signal handler can use them without a lock to wait for.
    """

    def __init__(self, timeout_seconds: float) -> None:
        self.live: dict[int, Watch] = {}
        self._pause_seconds = sweep_seconds(timeout_seconds)
        self._closed = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name="downloader-watchdog", daemon=True
        )
        self._thread.start()

    def abort_all(self, failure: Failure) -> None:
        """Cut off every attempt under way; safe in a signal handler."""
        for watch in list(self.live.values()):
            watch.abort(failure)

    def close(self) -> None:
        """Stop sweeping."""
        self._closed.set()
        self._thread.join(1.0)

    def _run(self) -> None:
        while not self._closed.wait(self._pause_seconds):
            now = time.monotonic()
            for watch in list(self.live.values()):
                watch.sweep(now)

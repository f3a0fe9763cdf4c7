"""The bounds that a user sets on a run as a whole: its time, and its failures."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from downloader import wording
from downloader.policy.failure_limit import FailureLimit

if TYPE_CHECKING:
    from collections.abc import Callable

    from downloader.settings import Settings


class Bounds:
    """Watches one run; tells why it has to end.

    Args:
        settings: The run's settings.
        end: Called with the reason when the time is over, from another thread: also in
            the middle of a serial read.
    """

    def __init__(self, settings: Settings, end: Callable[[str], None]) -> None:
        most = settings.max_failures
        self._limit = None if most is None else FailureLimit.read(most)
        self._limit_text = most
        self._deadline = settings.deadline
        self._end = end
        self._alarm: threading.Timer | None = None

    def begin(self) -> None:
        """The run's time begins."""
        if self._deadline is not None:
            why = f"the deadline of {wording.duration(self._deadline)} was reached"
            self._alarm = threading.Timer(self._deadline, self._end, (why,))
            self._alarm.daemon = True
            self._alarm.start()

    def over(self) -> None:
        """The run is over, and its time does not matter any more."""
        if self._alarm is not None:
            self._alarm.cancel()

    def reached(self, failed: int, ended: int) -> str | None:
        """Why so many failures among so many rows are too many; None if they are not."""
        if self._limit is None or not self._limit.is_reached(failed, ended):
            return None
        failures = wording.plural(failed, "failure")
        return f"{failures}, --max-failures {self._limit_text}"

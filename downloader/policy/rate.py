"""The token bucket behind `--limit-rate`; the clock comes in as a value."""

from __future__ import annotations


class TokenBucket:
    """Bytes that may pass, refilled at a steady rate; debts are paid by waiting.

    A bucket may be shared by many transfers of one thread of control: each takes what
    it received and waits as long as it is told, so their sum keeps to the rate.

    Args:
        bytes_per_second: The rate; None lets everything pass.
    """

    __slots__ = ("_available_bytes", "_bytes_per_second", "_filled_at")

    # A quarter of a second's worth may pass at once: enough to ride out a late
    # wake-up, too little for a burst that a person would notice.
    BURST_SECONDS = 0.25

    def __init__(self, bytes_per_second: float | None) -> None:
        self._bytes_per_second = bytes_per_second
        self._available_bytes = 0.0
        self._filled_at: float | None = None

    @property
    def bytes_per_second(self) -> float | None:
        """The rate in force; None if there is none."""
        return self._bytes_per_second

    def change(self, bytes_per_second: float | None) -> None:
        """Go on at another rate; what is owed stays owed."""
        self._bytes_per_second = bytes_per_second

    def take(self, size_bytes: int, now: float) -> float:
        """The seconds to wait after `size_bytes` arrived, 0.0 if there is room."""
        rate = self._bytes_per_second
        if rate is None:
            return 0.0
        if self._filled_at is None:
            self._filled_at = now
        gained = (now - self._filled_at) * rate
        ceiling = rate * self.BURST_SECONDS
        self._available_bytes = min(ceiling, self._available_bytes + gained)
        self._filled_at = now
        self._available_bytes -= size_bytes
        return max(0.0, -self._available_bytes / rate)

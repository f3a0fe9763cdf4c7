"""How long an attempt may wait for what; the clock comes in as a value.

    connecting ──connected──► asking ──answered──► receiving
        │ timeout               │ timeout             │ timeout for each gap,
        ▼                       ▼                     ▼ too_slow on average
     "timeout"               "timeout"          "timeout" | "too_slow"

Connecting counts from the name's look-up to the end of the TLS handshake. Asking counts
the whole response head, interim answers included, however it drips. A body may take as
long as it likes, if no gap in it is longer than the timeout and it moves at all. Nor is
anyone hurried while it waits for our own disk.
"""

from __future__ import annotations

from downloader.models import ErrorKind, Failure

# Below this average a body is not a slow one but a stuck one.
FLOOR_BYTES_PER_SECOND = 100
# An average over less than this says nothing.
FLOOR_WINDOW_SECONDS = 5.0


class Patience:
    """The clock of one attempt; drivers report phases, a watcher asks `verdict`.

    Args:
        timeout_seconds: The bound on each phase and each gap.
        now: The moment the attempt was taken up.
        max_seconds: The bound on all of it; None for any time.
    """

    __slots__ = (
        "_ends_at",
        "_max_seconds",
        "_phase",
        "_received_bytes",
        "_since",
        "_started_at",
        "_timeout",
    )

    def __init__(
        self, timeout_seconds: float, now: float, max_seconds: float | None = None
    ) -> None:
        self._max_seconds = max_seconds
        self._ends_at = None if max_seconds is None else now + max_seconds
        self._timeout = timeout_seconds
        self._phase = "connecting"
        self._since = now
        self._started_at = now
        self._received_bytes = 0

    @property
    def timeout_seconds(self) -> float:
        """The bound on each phase."""
        return self._timeout

    def connecting(self, now: float) -> None:
        """A connection is being made: a new hop, or a proxy's."""
        self._phase, self._since = "connecting", now

    def asking(self, now: float) -> None:
        """The connection stands; the answer's head is awaited."""
        self._phase, self._since = "asking", now

    def receiving(self, now: float) -> None:
        """The head is complete; the body begins."""
        self._phase, self._since = "receiving", now
        self._started_at, self._received_bytes = now, 0

    def received(self, size_bytes: int, now: float) -> None:
        """Some of the body came."""
        self._since = now
        self._received_bytes += size_bytes

    def paused(self, seconds: float, now: float) -> None:
        """We ourselves hold the transfer back until `now`; that is not the server's doing."""
        self._since = now
        self._started_at += seconds

    def working(self) -> None:
        """We wait for our own disk, for as long as that takes."""
        self._phase = "working"

    def remaining_seconds(self, now: float) -> float:
        """What is left of the present phase, never below a millisecond."""
        return max(0.001, self._since + self._timeout - now)

    def verdict(self, now: float) -> Failure | None:
        """The failure that has come about by `now`, None if there is still hope."""
        if self._ends_at is not None and now > self._ends_at:
            return Failure(
                ErrorKind.TIMEOUT, f"not finished within {self._max_seconds:g} s"
            )
        return None if self._phase == "working" else self._phase_verdict(now)

    def _phase_verdict(self, now: float) -> Failure | None:
        silent_seconds = now - self._since
        if silent_seconds > self._timeout:
            return Failure(ErrorKind.TIMEOUT, self.complaint())
        if self._phase != "receiving":
            return None
        spent = now - self._started_at
        if spent <= max(self._timeout, FLOOR_WINDOW_SECONDS):
            return None
        if self._received_bytes >= FLOOR_BYTES_PER_SECOND * spent:
            # A window that was well; the next begins, so that no past makes up for it.
            self._started_at, self._received_bytes = now, 0
            return None
        average = self._received_bytes / spent
        return Failure(
            ErrorKind.TOO_SLOW,
            f"{average:.0f} B/s on average over {spent:.0f} s, the least is "
            f"{FLOOR_BYTES_PER_SECOND} B/s",
        )

    def complaint(self) -> str:
        """What has not come in time, in the present phase."""
        waited = {
            "connecting": "no connection",
            "asking": "no complete response head",
            "receiving": "no more of the body",
            "working": "no end of the disk's work",
        }[self._phase]
        return f"{waited} within {self._timeout:g} s"

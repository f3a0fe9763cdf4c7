"""How long an attempt may wait for what; the clock comes in as a value.

    connecting ──connected──► asking ──answered──► receiving
        │ timeout               │ timeout             │ timeout for each gap,
        ▼                       ▼                     ▼ too_slow on average
     "timeout"               "timeout"          "timeout" | "too_slow"

Connecting counts from the name's look-up to the end of the TLS handshake. Asking counts
the whole response head, interim answers included, however it drips. A body may take as
long as it likes, if no gap in it is longer than the timeout and it moves at all. Nor is
anyone hurried while it waits for our own disk.

The same clock tells in the end where the time went: see `Phases`.
"""

from __future__ import annotations

from downloader.models import ErrorKind, Failure, Phases

# Below this average a body is not a slow one but a stuck one.
FLOOR_BYTES_PER_SECOND = 100
# An average over less than this says nothing.
FLOOR_WINDOW_SECONDS = 5.0

_CONNECTING, _SECURING, _ASKING, _RECEIVING, _WORKING = range(5)
_COMPLAINTS = (
    "no connection",
    "no connection",
    "no complete response head",
    "no more of the body",
    "no end of the disk's work",
)


class Patience:
    """The clock of one attempt; drivers report phases, a watcher asks `verdict`.

    Each call costs a fraction of a microsecond, so that small files can afford them.

    Args:
        timeout_seconds: The bound on each phase and each gap.
        now: The moment the attempt was taken up.
        max_seconds: The bound on all of it; None for any time.
    """

    __slots__ = (
        "_awaited_seconds",
        "_began_at",
        "_ends_at",
        "_late_seconds",
        "_marks",
        "_max_seconds",
        "_paused_seconds",
        "_phase",
        "_received_bytes",
        "_secured_seconds",
        "_since",
        "_started_at",
        "_stored_seconds",
        "_timeout",
    )

    def __init__(
        self, timeout_seconds: float, now: float, max_seconds: float | None = None
    ) -> None:
        self._max_seconds = max_seconds
        self._ends_at = None if max_seconds is None else now + max_seconds
        self._timeout = timeout_seconds
        self._phase = _CONNECTING
        self._since = self._began_at = self._started_at = now
        self._received_bytes = 0
        # Each phase that has ended, and when; summed up once, at the end.
        self._marks: list[tuple[int, float]] = []
        self._secured_seconds = self._paused_seconds = 0.0
        self._stored_seconds = self._awaited_seconds = self._late_seconds = 0.0

    @property
    def timeout_seconds(self) -> float:
        """The bound on each phase."""
        return self._timeout

    @property
    def is_connected(self) -> bool:
        """True if the present request has a connection to go out on."""
        return self._phase not in {_CONNECTING, _SECURING}

    def connecting(self, now: float) -> None:
        """A connection is being made: a new hop, or a proxy's."""
        if self._phase != _CONNECTING:
            self._marks.append((self._phase, now))
            self._phase = _CONNECTING
        self._since = now

    def securing(self, now: float) -> None:
        """The TLS handshake begins; the bound on connecting holds for both together."""
        self._marks.append((self._phase, now))
        self._phase = _SECURING

    def secured(self, seconds: float) -> None:
        """So much of the time to connect was TLS, as a library says afterwards."""
        self._secured_seconds += max(0.0, seconds)

    def answered(self, seconds: float) -> None:
        """The head began so long after its request, as a library says afterwards.

        What was taken for waiting for it beyond that was waiting for the body.
        """
        since = self._began_at
        late = 0.0
        for phase, ended_at in self._marks:
            if phase == _ASKING:
                late = ended_at - since - seconds
            since = ended_at
        self._late_seconds += max(0.0, late)

    def asking(self, now: float, *, is_reused: bool = False) -> None:
        """The connection stands; the answer's head is awaited.

        Args:
            now: The moment.
            is_reused: True if it stood already: then no time went to connecting.
        """
        ended = self._phase
        if is_reused and ended == _CONNECTING:
            ended = _ASKING
        self._marks.append((ended, now))
        # A watcher may look in between: the later moment first, so that it sees no
        # phase that has lasted too long already.
        self._since = now
        self._phase = _ASKING

    def receiving(self, now: float) -> None:
        """The head is complete; the body begins."""
        self._marks.append((self._phase, now))
        self._since = self._started_at = now
        self._phase, self._received_bytes = _RECEIVING, 0

    def received(self, size_bytes: int, now: float) -> None:
        """Some of the body came."""
        self._since = now
        self._received_bytes += size_bytes

    def paused(self, seconds: float, now: float) -> None:
        """We ourselves hold the transfer back until `now`; that is not the server's doing."""
        self._since = now
        self._started_at += seconds
        self._paused_seconds += seconds

    def stored(self, seconds: float) -> None:
        """So much of the body's time went to hashing and writing what has come."""
        self._stored_seconds += seconds

    def awaited(self, seconds: float) -> None:
        """So much of our work's time went to waiting for others who fetch the rest."""
        self._awaited_seconds += seconds

    def working(self, now: float) -> None:
        """We wait for our own disk, for as long as that takes."""
        self._marks.append((self._phase, now))
        self._phase = _WORKING

    def phases(self, now: float, hash_seconds: float = 0.0) -> Phases:
        """Where the time up to now went; the part file knows what hashing took of it."""
        spent = [0.0, 0.0, 0.0, 0.0, 0.0]
        since = self._began_at
        for phase, ended_at in self._marks:
            spent[phase] += ended_at - since
            since = ended_at
        spent[self._phase] += now - since
        connect, tls, first_byte, body, work = spent
        secured, paused = self._secured_seconds, self._paused_seconds
        stored, late = self._stored_seconds, self._late_seconds
        if late:
            late = min(late, first_byte)
            first_byte, body = first_byte - late, body + late
        if secured:
            secured = min(secured, connect)
            connect, tls = connect - secured, tls + secured
        if paused or stored:
            # Pauses may overlap, or be cut short.
            stored = min(stored, body)
            paused = min(paused, body - stored)
            body -= paused + stored
        awaited = min(self._awaited_seconds, work)
        kept = work - awaited + stored
        hashed = min(hash_seconds, kept)
        return Phases(
            self._began_at,
            connect,
            tls,
            first_byte,
            body + awaited,
            paused,
            hashed,
            kept - hashed,
        )

    def remaining_seconds(self, now: float) -> float:
        """What is left of the present phase, never below a millisecond."""
        return max(0.001, self._since + self._timeout - now)

    def verdict(self, now: float) -> Failure | None:
        """The failure that has come about by `now`, None if there is still hope."""
        if self._ends_at is not None and now > self._ends_at:
            return Failure(
                ErrorKind.TIMEOUT, f"not finished within {self._max_seconds:g} s"
            )
        return None if self._phase == _WORKING else self._phase_verdict(now)

    def _phase_verdict(self, now: float) -> Failure | None:
        silent_seconds = now - self._since
        if silent_seconds > self._timeout:
            return Failure(ErrorKind.TIMEOUT, self.complaint())
        if self._phase != _RECEIVING:
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
        return f"{_COMPLAINTS[self._phase]} within {self._timeout:g} s"

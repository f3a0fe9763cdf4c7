"""Whether a host is worth asking: a circuit breaker for each (Nygard, "Release It!", 2007).

    closed ──N failures in a row──► open ──cool-down over──► probing ──it fails──► dead
      ▲                              │                         │ ▲                  │
      └──────────── any answer ──────┴─────────────────────────┘ └─ cool-down over ─┘

Only failures to reach the host count: connect, dns and timeout. Any answer, a 500 or a
cut body too, says that it lives. While *open* its requests wait, since hosts are restarted
and networks come back. Then one request probes. If that fails as well, all that waits for
the host fails at once, and so does what comes later in the list, until the next probe is
due: a list of a hundred thousand URLs of a dead host ends within about a minute.
"""

from __future__ import annotations

from enum import Enum

from downloader.models import ErrorKind, Failure

# The first wait; the second and all others are twice the one before, up to the longest.
COOL_DOWN_SECONDS = 30.0
LONGEST_COOL_DOWN_SECONDS = 300.0
_COUNTED = frozenset({ErrorKind.CONNECT, ErrorKind.DNS, ErrorKind.TIMEOUT})


class State(Enum):
    """How much is expected of a host."""

    CLOSED = 1
    OPEN = 2
    PROBING = 3
    DEAD = 4


class Breaker:
    """What is known of one host's reachability.

    Args:
        host: Its name and port, for messages.
        limit: Failures in a row after which it opens.

    Attributes:
        state: As in the module's drawing.
        until: While open or dead: when the next request may probe.
    """

    __slots__ = ("_cool_down", "_failures", "_last", "_limit", "host", "state", "until")

    def __init__(self, host: str, limit: int) -> None:
        self.host = host
        self.state = State.CLOSED
        self.until = 0.0
        self._limit = limit
        self._failures = 0
        self._cool_down = COOL_DOWN_SECONDS
        self._last: Failure | None = None

    @staticmethod
    def counts(failure: Failure) -> bool:
        """True if a failure says that the host was not reached."""
        return failure.kind in _COUNTED

    def failed(self, failure: Failure, now: float) -> bool:
        """Take a failure in that counts; True if it opens, or dies of it."""
        if self.state in {State.OPEN, State.DEAD}:
            return False  # begun before that, and no news
        self._last = failure
        self._failures += 1
        if self.state is State.CLOSED and self._failures < self._limit:
            return False
        self.state = State.OPEN if self.state is State.CLOSED else State.DEAD
        self.until = now + self._cool_down
        self._cool_down = min(LONGEST_COOL_DOWN_SECONDS, 2 * self._cool_down)
        return True

    def refuses(self, now: float) -> bool:
        """True if a request for the host fails at once."""
        return self.state is State.DEAD and now < self.until

    def probe(self) -> None:
        """The cool-down is over, and a request goes out."""
        if self.state is not State.CLOSED:
            self.state = State.PROBING

    def failure(self) -> Failure:
        """How a request ends that is not made any more."""
        assert self._last is not None
        return Failure(
            self._last.kind,
            f"{self.host} was not reached {self._failures:,} times in a row, the last "
            f"time: {self._last.detail}",
        )


# Failures of our own making, which say nothing of the host.
_NO_ANSWER = frozenset(
    {
        ErrorKind.WORKER_LOST,
        ErrorKind.INTERRUPTED,
        ErrorKind.NOT_TRIED,
        ErrorKind.INTERNAL,
        ErrorKind.BLOCKED,
    }
)


class Breakers:
    """The breakers of the hosts that were not reached when they were last asked.

    Args:
        limit: As for `Breaker`; None never to give a host up.
    """

    # Of so many hosts it is remembered; a list may name any number.
    MOST = 10_000

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._breakers: dict[str, Breaker] = {}

    def __len__(self) -> int:
        return len(self._breakers)

    def get(self, host: str) -> Breaker | None:
        """A host's breaker; None if all is well, as far as is known."""
        return self._breakers.get(host)

    def take_in(self, host: str, failure: Failure | None, now: float) -> Breaker | None:
        """How an attempt ended; the host's breaker if that has changed its state.

        Args:
            host: Its name and port.
            failure: What went wrong, None if nothing did.
            now: The frontier's clock.
        """
        if failure is not None and Breaker.counts(failure):
            return self._failed(host, failure, now)
        if failure is not None and failure.kind in _NO_ANSWER:
            return None
        breaker = self._breakers.pop(host, None)
        if breaker is not None:
            breaker.state = State.CLOSED
        return breaker

    def _failed(self, host: str, failure: Failure, now: float) -> Breaker | None:
        if self._limit is None:
            return None
        breaker = self._breakers.get(host)
        if breaker is None:
            if len(self._breakers) >= self.MOST:
                del self._breakers[next(iter(self._breakers))]
            breaker = self._breakers[host] = Breaker(host, self._limit)
        return breaker if breaker.failed(failure, now) else None

"""Pauses of hosts in trouble, with one probe each, and when a host is given up.

    closed ──trouble──► open ──pause over──► probing ──answered──► closed
                         ▲                      │
                         ├── trouble, in time ──┤
                         │                      └── trouble, too long ──► dead
                         └──────────── pause over: the next probe ──────────┘

A circuit breaker for each host (Nygard, "Release It!", 2007). Two kinds of trouble pause
the host as a whole:

*Refusals.* A 429, and any 202, 4xx or 5xx with Retry-After, is the host's. A 503 without
one may be a single page's: it is the host's once BUSY_IN_A_ROW different requests got it
with nothing granted in between, or if the host is known to ask for less. A request that is
refused more than MOST_HOSTS_REFUSALS times while the host grants others is itself at fault,
unless a pause is asked for. The pause is the one that was asked for, else it doubles from
the first rest. Then one request probes; after one that was never tried has failed, one that
was, and the other way round. Once a probe is granted, `downloader.policy.throttle` limits
the starts. A longer Retry-After than `--max-retry-wait` gives the host up at once, until
that time has passed.

A refusal uses up no retry if it is the request's first and the host has granted something
in this run, or if WIDE different requests have been refused since the host last granted
something. Any other uses one up: a page that alone is refused ends after its retries. With
`--retries 0` each request of a host that limits its rate so has a second chance.

*Outages.* Without a connection (connect, dns, timeout) a host that was reached in this run
rests, and no retry is used up. A connection without an answer may be a single page's
trouble, so it uses up a retry, and the host rests after WIDE of them in a row. A host that
was never reached rests for COOL_DOWN_SECONDS after `--max-host-failures` in a row; if the
probe fails too, it is given up: a list of a hundred thousand URLs of a dead host ends
within about a minute.

A paused host is given up once a probe fails `--retry-max-time` after it last granted
something (outages: was reached). If it never did, and names no pause, its
time is UNGRANTED_RESTS first rests. Given up, all that waits for it fails, and so does
what comes later in the list, until the next probe is due.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

import msgspec

from downloader.models import Failure
from downloader.policy.retry import Blame, RetryRules
from downloader.policy.signs import Sign, sign_of
from downloader.policy.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from downloader.models import AttemptResult
    from downloader.policy.hosts import Host
    from downloader.policy.ticket import Ticket

# Of a host that was never reached: the first wait; all others are twice the one before,
# up to the longest. Also how long a host is given up.
COOL_DOWN_SECONDS = 30.0
LONGEST_COOL_DOWN_SECONDS = 300.0
# Different requests refused, or not answered, in a row: that is no single page's fault.
WIDE = 8
BUSY_IN_A_ROW = 4
# Refusals of one request, while its host grants others, that may be its host's fault.
MOST_HOSTS_REFUSALS = 2
# Patience with a host that has granted nothing yet, in first rests.
UNGRANTED_RESTS = 60
# The first rest is a multiple of the first back-off: a second by default. It has a least
# length, since without a back-off there would be a storm of probes.
RESTS_PER_BACKOFF = 2.0
LEAST_REST_SECONDS = 0.02


class State(Enum):
    """How much is expected of a host."""

    CLOSED = 1
    OPEN = 2
    PROBING = 3
    DEAD = 4


class Rest(msgspec.Struct, frozen=True):
    """A pause that has just begun.

    Attributes:
        reason: Why; it names the host.
        seconds: Its length.
        is_first: False if the host was in trouble before.
    """

    reason: str
    seconds: float
    is_first: bool


class Moment(msgspec.Struct, frozen=True):
    """Time and newest attempt at the end of an attempt.

    Attributes:
        now: The frontier's clock.
        jitter: A random number in [0, 1).
        newest_id: The highest id of an attempt up to now.
    """

    now: float
    jitter: float
    newest_id: int


class Breaker:
    """Trouble of one host.

    Args:
        host: The host.
        limit: Failures in a row after which a host that was never reached rests; None
            for any number.
        rules: The run's rules.

    Attributes:
        host: The host; the frontier may forget it and take it up again.
        state: As in the module's drawing.
        until: While open or dead: when the next request may probe.
        throttle: The limit on starts of a host that has refused something.
        is_refused: True if the trouble is refusals.
        asked_seconds: The pause that the host asked for, 0 if it named none.
        news: The pause that has just begun; its reader sets it to None.
        probes_tried: True if the next probe is better one that has failed before. It
            changes when a probe fails: pages may be at fault, or each refused at first.
    """

    __slots__ = (
        "_cool_down",
        "_failures",
        "_first_id",
        "_last",
        "_limit",
        "_paused_at",
        "_probe_id",
        "_reason",
        "_refused",
        "_rest",
        "_rests",
        "_rules",
        "asked_seconds",
        "host",
        "is_refused",
        "news",
        "probes_tried",
        "state",
        "throttle",
        "until",
    )

    def __init__(self, host: Host, limit: int | None, rules: RetryRules) -> None:
        self.state = State.CLOSED
        self.until = 0.0
        self.throttle: Throttle | None = None
        self.is_refused = False
        self.asked_seconds = 0.0
        self.news: Rest | None = None
        self.probes_tried = False
        self.host = host
        self._limit = limit
        self._rules = rules
        self._failures = 0
        self._refused: set[int] = set()  # requests, since the host last granted one
        self._first_id = 0  # attempts with lower ids began before the pause
        self._probe_id: int | None = None
        self._rest = self._first_rest
        self._rests = 0  # since the last answer
        self._cool_down = COOL_DOWN_SECONDS
        self._last: Failure | None = None
        self._reason = ""
        self._paused_at = 0.0

    @property
    def _first_rest(self) -> float:
        return max(LEAST_REST_SECONDS, RESTS_PER_BACKOFF * self._rules.backoff_seconds)

    @property
    def limits_starts(self) -> bool:
        """True if attempts of the host go out one at a time or at a rate."""
        return self.state is not State.CLOSED or self.throttle is not None

    def refuses(self, now: float) -> bool:
        """True if a request for the host fails at once."""
        return self.state is State.DEAD and now < self.until

    def probe(self, attempt_id: int) -> None:
        """Take in that the pause is over and this attempt goes out."""
        self.state = State.PROBING
        self._probe_id = self._first_id = attempt_id

    def is_probe(self, attempt_id: int) -> bool:
        """True if the host's next state depends on this attempt."""
        return self.state is State.PROBING and attempt_id == self._probe_id

    def give_back(self, attempt_id: int) -> None:
        """Take in that an attempt ended without a word from the host."""
        if self.is_probe(attempt_id):
            self.state, self.until = State.OPEN, 0.0

    def failure(self) -> Failure:
        """How a request ends that is not made any more."""
        assert self._last is not None
        return Failure(self._last.kind, self._reason)

    def answered(self, attempt_id: int, now: float) -> bool:
        """Take in an answer; True if there is nothing left to remember.

        An answer to a request from before the pause ends an outage, and no refusal.
        """
        is_news = attempt_id >= self._first_id
        if self.throttle is not None:
            is_paced = is_news and self.state is State.CLOSED
            self.throttle.grant(raises_rate=is_paced)
        if is_news or not self.is_refused:
            self._failures = 0
            self._refused.clear()
            if self.state is not State.CLOSED:
                self._close(now)
        if self.throttle is not None and self.throttle.is_over:
            self.throttle = None
        return not self.limits_starts

    def _close(self, now: float) -> None:
        self.state = State.CLOSED
        if self.throttle is not None:
            self.throttle.resume(
                now, self._paused_at, was_refused_again=self._rests > 1
            )
        # What was too short before is not tried again from the beginning.
        self._rest = max(self._first_rest, self._rest / 4)
        self._rests, self._cool_down = 0, COOL_DOWN_SECONDS

    def troubled(
        self, sign: Sign, result: AttemptResult, ticket: Ticket, moment: Moment
    ) -> Blame:
        """Take in a refusal or an outage; return whose it is."""
        failure = result.failure
        assert failure is not None
        is_news = result.attempt_id >= self._first_id
        asked = failure.retry_after_seconds or 0.0
        if self.state is State.DEAD:
            return self._blame(sign, ticket)
        self._last = failure
        if sign.is_refusal:
            ticket.history.refusals += 1
            self._refused.add(ticket.entry.seq)
        elif self.state is not State.OPEN:
            self._failures += 1
        if self._rules.refuses_wait(failure):
            self._die_asked(asked, moment)
        elif is_news and (asked or self._is_hosts(sign, ticket)):
            self._pause(sign, asked, moment)
        elif self.state is State.OPEN:
            self.until = max(self.until, moment.now + asked)
        elif is_news:
            return Blame.REQUEST  # as far as is known, a single page's
        return self._blame(sign, ticket)

    def _is_hosts(self, sign: Sign, ticket: Ticket) -> bool:
        """True if the trouble is the host's and not a single page's."""
        if self.state is State.PROBING:
            return True
        if not sign.is_refusal:
            return self._is_outage(sign)
        if ticket.history.refusals > MOST_HOSTS_REFUSALS:
            return False
        is_known = sign is Sign.REFUSED or self.throttle is not None
        return is_known or len(self._refused) >= BUSY_IN_A_ROW

    def _is_outage(self, sign: Sign) -> bool:
        was_reached = self.host.reached_at is not None
        if was_reached and sign is Sign.AWAY:
            return True
        if self._limit is None:
            return False
        return self._failures >= (
            min(self._limit, WIDE) if was_reached else self._limit
        )

    def _blame(self, sign: Sign, ticket: Ticket) -> Blame:
        if not sign.is_refusal:
            is_hosts = sign is Sign.AWAY and self.host.reached_at is not None
            return Blame.HOST if is_hosts else Blame.REQUEST
        is_spared = ticket.history.refusals == 1 and self.host.granted > 0
        return Blame.HOST if is_spared or len(self._refused) >= WIDE else Blame.BOTH

    # Pauses

    def _pause(self, sign: Sign, asked: float, moment: Moment) -> None:
        """Begin a pause, or give the host up if it has had enough of them."""
        host, now = self.host, moment.now
        if self.state is State.CLOSED:
            self._paused_at = now
        else:
            self.probes_tried = not self.probes_tried
        is_first = self.state is State.CLOSED and self.throttle is None
        self.is_refused, self.asked_seconds = sign.is_refusal, asked
        self._first_id = moment.newest_id + 1
        if not self.is_refused and host.reached_at is None:
            self._pause_unreached(now, is_first=is_first)
            return
        since, patience, option = self._patience()
        left = since + patience - now
        rest = self._rest * (1 + moment.jitter / 4)
        longest = max(self._first_rest, self._rules.backoff_max_seconds)
        self._rest = min(longest, 2 * self._rest)
        self._rests += 1
        if left <= 0:
            what = "refused every request" if self.is_refused else "was not reached"
            time = f"{now - since:.0f} s{option}"
            self._die(now, f"{what} for {time}, the last time")
            return
        if self.is_refused and self.throttle is None:
            self.throttle = Throttle(
                host.began_at,
                host.granted,
                first_rate=1.0 / self._first_rest,
                least_rate=1.0 / longest,
            )
        what = "refuses requests" if self.is_refused else "is not reached"
        what = "asks for a pause" if asked else what
        self._open(now, asked or min(rest, left), what, is_first=is_first)

    def _patience(self) -> tuple[float, float, str]:
        """Return the trouble's start, the patience in seconds, and the option to name."""
        host, total = self.host, self._rules.total_seconds
        since = host.granted_at if self.is_refused else host.reached_at
        if since is not None or self.asked_seconds:
            since = host.began_at if since is None else since
            return since, total, " (--retry-max-time)"
        return host.began_at, min(total, UNGRANTED_RESTS * self._first_rest), ""

    def _pause_unreached(self, now: float, *, is_first: bool) -> None:
        what = f"was not reached {self._failures:,} times in a row"
        if self.state is State.CLOSED:
            what = f"{what}, the last time"
            self._open(now, self._next_cool_down(), what, is_first=is_first)
        else:
            self._die(now, f"{what} (--max-host-failures), the last time")

    def _open(self, now: float, seconds: float, what: str, *, is_first: bool) -> None:
        self.state, self.until = State.OPEN, now + seconds
        self._reason = self._say(what)
        self.news = Rest(self._reason, seconds, is_first)

    def _die(self, now: float, what: str, seconds: float | None = None) -> None:
        self.state = State.DEAD
        self.until = now + (self._next_cool_down() if seconds is None else seconds)
        self._reason = self._say(what)

    def _die_asked(self, asked: float, moment: Moment) -> None:
        most = f"--max-retry-wait {self._rules.retry_after_max_seconds:g}"
        what = f"asks for a pause of {asked:.0f} s (Retry-After), longer than {most}"
        if self.state is State.CLOSED:
            self._paused_at = moment.now
        self._first_id = moment.newest_id + 1  # an earlier request's answer is no news
        self.is_refused = True
        self._die(moment.now, what, asked)

    def _say(self, what: str) -> str:
        assert self._last is not None
        return f"{self.host.key} {what}: {self._last.detail}"

    def _next_cool_down(self) -> float:
        seconds = self._cool_down
        self._cool_down = min(LONGEST_COOL_DOWN_SECONDS, 2 * seconds)
        return seconds


class Breakers:
    """The breakers of hosts in trouble, and of those that ask for less.

    Args:
        limit: As for `Breaker`.
        rules: The run's rules.
    """

    # Of so many hosts it is remembered; a list may name any number.
    MOST = 10_000

    def __init__(self, limit: int | None, rules: RetryRules) -> None:
        self._limit = limit
        self._rules = rules
        self._breakers: dict[str, Breaker] = {}

    def __len__(self) -> int:
        return len(self._breakers)

    def __iter__(self) -> Iterator[Breaker]:
        return iter(self._breakers.values())

    def get(self, host: str) -> Breaker | None:
        """A host's breaker; None if all is well, as far as is known."""
        return self._breakers.get(host)

    def take_in(
        self, host: Host, result: AttemptResult, ticket: Ticket, moment: Moment
    ) -> Blame:
        """Take in how an attempt ended; return whose a failure is."""
        sign = sign_of(result)
        if sign is Sign.ANSWERED:
            self.answered(host, result.attempt_id, moment.now)
            return Blame.REQUEST
        breaker = self._breakers.get(host.key)
        if sign is Sign.NOTHING:
            if breaker is not None:
                breaker.give_back(result.attempt_id)
            return Blame.REQUEST
        if sign.is_refusal:
            host.reached_at = moment.now
        elif self._limit is None and host.reached_at is None:
            return Blame.REQUEST
        breaker = breaker or self._add(host)
        return breaker.troubled(sign, result, ticket, moment)

    def answered(self, host: Host, attempt_id: int, now: float) -> None:
        """Take in that an attempt was answered, and was not refused."""
        host.granted += 1
        host.granted_at = host.reached_at = now
        breaker = self._breakers.get(host.key)
        if breaker is not None and breaker.answered(attempt_id, now):
            del self._breakers[host.key]

    def _add(self, host: Host) -> Breaker:
        if len(self._breakers) >= self.MOST:
            del self._breakers[next(iter(self._breakers))]
        breaker = self._breakers[host.key] = Breaker(host, self._limit, self._rules)
        return breaker

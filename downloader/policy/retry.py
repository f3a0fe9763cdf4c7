"""Which failures are worth another try, and when.

The classes: an attempt that failed on the way (connect, dns, timeout, truncated) or on a
server's passing state (408, 425, 429, 5xx but 501 and 505, any 4xx, 5xx or 202 with
Retry-After, what `--retry-on` names) may go better next time; a refusal, a bad
certificate, an answer that is not HTTP or a bad URL will not.

A failure that is its host's uses up no retry of the request (`Blame`); what the host then
does is in `downloader.policy.breaker`.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from downloader.models import ErrorKind, Failure, http_kind

# RFC 9110 §15.5.9 (408), §15.6; RFC 8470 §5.2 (425); RFC 6585 §4 (429). 501 and 505 say
# that the server cannot ever do it.
RETRIED_STATUSES = frozenset(
    {408, 425, 429, *(status for status in range(500, 600) if status not in {501, 505})}
)
_RETRIED_KINDS = frozenset(
    {
        ErrorKind.CONNECT,
        ErrorKind.DNS,
        ErrorKind.TIMEOUT,
        ErrorKind.TRUNCATED,
        *map(http_kind, RETRIED_STATUSES),
    }
)
_LIMITED = "http_429"
# A server's words for too much at once.
REFUSALS = frozenset({"http_429", "http_503"})
# What came is not what was asked for, or is not wanted.
_HOPELESS = frozenset({ErrorKind.CHECKSUM, ErrorKind.EXISTS})


class RetryRules(msgspec.Struct, frozen=True, kw_only=True):
    """How often and how patiently to try again.

    Attributes:
        retries: Further requests after the first.
        backoff_seconds: The first wait's upper end; it doubles with each retry.
        backoff_max_seconds: The upper end's cap.
        retry_after_max_seconds: A longer Retry-After gives the host up at once.
        total_seconds: No retry begins later than this after the first try did; and a
            host that is paused is given up so long after it last granted something.
        worker_losses: Times an attempt may lose its worker before it counts as failed.
        statuses: Further statuses that are tried again.
    """

    retries: int = 3
    backoff_seconds: float = 0.5
    backoff_max_seconds: float = 30.0
    retry_after_max_seconds: float = 120.0
    total_seconds: float = 600.0
    worker_losses: int = 5
    statuses: frozenset[int] = frozenset()

    def retries_kind(self, kind: str) -> bool:
        """True if a failure of this kind may pass."""
        if kind in _RETRIED_KINDS:
            return True
        return any(kind == http_kind(status) for status in self.statuses)

    def refuses_wait(self, failure: Failure) -> bool:
        """True if the server asked for a longer pause than is granted."""
        return (failure.retry_after_seconds or 0.0) > self.retry_after_max_seconds


class Blame(Enum):
    """Cause of a failure: the request, its host, or either.

    Attributes:
        REQUEST: The request's own; the retry waits by the back-off.
        BOTH: It uses up a retry, which waits for the end of the host's pause.
        HOST: It uses up no retry.
    """

    REQUEST = 1
    BOTH = 2
    HOST = 3


class History(msgspec.Struct):
    """What has befallen one request so far.

    Attributes:
        number: Tries made, redirects not counted.
        losses: Times its worker died.
        stale: Times a reused connection turned out dead.
        restarts: Free requests for the whole file, after its part could not be resumed.
        without_range: True if this try went without Range, as its part was refused.
        refusals: Times that its host refused it because of its limit.
        seconds: Time since the first try began.
    """

    number: int = 0
    losses: int = 0
    stale: int = 0
    restarts: int = 0
    without_range: bool = False
    refusals: int = 0
    seconds: float = 0.0

    @property
    def is_tried(self) -> bool:
        """True if an attempt has failed, whosever the fault was."""
        return bool(self.number or self.refusals)


class Again(msgspec.Struct, frozen=True):
    """Try again after `delay_seconds`.

    Attributes:
        counts: False if the try was free: the worker died, a reused connection had
            gone away, resuming the part was refused, or the failure was the host's.
        waits_for_host: True if the next try waits for the end of the host's pause.
        without_range: True if the next try asks for the file from its first byte.
    """

    delay_seconds: float
    counts: bool = True
    waits_for_host: bool = False
    without_range: bool = False


def read_statuses(text: str) -> frozenset[int]:
    """Return the statuses that a checked text such as `403,404,5xx` names."""
    named: set[int] = set()
    for word in filter(None, text.split(",")):
        first = int(word.replace("x", "0"))
        named.update(range(first, first + 100) if word.endswith("xx") else (first,))
    return frozenset(named)


def decide(
    failure: Failure,
    history: History,
    rules: RetryRules,
    jitter: float,
    blame: Blame = Blame.REQUEST,
) -> Again | None:
    """What follows a failure: another try, or None for the end.

    Args:
        failure: What went wrong this time.
        history: What went before, this try included.
        rules: The run's rules.
        jitter: A random number in [0, 1), for full jitter: the wait is uniform between
            nothing and the back-off (AWS Architecture Blog, "Exponential Backoff And
            Jitter", 2015: least work and least time of the variants compared).
        blame: Whose the failure is.
    """
    # The same try once more, since nothing came of this one.
    repeated = Again(0.0, counts=False, without_range=history.without_range)
    if failure.kind == ErrorKind.WORKER_LOST:
        return repeated if history.losses <= rules.worker_losses else None
    if failure.stale and history.stale <= 1:
        return repeated
    if rules.refuses_wait(failure):
        return None
    waits = blame is not Blame.REQUEST
    whole = None
    if failure.refuses_range and not history.restarts:
        whole = Again(0.0, counts=False, waits_for_host=waits, without_range=True)
    # A 429 says little of the range: the part is resumed while there are retries.
    if whole is not None and failure.kind != _LIMITED:
        return whole
    if blame is Blame.HOST or (waits and history.number <= rules.retries):
        counts = blame is Blame.BOTH
        return msgspec.structs.replace(repeated, counts=counts, waits_for_host=True)
    again = None if waits else _back_off(failure, history, rules, jitter)
    return again or whole


def _back_off(
    failure: Failure, history: History, rules: RetryRules, jitter: float
) -> Again | None:
    """Return the next try after a failure that the request itself caused."""
    is_passing = rules.retries_kind(failure.kind)
    if not (is_passing or failure.refuses_range) or history.number > rules.retries:
        return None
    delay_seconds = _backoff_seconds(history.number, rules) * jitter
    if history.seconds + delay_seconds > rules.total_seconds:
        return None
    # What passes may let the part be resumed; any other refusal will not.
    return Again(delay_seconds, without_range=not is_passing)


def _backoff_seconds(number: int, rules: RetryRules) -> float:
    doublings = min(number - 1, 32)
    return min(rules.backoff_max_seconds, rules.backoff_seconds * 2.0**doublings)


def leaves_a_rest(failure: Failure) -> bool:
    """True if a later run may go on with what has come of a file that failed so."""
    return failure.kind not in _HOPELESS

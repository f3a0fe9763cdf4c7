"""Which failures are worth another try, and when.

The classes: an attempt that failed on the way (connect, dns, timeout, truncated) or on a
server's passing state (408, 425, 429, 5xx but 501 and 505) may go better next time; a
refusal, a bad certificate, an answer that is not HTTP or a bad URL will not.
"""

from __future__ import annotations

import msgspec

from downloader.models import ErrorKind, Failure

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
        *(f"http_{status}" for status in RETRIED_STATUSES),
    }
)
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
        retry_after_max_seconds: A longer wish of the server's ends the request.
        total_seconds: No retry begins later than this after the first try did.
        worker_losses: Times an attempt may lose its worker before it counts as failed.
    """

    retries: int = 3
    backoff_seconds: float = 0.5
    backoff_max_seconds: float = 30.0
    retry_after_max_seconds: float = 120.0
    total_seconds: float = 600.0
    worker_losses: int = 5


class History(msgspec.Struct):
    """What has befallen one request so far.

    Attributes:
        number: Tries made, redirects not counted.
        losses: Times its worker died.
        stale: Times a reused connection turned out dead.
        restarts: Times its part could not be resumed.
        without_range: True if this try went without Range, as its part was refused.
        seconds: Time since the first try began.
    """

    number: int = 0
    losses: int = 0
    stale: int = 0
    restarts: int = 0
    without_range: bool = False
    seconds: float = 0.0


class Again(msgspec.Struct, frozen=True):
    """Try again after `delay_seconds`.

    Attributes:
        counts: False if the try was free: the worker died, a reused connection had
            gone away, or resuming the part was refused.
        pauses_host: True if the server asked for the delay itself.
        without_range: True if the next try asks for the file from its first byte.
    """

    delay_seconds: float
    counts: bool = True
    pauses_host: bool = False
    without_range: bool = False


def decide(
    failure: Failure, history: History, rules: RetryRules, jitter: float
) -> Again | None:
    """What follows a failure: another try, or None for the end.

    Args:
        failure: What went wrong this time.
        history: What went before, this try included.
        rules: The run's rules.
        jitter: A random number in [0, 1), for full jitter: the wait is uniform between
            nothing and the back-off (AWS Architecture Blog, "Exponential Backoff And
            Jitter", 2015: least work and least time of the variants compared).
    """
    # The same try once more, since nothing came of this one.
    repeated = Again(0.0, counts=False, without_range=history.without_range)
    if failure.kind == ErrorKind.WORKER_LOST:
        return repeated if history.losses <= rules.worker_losses else None
    if failure.stale and history.stale <= 1:
        return repeated
    if failure.refuses_range and history.restarts <= 1:
        return _without_range(failure, rules)
    is_passing = failure.kind in _RETRIED_KINDS
    if not (is_passing or failure.refuses_range) or history.number > rules.retries:
        return None
    again = _after_wait(failure, history, rules, jitter)
    if again is None or history.seconds + again.delay_seconds > rules.total_seconds:
        return None
    # What passes may let the part be resumed; any other refusal will not.
    return msgspec.structs.replace(again, without_range=not is_passing)


def _without_range(failure: Failure, rules: RetryRules) -> Again | None:
    """Ask for the whole file, free of charge, after the wait that the server asks for."""
    asked_seconds = failure.retry_after_seconds
    if asked_seconds is None:
        return Again(0.0, counts=False, without_range=True)
    if asked_seconds > rules.retry_after_max_seconds:
        return None
    return Again(asked_seconds, counts=False, pauses_host=True, without_range=True)


def _after_wait(
    failure: Failure, history: History, rules: RetryRules, jitter: float
) -> Again | None:
    asked_seconds = failure.retry_after_seconds
    if asked_seconds is None:
        return Again(_backoff_seconds(history.number, rules) * jitter)
    if asked_seconds > rules.retry_after_max_seconds:
        return None
    return Again(asked_seconds, pauses_host=True)


def _backoff_seconds(number: int, rules: RetryRules) -> float:
    doublings = min(number - 1, 32)
    return min(rules.backoff_max_seconds, rules.backoff_seconds * 2.0**doublings)


def leaves_a_rest(failure: Failure) -> bool:
    """True if a later run may go on with what has come of a file that failed so."""
    return failure.kind not in _HOPELESS

"""Which failures are worth another try, and when.

The classes: an attempt that failed on the way (connect, dns, timeout, truncated) or on a
server's passing state (408, 425, 429, 5xx but 501 and 505) may go better next time; a
refusal, a bad certificate, an answer that is not HTTP or a bad URL will not.
"""

from __future__ import annotations

import msgspec

from downloader.models import BEGIN_AGAIN, ErrorKind, Failure

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
# The server says that the file is no more, or what came is not what was asked for.
_HOPELESS = frozenset({"http_404", "http_410", ErrorKind.CHECKSUM, ErrorKind.EXISTS})


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
        restarts: Times its part had to be thrown away.
        seconds: Time since the first try began.
    """

    number: int = 0
    losses: int = 0
    stale: int = 0
    restarts: int = 0
    seconds: float = 0.0


class Again(msgspec.Struct, frozen=True):
    """Try again after `delay_seconds`.

    Attributes:
        counts: False if the try was free: the worker died, a reused connection had
            gone away, or the part did not fit any more.
        pauses_host: True if the server asked for the delay itself.
        drops_part: True if the next try must start from nothing.
    """

    delay_seconds: float
    counts: bool = True
    pauses_host: bool = False
    drops_part: bool = False


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
    if failure.kind == ErrorKind.WORKER_LOST:
        return (
            Again(0.0, counts=False) if history.losses <= rules.worker_losses else None
        )
    if failure.stale and history.stale <= 1:
        return Again(0.0, counts=False)
    if failure.kind == BEGIN_AGAIN and history.restarts <= 1:
        return Again(0.0, counts=False, drops_part=True)
    if failure.kind not in _RETRIED_KINDS or history.number > rules.retries:
        return None
    again = _after_wait(failure, history, rules, jitter)
    if again is None or history.seconds + again.delay_seconds > rules.total_seconds:
        return None
    return again


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

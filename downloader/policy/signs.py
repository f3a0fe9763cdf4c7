"""Classify the end of an attempt by what it says of its host."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from downloader.models import ErrorKind

if TYPE_CHECKING:
    from downloader.models import AttemptResult


class Sign(Enum):
    """A host's state as one attempt has met it."""

    ANSWERED = 1
    REFUSED = 2  # it asks for less
    BUSY = 3  # a 503: the host's, or one page's
    AWAY = 4  # no connection
    SILENT = 5  # a connection without an answer: the host's, or one page's
    NOTHING = 6  # the end is of our own making

    @property
    def is_refusal(self) -> bool:
        """True if the host asks for less, or may do so."""
        return self in {Sign.REFUSED, Sign.BUSY}


_UNREACHED = frozenset({ErrorKind.CONNECT, ErrorKind.DNS, ErrorKind.TIMEOUT})
# Failures of our own making, which say nothing of the host.
_OURS = frozenset(
    {
        ErrorKind.WORKER_LOST,
        ErrorKind.INTERRUPTED,
        ErrorKind.NOT_TRIED,
        ErrorKind.INTERNAL,
        ErrorKind.BLOCKED,
    }
)


def sign_of(result: AttemptResult) -> Sign:
    """Return what a result says of the host that was asked."""
    failure = result.failure
    if failure is None:
        return Sign.ANSWERED
    # A reused connection that had gone away: the next attempt makes a new one.
    if failure.stale or failure.kind in _OURS:
        return Sign.NOTHING
    if failure.kind == "http_429" or failure.retry_after_seconds is not None:
        return Sign.REFUSED
    if failure.kind == "http_503":
        return Sign.BUSY
    if failure.kind not in _UNREACHED:
        return Sign.ANSWERED
    return Sign.AWAY if result.is_unconnected else Sign.SILENT

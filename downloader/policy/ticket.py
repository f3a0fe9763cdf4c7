"""A request on its way through the frontier, and how a result may move it on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from downloader.models import Attempt
from downloader.policy import retry

if TYPE_CHECKING:
    from downloader.models import Entry, Failure, Partial, Saved


class Ticket:
    """A request under way through the frontier, with all that befell it."""

    __slots__ = (
        "began_at",
        "entry",
        "history",
        "hops",
        "http_status",
        "origin",
        "partial",
        "seconds",
        "url",
    )

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.history = retry.History()
        self.url = entry.url
        self.hops = 0
        self.origin: str | None = None
        self.partial: Partial | None = entry.partial
        self.seconds = 0.0
        self.http_status: int | None = None
        self.began_at: float | None = None

    def next_attempt(self, attempt_id: int) -> Attempt:
        """The attempt that a worker is to run now."""
        return Attempt(
            attempt_id,
            self.url,
            self.entry.path,
            self.history.number,
            self.hops,
            self.entry.credentials,
            self.partial,
            self.origin,
            self.entry.checksum,
            self.entry.known,
            # A worker that was lost may have put the file in place before it went.
            self.entry.replaces or self.history.losses > 0,
            self.history.stale > 0,
        )

    def restart(self) -> None:
        """Go back to the list's own URL for the next try."""
        self.url, self.hops, self.origin = self.entry.url, 0, None


class Finished(NamedTuple):
    """The end of a request: the file, or the failure that nothing more helps against."""

    ticket: Ticket
    saved: Saved | None
    failure: Failure | None


class Retrying(NamedTuple):
    """A request that waits for another try."""

    ticket: Ticket
    failure: Failure
    delay_seconds: float


class GivenUp(NamedTuple):
    """A host that is not asked any more, and the requests that end with that.

    Attributes:
        host: Its name and port.
        tickets: The requests that were in memory.
        failure: How each of them ends.
        has_spilled: True if there are more of them where the caller keeps them.
    """

    host: str
    tickets: list[Ticket]
    failure: Failure
    has_spilled: bool


class Redirected(NamedTuple):
    """A request that queues at another host now."""

    ticket: Ticket


Verdict = Finished | Retrying | Redirected

"""A request on its way through the frontier, and how a result may move it on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from downloader.models import Attempt
from downloader.policy import retry, urls
from downloader.tuples import NamedTuple

if TYPE_CHECKING:
    from downloader.models import (
        AttemptResult,
        Chain,
        Entry,
        Failure,
        Partial,
        Phases,
        Saved,
    )


class Ticket:
    """A request under way through the frontier, with all that befell it."""

    __slots__ = (
        "began_at",
        "chain",
        "entry",
        "flights",
        "history",
        "hops",
        "http_status",
        "is_divided",
        "is_over",
        "is_undivided",
        "lead",
        "most_flights",
        "note",
        "origin",
        "partial",
        "phases",
        "received_bytes",
        "refusal",
        "seconds",
        "setback",
        "url",
    )

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.history = retry.History()
        self.url = entry.url
        self.hops = 0
        self.origin: str | None = None
        self.chain: Chain | None = None
        self.partial: Partial | None = entry.partial
        self.seconds = 0.0
        self.phases: Phases | None = None
        self.received_bytes = 0
        self.http_status: int | None = None
        self.note: str | None = None
        # How the server last refused to have the part resumed.
        self.refusal: str | None = None
        self.began_at: float | None = None
        # Of a file that several attempts fetch together: how many do, and may; why one
        # of them came to nothing; who of them divided it; and whether the file is there.
        self.flights = 0
        self.most_flights = 1
        self.setback: AttemptResult | None = None
        self.lead: int | None = None
        self.is_divided = False
        self.is_over = False
        self.is_undivided = False

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
            is_undivided=self.is_undivided,
            without_range=self.history.without_range,
            chain=self.chain,
        )

    def next_helper(self, attempt_id: int) -> Attempt:
        """An attempt that joins in fetching the file."""
        assert self.partial is not None
        # Redirects led there; what holds after one holds for those who skip it, too.
        was_led = self.partial.url != self.entry.url
        return Attempt(
            attempt_id,
            self.partial.url,
            self.entry.path,
            max(1, self.history.number),
            max(self.hops, int(was_led)),
            self.entry.credentials,
            self.partial,
            urls.parse(self.entry.url).origin if was_led else self.origin,
            self.entry.checksum,
            replaces=self.entry.replaces or self.history.losses > 0,
            joins=True,
        )

    def detail(self, failure: Failure | None) -> str | None:
        """Return the row's detail on a failure, or on an oddity of a saved file."""
        said = self.note if failure is None else failure.detail
        if self.refusal is None or (failure is None and not self.history.without_range):
            return said
        refused = f"resuming was refused ({self.refusal})"
        if failure is None:
            refused += ", so the file was fetched from its start"
        return f"{said}; {refused}" if said else refused

    def restart(self) -> None:
        """Go back to the list's own URL for the next try."""
        self.url, self.hops, self.origin = self.entry.url, 0, None
        self.chain = None
        self.setback, self.most_flights, self.is_divided = None, 1, False
        self.lead = None


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

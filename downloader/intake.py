"""A line becomes a request: read, named, numbered, and compared with those before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from downloader.errors import InvalidUrl
from downloader.ledger import Kind
from downloader.models import Entry, ErrorKind, Outcome, Status
from downloader.policy import naming, urls
from downloader.policy.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from downloader.ledger import Ledger
    from downloader.models import Request


class Admitted(NamedTuple):
    """What came of a line.

    Attributes:
        answers: The row whose outcome is this line's too.
        is_row: True if the line has a row of its own.
        entry: The request to fetch, if there is one.
        outcome: Its end, if that is known at once.
    """

    answers: int
    is_row: bool
    entry: Entry | None = None
    outcome: Outcome | None = None


class Intake:
    """Takes lines in, each once.

    Args:
        ledger: Where lines are remembered.
        layout: How files are named.
        is_portable: Whether names must suit every system.
    """

    def __init__(self, ledger: Ledger, layout: str, *, is_portable: bool) -> None:
        self._ledger = ledger
        self._layout = layout
        self._is_portable = is_portable

    def admit(self, request: Request) -> Admitted:
        """Take a line in."""
        line = request.url.strip()
        try:
            url = urls.parse(line)
        except InvalidUrl as error:
            return self._admit_invalid(request, line, str(error))
        identity = urls.identity(url)
        spelling = line.partition("#")[0].rstrip()
        kind, seq, first = self._ledger.admit(
            identity, spelling, storable(redact(line))
        )
        if kind is not Kind.NEW:
            return Admitted(first, kind is Kind.SPELLING)
        path = naming.name(url, self._layout, self._is_portable)
        entry = Entry(
            seq,
            storable(redact(line)),
            url.text,
            identity,
            url.host_key,
            path,
            url.credentials,
        )
        return Admitted(seq, is_row=True, entry=entry)

    def spellings(self) -> Iterator[Outcome]:
        """The outcomes of other spellings, once those of the first are known."""
        for seq, line, first in self._ledger.spellings():
            if first is not None:
                yield _as_spelling(first, seq, line)

    def _admit_invalid(self, request: Request, line: str, reason: str) -> Admitted:
        # No URL begins like this, so it can only equal another bad line.
        kind, seq, first = self._ledger.admit(f"!{line}", line, "")
        if kind is not Kind.NEW:
            return Admitted(first, is_row=False)
        where = f"{request.source}: " if request.source else ""
        outcome = Outcome(
            seq=seq,
            url=storable(redact(line)),
            status=Status.FAILED,
            error=ErrorKind.INVALID_URL.value,
            detail=storable(f"{where}{reason}"),
        )
        return Admitted(seq, is_row=True, outcome=outcome)


def storable(text: str) -> str:
    """A text that can be written as UTF-8: bytes that were none are shown as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def _as_spelling(first: Outcome, seq: int, line: str) -> Outcome:
    """The outcome of a line that spells another line's URL otherwise."""
    changes: dict[str, object] = {
        "seq": seq,
        "url": line,
        "attempts": 0,
        "seconds": 0.0,
    }
    if first.is_there:
        changes["status"] = Status.SKIPPED
    return msgspec.structs.replace(first, **changes)

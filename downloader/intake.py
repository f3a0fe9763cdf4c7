"""A line becomes a request: read, named, numbered, and compared with those before it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import msgspec

from downloader.errors import InvalidUrl, UsageError
from downloader.ledger import Kind
from downloader.models import Entry, ErrorKind, Outcome, Status
from downloader.policy import checksums, digests, list_lines, naming, urls
from downloader.policy.redaction import redact
from downloader.transfer.digest import new_hash
from downloader.tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from downloader.ledger import Ledger
    from downloader.models import Request


_MISMATCH: dict[str, object] = {
    "status": Status.FAILED,
    "path": None,
    "bytes": 0,
    "sha256": None,
    "digest": None,
    "error": ErrorKind.CHECKSUM.value,
    "length_known": None,
}


class Admitted(NamedTuple):
    """What came of a line.

    Attributes:
        answers: The row whose outcome is this line's too.
        is_row: True if the line has a row of its own.
        entry: The request to fetch, if there is one.
        outcome: Its end, if that is known at once.
        spelled: The line's row, and itself, if another one has asked for the same with
            another spelling.
    """

    answers: int
    is_row: bool
    entry: Entry | None = None
    outcome: Outcome | None = None
    spelled: tuple[int, str] | None = None


class Intake:
    """Takes lines in, each once.

    Args:
        ledger: Where lines are remembered.
        layout: How files are named.
        is_portable: Whether names must suit every system.
        sums: What their files must have, for requests that do not say themselves.
        digest_of: Reads a file that is there, by its path in the output folder, for its
            digest by an algorithm; None if it cannot be read.
    """

    def __init__(
        self,
        ledger: Ledger,
        layout: str,
        *,
        is_portable: bool,
        sums: checksums.Sums | None = None,
        digest_of: Callable[[str, str], str | None] = lambda _path, _algorithm: None,
    ) -> None:
        self._ledger = ledger
        self._sums = sums or checksums.Sums(())
        self._layout = layout
        self._is_portable = is_portable
        self._digest_of = digest_of

    def admit(self, request: Request) -> Admitted:
        """Take a line in."""
        line = list_lines.trim(request.url)
        try:
            text, checksum = _read(line, request.checksum)
            url = urls.parse(text)
            wanted = checksum or self._sums.find(url)
            _require_hash(wanted)
        except UsageError as error:
            return self._admit_refused(request, line, error)
        identity = urls.identity(url)
        shown = storable(redact(text))
        spelling = text.partition("#")[0].rstrip()
        # Two lines that ask for different contents are not the same.
        if checksum is not None:
            spelling = f"{spelling} {checksum}"
        said = _with_checksum(shown, checksum)
        kind, seq, first = self._ledger.admit(identity, spelling, said)
        if kind is not Kind.NEW:
            spelled = None if seq == first else (seq, said)
            return Admitted(first, kind is Kind.SPELLING, spelled=spelled)
        path = naming.name(url, self._layout, self._is_portable)
        if not (path.isascii() or _is_writable(path)):
            return Admitted(seq, is_row=True, outcome=_unwritable(seq, shown, path))
        entry = Entry(
            seq,
            shown,
            url.text,
            identity,
            url.host_key,
            path,
            url.credentials,
            wanted,
        )
        return Admitted(seq, is_row=True, entry=entry)

    def spellings(self) -> Iterator[Outcome]:
        """The outcomes of other spellings, once those of the first are known."""
        for seq, line, first in self._ledger.spellings():
            if first is not None:
                yield self._as_spelling(first, seq, line)

    def outcome_of(self, admitted: Admitted, answer: Outcome) -> Outcome:
        """What the outcome of the row that answers is to a line, which may want more."""
        if admitted.spelled is None:
            return answer
        own = self._as_spelling(answer, *admitted.spelled)
        return own if own.status is Status.FAILED else answer

    def _as_spelling(self, first: Outcome, seq: int, line: str) -> Outcome:
        """The outcome of a line that spells another line's URL otherwise."""
        url, _, checksum = line.partition(" ")
        changes: dict[str, object] = {
            "seq": seq,
            "url": url,
            "attempts": 0,
            "seconds": 0.0,
        }
        if not first.is_there:
            if first.attempts:
                why = first.detail or first.error
                changes["detail"] = f"the same URL on another line failed: {why}"
            return msgspec.structs.replace(first, **changes)
        changes["status"] = Status.SKIPPED
        if checksum:
            algorithm = digests.algorithm(checksum)
            known = first.sha256 or first.digest or ""
            if digests.algorithm(known) != algorithm:
                known = self._digest_of(first.path or "", algorithm) or ""
            if known != checksum:
                changes |= _MISMATCH | {
                    "detail": f"another line saved this file; its {algorithm} is "
                    f"{digests.hexadecimal(known) or 'not known'}, expected "
                    f"{digests.hexadecimal(checksum)}"
                }
        return msgspec.structs.replace(first, **changes)

    def _admit_refused(
        self, request: Request, line: str, error: UsageError
    ) -> Admitted:
        # No URL begins like this, so it can only equal another bad line.
        kind, seq, first = self._ledger.admit(f"!{line}", line, "")
        if kind is not Kind.NEW:
            return Admitted(first, is_row=False)
        where = f"{request.source}: " if request.source else ""
        is_invalid = isinstance(error, InvalidUrl)
        word = ErrorKind.INVALID_URL if is_invalid else ErrorKind.CHECKSUM
        outcome = Outcome(
            seq=seq,
            url=storable(redact(line)),
            status=Status.FAILED,
            error=word.value,
            detail=storable(f"{where}{error}"),
        )
        return Admitted(seq, is_row=True, outcome=outcome)


def storable(text: str) -> str:
    """A text that can be written as UTF-8: bytes that were none are shown as escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _is_writable(path: str) -> bool:
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return True


def _unwritable(seq: int, shown: str, path: str) -> Outcome:
    encoding = sys.getfilesystemencoding()
    return Outcome(
        seq=seq,
        url=shown,
        status=Status.FAILED,
        error=ErrorKind.DISK.value,
        detail=storable(
            f"its file {path} cannot be named in this system's encoding, {encoding}; "
            "set LC_ALL=C.UTF-8 or PYTHONUTF8=1"
        ),
    )


def _read(line: str, given: str | None) -> tuple[str, str | None]:
    """The URL in a line, and the checksum that its file must have.

    Raises:
        InvalidUrl: The line is none, or the checksum given beside it.
    """
    text, checksum = list_lines.read(line)
    if given is None:
        return text, checksum
    try:
        asked = checksums.read_any(given.strip())
    except ValueError as fault:
        raise urls.refusal(given, str(fault)) from None
    if checksum not in {None, asked}:
        raise urls.refusal(line, f"has another checksum than its request: {asked}")
    return text, asked


def _require_hash(checksum: str | None) -> None:
    """Refuse a checksum that cannot be computed here.

    Raises:
        UsageError: Its package is not installed.
    """
    algorithm = digests.algorithm_for(checksum, digests.SHA256)
    if algorithm != digests.SHA256:
        new_hash(algorithm)


def _with_checksum(shown: str, checksum: str | None) -> str:
    return shown if checksum is None else f"{shown} {checksum}"

"""What stands under a request's name already, and what follows from it.

    nothing there ─────────────────────────► fetch     (with a word if it was known)
    known, as it was recorded ─────────────► skip      (-N: ask; --verify: examine)
    known, its time alone is another ──────► examine: it was copied, say
    known, but changed since ──────────────► fetch, with a word
    intended by a run that was cut short ──► examine: ours, and whole
    there before a gap in the record ended ► examine, likewise
    known to nobody ───────────────────────► exists    (--overwrite: fetch)

A file is *known* if the manifest has its size and time of modification. It is *intended*
if a run wrote down, before it asked for it, what stood there then, and something else
stands there now: only a whole file ever gets the name, so that it is taken up as it is.
While its part is there it has not got the name, and what stands there is somebody else's.
Examining means reading it for its digest, by `examined_by`; `settle` says what follows from that.
"""

from __future__ import annotations

from enum import Enum

from downloader.errors import InvalidUrl
from downloader.policy import digests, naming, urls
from downloader.tuples import NamedTuple

# Why a request ends as `exists`.
UNKNOWN_FILE = (
    "a file that was not fetched into this folder has its name; move it away, or let "
    "--overwrite replace it"
)
_ANOTHER = "has another checksum than asked for"
_UNREADABLE = "cannot be read"
_CHANGED = "was changed since it was fetched"


class Stamp(NamedTuple):
    """What tells a file from another one that had its name.

    Attributes:
        size_bytes: Its length.
        modified_ns: Its modification time.
        inode: Its number on its file system.
    """

    size_bytes: int
    modified_ns: int
    inode: int


class Record(NamedTuple):
    """A whole file as the manifest knows it.

    Attributes:
        identity: The URL that it is for, in its normal form.
        size_bytes: Its length.
        digest: What its content was hashed to; see `policy.digests`.
        length_known: False if only the connection's end said that it was whole.
        etag: The answer's ETag as sent, None if it had none.
        last_modified: The answer's Last-Modified as sent, None if it had none.
        modified_ns: The file's own modification time when it was put in place.
        url: Where it came from if redirects led there, else None.
    """

    identity: str
    size_bytes: int
    digest: str
    length_known: bool
    etag: str | None
    last_modified: str | None
    modified_ns: int
    url: str | None


class Intent(NamedTuple):
    """What a run wrote down before it asked for a file.

    Attributes:
        before: What stood there then, None if nothing did.
    """

    before: Stamp | None


# SQLite's integers end here, and so do sizes.
_MOST = (1 << 63) - 1


def is_count(value: object) -> bool:
    """True for a number of bytes, runs or nanoseconds as a row may hold it."""
    return isinstance(value, int) and 0 <= value < _MOST


def recorded(row: tuple[object, ...]) -> Record | None:
    """The file that a row speaks of; None if no run of ours can have written the row.

    Args:
        row: The values of `Record`, in its order. SQLite takes any type in any column,
            and whoever made the folder may have made the manifest.
    """
    identity, size_bytes, digest, length_known, etag, modified, modified_ns, url = row
    is_known = (
        isinstance(identity, str)
        and is_count(size_bytes)
        and isinstance(digest, str)
        and digests.is_digest(digest)
        and length_known in {0, 1}
        and _is_text(etag)
        and _is_text(modified)
        and isinstance(modified_ns, int)
        and (url is None or is_url(url))
    )
    return Record(*row)._replace(length_known=bool(length_known)) if is_known else None  # type: ignore[arg-type] # as checked


def intended(row: tuple[object, ...]) -> Intent | None:
    """Read a row of intents into a `Stamp`; None as for `recorded`."""
    if row == (None, None, None):
        return Intent(None)
    is_stamp = is_count(row[0]) and all(isinstance(value, int) for value in row)
    return Intent(Stamp(*row)) if is_stamp else None  # type: ignore[arg-type] # as checked


def is_sound(row: tuple[object, ...]) -> bool:
    """True if a run of ours can have written a whole row of a file in place.

    Args:
        row: path, url, status, http_status, error, recorded_at, and from the size on
            as for `recorded`.
    """
    path, identity, status, http_status, error, recorded_at, *facts = row
    return (
        isinstance(path, str)
        and naming.is_inside(path)
        and isinstance(status, str)
        and (http_status is None or is_count(http_status))
        and _is_text(error)
        and isinstance(recorded_at, float | int)
        and recorded((identity, *facts)) is not None
    )


def _is_text(value: object) -> bool:
    return value is None or isinstance(value, str)


def is_url(value: object) -> bool:
    """True for a URL that can be fetched, and that a run may have written down."""
    if not (isinstance(value, str) and value.isprintable()):
        return False
    try:
        urls.parse(value)
    except InvalidUrl:
        return False
    return True


class Wishes(NamedTuple):
    """What the user wants done about files that are there.

    Attributes:
        refreshes: Ask the server whether a known file is still the newest.
        verifies: Read known files and compare them with the manifest.
        overwrites: Replace files that nobody knows.
    """

    refreshes: bool = False
    verifies: bool = False
    overwrites: bool = False


class Action(Enum):
    """What to do about a request."""

    FETCH = 1
    ASK = 2
    EXAMINE = 3
    SKIP = 4
    ADOPT = 5
    EXISTS = 6


class Decision(NamedTuple):
    """What follows from what stands there.

    Attributes:
        action: What to do.
        why: What a person should be told about it, None for nothing.
        replaces: For a fetch: True if what stands there may be replaced.
    """

    action: Action
    why: str | None = None
    replaces: bool = True


class Case(NamedTuple):
    """All that a decision rests on.

    Attributes:
        identity: The URL of the request, in its normal form.
        checksum: The digest that its file must have, None to take any.
        stamp: What stands under its name, None if nothing does.
        record: What the manifest knows of that name, None if nothing.
        intent: What a run that was cut short intended for it, None if nothing.
        has_part: True if a part of it lies there still.
        is_in_gap: True if it stood there while runs could not record what they fetched.
    """

    identity: str
    checksum: str | None
    stamp: Stamp | None
    record: Record | None
    intent: Intent | None
    has_part: bool = False
    is_in_gap: bool = False


def decide(case: Case, wishes: Wishes) -> Decision:
    """What to do about a request, given what stands under its name."""
    if case.stamp is None:
        if case.record is None:
            return Decision(Action.FETCH, replaces=False)
        return Decision(Action.FETCH, "was there once and is missing")
    if is_known(case):
        return _decide_known(case, wishes)
    if is_intended(case) or _is_touched(case) or _may_be_ours(case, wishes):
        return Decision(Action.EXAMINE)
    if _is_ours(case):
        return Decision(Action.FETCH, _CHANGED)
    return _decide_unknown(case, wishes)


def examined_by(case: Case) -> str:
    """The hash function that tells whether the file is what it should be."""
    is_compared = is_known(case) or _is_touched(case)
    recorded = digests.SHA256
    if is_compared and case.record is not None:
        recorded = digests.algorithm(case.record.digest)
    return digests.algorithm_for(case.checksum, recorded)


def settle(case: Case, wishes: Wishes, digest: str | None) -> Decision:
    """What to do about a request once its file has been read.

    Args:
        case: As for `decide`, which asked for it.
        wishes: As for `decide`.
        digest: The file's digest by `examined_by`, None if it could not be read.
    """
    if is_known(case):
        return _settle_known(case, wishes, digest)
    if _is_touched(case):
        return _settle_touched(case, wishes, digest)
    if digest is not None and case.checksum in {None, digest}:
        return Decision(Action.ADOPT)
    if is_intended(case) or wishes.overwrites:
        fault = _ANOTHER if digest else _UNREADABLE
        return Decision(Action.FETCH, fault)
    return Decision(Action.EXISTS)


def is_known(case: Case) -> bool:
    """True if the very file that was recorded stands there."""
    if case.stamp is None or case.record is None or not _is_ours(case):
        return False
    recorded = (case.record.size_bytes, case.record.modified_ns)
    return recorded == case.stamp[:2]


def is_intended(case: Case) -> bool:
    """True if what stands there came about after a run had intended it.

    Copied elsewhere with its times, or restored, what stood there before has another inode.
    """
    if case.intent is None or case.stamp is None or case.has_part:
        return False
    before = case.intent.before
    return before is None or before[:2] != case.stamp[:2]


def _is_touched(case: Case) -> bool:
    """True if what stands there might be the recorded file: its length is the same."""
    if case.stamp is None or case.record is None or not _is_ours(case):
        return False
    is_alike = case.record.size_bytes == case.stamp.size_bytes
    is_hashed = digests.algorithm(case.record.digest) != digests.NONE
    return is_alike and is_hashed and not (is_known(case) or is_intended(case))


def _settle_touched(case: Case, wishes: Wishes, digest: str | None) -> Decision:
    assert case.record is not None
    if digest is not None and digest == (case.checksum or case.record.digest):
        return Decision(Action.ASK if wishes.refreshes else Action.ADOPT)
    return Decision(Action.FETCH, _CHANGED if digest else _UNREADABLE)


def _settle_known(case: Case, wishes: Wishes, digest: str | None) -> Decision:
    assert case.record is not None
    if digest == (case.checksum or case.record.digest):
        return Decision(Action.ASK if wishes.refreshes else Action.SKIP)
    if digest is None:
        return Decision(Action.FETCH, _UNREADABLE)
    fault = "is damaged: its sha256 is not the recorded one"
    if examined_by(case) != digests.SHA256:
        fault = "is damaged: its digest is not the recorded one"
    return Decision(Action.FETCH, _ANOTHER if case.checksum else fault)


def _is_ours(case: Case) -> bool:
    """True if a run put a file of this URL there; names of two URLs might coincide."""
    return case.record is not None and case.record.identity == case.identity


def _may_be_ours(case: Case, wishes: Wishes) -> bool:
    """True if a run may have put it there without a word in the record."""
    return case.is_in_gap and case.record is None and not wishes.overwrites


def _decide_unknown(case: Case, wishes: Wishes) -> Decision:
    if wishes.overwrites:
        return Decision(Action.FETCH)
    return Decision(Action.EXISTS if case.checksum is None else Action.EXAMINE)


def _decide_known(case: Case, wishes: Wishes) -> Decision:
    assert case.record is not None
    recorded = digests.algorithm(case.record.digest)
    if case.checksum is not None and case.checksum != case.record.digest:
        if recorded == digests.algorithm(case.checksum):
            return Decision(Action.FETCH, _ANOTHER)
        return Decision(Action.EXAMINE)
    if wishes.verifies and recorded == digests.NONE:
        return Decision(
            Action.FETCH, "was not hashed when it was fetched (--hash none)"
        )
    if wishes.verifies:
        return Decision(Action.EXAMINE)
    return Decision(Action.ASK if wishes.refreshes else Action.SKIP)

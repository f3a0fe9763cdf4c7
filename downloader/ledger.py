"""The rows of one run, and what must be remembered to make them: a private SQLite file.

A run of ten million lines must not need more memory than one of ten thousand. So what
grows with the list lives here: which lines have been seen, which wait behind a slow host,
and every outcome. SQLite keeps the pages in use in memory and the rest on disk.

The file has no name once it is open (where the system allows that), is never shared and
never synced: what must survive a crash is in the manifest. While the disk is nearly full
nothing is written to it: all stays in memory, so that there is a report of that too.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import time
import weakref
from enum import Enum
from typing import TYPE_CHECKING

import msgspec

from downloader.models import Entry, Outcome, Status
from downloader.quick_hash import blake2b
from downloader.tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from downloader.models import Failure, Phases
    from downloader.record_folder import RecordFolder
    from downloader.timings import Timings

# What SQLite may hold in memory before it writes to the file. A row costs the same 30 µs with
# 4 and with 16 MiB, from ten thousand rows to a million (measured 2026-11).
CACHE_KIB = 4 << 10
_FETCHED_ROWS = 256
# With less than this free, SQLite keeps all in memory; how often that is looked at.
LEAST_FREE_BYTES = 1 << 30
_LOOK_SECONDS = 0.2
_LOOK_LINES = 64
_HASH_BYTES = 16
_MEMORY = ":memory:"

_SCHEMA = """
CREATE TABLE rows (
    seq INTEGER PRIMARY KEY, url TEXT, status TEXT, http_status INTEGER, path TEXT,
    bytes INTEGER, sha256 TEXT, attempts INTEGER, seconds REAL, error TEXT, detail TEXT, length_known INTEGER,
    digest TEXT, host TEXT, began REAL, connect REAL, tls REAL, first_byte REAL, body REAL, paused REAL, hash REAL, store REAL
);
CREATE TABLE seen (identity BLOB PRIMARY KEY, seq INTEGER, spelling BLOB) WITHOUT ROWID;
CREATE TABLE spellings (
    spelling BLOB PRIMARY KEY, seq INTEGER, first INTEGER, line TEXT
) WITHOUT ROWID;
CREATE TABLE waiting (
    host TEXT, seq INTEGER, entry BLOB, line TEXT, PRIMARY KEY (host, seq)
) WITHOUT ROWID;
"""
_COLUMNS = (
    "seq, url, status, http_status, path, bytes, sha256, attempts, seconds, error, detail, "
    "length_known, digest"
)
# Of the row's last attempt; NULL for a row that none was made for.
_PHASES = "began, connect, tls, first_byte, body, paused, hash, store"


class Kind(Enum):
    """What a line is to those before it."""

    NEW = 1
    SPELLING = 2
    DUPLICATE = 3


class Admission(NamedTuple):
    """How a line was taken in.

    Attributes:
        kind: What it is to the lines before it.
        seq: The row it has: its own, or that of the line it repeats.
        first: The row of the first line for the same URL.
    """

    kind: Kind
    seq: int
    first: int


class Ledger:
    """The rows of a run; used by one thread at a time.

    Args:
        folder: Where its file may be made.

    Raises:
        ManifestError: Another file has got its name.
        sqlite3.Error: It cannot be made.
        OSError: Likewise.
    """

    def __init__(self, folder: RecordFolder) -> None:
        self._began_at = time.monotonic()
        self._folder = folder
        self._looked_at = 0.0
        self._unlooked = 0
        self._spills = True
        name = _make_file(folder)
        self._connection = (
            sqlite3.connect(_MEMORY, isolation_level=None, check_same_thread=False)
            if name is None
            else folder.connect(name)
        )
        # In memory, and small: of a transaction that began with an empty file there is
        # hardly anything to keep. It lets a statement fail without harm on a full disk.
        for pragma in (
            "journal_mode = MEMORY",
            "synchronous = OFF",
            "locking_mode = EXCLUSIVE",
            f"cache_size = -{CACHE_KIB}",
            "temp_store = FILE",
        ):
            self._connection.execute(f"PRAGMA {pragma}").fetchall()
        # One transaction for all its life: a commit would only cost, and a full disk
        # could not take it.
        self._connection.execute("BEGIN")
        self._look_at_disk()
        for statement in _SCHEMA.split(";"):
            self._connection.execute(statement)
        self._remove = weakref.finalize(self, _dispose, self._connection, folder, name)
        if os.name == "posix" and name is not None:
            folder.remove(name)
        self._next_seq = 0
        self._rows: list[tuple[object, ...]] = []
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(Entry).decode
        self.duplicates = 0

    def admit(self, identity: str, spelling: str, shown: str) -> Admission:
        """Take a line in.

        Args:
            identity: What makes it the same request as another.
            spelling: The line itself, of which only a hash is kept.
            shown: The line as the report may show it.
        """
        self._unlooked += 1
        if self._unlooked >= _LOOK_LINES:
            self._look_at_disk()
        identity_hash = _hash(identity)
        # Mostly it is the normal form already, which need not be hashed twice.
        spelling_hash = b"" if spelling == identity else _hash(spelling)
        is_new = self._connection.execute(
            "INSERT OR IGNORE INTO seen VALUES (?, ?, ?)",
            (identity_hash, self._next_seq, spelling_hash),
        ).rowcount
        if is_new:
            seq = self._number()
            return Admission(Kind.NEW, seq, seq)
        found = self._connection.execute(
            "SELECT seq, spelling FROM seen WHERE identity = ?", (identity_hash,)
        ).fetchone()
        first, first_spelling = found
        if first_spelling == spelling_hash:
            self.duplicates += 1
            return Admission(Kind.DUPLICATE, first, first)
        return self._admit_spelling(spelling_hash or identity_hash, shown, first)

    def add(
        self, outcome: Outcome, host: str | None = None, phases: Phases | None = None
    ) -> None:
        """Record an outcome.

        Args:
            outcome: The row.
            host: The host and port that its line names.
            phases: Where its last attempt's time went.
        """
        times = _NO_TIMES if phases is None else _astuple(phases)
        seq, url, status, *rest = _astuple(outcome)
        # The word itself: SQLite asks of every other type how to store it.
        self._rows.append((seq, url, str(status), *rest, host, *times))
        if len(self._rows) >= _FETCHED_ROWS:
            self._flush()

    def outcome(self, seq: int) -> Outcome | None:
        """A row, or None while it is pending."""
        self._flush()
        row = self._connection.execute(
            f"SELECT {_COLUMNS} FROM rows WHERE seq = ?",  # noqa: S608 - a constant
            (seq,),
        ).fetchone()
        return None if row is None else _outcome(row)

    def spill(self, entry: Entry) -> None:
        """Keep an entry until its host has room."""
        self._connection.execute(
            "INSERT INTO waiting VALUES (?, ?, ?, ?)",
            (entry.host, entry.seq, self._encode(entry), entry.line),
        )

    def unspill(self, host: str, most: int) -> list[Entry]:
        """The oldest entries kept for a host, which are forgotten here."""
        found = self._connection.execute(
            "SELECT seq, entry FROM waiting WHERE host = ? ORDER BY seq LIMIT ?",
            (host, most),
        ).fetchall()
        if found:
            self._connection.execute(
                "DELETE FROM waiting WHERE host = ? AND seq <= ?", (host, found[-1][0])
            )
        return [self._decode(blob) for _, blob in found]

    def spilled(self, host: str) -> list[int]:
        """The rows of the entries that are kept for a host."""
        found = self._connection.execute(
            "SELECT seq FROM waiting WHERE host = ?", (host,)
        )
        return [seq for (seq,) in found]

    def give_up_spilled(self, failure: Failure, host: str | None = None) -> int:
        """Give every entry that is still kept its row, all the same; how many there were.

        In one statement: a stopped run has five seconds, whatever its list's length.

        Args:
            failure: How each ends.
            host: Whose entries; None for those of all hosts.
        """
        condition = "TRUE" if host is None else "host = ?"
        hosts = () if host is None else (host,)
        given_up = self._connection.execute(
            f"INSERT INTO rows ({_COLUMNS}, host) "  # noqa: S608 - a constant
            "SELECT seq, line, 'failed', NULL, NULL, 0, NULL, 0, 0.0, ?, ?, NULL, NULL, host FROM waiting "
            f"WHERE {condition}",
            (str(failure.kind), failure.detail, *hosts),
        ).rowcount
        self._connection.execute(f"DELETE FROM waiting WHERE {condition}", hosts)  # noqa: S608 - constants
        return given_up

    def spellings(self) -> Iterator[tuple[int, str, Outcome | None]]:
        """Each other spelling: its row, its line, and the outcome of the first."""
        self._flush()
        columns = ", ".join(f"rows.{name}" for name in _COLUMNS.split(", "))
        for seq, line, *row in self._select(
            f"SELECT spellings.seq, line, {columns} FROM spellings "  # noqa: S608 - constants
            "LEFT JOIN rows ON rows.seq = first ORDER BY spellings.seq"
        ):
            yield seq, line, None if row[0] is None else _outcome(row)  # type: ignore[misc] # columns as declared

    def rows(self, errors_only: bool = False) -> Iterator[Outcome]:  # noqa: FBT001, FBT002 - one reader, one switch
        """Every row in the list's order, read lazily."""
        self._flush()
        condition = "WHERE status = 'failed' " if errors_only else ""
        for row in self._select(f"SELECT {_COLUMNS} FROM rows {condition}ORDER BY seq"):  # noqa: S608 - constants
            yield _outcome(row)

    def timings(self) -> Timings:
        """What the rows say of time and size, as far as there are any."""
        from downloader.timings import Timings

        self._flush()
        return Timings(self._connection, self._began_at)

    def __len__(self) -> int:
        self._flush()
        (rows,) = self._connection.execute("SELECT count(*) FROM rows").fetchone()
        return int(rows)

    def close(self) -> None:
        """Let go of the file; called again it does nothing."""
        self._remove()

    def _look_at_disk(self) -> None:
        """Write to the disk only while it has room: a full one would undo all rows."""
        self._unlooked = 0
        now = time.monotonic()
        if now - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = now
        spills = _free_bytes(self._folder.path) >= LEAST_FREE_BYTES
        if spills != self._spills:
            self._spills = spills
            word = "ON" if spills else "OFF"
            self._connection.execute(f"PRAGMA cache_spill = {word}")

    def _number(self) -> int:
        self._next_seq += 1
        return self._next_seq - 1

    def _admit_spelling(self, spelling_hash: bytes, line: str, first: int) -> Admission:
        seq = self._next_seq
        added = self._connection.execute(
            "INSERT OR IGNORE INTO spellings VALUES (?, ?, ?, ?)",
            (spelling_hash, seq, first, line),
        ).rowcount
        if added:
            return Admission(Kind.SPELLING, self._number(), first)
        self.duplicates += 1
        (equal,) = self._connection.execute(
            "SELECT seq FROM spellings WHERE spelling = ?", (spelling_hash,)
        ).fetchone()
        return Admission(Kind.DUPLICATE, equal, first)

    def _select(self, statement: str) -> Iterator[tuple[object, ...]]:
        cursor = self._connection.execute(statement)
        while found := cursor.fetchmany(_FETCHED_ROWS):
            yield from found

    def _flush(self) -> None:
        self._look_at_disk()
        if self._rows:
            rows, self._rows = self._rows, []
            self._connection.executemany(
                f"INSERT OR REPLACE INTO rows ({_COLUMNS}, host, {_PHASES}) "  # noqa: S608 - constants
                f"VALUES ({_PLACES})",
                rows,
            )


_NO_TIMES = (None,) * len(_PHASES.split(","))
_PLACES = ", ".join("?" * len(f"{_COLUMNS}, host, {_PHASES}".split(",")))
_astuple = msgspec.structs.astuple


def _make_file(folder: RecordFolder) -> str | None:
    """An empty file that only we can read; None where the disk takes none."""
    name = f"run-{os.urandom(8).hex()}.sqlite"
    try:
        os.close(folder.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL))
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        return None
    return name


def _free_bytes(folder: str) -> int:
    try:
        if hasattr(os, "statvfs"):
            found = os.statvfs(folder)
            return found.f_bavail * found.f_frsize
        import shutil

        return shutil.disk_usage(folder).free
    except OSError:
        return 0


def _hash(text: str) -> bytes:
    return blake2b(
        text.encode("utf-8", "surrogatepass"), digest_size=_HASH_BYTES
    ).digest()


def _outcome(row: tuple[object, ...] | list[object]) -> Outcome:
    (
        seq,
        url,
        status,
        http_status,
        path,
        size,
        sha256,
        attempts,
        seconds,
        error,
        detail,
        length_known,
        digest,
    ) = row
    return Outcome(
        seq=seq,  # type: ignore[arg-type] # columns as declared, here and below
        url=url,  # type: ignore[arg-type]
        status=Status(status),  # type: ignore[arg-type]
        http_status=http_status,  # type: ignore[arg-type]
        path=path,  # type: ignore[arg-type]
        bytes=size,  # type: ignore[arg-type]
        sha256=sha256,  # type: ignore[arg-type]
        attempts=attempts,  # type: ignore[arg-type]
        seconds=seconds,  # type: ignore[arg-type]
        error=error,  # type: ignore[arg-type]
        detail=detail,  # type: ignore[arg-type]
        length_known=None if length_known is None else bool(length_known),
        digest=digest,  # type: ignore[arg-type]
    )


def _dispose(
    connection: sqlite3.Connection, folder: RecordFolder, name: str | None
) -> None:
    connection.close()
    if name is not None:
        with contextlib.suppress(OSError):
            folder.remove(name)

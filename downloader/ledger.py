"""The rows of one run, and what must be remembered to make them: a private SQLite file.

A run of ten million lines must not need more memory than one of ten thousand. So what
grows with the list lives here: which lines have been seen, which wait behind a slow host,
and every outcome. SQLite keeps the pages in use in memory and the rest on disk.

The file has no name once it is open (where the system allows that), is never shared and
never synced: what must survive a crash is in the manifest.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
import weakref
from enum import Enum
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from downloader.models import Entry, Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from downloader.models import Failure

# What SQLite may hold in memory before it writes to the file.
CACHE_KIB = 16 << 10
_FETCHED_ROWS = 256
_HASH_BYTES = 16

_SCHEMA = """
CREATE TABLE rows (
    seq INTEGER PRIMARY KEY, url TEXT, status TEXT, http_status INTEGER, path TEXT,
    bytes INTEGER, sha256 TEXT, attempts INTEGER, seconds REAL, error TEXT, detail TEXT
);
CREATE TABLE seen (identity BLOB PRIMARY KEY, seq INTEGER, spelling BLOB) WITHOUT ROWID;
CREATE TABLE spellings (
    spelling BLOB PRIMARY KEY, seq INTEGER, first INTEGER, line TEXT
) WITHOUT ROWID;
CREATE TABLE waiting (
    host TEXT, seq INTEGER, entry BLOB, line TEXT, PRIMARY KEY (host, seq)
) WITHOUT ROWID;
"""
_COLUMNS = "seq, url, status, http_status, path, bytes, sha256, attempts, seconds, error, detail"


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
    """

    def __init__(self, folder: str) -> None:
        path = os.path.join(folder, f"run-{secrets.token_hex(8)}.sqlite")
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
        os.close(os.open(path, flags, 0o600))
        self._connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False
        )
        # Without a journal there is nothing to roll back to, and nobody would want to.
        for pragma in (
            "journal_mode = OFF",
            "synchronous = OFF",
            "locking_mode = EXCLUSIVE",
            f"cache_size = -{CACHE_KIB}",
            "temp_store = FILE",
        ):
            self._connection.execute(f"PRAGMA {pragma}").fetchall()
        self._connection.executescript(_SCHEMA)
        # One transaction for all its life: a commit would only cost.
        self._connection.execute("BEGIN")
        self._remove = weakref.finalize(self, _dispose, self._connection, path)
        if os.name == "posix":
            os.unlink(path)
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
        identity_hash, spelling_hash = _hash(identity), _hash(spelling)
        found = self._connection.execute(
            "SELECT seq, spelling FROM seen WHERE identity = ?", (identity_hash,)
        ).fetchone()
        if found is None:
            seq = self._number()
            self._connection.execute(
                "INSERT INTO seen VALUES (?, ?, ?)", (identity_hash, seq, spelling_hash)
            )
            return Admission(Kind.NEW, seq, seq)
        first, first_spelling = found
        if first_spelling == spelling_hash:
            self.duplicates += 1
            return Admission(Kind.DUPLICATE, first, first)
        return self._admit_spelling(spelling_hash, shown, first)

    def add(self, outcome: Outcome) -> None:
        """Record an outcome."""
        self._rows.append(msgspec.structs.astuple(outcome))
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

    def give_up_spilled(self, failure: Failure) -> int:
        """Give every entry that is still kept its row, all the same; how many there were.

        In one statement: a stopped run has five seconds, whatever its list's length.
        """
        given_up = self._connection.execute(
            f"INSERT INTO rows ({_COLUMNS}) "  # noqa: S608 - a constant
            "SELECT seq, line, 'failed', NULL, NULL, 0, NULL, 0, 0.0, ?, ? FROM waiting",
            (str(failure.kind), failure.detail),
        ).rowcount
        self._connection.execute("DELETE FROM waiting")
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

    def __len__(self) -> int:
        self._flush()
        (rows,) = self._connection.execute("SELECT count(*) FROM rows").fetchone()
        return int(rows)

    def close(self) -> None:
        """Let go of the file; called again it does nothing."""
        self._remove()

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
        return Admission(Kind.DUPLICATE, first, first)

    def _select(self, statement: str) -> Iterator[tuple[object, ...]]:
        cursor = self._connection.execute(statement)
        while found := cursor.fetchmany(_FETCHED_ROWS):
            yield from found

    def _flush(self) -> None:
        if self._rows:
            rows, self._rows = self._rows, []
            self._connection.executemany(
                f"INSERT OR REPLACE INTO rows ({_COLUMNS}) "  # noqa: S608 - a constant
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )


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
    )


def _dispose(connection: sqlite3.Connection, path: str) -> None:
    connection.close()
    with contextlib.suppress(OSError):
        os.unlink(path)

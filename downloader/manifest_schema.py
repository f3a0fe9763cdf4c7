"""The manifest's tables, how older ones become them, and what can be saved of damaged ones."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION = 3
SCHEMA = """
CREATE TABLE files (
    path TEXT PRIMARY KEY,      -- relative to the output folder
    url TEXT NOT NULL,          -- the URL's normal form, without credentials
    status TEXT NOT NULL,       -- how the last run that asked for it ended
    http_status INTEGER,
    error TEXT,
    recorded_at REAL NOT NULL,  -- seconds since 1970, UTC
    size_bytes INTEGER,         -- from here on: the file in place, NULL without one
    digest TEXT,                -- sha256, or "blake3:" and the like; "" if not hashed
    length_known INTEGER,
    etag TEXT,
    last_modified TEXT,
    modified_ns INTEGER,        -- the file's own modification time
    final_url TEXT              -- where redirects led, NULL if they led nowhere
) WITHOUT ROWID;
CREATE TABLE intents (
    path TEXT PRIMARY KEY,
    run INTEGER NOT NULL,
    size_bytes INTEGER,         -- what stood there before, NULL for nothing
    modified_ns INTEGER,
    inode INTEGER
) WITHOUT ROWID;
CREATE TABLE facts (name TEXT PRIMARY KEY, value INTEGER) WITHOUT ROWID;
"""
_COLUMNS = (
    "path, url, status, http_status, error, recorded_at, size_bytes, digest, "
    "length_known, etag, last_modified, modified_ns, final_url"
)
_MIGRATIONS = {
    1: f"""  -- its rows were kept by URL
    ALTER TABLE files RENAME TO files_1;
    {SCHEMA}
    INSERT OR REPLACE INTO files SELECT path, url, status, http_status, error,
        recorded_at, size_bytes, sha256, length_known, etag, last_modified, modified_ns,
        NULL FROM files_1;
    DROP TABLE files_1;
    """,  # noqa: S608 - a constant
    2: "ALTER TABLE files RENAME COLUMN sha256 TO digest;",
}
# Those that no row is without: path, url, status, and digest of a file in place.
_TEXTS = (0, 1, 2, 7)
SAVE = f"INSERT OR REPLACE INTO files ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - a constant


class Newer(Exception):
    """A newer version of this program made the file."""


def prepare(connection: sqlite3.Connection) -> None:
    """Make a file's tables what they are in this version; a new file is empty before.

    Raises:
        Newer: As it says.
        sqlite3.DatabaseError: The file is damaged.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise Newer
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)
    if version < VERSION:
        change = _MIGRATIONS.get(version, SCHEMA)
        connection.executescript(
            f"BEGIN IMMEDIATE; {change} PRAGMA user_version = {VERSION}; COMMIT;"
        )


def salvage(path: str) -> Iterator[tuple[object, ...]]:
    """The rows of files that can still be read, of a manifest of any version."""
    with contextlib.suppress(sqlite3.Error):
        connection = sqlite3.connect(path)
        try:
            columns = {row[1] for row in connection.execute("PRAGMA table_info(files)")}
            older = {"digest": "sha256"} if "sha256" in columns else {}
            names = [older.get(name, name) for name in _COLUMNS.split(", ")]
            wanted = ", ".join(name if name in columns else "NULL" for name in names)
            for row in connection.execute(
                f"SELECT {wanted} FROM files WHERE recorded_at > 0"  # noqa: S608 - constants
            ):
                if all(isinstance(row[place], str) for place in _TEXTS):
                    yield row
        finally:
            connection.close()

"""The manifest's tables, how older ones become them, and what can be saved of damaged ones.

A file whose schema is not exactly one of these may hold triggers, views or checks that
run when it is used, so that it counts as damaged: plain rows are read out of it.
"""

from __future__ import annotations

import sqlite3
from functools import partial
from typing import TYPE_CHECKING

from downloader.patterns import lazy
from downloader.policy import standing

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
_FIRST = """
CREATE TABLE files (
    url TEXT PRIMARY KEY, path TEXT NOT NULL, status TEXT NOT NULL, http_status INTEGER,
    size_bytes INTEGER, sha256 TEXT, length_known INTEGER, etag TEXT, last_modified TEXT,
    modified_ns INTEGER, error TEXT, recorded_at REAL NOT NULL
) WITHOUT ROWID;
"""
# By version; an empty file has none.
_SCHEMAS = {
    0: "",
    1: _FIRST,
    2: SCHEMA.replace("digest TEXT", "sha256 TEXT"),
    VERSION: SCHEMA,
}
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
# What a row takes at least in its file, besides its texts.
_ROW_BYTES = 16
SAVE = f"INSERT OR REPLACE INTO files ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - a constant


class Newer(Exception):
    """A newer version of this program made the file."""


_FOREIGN = "its tables are not those of this program"


def check(connection: sqlite3.Connection) -> None:
    """Refuse a file that is not one of ours, before anything in it is used.

    Raises:
        Newer: As it says.
        sqlite3.DatabaseError: It has other tables, or something besides them.
    """
    try:
        _check(connection)
    except UnicodeDecodeError as error:  # Python reads SQLite's complaint about it
        raise sqlite3.DatabaseError(_FOREIGN) from error


def _check(connection: sqlite3.Connection) -> None:
    version = _version(connection)
    if version > VERSION:
        raise Newer
    # One more than there may be: there might be millions.
    strict, connection.text_factory = connection.text_factory, _text
    found = connection.execute(
        "SELECT name, type, tbl_name, sql FROM sqlite_master LIMIT 4"
    ).fetchall()
    connection.text_factory = strict
    tables = {
        name: _plain(sql) for name, *kind, sql in found if kind == ["table", name]
    }
    if len(tables) != len(found) or tables != _tables(_SCHEMAS.get(version, "")):
        raise sqlite3.DatabaseError(_FOREIGN)


def prepare(connection: sqlite3.Connection) -> None:
    """Make a checked file's tables what they are in this version.

    Raises:
        sqlite3.DatabaseError: The file is damaged.
    """
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)
    version = _version(connection)
    if version < VERSION:
        change = _MIGRATIONS.get(version, SCHEMA)
        connection.executescript(
            f"BEGIN IMMEDIATE; {change} PRAGMA user_version = {VERSION}; COMMIT;"
        )


def salvage(
    connection: sqlite3.Connection, most_bytes: int
) -> Iterator[tuple[object, ...]]:
    """The rows of whole files that can still be read, of a manifest of any version.

    Args:
        connection: To the damaged file.
        most_bytes: What they may take together, since pages of a planted file may refer
            to one another in circles.

    Raises:
        sqlite3.DatabaseError: The rest cannot be read.
    """
    connection.text_factory = _text
    names = _stored_columns(connection)
    older = {"digest": "sha256"} if "sha256" in names else {}
    wanted = [older.get(name, name) for name in _COLUMNS.split(", ")]
    columns = ", ".join(name if name in names else "NULL" for name in wanted)
    if not names:
        return
    for row in connection.execute(f"SELECT {columns} FROM files NOT INDEXED"):  # noqa: S608 - constants
        most_bytes -= _ROW_BYTES + sum(len(one) for one in row if isinstance(one, str))
        if most_bytes < 0:
            return
        if standing.is_sound(row):
            yield row


# Text that is no UTF-8 is read all the same: the rule for its kind refuses it later.
_text = partial(str, encoding="utf-8", errors="replace")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _stored_columns(connection: sqlite3.Connection) -> set[str]:
    """The columns of the table of files; none if to read it would run anything."""
    (found,) = connection.execute(
        "SELECT count(*) FROM sqlite_master WHERE name = 'files' AND type = 'table' "
        "AND sql LIKE 'CREATE TABLE %'"
    ).fetchone()
    columns = connection.execute("PRAGMA table_xinfo(files)").fetchall()
    is_plain = found == 1 and not any(hidden for *_, hidden in columns)
    return {name for _, name, *_ in columns} if is_plain else set()


def _tables(schema: str) -> dict[str, str]:
    """The statements of a schema by their tables' names."""
    statements = filter(None, map(_plain, _COMMENT.sub("", schema).split(";")))
    return {one.split(" ")[2].partition("(")[0]: one for one in statements}


_COMMENT = lazy(r"--[^\n]*")
_SPACES = lazy(r"[ \t\r\n\f]+")
_AROUND = lazy(r" ?([(),]) ?")


def _plain(sql: object) -> str:
    """A statement as SQLite reads it: comments and blanks differ between versions."""
    text = _SPACES.sub(" ", _COMMENT.sub(" ", str(sql))).strip()
    return _AROUND.sub(r"\1", text)

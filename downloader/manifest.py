"""What a folder holds and where it came from: `DIR/.downloader/manifest.sqlite`.

Two kinds of rows: a *file* is what became of a name, written after its file is in place
and never before; an *intent* is what is about to be fetched, committed before anyone asks
for it, so that a run that is cut off leaves no file that nobody knows. Where that was
impossible for a while, or the manifest was lost, the record has a *gap*: files that were
there before its end may be ours all the same.

Only the session writes here, in batches: a row costs 2.4 µs at 500 a transaction and
34 µs at one (measured 2026-11).
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, TypeVar

from downloader import database, manifest_schema
from downloader.errors import ManifestError
from downloader.manifest_schema import SAVE
from downloader.policy import standing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from downloader.models import Entry, Outcome, Saved
    from downloader.policy.standing import Intent, Record, Stamp
    from downloader.record_folder import RecordFolder

Result = TypeVar("Result")
NAME = "manifest.sqlite"
BATCH_ROWS = 500
BATCH_SECONDS = 1.0
# Who else has the file open must not hold transfers and signals up for longer than this,
# nor keep a run from starting anything for longer than that.
BUSY_SECONDS = 0.1
LAST_BUSY_MILLISECONDS = 1_000
MOST_BUSY_SECONDS = 10.0
# Before anything is asked for there is nothing to hold up.
START_BUSY_SECONDS = 5.0
MOST_WAITING_ROWS = 20_000
_SUFFIXES = ("", "-wal", "-shm", "-journal")
_GAP = "gap"
_REBUILT = f"{NAME}.rebuilt"
# Some thirty million rows; a file may have holes, and say that it is larger.
MOST_SALVAGED_BYTES = 8 << 30
_LOOK_SECONDS = 0.05

# What a file in place is known by outlives a later run that failed to fetch it anew.
_NOTE = """
INSERT INTO files (path, url, status, http_status, error, recorded_at)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (path) DO UPDATE SET status = excluded.status,
    http_status = excluded.http_status, error = excluded.error,
    recorded_at = excluded.recorded_at
"""
_NOTHING = (None, None, None)
_FORGET = "DELETE FROM intents WHERE path = ?"
_INTEND = "INSERT OR REPLACE INTO intents VALUES (?, ?, ?, ?, ?)"


def note_gap(folder: RecordFolder) -> None:
    """Note that from now on files may come that are not recorded, whatever happens.

    The next run that opens the manifest ends the gap. What cannot be noted is not: then
    files that lie here are nobody's.
    """
    with contextlib.suppress(OSError, ManifestError):
        os.close(folder.open(_GAP, os.O_WRONLY | os.O_CREAT))


class Manifest:
    """The folder's record, open for writing; one thread at a time uses it.

    A file that is damaged is set aside, and what can be read of it is kept.

    Args:
        folder: The folder of records, which stays open for as long as this does.
        is_durable: Whether a commit must outlive a power cut.
        before_commit: Called before each commit; what it raises goes to the caller.

    Attributes:
        set_aside: Where a damaged file was moved to, None if it was well.
        gap_ns: Until when, in nanoseconds since 1970, files may have come that no row
            speaks of; None if there was no such time.

    Raises:
        ManifestError: It cannot be opened, or a newer version of this program made it.
    """

    def __init__(
        self,
        folder: RecordFolder,
        *,
        is_durable: bool = False,
        before_commit: Callable[[], None] = lambda: None,
    ) -> None:
        self.path = folder.place(NAME)
        self._folder = folder
        self.set_aside: str | None = None
        self._is_durable = is_durable
        self._before_commit = before_commit
        self._rows: list[tuple[str, tuple[object, ...]]] = []
        self._settled: list[tuple[str]] = []  # names whose intents are done with
        self._flushed_at = time.monotonic()
        self.commit_seconds = 0.0
        self._busy_since: float | None = None
        self._is_closed = False
        self.intends = False
        # All that were opened: one may have to be interrupted.
        self._connections: list[sqlite3.Connection] = []
        self._is_stopped = False
        with self._translated():
            try:
                self._connection = _beside(self._open, self._interrupt)
                begun = self._patiently(self._begin_run)
                self._run, self._has_files, self._has_intents = begun
                self.gap_ns = self._end_gap()
            except BaseException:
                for connection in self._connections:
                    connection.close()
                raise

    # Reading

    @property
    def is_blank(self) -> bool:
        """True if it knew of no name when the run began."""
        return not (self._has_files or self._has_intents)

    def record(self, path: str) -> Record | None:
        """What is known of the file that has a name, None if nothing.

        Raises:
            ManifestError: It cannot be read.
        """
        if not self._has_files:
            return None
        row = self._row(
            "SELECT url, size_bytes, digest, length_known, etag, last_modified, "
            "modified_ns, final_url FROM files WHERE path = ? AND digest NOT NULL",
            path,
        )
        return None if row is None else standing.recorded(row)

    def intent(self, path: str) -> Intent | None:
        """What an earlier run that was cut off intended for a name.

        Raises:
            ManifestError: It cannot be read.
        """
        return self.own_intent(path) if self._has_intents else None

    def own_intent(self, path: str) -> Intent | None:
        """What this run, or an earlier one, intended for a name.

        Raises:
            ManifestError: It cannot be read.
        """
        row = self._row(
            "SELECT size_bytes, modified_ns, inode FROM intents WHERE path = ?", path
        )
        return None if row is None else standing.intended(row)

    def _row(self, statement: str, path: str) -> tuple[object, ...] | None:
        with self._translated():
            try:
                row = self._connection.execute(statement, (path,)).fetchone()
            except sqlite3.OperationalError as error:
                if hasattr(error, "sqlite_errorcode"):
                    raise
                return None  # Python's own: a text of no run of ours, as it is no UTF-8
        return None if row is None else tuple(row)

    # Writing

    def intend(self, path: str, before: Stamp | None) -> None:
        """Record what is about to be fetched; `flush` commits it."""
        stamp = _NOTHING if before is None else before
        self._rows.append((_INTEND, (path, self._run, *stamp)))
        self.intends = True

    def forget(self, path: str) -> None:
        """Take an earlier run's intent back: it is known what became of it."""
        if self._has_intents:
            self._settled.append((path,))

    def add(self, entry: Entry, outcome: Outcome, saved: Saved | None) -> None:
        """Record the end of a request; written with the next batch.

        Raises:
            ManifestError: The batch cannot be written.
        """
        note = (
            entry.path,
            entry.identity,
            str(outcome.status),
            outcome.http_status,
            outcome.error,
            time.time(),
        )
        if saved is None:
            self._rows.append((_NOTE, note))
        else:
            self._rows.append((SAVE, (*note, *_facts(saved))))
            # This run's own too: after a kill it would say that anything may lie there.
            self._settled.append((entry.path,))
        if len(self._rows) % BATCH_ROWS == 0:
            self.flush()

    def tick(self) -> None:
        """Write what has waited long enough.

        Raises:
            ManifestError: It cannot be written.
        """
        waits = self._rows or self._settled
        if waits and time.monotonic() - self._flushed_at > BATCH_SECONDS:
            self.flush()

    def flush(self, *, is_last: bool = False) -> None:
        """Write all that waits, in one transaction.

        Args:
            is_last: There is no later: what cannot be written now never will.

        Raises:
            ManifestError: It cannot be written; what waited is kept for another try.
        """
        now = self._flushed_at = time.monotonic()
        if not (self._rows or self._settled):
            return
        try:
            self._commit(now, is_last=is_last)
        finally:
            self.commit_seconds += time.monotonic() - now

    def _commit(self, now: float, *, is_last: bool) -> None:
        self._before_commit()
        try:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                for statement, values in _grouped(self._rows):
                    self._connection.executemany(statement, values)
                self._connection.executemany(_FORGET, self._settled)
        except sqlite3.OperationalError as error:
            if not self._may_wait(error, now, is_last=is_last):
                raise _failure(self.path, error) from error
            return
        except (sqlite3.Error, OSError) as error:
            raise _failure(self.path, error) from error
        self._rows, self._settled = [], []
        self._busy_since, self.intends = None, False

    def close(self, unsettled: Iterable[str] | None = None) -> None:
        """Write what waits and close; called again it does nothing.

        Args:
            unsettled: The names of which this run does not know what became; its other
                intents are done with. None if it knows of no name.

        Raises:
            ManifestError: It cannot be written; it is closed all the same.
        """
        if self._is_closed:
            return
        self._is_closed = True
        try:
            with self._translated():
                self._connection.execute(
                    f"PRAGMA busy_timeout = {LAST_BUSY_MILLISECONDS}"
                )
            self.flush(is_last=True)
            if unsettled is not None:
                with self._translated():
                    self._settle(unsettled)
        finally:
            self._connection.close()

    def _settle(self, unsettled: Iterable[str]) -> None:
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(
                "UPDATE intents SET run = 0 WHERE path = ?",
                [(path,) for path in unsettled],
            )
            self._connection.execute("DELETE FROM intents WHERE run = ?", (self._run,))

    def _may_wait(
        self, error: sqlite3.OperationalError, now: float, *, is_last: bool
    ) -> bool:
        """True if another program holds it up, and rows can wait for the next turn."""
        if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or is_last:
            return False
        if self._busy_since is None:
            self._busy_since = now
        is_long = now - self._busy_since > MOST_BUSY_SECONDS
        return len(self._rows) < MOST_WAITING_ROWS and not (self.intends and is_long)

    # Opening

    def _open(self) -> sqlite3.Connection:
        if self._is_stopped:
            raise sqlite3.OperationalError("interrupted")
        for suffix in _SUFFIXES:
            self._folder.check(NAME + suffix)
        # There is one only from the instant in which the file is made. SQLite would
        # obey it, and remove any file that it names as its own master.
        self._drop(f"{NAME}-journal")
        self._finish_rebuild()
        try:
            return self._patiently(lambda: self._connect(NAME))
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise  # busy, full or forbidden, but not damaged
            return self._rebuild()

    def _connect(self, name: str) -> sqlite3.Connection:
        # Made here, so that nobody else can read what stands in URLs.
        if not self._folder.check(name):
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
            os.close(self._folder.open(name, flags))
        connection = self._restricted(name)
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _restricted(self, name: str) -> sqlite3.Connection:
        connection = self._folder.connect(name, BUSY_SECONDS)
        self._connections.append(connection)
        database.restrict(connection)
        return connection

    def _interrupt(self) -> None:
        self._is_stopped = True
        for connection in self._connections:
            with contextlib.suppress(sqlite3.ProgrammingError):  # it is closed
                connection.interrupt()

    def _patiently(self, action: Callable[[], Result]) -> Result:
        """Try again for some seconds while another program holds the file."""
        until = time.monotonic() + START_BUSY_SECONDS
        while True:
            try:
                return action()
            except sqlite3.OperationalError as error:
                # An extended code has its kind in the last byte.
                code = getattr(error, "sqlite_errorcode", 0)  # none of Python's own
                is_busy = code & 0xFF == sqlite3.SQLITE_BUSY
                if not is_busy or self._is_stopped or time.monotonic() > until:
                    raise
            time.sleep(0.02)

    def _drop(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._folder.remove(name)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        try:
            manifest_schema.check(connection)
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
            # NORMAL may lose the last commits in a power cut then, but nothing else.
            level = "FULL" if self._is_durable else "NORMAL"
            connection.execute(f"PRAGMA synchronous = {level}")
            manifest_schema.prepare(connection)
        except manifest_schema.Newer as error:
            reason = "a newer version of this program made it"
            raise ManifestError(self.path, reason) from error

    def _rebuild(self) -> sqlite3.Connection:
        """Make a new one of what can be read of the damaged file, and set that aside.

        Cut off anywhere, it leaves the one or the other, and the note of a gap.
        """
        aside = f"{NAME}.damaged-{time.time_ns()}"
        self.set_aside = self._folder.place(aside)
        note_gap(self._folder)
        for suffix in _SUFFIXES:
            self._drop(_REBUILT + suffix)
        with contextlib.closing(self._connect(_REBUILT)) as connection, connection:
            connection.execute("BEGIN")
            # Under its own name still: another one would part it from its log.
            connection.executemany(SAVE, self._salvage())
        for suffix in _SUFFIXES:
            with contextlib.suppress(FileNotFoundError):
                self._folder.rename(NAME + suffix, aside + suffix)
        self._finish_rebuild()
        return self._connect(NAME)

    def _salvage(self) -> Iterator[tuple[object, ...]]:
        """The rows that can still be read: no more than the file has bytes for."""
        sizes = (self._folder.size_bytes(NAME + suffix) for suffix in ("", "-wal"))
        most_bytes = min(sum(sizes), MOST_SALVAGED_BYTES)
        try:
            with contextlib.closing(self._restricted(NAME)) as damaged:
                yield from manifest_schema.salvage(damaged, most_bytes)
        except (sqlite3.DatabaseError, UnicodeDecodeError):
            if self._is_stopped:
                raise

    def _finish_rebuild(self) -> None:
        """Put a rebuilt file in place; the damaged one is not set aside before it is whole."""
        if self._folder.check(_REBUILT) and not self._folder.check(NAME):
            self._folder.rename(_REBUILT, NAME)

    def _end_gap(self) -> int | None:
        if self._folder.check(_GAP):
            self._connection.execute(
                "INSERT OR REPLACE INTO facts VALUES ('gap_ns', ?)", (time.time_ns(),)
            )
            self._folder.remove(_GAP)
        return self._fact("gap_ns")

    def _begin_run(self) -> tuple[int, bool, bool]:
        """This run's number, and whether there are any rows to look for."""
        run = (self._fact("runs") or 0) + 1
        self._connection.execute(
            "INSERT OR REPLACE INTO facts VALUES ('runs', ?)", (run,)
        )
        has_files, has_intents = self._connection.execute(
            "SELECT EXISTS (SELECT 1 FROM files), EXISTS (SELECT 1 FROM intents)"
        ).fetchone()
        return run, bool(has_files), bool(has_intents)

    def _fact(self, name: str) -> int | None:
        row = self._connection.execute(
            "SELECT value FROM facts WHERE name = ? AND typeof(value) = 'integer'",
            (name,),
        ).fetchone()
        return row[0] if row is not None and standing.is_count(row[0]) else None

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise _failure(self.path, error) from error


def _beside(action: Callable[[], Result], interrupt: Callable[[], None]) -> Result:
    """Run an action in a thread, so that a signal's handler need not wait for its end.

    What the handler raises interrupts the action, and is raised once that has ended; an
    action that was interrupted before it began must end by itself.
    """
    results: list[Result] = []
    errors: list[BaseException] = []

    # Not by the thread's own state: a join that a signal breaks off takes it for ended.
    may_begin, has_ended = threading.Event(), threading.Event()

    def run() -> None:
        may_begin.wait()
        try:
            results.append(action())
        except BaseException as error:  # noqa: BLE001 - it is raised by the caller's thread
            errors.append(error)
        has_ended.set()

    thread = threading.Thread(target=run, name="downloader-manifest", daemon=True)
    try:
        thread.start()
        may_begin.set()
        while not has_ended.wait(_LOOK_SECONDS):  # Windows heeds no signal meanwhile
            pass
        thread.join()  # a process with a second thread cannot be copied
    except BaseException:
        interrupt()
        has_begun = may_begin.is_set()
        may_begin.set()
        while has_begun and not has_ended.wait(_LOOK_SECONDS):
            interrupt()
        raise
    if errors:
        raise errors[0]
    return results[0]


def _failure(path: str, error: sqlite3.Error | OSError) -> ManifestError:
    if isinstance(error, OSError):
        is_full = error.errno in {errno.ENOSPC, errno.EDQUOT}
    else:
        code = getattr(error, "sqlite_errorcode", None)
        is_full = code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE}
    return ManifestError(path, str(error), is_full)


def _facts(saved: Saved) -> tuple[object, ...]:
    return (
        saved.size_bytes,
        saved.digest,
        saved.length_known,
        saved.etag,
        saved.last_modified,
        saved.modified_ns,
        saved.url,
    )


def _grouped(
    rows: list[tuple[str, tuple[object, ...]]],
) -> Iterator[tuple[str, list[tuple[object, ...]]]]:
    """Rows by statement, in their order where two speak of one name."""
    for statement in (_INTEND, SAVE, _NOTE):
        values = [row for its, row in rows if its is statement]
        if values:
            yield statement, values

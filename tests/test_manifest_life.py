"""What becomes of a manifest over the years: older ones, damaged ones, cut-off runs."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from downloader import manifest as module
from downloader.errors import ManifestError
from downloader.manifest import Manifest, note_gap
from downloader.models import Entry, Outcome, Saved, Status
from downloader.policy.standing import Intent, Stamp
from downloader.record_folder import RecordFolder

SAVED = Saved(3, "ab" * 32, True, '"tag"', "a date", 1_700_000_000, "http://cdn/a")
FIRST_VERSION = """
CREATE TABLE files (
    url TEXT PRIMARY KEY, path TEXT NOT NULL, status TEXT NOT NULL, http_status INTEGER,
    size_bytes INTEGER, sha256 TEXT, length_known INTEGER, etag TEXT, last_modified TEXT,
    modified_ns INTEGER, error TEXT, recorded_at REAL NOT NULL
) WITHOUT ROWID;
INSERT INTO files VALUES
    ('http://h/a', 'h/a', 'ok', 200, 3,
        'abababababababababababababababababababababababababababababababab', 1, '"v1"', NULL, 17, NULL, 1.5),
    ('http://h/b', 'h/b', 'failed', 404, NULL, NULL, NULL, NULL, NULL, NULL, 'http_404', 2);
PRAGMA user_version = 1;
"""


def entry(number):
    url = f"http://h/{number}"
    return Entry(number, url, url, url, "h:80", f"h/{number}")


def outcome(number, **changes):
    fields = {"seq": number, "url": f"http://h/{number}", "status": Status.OK}
    return Outcome(**fields | changes)


@pytest.fixture
def record(tmp_path):
    return RecordFolder(str(tmp_path)).path


@contextlib.contextmanager
def opened(record, **more):
    with contextlib.closing(begun(record, **more)) as manifest:
        yield manifest


def begun(record, **more):
    """The manifest in a folder, given the folder's path."""
    return Manifest(RecordFolder(os.path.dirname(record)), **more)


def test_the_first_versions_rows_are_kept(record):
    path = os.path.join(record, "manifest.sqlite")
    with contextlib.closing(sqlite3.connect(path)) as old:
        old.executescript(FIRST_VERSION)

    with opened(record) as manifest:
        assert manifest.record("h/a") == (
            "http://h/a",
            3,
            "ab" * 32,
            True,
            '"v1"',
            None,
            17,
            None,
        )
        assert manifest.record("h/b") is None
        assert manifest.gap_ns is None
        manifest.add(entry(1), outcome(1), SAVED)
    with opened(record) as manifest:
        assert manifest.record("h/1").url == "http://cdn/a"


def test_a_file_is_known_by_all_that_is_known_of_it(record):
    with opened(record) as manifest:
        manifest.add(entry(1), outcome(1), SAVED)
    with opened(record) as manifest:
        found = manifest.record("h/1")

    assert found.identity == "http://h/1"
    assert (found.size_bytes, found.digest, found.etag) == (3, "ab" * 32, '"tag"')
    assert (found.modified_ns, found.url) == (1_700_000_000, "http://cdn/a")


def test_a_later_failure_does_not_make_a_file_unknown(record):
    failed = outcome(1, status=Status.FAILED, http_status=503, error="http_503")
    for result, saved in ((outcome(1), SAVED), (failed, None)):
        with opened(record) as manifest:
            manifest.add(entry(1), result, saved)

    with opened(record) as manifest:
        assert manifest.record("h/1").digest == "ab" * 32
        ((status, error),) = manifest._connection.execute(
            "SELECT status, error FROM files"
        )
    assert (status, error) == ("failed", "http_503")


# Intents


def test_intents_outlive_a_kill(record):
    program = """
        import os, signal, sys
        from downloader.manifest import Manifest
        from downloader.record_folder import RecordFolder
        from downloader.policy.standing import Stamp
        manifest = Manifest(RecordFolder(sys.argv[1]))
        manifest.intend("h/a", None)
        manifest.intend("h/b", Stamp(1, 2, 3))
        manifest.flush()
        manifest.intend("h/c", None)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), os.path.dirname(record)],
        check=False,
    )

    assert done.returncode == -signal.SIGKILL
    with opened(record) as manifest:
        assert manifest.intent("h/a") == Intent(None)
        assert manifest.intent("h/b") == Intent(Stamp(1, 2, 3))
        assert manifest.intent("h/c") is None


def test_a_file_that_was_recorded_leaves_no_intent_to_a_kill(record):
    with contextlib.closing(begun(record)) as manifest:
        manifest.intend("h/0", None)
        manifest.flush()
        manifest.add(entry(0), outcome(0), SAVED)
        manifest.flush()

        # As the next run would find it, which looks for no others of this one.
        assert manifest.own_intent(entry(0).path) is None


def test_a_run_that_ends_takes_its_own_intents_along_but_for_those_in_the_air(record):
    with contextlib.closing(begun(record)) as cut_off:
        cut_off.intend("h/earlier", None)
        cut_off.flush()
    manifest = begun(record)
    for name in ("h/a", "h/in-the-air"):
        manifest.intend(name, None)
    manifest.close(["h/in-the-air"])

    with opened(record) as manifest:
        assert manifest.intent("h/a") is None
        assert manifest.intent("h/in-the-air") == Intent(None)
        assert manifest.intent("h/earlier") == Intent(None)


def test_what_became_of_an_intent_ends_it(record):
    with contextlib.closing(begun(record)) as cut_off:
        for name in ("h/1", "h/2", "h/3"):
            cut_off.intend(name, None)
        cut_off.flush()
    with opened(record) as manifest:
        manifest.add(entry(1), outcome(1), SAVED)
        manifest.forget("h/2")
        manifest.flush()

        assert [manifest.intent(f"h/{n}") is None for n in (1, 2, 3)] == [
            True,
            True,
            False,
        ]


def test_intents_wait_for_another_program_but_not_for_ever(record, monkeypatch):
    with opened(record) as manifest:
        manifest.intend("h/a", None)
        with contextlib.closing(sqlite3.connect(manifest.path)) as other:
            other.execute("BEGIN EXCLUSIVE")
            manifest.flush()
            assert manifest.intends
            monkeypatch.setattr(module, "MOST_BUSY_SECONDS", -1.0)
            with pytest.raises(ManifestError, match="locked"):
                manifest.flush()
            other.rollback()
        manifest.flush()
        assert not manifest.intends


# Damage


def filled(record, count):
    with opened(record) as manifest:
        for number in range(count):
            manifest.add(entry(number), outcome(number), SAVED)
    return os.path.join(record, "manifest.sqlite")


def test_what_can_be_read_of_a_damaged_manifest_is_kept(record):
    path = filled(record, 5_000)
    with open(path, "r+b") as stream:
        stream.seek(os.path.getsize(path) // 2)
        stream.write(os.urandom(8192))

    with opened(record) as manifest:
        known = sum(
            manifest.record(f"h/{number}") is not None for number in range(5_000)
        )
        assert manifest.gap_ns is not None
        assert os.path.exists(manifest.set_aside)
    assert 0 < known < 5_000


@pytest.mark.parametrize("size", [0, 100, 5000])
def test_a_manifest_cut_short_is_no_end(record, size):
    path = filled(record, 500)
    os.truncate(path, size)

    with opened(record) as manifest:
        manifest.add(entry(1), outcome(1), SAVED)
        assert (manifest.gap_ns is not None) == (size > 0)
    with opened(record) as manifest:
        assert manifest.record("h/1") is not None


KILLED_REBUILD = """
import os, signal, sys
from downloader.manifest import Manifest
from downloader.record_folder import RecordFolder

left, rename = int(sys.argv[2]), os.rename

def counted(*names, **folders):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    rename(*names, **folders)

os.rename = counted
Manifest(RecordFolder(sys.argv[1]))
"""


@pytest.mark.parametrize("renames", range(2))
def test_a_rebuild_may_be_killed_anywhere(record, renames):
    path = filled(record, 5_000)
    with open(path, "r+b") as stream:
        stream.seek(os.path.getsize(path) // 2)
        stream.write(os.urandom(8192))
    done = subprocess.run(
        [sys.executable, "-c", KILLED_REBUILD, os.path.dirname(record), str(renames)],
        check=False,
    )
    assert done.returncode == -signal.SIGKILL

    with opened(record) as manifest:
        assert manifest.gap_ns is not None
        known = sum(
            manifest.record(f"h/{number}") is not None for number in range(5_000)
        )
    assert 0 < known < 5_000
    assert not [name for name in os.listdir(record) if "rebuilt" in name]


def test_a_gap_lasts_until_the_next_run_and_is_remembered(record):
    note_gap(RecordFolder(os.path.dirname(record)))
    with opened(record) as manifest:
        ended_ns = manifest.gap_ns
    assert abs(ended_ns - time.time_ns()) < 60 * 10**9
    with opened(record) as manifest:
        assert manifest.gap_ns == ended_ns


def test_a_start_waits_for_whoever_writes(record):
    path = filled(record, 1)
    with contextlib.closing(
        sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    ) as other:
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(0.5, other.rollback)
        timer.start()
        with opened(record) as manifest:
            assert manifest.record("h/0") is not None
        timer.join()


def test_a_start_does_not_wait_for_ever(record, monkeypatch):
    monkeypatch.setattr(module, "START_BUSY_SECONDS", 0.2)
    path = filled(record, 1)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ManifestError, match="locked"), opened(record):
            pass


# Power cuts


def test_names_are_synced_before_a_commit_that_must_last(record):
    events = []
    with opened(
        record, is_durable=True, before_commit=lambda: events.append(1)
    ) as manifest:
        manifest.add(entry(1), outcome(1), SAVED)
        assert events == []
        manifest.flush()
        assert events == [1]
        (level,) = manifest._connection.execute("PRAGMA synchronous").fetchone()

    assert level == 2  # FULL

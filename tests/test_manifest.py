import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
import textwrap
import time

import pytest

from downloader import manifest as module
from downloader import manifest_schema
from downloader.errors import ManifestError
from downloader.manifest import Manifest
from downloader.models import Entry, Outcome, Saved, Status
from downloader.record_folder import RecordFolder

SAVED = Saved(3, "ab" * 32, True, '"tag"', "a date", 1_700_000_000_000_000_000)


def entry(number):
    url = f"http://h/{number}"
    return Entry(number, url, url, url, "h:80", f"h/{number}", "me:secret")


def outcome(number, **changes):
    fields = {"seq": number, "url": f"http://h/{number}", "status": Status.OK}
    return Outcome(**fields | {"http_status": 200} | changes)


def failure(number):
    return outcome(number, status=Status.FAILED, http_status=404, error="http_404")


@pytest.fixture
def record(tmp_path):
    return RecordFolder(str(tmp_path)).path


@pytest.fixture
def manifest(record):
    with contextlib.closing(opened(record)) as manifest:
        yield manifest


def opened(path):
    """The manifest in a folder, given the folder's path."""
    return Manifest(RecordFolder(os.path.dirname(path)))


def stored(manifest, columns="*"):
    """The rows as another program sees them."""
    with contextlib.closing(sqlite3.connect(manifest.path)) as connection:
        return connection.execute(
            f"SELECT {columns} FROM files ORDER BY url"
        ).fetchall()


# The folder


def test_the_folder_is_made_for_its_owner_alone(tmp_path):
    path = RecordFolder(str(tmp_path)).path

    assert path == str(tmp_path / ".downloader")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o700
    assert RecordFolder(str(tmp_path)).path == path


def test_a_link_in_place_of_the_folder_is_refused(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / ".downloader").symlink_to(outside)

    with pytest.raises(
        ManifestError, match="a symbolic link or a file is in its place"
    ):
        RecordFolder(str(tmp_path))
    assert os.listdir(outside) == []


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / ".downloader").write_bytes(b"")

    with pytest.raises(
        ManifestError, match="a symbolic link or a file is in its place"
    ):
        RecordFolder(str(tmp_path))


def test_a_folder_that_cannot_be_made_is_a_manifest_error(tmp_path):
    with pytest.raises(ManifestError, match="No such file"):
        RecordFolder(str(tmp_path / "missing"))


# The file


def test_the_file_is_for_its_owner_alone_whatever_the_umask(record):
    before = os.umask(0)
    try:
        manifest = opened(record)
        manifest.add(entry(0), outcome(0), SAVED)
        manifest.flush()
        modes = {
            stat.S_IMODE(os.stat(os.path.join(record, name)).st_mode)
            for name in os.listdir(record)
        }
        manifest.close()
    finally:
        os.umask(before)

    assert modes == {0o600}


def test_closing_leaves_one_file(manifest, record):
    manifest.add(entry(0), outcome(0), SAVED)
    manifest.close()

    assert os.listdir(record) == ["manifest.sqlite"]


@pytest.mark.parametrize("target", ["secret", "new"])
def test_a_link_in_place_of_the_file_is_refused(record, tmp_path, target):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"")
    os.symlink(outside / target, os.path.join(record, "manifest.sqlite"))

    with pytest.raises(ManifestError, match="a link or a special file"):
        opened(record)
    assert os.listdir(outside) == ["secret"]
    assert (outside / "secret").read_bytes() == b""


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
def test_a_link_beside_the_file_is_not_written_through(record, tmp_path, suffix):
    secret = tmp_path / "secret"
    secret.write_bytes(b"not ours")
    os.symlink(secret, os.path.join(record, f"manifest.sqlite{suffix}"))
    with contextlib.suppress(ManifestError):
        manifest = opened(record)
        manifest.add(entry(0), outcome(0), SAVED)
        manifest.close()

    assert secret.read_bytes() == b"not ours"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal"])
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("secret", path)])
def test_what_is_no_plain_file_is_named(record, suffix, make):
    path = os.path.join(record, f"manifest.sqlite{suffix}")
    make(path)

    with pytest.raises(ManifestError, match="a link or a special file") as caught:
        opened(record)
    assert caught.value.path == path
    assert os.listdir(record) == [os.path.basename(path)]


@pytest.mark.timeout(60)
def test_a_fifo_in_place_of_the_file_is_never_waited_for(record):
    os.mkfifo(os.path.join(record, "manifest.sqlite"))

    with pytest.raises(ManifestError):
        opened(record)


def test_a_folder_in_place_of_the_file_is_a_manifest_error(record):
    os.mkdir(os.path.join(record, "manifest.sqlite"))

    with pytest.raises(ManifestError, match="a link or a special file"):
        opened(record)


@pytest.mark.parametrize("content", [b"no database" * 100, b"SQLite format 3\0" * 50])
def test_a_damaged_file_is_set_aside_and_another_begun(record, content):
    path = os.path.join(record, "manifest.sqlite")
    with open(path, "wb") as stream:
        stream.write(content)

    with contextlib.closing(opened(record)) as manifest:
        assert manifest.gap_ns is not None
        assert stored(manifest) == []
    with open(manifest.set_aside, "rb") as stream:
        assert stream.read() == content
    with contextlib.closing(opened(record)) as again:
        assert (again.set_aside, again.gap_ns) == (None, manifest.gap_ns)


def test_a_newer_versions_file_is_refused_and_left_alone(manifest, record):
    manifest.close()
    with contextlib.closing(sqlite3.connect(manifest.path)) as connection:
        connection.execute(f"PRAGMA user_version = {manifest_schema.VERSION + 1}")

    with pytest.raises(ManifestError, match="a newer version of this program made it"):
        opened(record)
    assert stored(manifest) == []


# Rows


def test_a_saved_file_is_recorded_with_all_its_facts(manifest):
    manifest.add(entry(0), outcome(0), SAVED)
    manifest.flush()

    (row,) = stored(manifest)
    assert row[:5] == ("h/0", "http://h/0", "ok", 200, None)
    assert row[5] > 1_700_000_000
    assert row[6:] == (
        3,
        "ab" * 32,
        1,
        '"tag"',
        "a date",
        1_700_000_000_000_000_000,
        None,
    )


def test_a_failure_is_recorded_without_facts_of_a_file(manifest):
    manifest.add(entry(0), failure(0), None)
    manifest.flush()

    assert stored(manifest, "status, http_status, digest, error") == [
        ("failed", 404, None, "http_404")
    ]


def test_credentials_are_never_stored(manifest):
    manifest.add(entry(0), outcome(0), SAVED)
    manifest.close()
    with open(manifest.path, "rb") as stream:
        content = stream.read()

    assert b"http://h/0" in content
    assert b"secret" not in content


def test_rows_are_written_in_batches(manifest):
    for number in range(module.BATCH_ROWS - 1):
        manifest.add(entry(number), outcome(number), SAVED)
    before = len(stored(manifest))
    manifest.add(entry(-1), outcome(1), SAVED)

    assert (before, len(stored(manifest))) == (0, module.BATCH_ROWS)


def test_a_tick_writes_only_what_has_waited_long_enough(manifest, monkeypatch):
    manifest.add(entry(0), outcome(0), SAVED)
    manifest.tick()
    before = len(stored(manifest))
    monkeypatch.setattr(module, "BATCH_SECONDS", -1.0)
    manifest.tick()

    assert (before, len(stored(manifest))) == (0, 1)


def test_closing_writes_what_waits(manifest):
    manifest.add(entry(0), outcome(0), SAVED)
    manifest.close()

    assert len(stored(manifest)) == 1


def test_reopening_keeps_the_rows_and_replaces_those_of_the_same_url(record):
    for result, saved in ((failure(0), None), (outcome(0), SAVED)):
        manifest = opened(record)
        manifest.add(entry(0), result, saved)
        manifest.add(entry(result.http_status), result, saved)
        manifest.close()

    assert stored(manifest, "url, status") == [
        ("http://h/0", "ok"),
        ("http://h/200", "ok"),
        ("http://h/404", "failed"),
    ]


def test_what_cannot_be_written_is_a_manifest_error_and_is_kept(manifest):
    manifest.add(entry(0), outcome(0), SAVED)
    manifest._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(ManifestError, match="readonly"):
        manifest.flush()
    manifest._connection.execute("PRAGMA query_only = OFF")
    manifest.flush()

    assert len(stored(manifest)) == 1


def test_a_manifest_that_cannot_be_written_is_closed_all_the_same(record):
    manifest = opened(record)
    before = len(os.listdir("/proc/self/fd"))
    manifest.add(entry(0), outcome(0), SAVED)
    manifest._connection.execute("PRAGMA query_only = ON")

    with pytest.raises(ManifestError):
        manifest.close()
    assert len(os.listdir("/proc/self/fd")) < before


def test_what_was_flushed_survives_a_kill(record):
    program = """
        import os, signal, sys
        from downloader.manifest import Manifest
        from downloader.record_folder import RecordFolder
        from downloader.models import Entry, Outcome, Status
        manifest = Manifest(RecordFolder(sys.argv[1]))
        for n in range(1200):
            url = f"http://h/{n}"
            manifest.add(Entry(n, url, url, url, "h:80", str(n)),
                         Outcome(seq=n, url=url, status=Status.OK), None)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), os.path.dirname(record)],
        check=False,
    )

    with contextlib.closing(opened(record)) as manifest:
        assert stored(manifest, "count(*)") == [(1000,)]


# Another program holds the file


@contextlib.contextmanager
def held(manifest):
    """Another connection that lets nobody write, or read, until the block's end."""
    with contextlib.closing(sqlite3.connect(manifest.path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.rollback()


def test_rows_wait_while_another_program_holds_the_file(manifest):
    with held(manifest):
        manifest.add(entry(1), outcome(1), SAVED)
        manifest.flush()
        manifest.add(entry(2), outcome(2), SAVED)
        manifest.flush()
    before = stored(manifest, "url")
    manifest.flush()

    assert before == []
    assert stored(manifest, "url") == [("http://h/1",), ("http://h/2",)]


def test_it_tells_how_long_its_commits_took(record):
    slow = Manifest(
        RecordFolder(os.path.dirname(record)), before_commit=lambda: time.sleep(0.05)
    )
    with contextlib.closing(slow) as manifest:
        manifest.flush()
        assert manifest.commit_seconds == 0
        manifest.add(entry(1), outcome(1), SAVED)
        manifest.flush()

        assert manifest.commit_seconds >= 0.05


def test_a_flush_waits_for_another_program_but_a_moment():
    # Transfers and signals wait with it; close() has nobody to hold up.
    assert module.BUSY_SECONDS <= 0.2
    assert module.LAST_BUSY_MILLISECONDS >= 1_000


def test_rows_that_wait_for_another_program_are_bounded(manifest, monkeypatch):
    monkeypatch.setattr(module, "MOST_WAITING_ROWS", 2)
    with held(manifest):
        manifest.add(entry(1), outcome(1), SAVED)
        manifest.flush()
        manifest.add(entry(2), outcome(2), SAVED)
        with pytest.raises(ManifestError, match=r"manifest\.sqlite.*locked"):
            manifest.flush()


def test_closing_waits_for_another_program_and_then_gives_up(record):
    manifest = opened(record)
    manifest.add(entry(1), outcome(1), SAVED)
    with held(manifest):
        began = time.monotonic()
        with pytest.raises(ManifestError, match=r"manifest\.sqlite.*locked"):
            manifest.close()
        waited_seconds = time.monotonic() - began

    assert waited_seconds >= module.LAST_BUSY_MILLISECONDS / 2_000

"""What the record does not speak of: files of a time when it was lost, or could not be written."""

import logging
import subprocess
import sys

import pytest
from odd_exchange import body
from strategy_rig import wait_until

from downloader import Downloader, fetch
from downloader.errors import ManifestError
from downloader.manifest import Manifest

pytestmark = pytest.mark.usefixtures("workdir")


def test_what_lay_there_when_the_record_was_lost_is_taken_up_once(odd, workdir, caplog):
    """And then judged like any other: changed, damaged, or somebody else's."""
    url, other = odd.url("versioned/10"), odd.url("ok/9")
    (row,) = fetch([url])
    path = workdir / "downloads" / row.path
    manifest = workdir / "downloads/.downloader/manifest.sqlite"
    manifest.write_bytes(b"damaged" * 99)
    assert [one.status for one in fetch([url])] == ["skipped"]
    theirs = path.parent.parent / "ok/9~f"
    theirs.parent.mkdir()
    theirs.write_bytes(b"theirs")
    path.write_bytes(b"short")
    with caplog.at_level(logging.WARNING, "downloader"):
        again = list(fetch([url, other]))

    assert [one.error for one in again] == [None, "exists"]
    assert "was changed since it was fetched" in caplog.text
    assert path.read_bytes() == body("/versioned/10#1", 10)
    assert theirs.read_bytes() == b"theirs"


def test_what_could_not_be_recorded_is_read_by_the_next_run(odd, workdir, monkeypatch):
    def broken(*_, **_more):
        raise ManifestError("manifest.sqlite", "it is locked")

    urls = [odd.url(f"ok/{size}") for size in range(5)]
    with monkeypatch.context() as patched:
        patched.setattr(Manifest, "flush", broken)
        report = fetch(urls)
    assert (report.summary.ok, report.exit_code) == (5, 1)
    again = fetch(urls)

    assert (again.summary.skipped, again.exit_code) == (5, 0)
    assert odd.hits.total() == 5


def test_a_folder_that_is_gone_is_no_reason_to_give_the_record_up(odd, workdir, caplog):
    with Downloader(durable=True) as downloader:
        first = downloader.submit(odd.url("ok/1")).result(30)
        (workdir / "downloads" / first.path).parent.rename(workdir / "elsewhere")
        later = downloader.submit(odd.url("versioned/2")).result(30)
    again = fetch([odd.url("versioned/2")])

    assert later.error is None
    assert "cannot sync" not in caplog.text
    assert [row.status for row in again] == ["skipped"]


def test_a_file_that_somebody_else_puts_there_meanwhile_is_not_taken_for_ours(
    odd, workdir
):
    """The run was killed with a part of it: then the name had not been given yet."""
    url = odd.url("held/3000000")
    process = subprocess.Popen(
        [sys.executable, "-m", "downloader", "fetch", url, "-q"], cwd=workdir
    )
    # The first MiB; what it may be gone on with under is recorded before that.
    wait_until(
        lambda: any(
            part.stat().st_size >= 1 << 20
            for part in (workdir / "downloads").rglob("*.part")
        )
    )
    process.kill()
    process.wait()
    (part,) = (workdir / "downloads").rglob("*.part")
    theirs = part.parent / "3000000~f"
    theirs.write_bytes(b"theirs")
    assert [row.error for row in fetch([url])] == ["exists"]
    assert theirs.read_bytes() == b"theirs"
    theirs.unlink()
    odd.release()

    assert [row.error for row in fetch([url])] == [None]
    assert "range" in odd.requests[-1][1]  # and went on with what was there

"""A run that was cut off and the next one: parts, locks, orphans, finished files."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading

import pytest
from chaos import CHILD_SECONDS, descendants, is_alive
from odd_exchange import body
from strategy_rig import running, wait_until

from downloader import DownloaderError, fetch
from downloader.cli import main
from downloader.errors import FolderLocked
from downloader.strategies.contract import NAMES

SIZE = 3_000_000
every_strategy = pytest.mark.parametrize("strategy", NAMES)
pytestmark = pytest.mark.usefixtures("workdir")


@pytest.fixture
def part(odd, workdir):
    return workdir / f"downloads/127.0.0.1_{odd.port}/held/{SIZE}~f.part"


def started(odd, strategy, workdir, *paths):
    """A run as a process of its own, in the middle of a body."""
    urls = map(odd.url, paths or (f"held/{SIZE}",))
    command = [sys.executable, "-m", "downloader", "fetch", *urls, "-q"]
    process = subprocess.Popen(
        [*command, "--strategy", strategy, "-j", "2"],
        cwd=workdir,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    odd.wait_for(lambda server: server.hits)
    return process


@contextlib.contextmanager
def running_record(workdir):
    """How many files a run that is under way has recorded so far, as a function."""
    path = workdir / "downloads/.downloader/manifest.sqlite"
    wait_until(path.exists)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        yield lambda: connection.execute("SELECT count(*) FROM files").fetchone()[0]


def is_half_there(part):
    return lambda: part.exists() and part.stat().st_size == SIZE // 2


def killed(odd, strategy, workdir, part):
    """A run that was killed when half of its file had come; its children are gone."""
    process = started(odd, strategy, workdir)
    wait_until(is_half_there(part))
    children = descendants(process.pid)
    process.kill()
    process.wait()
    wait_until(lambda: not any(map(is_alive, children)), CHILD_SECONDS)


def left(workdir):
    found = (workdir / "downloads").rglob("*")
    names = {path.name for path in found if path.is_file()}
    return names - {"lock", "holder.json", "manifest.sqlite"}


@every_strategy
def test_a_stopped_run_is_gone_on_with(odd, workdir, part, strategy):
    with running([odd.url(f"held/{SIZE}")], strategy=strategy) as (session, report):
        wait_until(is_half_there(part))
        session.stop()
        assert [row.error for row in report.result()] == ["interrupted"]
    (row,) = again = fetch([odd.url(f"held/{SIZE}")], strategy=strategy)

    assert (row.status, again.summary.received_bytes) == ("ok", SIZE // 2)
    assert odd.requests[-1][1]["range"] == f"bytes={SIZE // 2}-"
    assert odd.requests[-1][1]["if-range"] == '"1"'
    assert part.with_suffix("").read_bytes() == body(f"/held/{SIZE}#1", SIZE)
    assert left(workdir) == {f"{SIZE}~f"}


@every_strategy
def test_a_part_that_cannot_be_gone_on_with_goes_when_its_file_comes(
    odd, workdir, strategy
):
    """Nothing says which version it is of; what comes next is small, and needs no part."""
    url = odd.url("stall-taken/1000")
    with running([url], strategy=strategy) as (session, report):
        # What is that small has no part yet, so that its coming shows nowhere else.
        odd.wait_for(lambda server: server.held)
        session.stop()
        assert [row.error for row in report.result()] == ["interrupted"]
    assert "1000~f.part" in left(workdir)
    odd.release()
    (row,) = fetch([url], strategy=strategy)

    assert (row.status, row.bytes) == ("ok", 2000)
    assert left(workdir) == {"1000~f"}


@every_strategy
def test_a_killed_run_is_gone_on_with(odd, workdir, part, strategy):
    killed(odd, strategy, workdir, part)
    (row,) = again = fetch([odd.url(f"held/{SIZE}")], strategy=strategy)

    assert (row.status, again.summary.received_bytes) == ("ok", SIZE // 2)
    assert part.with_suffix("").read_bytes() == body(f"/held/{SIZE}#1", SIZE)
    assert left(workdir) == {f"{SIZE}~f"}


@every_strategy
def test_another_version_is_fetched_whole(odd, workdir, part, strategy):
    killed(odd, strategy, workdir, part)
    odd.version = 2
    odd.release()
    fetch([odd.url(f"held/{SIZE}")], strategy=strategy)

    assert part.with_suffix("").read_bytes() == body(f"/held/{SIZE}#2", SIZE)
    assert left(workdir) == {f"{SIZE}~f"}


def tamper_longer(part, workdir):
    with part.open("ab") as stream:
        stream.write(b"x" * SIZE)


def tamper_link(part, workdir):
    part.unlink()
    part.symlink_to(workdir / "victim")


def tamper_fifo(part, workdir):
    part.unlink()
    os.mkfifo(part)


def tamper_hard_link(part, workdir):
    os.link(part, workdir / "other")


def tamper_record(part, workdir):
    (record,) = (workdir / "downloads/.downloader/parts").iterdir()
    record.write_bytes(b"{")


def tamper_boot(part, workdir):
    (record,) = (workdir / "downloads/.downloader/parts").iterdir()
    record.write_text(json.dumps(json.loads(record.read_text()) | {"boot": "earlier"}))


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "tamper",
    [
        tamper_longer,
        tamper_link,
        tamper_fifo,
        tamper_hard_link,
        tamper_record,
        tamper_boot,
    ],
)
def test_a_part_that_cannot_be_trusted_is_not_gone_on_with(odd, workdir, part, tamper):
    (workdir / "victim").write_bytes(b"not ours")
    killed(odd, "serial", workdir, part)
    tamper(part, workdir)
    odd.release()
    (row,) = fetch([odd.url(f"held/{SIZE}")], strategy="serial")

    assert "range" not in odd.requests[-1][1]
    assert (workdir / "victim").read_bytes() == b"not ours"
    if tamper in {tamper_link, tamper_fifo}:
        assert row.error == "disk"
    else:
        assert part.with_suffix("").read_bytes() == body(f"/held/{SIZE}#1", SIZE)


@pytest.mark.parametrize("strategy", ["threads", "asyncio", "curl"])
def test_a_part_of_an_earlier_run_makes_no_file_unreachable(odd, workdir, strategy):
    size = 300_000
    url = odd.url(f"range-refused/403/{size}")
    (cut,) = fetch([url], strategy=strategy, retries=0)
    (row,) = fetch([url], strategy=strategy, retries=0)

    assert cut.error == "truncated"
    assert (row.error, row.http_status, row.attempts, row.bytes) == (None, 200, 1, size)
    asked = [fields.get("range") for _, fields in odd.requests]
    assert asked == [None, f"bytes={size // 2}-", None]
    assert left(workdir) == {f"{size}~f"}


@pytest.mark.parametrize("strategy", ["threads", "asyncio", "curl"])
def test_a_part_stays_until_the_whole_file_begins_to_come(odd, workdir, strategy):
    url = odd.url("range-refused/403/300000/503")
    for _ in range(3):
        (row,) = fetch([url], strategy=strategy, retries=0)
        (part,) = (workdir / "downloads").rglob("*.part")
        records = list((workdir / "downloads/.downloader/parts").iterdir())

        assert part.stat().st_size == 150_000
        assert len(records) == 1
    assert (row.error, row.http_status, row.attempts) == ("http_503", 503, 1)
    asked = ["range" in fields for _, fields in odd.requests]
    assert asked == [False, True, False, True, False]


def test_a_transient_failure_of_the_whole_file_lets_the_part_be_resumed(odd, workdir):
    url = odd.url("range-refused/403/300000/503")
    fetch([url], retries=2, backoff_seconds=0.01)

    asked = ["range" in fields for _, fields in odd.requests]
    assert asked == [False, True, False, True]


def test_a_part_that_is_whole_takes_a_byte_to_finish(odd, workdir, part):
    killed(odd, "serial", workdir, part)
    part.write_bytes(body(f"/held/{SIZE}#1", SIZE))
    (row,) = again = fetch([odd.url(f"held/{SIZE}")])

    assert (row.status, again.summary.received_bytes) == ("ok", 1)
    assert part.with_suffix("").read_bytes() == body(f"/held/{SIZE}#1", SIZE)


def test_a_part_waits_for_its_server_to_come_back(odd, workdir, part):
    killed(odd, "serial", workdir, part)
    odd.close()
    fetch([odd.url(f"held/{SIZE}")], retries=0)

    assert part.stat().st_size == SIZE // 2
    assert len(list((workdir / "downloads/.downloader/parts").iterdir())) == 1


def test_records_that_are_of_no_use_are_swept_away(odd, workdir, part):
    killed(odd, "serial", workdir, part)
    records = workdir / "downloads/.downloader/parts"
    (records / "cut-off.json").write_text('{"path": "')
    (records / "of-another.json").write_text(next(records.glob("*.json")).read_text())
    part.unlink()
    fetch([odd.url("ok/1")])

    assert list(records.iterdir()) == []


@pytest.mark.parametrize("strategy", ["processes", "subprocess"])
def test_a_file_in_place_before_the_kill_is_taken_up(odd, workdir, strategy):
    odd.release()
    process = started(odd, strategy, workdir, f"slow/{SIZE}/0.5")
    file = workdir / f"downloads/127.0.0.1_{odd.port}/slow/{SIZE}/0.5"
    wait_until(file.exists)
    process.kill()
    process.wait()
    (row,) = fetch([odd.url(f"slow/{SIZE}/0.5")], strategy=strategy)

    assert row.status == "skipped"
    assert row.bytes == SIZE
    assert len(odd.requests) == 1


def test_a_recorded_file_that_is_changed_after_a_kill_is_fetched_again(odd, workdir):
    process = started(odd, "threads", workdir, f"ok/{SIZE}", "stall-head/1")
    with running_record(workdir) as files:
        wait_until(files)
    process.kill()
    process.wait()
    file = workdir / f"downloads/127.0.0.1_{odd.port}/ok/{SIZE}~f"
    assert file.stat().st_size == SIZE
    file.write_bytes(b"cut")
    (row,) = fetch([odd.url(f"ok/{SIZE}")])

    assert (row.status, row.bytes) == ("ok", SIZE)
    assert file.stat().st_size == SIZE


# One run a folder


def test_a_second_run_says_who_holds_the_folder(odd, workdir, capsys):
    process = started(odd, "threads", workdir)

    assert main(["fetch", odd.url("ok/1")]) == 75
    said = capsys.readouterr().err
    assert f"another run uses {workdir}/downloads: process {process.pid} on " in said
    assert ", since 20" in said
    process.kill()
    process.wait()
    assert main(["fetch", odd.url("ok/1"), "-q"]) == 0


def test_two_runs_of_one_process_do_not_share_a_folder(odd, workdir):
    with running([odd.url("stall-head/1")]) as (_, report):
        odd.wait_for(lambda server: server.hits)
        with pytest.raises(FolderLocked):
            fetch([odd.url("ok/1")])
        odd.release()
        assert report.result().ok
    assert fetch([odd.url("ok/1")]).ok


def test_a_link_in_place_of_the_lock_is_refused(odd, workdir):
    (workdir / "downloads/.downloader").mkdir(parents=True)
    (workdir / "victim").write_bytes(b"not ours")
    (workdir / "downloads/.downloader/lock").symlink_to(workdir / "victim")

    with pytest.raises(DownloaderError, match="a link or a special file"):
        fetch([odd.url("ok/1")])
    assert (workdir / "victim").read_bytes() == b"not ours"


# Durable


def test_a_durable_file_is_on_the_disk_before_it_has_its_name(
    odd, workdir, monkeypatch
):
    events = []

    def noted(name, before):
        def call(*args, **kwargs):
            events.append(name)
            return before(*args, **kwargs)

        monkeypatch.setattr(os, name, call)

    noted("fsync", os.fsync)
    noted("replace", os.replace)
    noted("link", os.link)
    for path in ("ok/10", f"held/{SIZE}"):
        odd.release()
        assert fetch([odd.url(path)], strategy="serial", durable=True).ok
        assert events[:2] == ["fsync", "replace"]
        assert "fsync" in events[2:]
        events.clear()
    fetch([odd.url("ok/11")], strategy="serial")
    assert events == ["link"]


def test_a_durable_run_on_the_event_loop_syncs_too(odd, workdir, monkeypatch):
    threads = []
    before = os.fsync

    def fsync(descriptor):
        threads.append(threading.current_thread())
        before(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    assert fetch([odd.url("ok/10")], strategy="asyncio", durable=True).ok
    assert threading.main_thread() is not threads[0]


@every_strategy
def test_a_stop_ends_a_verification_at_once(odd, workdir, strategy):
    fetch([odd.url("ok/10")], strategy=strategy)
    file = next((workdir / "downloads").rglob("10~f"))
    with file.open("r+b") as stream:
        stream.truncate(1 << 40)
    stamp = file.stat()
    import sqlite3

    with sqlite3.connect(workdir / "downloads/.downloader/manifest.sqlite") as manifest:
        manifest.execute(
            "UPDATE files SET size_bytes = ?, modified_ns = ?",
            (stamp.st_size, stamp.st_mtime_ns),
        )
    manifest.close()
    with running([odd.url("ok/10")], strategy=strategy, verify=True) as (
        session,
        report,
    ):
        wait_until(lambda: session._holdings.pending)
        session.stop(signal.SIGINT)
        (row,) = report.result()

    # Had all of it been read, for minutes, the row would say what is wrong with it.
    assert row.error == "not_tried"

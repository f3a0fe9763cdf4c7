import contextlib
import gc
import hashlib
import logging
import os
import signal
import sqlite3
import threading

import pytest
from odd_server import OddServer
from strategy_rig import wait_until

from downloader import DownloaderError, Request, Settings, UsageError, fetch
from downloader import manifest as manifest_module
from downloader.api import run_list
from downloader.errors import DiskError, ManifestError, StrategyUnavailable
from downloader.models import Status
from downloader.progress import Silent
from downloader.session import Session
from downloader.sources import ReadyFeed, ThreadedFeed

pytestmark = pytest.mark.usefixtures("workdir")
STRATEGIES = pytest.mark.parametrize("strategy", ["threads", "asyncio"])
QUICK = {"backoff_seconds": 0.001, "backoff_max_seconds": 0.01}


@pytest.fixture
def servers():
    """Three hosts that misbehave."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(OddServer()) for _ in range(3)]


@pytest.fixture
def stopping(odd):
    """Run a session over lines and stop it once the server was asked for something."""

    def run(urls, feed=ReadyFeed, signum=None, **settings):
        session = Session(
            Settings.make(**settings), feed(Request(url) for url in urls), Silent()
        )

        def stop():
            odd.wait_for(lambda server: server.hits)
            session.stop(signum)

        thread = threading.Thread(target=stop)
        thread.start()
        report = session.run()
        thread.join()
        return report

    return run


def stored(folder="downloads"):
    """What the manifest holds: outcome and path by URL."""
    path = os.path.join(folder, ".downloader", "manifest.sqlite")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT url, status, path, error FROM files")
        return {url: facts for url, *facts in rows}


def files(folder):
    """Each whole file below a folder with its digest, without the record."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".part" and ".downloader" not in path.parts
    }


def descriptors():
    gc.collect()  # the tasks of an event loop are kept by cycles
    return len(os.listdir("/proc/self/fd"))


# Before anything is requested


def test_an_output_that_is_a_file_is_a_usage_error(workdir):
    (workdir / "out").write_bytes(b"mine")

    with pytest.raises(UsageError, match="out"):
        fetch(["http://127.0.0.1:9/a"], output="out")
    assert (workdir / "out").read_bytes() == b"mine"


def test_an_output_that_becomes_a_file_is_a_usage_error(workdir):
    settings = Settings.make(output="out")
    (workdir / "out").write_bytes(b"mine")

    with pytest.raises(UsageError, match="is a file"):
        Session(settings, ReadyFeed([]), Silent())


def test_an_output_below_a_file_is_an_error_of_ours(workdir):
    settings = Settings.make(output="mine/out")
    (workdir / "mine").write_bytes(b"")

    with pytest.raises((UsageError, DiskError), match="mine"):
        Session(settings, ReadyFeed([]), Silent())


def test_the_output_folder_is_made_with_its_parents(odd, workdir):
    fetch([odd.url("ok/1")], output="a/b/c")

    assert (workdir / "a/b/c").is_dir()


def test_the_output_folder_may_be_a_link(odd, workdir):
    (workdir / "real").mkdir()
    (workdir / "link").symlink_to("real")
    report = fetch([odd.url("ok/1")], output="link")

    assert report.ok
    assert list(files(workdir / "real")) == [row.path for row in report]


def test_a_link_in_place_of_the_record_is_refused(odd, workdir):
    (workdir / "outside").mkdir()
    (workdir / "downloads").mkdir()
    (workdir / "downloads/.downloader").symlink_to(workdir / "outside")

    with pytest.raises(
        ManifestError, match="a symbolic link or a file is in its place; remove it"
    ):
        fetch([odd.url("ok/1")])
    assert not odd.hits
    assert os.listdir(workdir / "outside") == []


def test_a_damaged_record_is_set_aside(odd, workdir, caplog):
    (workdir / "downloads/.downloader").mkdir(parents=True)
    (workdir / "downloads/.downloader/manifest.sqlite").write_bytes(b"damaged" * 99)

    with caplog.at_level(logging.WARNING, "downloader"):
        report = fetch([odd.url("ok/1")])

    assert report.ok
    assert "the manifest was damaged: it was set aside as" in caplog.text
    (damaged,) = (workdir / "downloads/.downloader").glob("manifest.sqlite.damaged-*")
    assert damaged.read_bytes() == b"damaged" * 99


def test_an_unknown_strategy_is_refused():
    with pytest.raises(StrategyUnavailable, match="there is no strategy 'magic'"):
        Session(Settings(strategy="magic"), ReadyFeed([]), Silent())


# The rows


@STRATEGIES
def test_every_line_of_a_dirty_list_has_one_row(odd, workdir, strategy):
    taken = ["<{}>", '"{}",', "- {}", "{}\u200b", "\ufeff{}", "“{}”", "{} # why", "{},"]
    refused = {
        "{0} {0}": "two URLs",
        "{}\tmore": "TSV",
        "1,{}": "CSV",
        '"url": "{}"': "JSON",
        "  out=name {}": "an aria2 option",
        "{} more": "no checksum",
        "{} crc32=12345678": "no checksum",
        "wget {}": "in front of its URL",
    }
    lines = [
        line.format(odd.url(f"ok/{number}"))
        for number, line in enumerate([*taken, *refused], 1)
    ]
    (workdir / "list").write_text("\n# mine\n\u200b\n".join(lines), encoding="utf-8")
    report = run_list(("list",), Settings.make(strategy=strategy), Silent())

    urls = [odd.url(f"ok/{number}") for number in range(1, len(taken) + 1)]
    rows = list(report)
    assert [row.url for row in rows if row.error is None] == urls
    assert odd.hits == {f"/ok/{number}": 1 for number in range(1, len(taken) + 1)}
    for row, said in zip(rows[len(taken) :], refused.values(), strict=True):
        assert row.error == "invalid_url"
        assert said in row.detail


@STRATEGIES
def test_rows_follow_the_list_whatever_ends_first(odd, strategy):
    lines = [
        odd.url("slow/10/0.5"),
        "nonsense",
        odd.url("ok/1"),
        odd.url("flaky/1/503/7"),
        odd.url("ok/1#again"),
        odd.url("status/404"),
        odd.url("%6Fk/1"),
    ]
    report = fetch(lines, strategy=strategy, **QUICK)

    assert [(row.seq, row.url) for row in report] == list(
        enumerate(line for line in lines if "#" not in line)
    )
    assert [row.error for row in report] == [
        None,
        "invalid_url",
        None,
        None,
        "http_404",
        None,
    ]
    assert report.summary.duplicates == 1


def test_another_spelling_shares_the_end_of_the_first(odd):
    lines = [
        odd.url("ok/1"),
        odd.url("%6Fk/1"),
        odd.url("status/404"),
        odd.url("%73tatus/404"),
    ]
    rows = list(fetch(lines))

    assert [row.status for row in rows] == ["ok", "skipped", "failed", "failed"]
    assert rows[1].path == rows[0].path
    assert (rows[3].error, rows[3].http_status) == ("http_404", 404)
    assert [row.attempts for row in rows] == [1, 0, 1, 0]
    assert odd.hits == {"/ok/1": 1, "/status/404": 1}


def test_lines_that_are_there_already_are_not_waited_for(monkeypatch):
    """From a pipe or a generator, too: each wait would be for nothing."""
    feed = ThreadedFeed(Request(f"nonsense{number}") for number in range(1_000))
    assert feed.take(1)
    wait_until(feed._queue.full)  # with the mark of the end
    waits = []
    monkeypatch.setattr(Session, "_collect", lambda _, seconds: waits.append(seconds))
    report = Session(Settings.make(), feed, Silent()).run()

    assert len(list(report)) == 999
    assert set(waits) == {0.0}


def test_bad_lines_alone_need_no_strategy():
    report = fetch(["nonsense", "ftp://h/a", "nonsense"])

    assert [row.error for row in report] == ["invalid_url", "invalid_url"]
    assert report.summary.duplicates == 1


def test_a_status_that_was_named_is_retried(odd):
    urls = [odd.url("flaky/1/404/5"), odd.url("status/404")]
    report = fetch(urls, retry_on="4xx", retries=1, **QUICK)

    assert [(row.error, row.attempts) for row in report] == [(None, 2), ("http_404", 2)]


def test_a_row_tells_how_often_it_was_tried(odd):
    report = fetch([odd.url("flaky/2/503/5")], retries=3, **QUICK)

    (row,) = report
    assert (row.status, row.attempts, row.bytes) == (Status.OK, 3, 5)
    assert report.summary.retries == 2


def test_a_row_is_kept_with_its_host_and_the_times_of_its_last_attempt(odd):
    lines = [odd.url("flaky/1/503/5"), "nonsense", odd.url("status/404")]
    report = fetch(lines, **QUICK)
    again, missing = report.timings().each()

    host = f"127.0.0.1:{odd.port}"
    assert report.timings().busiest_hosts(9)[0][:2] == (host, 2)
    assert [(row[0], row[1]) for row in (again, missing)] == [(host, 1), (host, 0)]
    assert 0 < missing[3] < again[3] < report.summary.seconds


def test_retries_come_to_an_end(odd):
    (row,) = fetch([odd.url("status/503")], retries=2, **QUICK)

    assert (row.error, row.attempts) == ("http_503", 3)
    assert odd.hits == {"/status/503": 3}


@STRATEGIES
def test_no_row_is_lost_where_hosts_and_retries_mix(servers, workdir, strategy):
    shapes = (
        "ok/{}",
        "flaky/1/503/{}",
        "truncated-once/{}",
        "reset-once/{}",
        "status/404?{}",
        "cut/{}",
        "redirect/1/{}",
    )
    lines = [
        server.url(shape.format(number))
        for number in range(1, 41)
        for shape in shapes
        for server in servers[: 1 + number % 3]
    ]
    lines += [*lines[::5], "nonsense 1", "nonsense 2", "nonsense 1"]
    report = fetch(
        iter(lines), strategy=strategy, per_host=2, workers=6, retries=2, **QUICK
    )
    rows = list(report)

    assert [row.url for row in rows] == list(dict.fromkeys(lines))
    assert report.summary.rows + report.summary.duplicates == len(lines)
    assert files(workdir / "downloads") == {
        row.path: row.sha256 for row in rows if row.is_there
    }
    assert all(server.peak_in_flight <= 2 for server in servers)
    assert len(stored()) == len(rows) - 2


def test_a_slow_host_holds_no_other_up(servers):
    slow, quick, _ = servers
    lines = [slow.url(f"stall-head/{number}") for number in range(1500)]
    lines += [quick.url(f"ok/{number}") for number in range(1, 31)]
    session = Session(
        Settings.make(per_host=2, workers=8),
        ReadyFeed([Request(line) for line in lines]),
        Silent(),
    )

    def wait_and_stop():
        quick.wait_for(lambda server: sum(server.hits.values()) == 30)
        slow.wait_for(lambda server: sum(server.hits.values()) == 2)
        session.stop()

    thread = threading.Thread(target=wait_and_stop)
    thread.start()
    report = session.run()
    thread.join()

    assert sum(slow.hits.values()) == 2
    assert [row.url for row in report] == lines


# A stop


@STRATEGIES
def test_a_stop_gives_every_line_its_row(odd, stopping, strategy):
    lines = [odd.url(f"stall-head/{number}") for number in range(700)]
    report = stopping(lines, strategy=strategy, per_host=2, workers=4)
    errors = [row.error for row in report]

    assert [row.url for row in report] == lines
    assert set(errors) == {"interrupted", "not_tried"}
    assert 1 <= errors.count("interrupted") <= 2
    assert report.summary.list_complete


def test_a_stop_leaves_no_part_without_a_use_and_no_file(odd, stopping, workdir):
    stopping([odd.url("stall-body/1000")])

    assert files(workdir / "downloads") == {}


def test_a_stop_tells_which_signal_it_was(odd, stopping):
    report = stopping([odd.url("stall-head")], signum=signal.SIGTERM)

    assert report.interrupted_by == signal.SIGTERM
    assert not report.ok


def test_a_stop_does_not_wait_for_a_list_that_blocks(odd, stopping):
    let_go = threading.Event()

    def lines():
        yield odd.url("stall-head")
        let_go.wait(60)

    report = stopping(lines(), feed=ThreadedFeed)
    let_go.set()

    assert [row.error for row in report] == ["interrupted"]
    assert not report.summary.list_complete


def test_a_stop_before_the_start_asks_for_nothing(odd):
    feed = ReadyFeed([Request(odd.url(f"ok/{number}")) for number in range(9)])
    session = Session(Settings.make(), feed, Silent())
    session.stop()
    report = session.run()

    assert [row.error for row in report] == ["not_tried"] * 9
    assert not odd.hits


# The record


def test_the_record_holds_each_request_and_its_end(odd):
    good, bad = odd.url("ok/1"), odd.url("status/404")
    rows = list(fetch([good, good + "#x", bad, "nonsense"]))

    assert stored() == {
        good: ["ok", rows[0].path, None],
        bad: ["failed", stored()[bad][1], "http_404"],
    }


def test_a_run_leaves_nothing_but_its_record_beside_the_files(odd, workdir):
    fetch([odd.url("ok/1"), odd.url("cut/100")], retries=0).close()

    found = set(os.listdir(workdir / "downloads/.downloader"))
    assert found == {"manifest.sqlite", "lock", "holder.json", "parts"}


@pytest.mark.parametrize("batch_rows", [1, 500])
def test_a_record_that_breaks_mid_run_costs_no_row(
    odd, monkeypatch, caplog, batch_rows
):
    monkeypatch.setattr(manifest_module, "BATCH_ROWS", batch_rows)

    def lines():
        yield odd.url("ok/1")
        odd.wait_for(lambda server: server.hits)
        path = "downloads/.downloader/manifest.sqlite"
        with contextlib.closing(sqlite3.connect(path, timeout=30)) as connection:
            connection.execute("DROP TABLE files")
        yield from (odd.url(f"ok/{number}") for number in range(2, 10))

    with caplog.at_level(logging.WARNING, "downloader"):
        report = fetch(lines())

    assert [row.bytes for row in report] == list(range(1, 10))
    assert [record.getMessage().count("not recorded") for record in caplog.records] == [
        1
    ]


# What it leaves behind


@STRATEGIES
def test_a_closed_report_leaves_no_descriptor_and_no_thread(odd, strategy):
    fetch([odd.url("ok/1")], strategy=strategy).close()
    threads, before = threading.active_count(), descriptors()
    for number in range(3):
        fetch([odd.url(f"ok/{number}")], strategy=strategy).close()

    # The server's own ends of connections that are just being closed.
    odd.wait_for(lambda server: not server._connections)
    # It forgets a connection a moment before it closes it, and its thread ends after that.
    wait_until(lambda: descriptors() <= before and threading.active_count() <= threads)


def test_a_list_that_breaks_leaves_no_descriptor(odd):
    def broken(path):
        yield odd.url(path)
        odd.wait_for(lambda server: server.hits)
        raise LookupError

    with pytest.raises(LookupError):
        fetch(broken("ok/1"))
    odd.wait_for(lambda server: not server._connections)
    before = descriptors()
    odd.hits.clear()
    with pytest.raises(LookupError):
        fetch(broken("ok/2"))
    odd.wait_for(lambda server: not server._connections)
    wait_until(lambda: descriptors() <= before)


def test_a_downloaders_errors_share_one_base():
    with pytest.raises(DownloaderError):
        fetch([], strategy="magic")


def test_passwords_of_lines_are_in_no_row_and_no_log(odd, caplog):
    url = odd.url("status/503").replace("//", "//me:s3cret@")
    with caplog.at_level(logging.DEBUG, "downloader"):
        report = fetch([url], retries=1, **QUICK)
    told = repr(list(report)) + report.text() + caplog.text

    assert "me:***@" in told
    assert "s3cret" not in told

"""A large file over several connections: the same bytes, whatever happens meanwhile."""

import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from pathlib import Path

import pytest
from chaos import descendants, is_alive, is_worker
from odd_exchange import body
from odd_server import OddServer
from strategy_rig import (
    WITH_PROCESSES,
    files_below,
    running,
    side_by_side,
    wait_until,
)

from downloader import Downloader, fetch
from downloader.holdings import Holdings
from downloader.progress import Silent
from downloader.strategies.contract import NAMES, default_workers
from downloader.transfer.share import Share
from downloader.transfer.transfer import Transfer

# An answer that was broken off counts until the server's next write to it.
UNNOTICED = 1
KIB = 2_048
SIZE = KIB << 10
every_strategy = pytest.mark.parametrize("strategy", NAMES)
CONCURRENT = [name for name in NAMES if default_workers(name) > 1]
IN_THIS_PROCESS = ["threads", "asyncio", "curl"]
pytestmark = pytest.mark.usefixtures("workdir")
OPTIONS = {
    "segments": 4,
    "min_segment_size": "64K",
    "workers": 4,
    "backoff_seconds": 0.01,
}


def each(check, names=NAMES):
    """Call `check(odd, strategy)` for each strategy at once, with a server of its own."""

    def checked(strategy):
        with OddServer() as odd:
            check(odd, strategy)

    side_by_side(checked, names)


def options(strategy, **changes):
    """Settings of a run by a strategy, which writes to a folder of its name."""
    workers = {"workers": 1} if strategy == "serial" else {}
    return OPTIONS | {"strategy": strategy, "output": strategy} | workers | changes


def fetched(url, strategy, **changes):
    (row,) = fetch([url], **options(strategy, **changes))
    return row


def is_whole(row, folder, path, version=1):
    content = body(f"{path}#{version}", SIZE)
    stored = Path(folder, row.path).read_bytes()
    return stored == content and row.sha256 == hashlib.sha256(content).hexdigest()


def left_over(folder):
    known = ("lock", "holder.json", "manifest.sqlite")
    return [
        path
        for path in files_below(folder)
        if not path.endswith("~f") and not path.endswith(known)
    ]


def ranges(odd):
    return [headers["range"] for _, headers in odd.requests if "range" in headers]


# As soon as the part is there; the mark that it is done lies on another disk.
FILL = (
    "(while ! ls small/out/*/steady/*/*.part >/dev/null 2>&1; do sleep 0.02; done; "
    "dd if=/dev/zero of=small/fill bs=4k 2>/dev/null; touch filled)"
)


def test_the_file_comes_whole_and_nothing_else_lies_there():
    path = f"/steady/{KIB}"

    def check(odd, strategy):
        row = fetched(odd.url(path), strategy)

        assert row.error is None, row.detail
        assert is_whole(row, strategy, path)
        assert (row.bytes, row.attempts) == (SIZE, 1)
        assert left_over(strategy) == []

    each(check)


def test_several_connections_share_the_work_of_a_slow_one():
    # The first is slow: whoever helps may need a while to start.
    path = f"/steady/{KIB}/slow/1"

    def check(odd, strategy):
        watcher = Watcher()
        with running([odd.url(path)], watcher, **options(strategy)) as (_, report):
            (row,) = report.result()

        assert row.error is None, row.detail
        assert is_whole(row, strategy, path)
        # Helpers took what the first had not fetched.
        assert 2 <= odd.peak_in_flight <= 4 + UNNOTICED
        next_piece, *later = [first_byte({"range": asked}) for asked in ranges(odd)]
        assert min(later) < next_piece
        # One bar shows what all have written.
        (moved,) = watcher.bars.values()
        assert moved == sorted(moved)
        assert watcher.ended_bars == list(watcher.bars)
        assert watcher.received_bytes >= SIZE

    each(check, CONCURRENT)


class Watcher(Silent):
    """Keeps what the session tells of a run."""

    def __init__(self):
        self.bars, self.ended_bars, self.received_bytes = defaultdict(list), [], 0

    def moved(self, attempt_id, name, received_bytes, total_bytes):
        assert attempt_id not in self.ended_bars
        so_far = self.bars[attempt_id]
        so_far.append(max([received_bytes, *so_far]))  # as the bars do

    def ended(self, attempt_id):
        self.ended_bars.append(attempt_id)

    def outcome(self, outcome, received_bytes):
        self.received_bytes += received_bytes


@pytest.mark.parametrize("per_host", [1, 2])
def test_per_host_holds_for_segments_too(per_host):
    def check(odd, strategy):
        row = fetched(odd.url(f"/steady/{KIB}"), strategy, per_host=per_host)

        assert row.error is None
        assert odd.peak_in_flight <= per_host + UNNOTICED

    each(check, CONCURRENT)


def test_a_small_file_costs_no_further_request():
    def check(odd, strategy):
        row = fetched(odd.url("/steady/127"), strategy, workers=1)

        assert row.error is None
        assert odd.hits.total() == 1
        assert ranges(odd) == []

    each(check)


def test_what_cannot_be_divided_is_not():
    def check(odd, strategy):
        paths = ("/chunked/3000000", "/etag-weak/10", "/gzip/3000000")
        rows = fetch(map(odd.url, paths), **options(strategy, workers=1))

        assert [row.error for row in rows] == [None] * 3
        assert ranges(odd) == []

    each(check)


def test_a_server_that_ignores_ranges_gives_the_file_all_the_same():
    path = f"/steady/{KIB}/plain"

    def check(odd, strategy):
        row = fetched(odd.url(path), strategy)

        assert row.error is None, row.detail
        assert is_whole(row, strategy, path)
        assert left_over(strategy) == []

    each(check)


def test_a_file_whose_pieces_are_refused_comes_over_one_connection():
    hows = ("403", "416", "500", "close", "no-range", "multipart", "other-start")
    paths = [f"/range-refused/{how}/{SIZE}" for how in hows]

    def check(odd, strategy):
        rows = fetch(map(odd.url, paths), **options(strategy, retries=1))

        assert [row.error for row in rows] == [None] * len(hows)
        assert all("resuming was refused" in row.detail for row in rows)
        for path, row in zip(paths, rows, strict=True):
            assert Path(strategy, row.path).read_bytes() == body(path, SIZE)
            last = [fields for target, fields in odd.requests if target == path][-1]
            assert "range" not in last
        assert left_over(strategy) == []

    each(check, IN_THIS_PROCESS)


def test_a_divided_part_outlives_a_refusal_of_the_whole_file():
    def check(odd, strategy):
        url = odd.url(f"/range-refused/403/{SIZE}/404")
        row = fetched(url, strategy, retries=1)

        assert row.error == "http_404"
        assert [Path(path).suffix for path in left_over(strategy)] == [".part"]
        records = Path(strategy, ".downloader/parts").iterdir()
        assert sorted(path.suffix for path in records) == [".json", ".map"]

    each(check, IN_THIS_PROCESS)


def test_a_server_that_limits_connections_is_content_with_fewer():
    path = f"/steady/{KIB}/limit/2"

    def check(odd, strategy):
        row = fetched(odd.url(path), strategy)

        assert row.error is None, row.detail
        assert is_whole(row, strategy, path)
        assert left_over(strategy) == []

    each(check)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_a_file_that_changes_meanwhile_is_begun_again(k):
    path = f"/steady/{KIB}/changes/{k}"

    def check(odd, strategy):
        row = fetched(odd.url(path), strategy)

        assert row.error is None, row.detail
        assert is_whole(row, strategy, path, 1 if odd.hits.total() < k else 2)
        assert left_over(strategy) == []

    each(check)


def test_a_wanted_checksum_is_enforced():
    path = f"/steady/{KIB}"
    wanted = hashlib.sha512(body(f"{path}#1", SIZE)).hexdigest()

    def check(odd, strategy):
        odd.release()
        right = f"{odd.url(path)} sha512={wanted}"
        wrong = f"{odd.url(path)}?wrong md5={'0' * 32}"
        rows = fetch([right, wrong], **options(strategy))

        assert [row.error for row in rows] == [None, "checksum"]

    each(check)


@every_strategy
def test_a_stopped_run_is_gone_on_with_where_it_was(odd, strategy):
    path = f"/steady/{KIB}/last"
    with running([odd.url(path)], **options(strategy)) as (session, report):
        wait_until(lambda: part_bytes(strategy) > SIZE // 4)
        session.stop()
        assert [row.error for row in report.result()] == ["interrupted"]
    odd.release()
    seen = len(odd.requests)
    row = fetched(odd.url(path), strategy)

    assert row.error is None
    assert is_whole(row, strategy, path)
    assert all(first_byte(headers) > 0 for _, headers in odd.requests[seen:])
    assert left_over(strategy) == []


@every_strategy
def test_a_killed_run_is_gone_on_with_where_it_was(odd, workdir, strategy):
    path = f"/steady/{KIB}/last"
    process = started(odd.url(path), strategy, workdir)
    wait_until(lambda: part_bytes(strategy) > SIZE // 4)
    children = descendants(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_until(lambda: not any(map(is_alive, children)))
    odd.release()
    seen = len(odd.requests)
    # Whether it is asked to divide the file or not: the map says what is there.
    row = fetched(odd.url(path), strategy, segments=1)

    assert row.error is None
    assert is_whole(row, strategy, path)
    assert all(first_byte(headers) > 0 for _, headers in odd.requests[seen:])
    assert left_over(strategy) == []


@pytest.mark.parametrize("strategy", WITH_PROCESSES)
def test_a_killed_workers_bytes_are_fetched_by_others(odd, workdir, strategy):
    path = f"/steady/{KIB}/last"
    process = started(odd.url(path), strategy, workdir)
    wait_until(lambda: part_bytes(strategy) > SIZE // 8)
    workers = [pid for pid in descendants(process.pid) if is_worker(pid)]
    for pid in workers[:2]:
        subprocess.run(["kill", "-9", str(pid)], check=False)
    odd.release()

    assert process.wait(60) == 0
    (file,) = Path(strategy).rglob("*~f")
    assert file.read_bytes() == body(f"{path}#1", SIZE)
    assert left_over(strategy) == []


def started(url, strategy, workdir):
    command = [sys.executable, "-m", "downloader", "fetch", url, "-q", "-s", strategy]
    return subprocess.Popen(
        [
            *command,
            "-o",
            strategy,
            "-j",
            "4",
            "--segments",
            "4",
            "--min-segment-size",
            "64K",
        ],
        cwd=workdir,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def part_bytes(folder):
    """What of the part is on the disk: it has holes where others are still to write."""
    found = Path(folder).rglob("*.part")
    return sum(path.stat().st_blocks * 512 for path in found)


def first_byte(headers):
    """Where the asked range begins; 0 without one."""
    return int(headers.get("range", "bytes=0-")[6:].partition("-")[0])


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small disk")
@every_strategy
def test_a_disk_that_fills_up_meanwhile_fails_the_file_and_no_more(
    odd, workdir, strategy
):
    """Room is asked for before; somebody else takes it while the file comes."""
    url = odd.url(f"/steady/{KIB}/last")
    fetching = [sys.executable, "-m", "downloader", "fetch", url, "-q", "-s", strategy]
    flags = ["-j", "4", "--segments", "4", "--min-segment-size", "64K"]
    run = shlex.join([*fetching, *flags, "-o", "small/out", "--retries", "0"])
    command = (
        "mkdir small && mount -t tmpfs -o size=4m tmpfs small && "
        f"{{ {FILL} & {run} --report report.json; }}"
    )
    with subprocess.Popen(
        ["unshare", "-m", "sh", "-c", command], stderr=subprocess.PIPE, text=True
    ) as both:
        try:
            wait_until(lambda: (workdir / "filled").exists() or both.poll() is not None)
        finally:
            odd.release()
        said = both.communicate(timeout=60)[1]

    assert both.returncode == 1, said
    assert "Traceback" not in said
    (row,) = json.loads((workdir / "report.json").read_text())["results"]
    assert row["error"] == "disk"
    assert "No space left" in row["detail"]


@pytest.mark.parametrize("strategy", ["asyncio", "curl"])
def test_files_that_wait_for_their_rest_hold_no_other_up(odd, monkeypatch, strategy):
    rest, waiting = threading.Event(), []
    await_rest = Share.await_rest

    def late(share):
        waiting.append(share)
        assert rest.wait(60)
        return await_rest(share)

    monkeypatch.setattr(Share, "await_rest", late)
    options = OPTIONS | {"workers": 40, "per_host": 40}
    with Downloader(strategy=strategy, **options) as downloader:
        divided = [downloader.submit(odd.url(f"/steady/{KIB}?{n}")) for n in range(8)]
        wait_until(lambda: len(waiting) == len(divided))
        other = downloader.submit(odd.url(f"/ok/{SIZE}")).result(30)
        rest.set()
        outcomes = [one.result(60) for one in divided]

    assert other.error is None
    assert [one.error for one in outcomes] == [None] * len(divided)


# What breaks within this program


def broken_for_helpers(monkeypatch, error):
    """The first helper's first bytes in each folder meet a fault of ours."""
    take, met = Share.take, set()

    def broken(share, data):
        folder = os.path.basename(share._folder._root)
        if folder not in met and share._front is None:  # whoever began it follows it
            met.add(folder)
            raise error
        take(share, data)

    monkeypatch.setattr(Share, "take", broken)
    return met


def check_that_it_comes_whole(met, **changes):
    path = f"/steady/{KIB}/slow/1"

    def check(odd, strategy):
        row = fetched(odd.url(path), strategy, **changes)

        assert strategy in met
        assert row.error is None, row.detail
        assert is_whole(row, strategy, path)

    each(check, IN_THIS_PROCESS)


@pytest.mark.parametrize("error", [ValueError("a fault"), OSError(5, "I/O error")])
def test_a_helper_that_breaks_leaves_its_bytes_to_others(monkeypatch, error):
    check_that_it_comes_whole(broken_for_helpers(monkeypatch, error))


def test_a_helper_that_cannot_even_leave_is_not_waited_for(monkeypatch):
    met = broken_for_helpers(monkeypatch, ValueError("a fault"))
    monkeypatch.setattr(Holdings, "release", lambda *_: None)
    check_that_it_comes_whole(met, timeout=1)


@pytest.mark.parametrize("strategy", IN_THIS_PROCESS)
def test_a_file_whose_end_breaks_is_not_taken_for_whole(odd, monkeypatch, strategy):
    def broken(transfer):
        raise ValueError("a fault")

    monkeypatch.setattr(Transfer, "settle", broken)
    row = fetched(odd.url(f"/steady/{KIB}"), strategy)

    assert row.error == "internal"

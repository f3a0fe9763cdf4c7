"""What comes for an attempt that has ended must not touch the one after it."""

import gc
import socket
import threading
import time
from collections import defaultdict

import pytest
from odd_server import OddServer
from strategy_rig import running, side_by_side

from downloader import fetch
from downloader.progress import Silent
from downloader.transfer.part_file import PartFile

pytestmark = pytest.mark.usefixtures("workdir")
LOOK_UP = socket.getaddrinfo
STRATEGIES = ["curl", "asyncio", "threads"]


class FirstEnd(Silent):
    """Says when the first line has its end."""

    def __init__(self):
        self.has_come = threading.Event()

    def outcome(self, outcome, received_bytes):
        if outcome.url.endswith("/first"):
            self.has_come.set()


@pytest.fixture
def first_ends(monkeypatch):
    """For each host what waits for the first line's end: its look-up fails only then."""
    ends = defaultdict(FirstEnd)

    def look_up(host, *args, **kwargs):
        if host in ends:
            assert ends[host].has_come.wait(60)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure")
        return LOOK_UP(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return ends


def test_a_name_that_is_answered_after_its_attempt_has_ended(first_ends, caplog):
    # The first ends after five seconds, and has its answer then; others are under way by
    # that time, or begin.
    def check(case):
        strategy, workers, seconds = case
        host = f"{strategy}-{workers}.test"
        options = {"workers": workers, "per_host": 1, "timeout": 5, "retries": 0}
        with OddServer() as odd:
            slow = [odd.url(f"slow/{n}/{seconds}") for n in range(10, 17)]
            with running(
                [f"http://{host}/first", *slow],
                first_ends[host],
                strategy=strategy,
                output=host,
                **options,
            ) as (_, report):
                rows = list(report.result(60))

        assert first_ends[host].has_come.is_set()
        assert [row.error for row in rows] == ["timeout", *[None] * 7]

    both = [(1, 0.2), (8, 0.9)]
    side_by_side(check, [(one, *how) for one in STRATEGIES for how in both])
    gc.collect()
    # The event loop complains about a failure that nothing has looked at.
    assert [
        record.message for record in caplog.records if record.name == "asyncio"
    ] == []


def test_a_disk_that_is_done_after_its_attempt_has_ended(monkeypatch):
    sync, first, lock = PartFile.sync, set(), threading.Lock()

    def slow(part):
        sync(part)
        root = part._folder._root
        with lock:
            is_first = root not in first
            first.add(root)
        if is_first:
            time.sleep(1.5)

    monkeypatch.setattr(PartFile, "sync", slow)

    def check(strategy):
        options = {"workers": 1, "durable": True, "max_time": 1, "retries": 0}
        with OddServer() as odd:
            urls = [odd.url("ok/5"), odd.url("slow/8000/0.9")]
            _, second = fetch(urls, strategy=strategy, output=strategy, **options)

        assert second.error in (None, "timeout")
        assert second.bytes == (8000 if second.error is None else 0)

    side_by_side(check, STRATEGIES)

"""What comes for an attempt that has ended must not touch the one after it."""

import socket
import threading
import time

import pytest
from strategy_rig import running

from downloader import fetch
from downloader.progress import Silent
from downloader.transfer.part_file import PartFile

pytestmark = pytest.mark.usefixtures("workdir")
LOOK_UP = socket.getaddrinfo
strategies = pytest.mark.parametrize("strategy", ["curl", "asyncio", "threads"])


class FirstEnd(Silent):
    """Says when the first line has its end."""

    def __init__(self):
        self.has_come = threading.Event()

    def outcome(self, outcome, received_bytes):
        if outcome.url.endswith("/first"):
            self.has_come.set()


@pytest.fixture
def first_end(monkeypatch):
    """A look-up of late.test fails, but only after its attempt has ended."""
    end = FirstEnd()

    def look_up(host, *args, **kwargs):
        if host == "late.test":
            assert end.has_come.wait(60)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure")
        return LOOK_UP(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return end


@strategies
@pytest.mark.parametrize(("workers", "seconds"), [(1, 0.2), (8, 0.9)])
def test_a_name_that_is_answered_after_its_attempt_has_ended(
    odd, first_end, strategy, workers, seconds
):
    # The first ends after five seconds, and has its answer then; others are under way by
    # that time, or begin.
    slow = [odd.url(f"slow/{n}/{seconds}") for n in range(10, 17)]
    options = {"workers": workers, "per_host": 1, "timeout": 5, "retries": 0}
    with running(
        ["http://late.test/first", *slow], first_end, strategy=strategy, **options
    ) as (_, report):
        rows = list(report.result(60))

    assert first_end.has_come.is_set()
    assert [row.error for row in rows] == ["timeout", *[None] * 7]


@strategies
def test_a_disk_that_is_done_after_its_attempt_has_ended(odd, monkeypatch, strategy):
    sync, first = PartFile.sync, threading.Lock()

    def slow(part):
        sync(part)
        if first.acquire(blocking=False):
            time.sleep(1.5)

    monkeypatch.setattr(PartFile, "sync", slow)
    urls = [odd.url("ok/5"), odd.url("slow/8000/0.9")]
    options = {"workers": 1, "durable": True, "max_time": 1, "retries": 0}
    report = fetch(urls, strategy=strategy, **options)

    second = list(report)[1]
    assert second.error in (None, "timeout")
    assert second.bytes == (8000 if second.error is None else 0)

"""What comes for an attempt that has ended must not touch the one after it."""

import socket
import threading
import time

import pytest

from downloader import fetch
from downloader.transfer.part_file import PartFile

pytestmark = pytest.mark.usefixtures("workdir")
LOOK_UP = socket.getaddrinfo
strategies = pytest.mark.parametrize("strategy", ["curl", "asyncio", "threads"])


@pytest.fixture
def late_names(monkeypatch):
    """A look-up of late.test fails, but only after two seconds."""

    def look_up(host, *args, **kwargs):
        if host == "late.test":
            time.sleep(2.0)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure")
        return LOOK_UP(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


@strategies
@pytest.mark.parametrize("workers", [1, 8])
def test_a_name_that_is_answered_after_its_attempt_has_ended(
    odd, late_names, strategy, workers
):
    # The first ends after a second; others are under way or begin when its answer comes.
    urls = ["http://late.test/1", *(odd.url(f"slow/{n}/0.4") for n in range(10, 17))]
    options = {"workers": workers, "per_host": 1, "timeout": 1, "retries": 0}
    report = fetch(urls, strategy=strategy, **options)

    assert [row.error for row in report] == ["timeout", *[None] * 7]


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

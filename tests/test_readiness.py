import os
import sys
import threading
from pathlib import Path

import pytest

from downloader import readiness as module
from downloader.readiness import Readiness, ready_seconds

needs_kernel = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux says how long threads waited for a core"
)


def compute(until):
    """Keep a core busy; several threads of one interpreter cannot all have one."""
    while not until.is_set():
        sum(range(1000))


@needs_kernel
def test_threads_that_want_the_same_core_wait_for_it() -> None:
    cores = os.sched_getaffinity(0)
    until = threading.Event()
    readiness = Readiness()
    before = readiness.own_seconds()
    os.sched_setaffinity(0, {min(cores)})
    try:
        threads = [threading.Thread(target=compute, args=(until,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        while readiness.own_seconds() < before + 0.05:
            pass
    finally:
        until.set()
        os.sched_setaffinity(0, cores)
    for thread in threads:
        thread.join()

    assert before < 60


@needs_kernel
def test_what_was_before_does_not_count(monkeypatch, tmp_path) -> None:
    task = tmp_path / "1"
    task.mkdir()
    monkeypatch.setattr(module, "_OWN_TASKS", str(tmp_path))
    (task / "schedstat").write_text("7 2000000000 3\n")
    readiness = Readiness()
    (task / "schedstat").write_text("8 2500000000 4\n")

    assert readiness.own_seconds() == 0.5


def test_a_thread_that_is_new_counts_from_its_beginning(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(module, "_OWN_TASKS", str(tmp_path))
    readiness = Readiness()
    (tmp_path / "2").mkdir()
    (tmp_path / "2" / "schedstat").write_text("8 1500000000 4\n")

    assert readiness.own_seconds() == 1.5


@pytest.mark.parametrize("content", [None, b"", b"1", b"1 x 3", b"\xff 1"])
def test_where_the_system_does_not_say_it_is_nothing(
    monkeypatch, tmp_path, content
) -> None:
    task = tmp_path / "1"
    task.mkdir()
    if content is not None:
        (task / "schedstat").write_bytes(content)
    monkeypatch.setattr(module, "_OWN_TASKS", str(tmp_path))

    assert Readiness().own_seconds() == 0
    monkeypatch.setattr(module, "_OWN_TASKS", str(Path(tmp_path, "gone")))
    assert Readiness().own_seconds() == 0


@needs_kernel
def test_the_calling_thread_can_be_read_alone(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(module, "_OWN_TASKS", str(tmp_path))
    readiness = Readiness()
    for task in (threading.get_native_id(), 1):
        (tmp_path / str(task)).mkdir()
        (tmp_path / str(task) / "schedstat").write_text("8 1500000000 4\n")

    assert readiness.thread_seconds() == 1.5
    assert readiness.own_seconds() == 3.0


@needs_kernel
def test_other_processes_are_read_by_number() -> None:
    assert ready_seconds([os.getpid()]) >= 0
    assert ready_seconds([2**22 + 1]) == 0

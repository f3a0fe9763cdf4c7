"""Workers are killed with SIGKILL in the middle: no URL is lost, no half file is left."""

import errno
import os
import signal
import subprocess
import sys
import textwrap

import pytest
from odd_server import body
from strategy_rig import (
    WITH_PROCESSES,
    files_below,
    is_alive,
    running,
    wait_until,
    worker_pids,
)

from downloader import fetch
from downloader.errors import StrategyError
from downloader.strategies import executors, programs
from downloader.strategies.contract import NAMES

with_processes = pytest.mark.parametrize("name", WITH_PROCESSES)

SIZE = 100_000
# Ten pieces of each body come over this time: long enough to be met in the middle.
SLOW = [f"/slow/{SIZE + number}/0.3" for number in range(24)]
# As long, as the test says when the rest of them comes.
HELD = [f"/stall-body/{SIZE + number}" for number in range(21, 24)]
QUICK = [f"/ok/{number}" for number in range(200)]


def check_whole(root, report, paths):
    """Every row is a file with its bytes, and nothing else lies there."""
    rows = list(report)
    files = files_below(root)

    assert [row.error for row in rows] == [None] * len(paths)
    assert files.keys() == {row.path for row in rows}
    for row, path in zip(rows, paths, strict=True):
        size = int(path.split("/")[2]) * (2 if path in HELD else 1)
        assert files[row.path].read_bytes() == body(path, size)


def check_no_half_file(root, paths):
    """Whatever has a final name by now has all its bytes."""
    by_size = {int(path.split("/")[2]): path for path in paths}
    for name, file in files_below(root).items():
        if ".part" not in name and "slow" in name:
            data = file.read_bytes()
            assert data == body(by_size[len(data)], len(data))


def kill_one():
    """Kill a worker that is there, and wait for its end."""
    victim = max(worker_pids())
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: not is_alive(victim), seconds=20)


@with_processes
def test_a_killed_worker_loses_no_url(odd, tmp_path, name):
    paths = [*QUICK[:100], *SLOW[:12], *QUICK[100:]]
    urls = [odd.url(path) for path in paths]
    with running(
        urls, strategy=name, output=tmp_path, workers=3, retries=0, per_host=None
    ) as (_, report):
        odd.wait_for(lambda counts: sum("/slow/" in hit for hit in counts.hits) > 3)
        kill_one()
        check_no_half_file(tmp_path, SLOW)
        made = report.result(60)

    check_whole(tmp_path, made, paths)
    assert {row.attempts for row in made} == {1}


@with_processes
def test_workers_may_be_killed_again_and_again(odd, tmp_path, name):
    # Whoever has the last of them in hand is there until the last has been killed.
    paths = [*SLOW[: -len(HELD)], *HELD]
    urls = [odd.url(path) for path in paths]
    with running(
        urls, strategy=name, output=tmp_path, workers=3, retries=0, per_host=None
    ) as (_, report):
        for begun in (2, 8, 14, 20):
            odd.wait_for(lambda counts, begun=begun: len(counts.hits) > begun)
            kill_one()
            check_no_half_file(tmp_path, SLOW)
        odd.release()
        made = report.result(60)

    check_whole(tmp_path, made, paths)
    assert made.summary.retries == 0


@with_processes
def test_workers_may_all_be_killed_at_once(odd, tmp_path, name):
    urls = [odd.url(path) for path in SLOW]
    with running(
        urls, strategy=name, output=tmp_path, workers=4, retries=0, per_host=None
    ) as (_, report):
        odd.wait_for(lambda counts: len(counts.hits) > 12)
        for victim in worker_pids():
            os.kill(victim, signal.SIGKILL)
        made = report.result(60)

    check_whole(tmp_path, made, SLOW)


@with_processes
def test_what_kills_every_worker_fails_as_worker_lost(odd, tmp_path, name):
    path = "/stall-body/70000"
    with running(
        [odd.url(path)], strategy=name, output=tmp_path, workers=1, worker_losses=2
    ) as (_, report):
        for tries in (1, 2, 3):
            odd.wait_for(lambda counts, tries=tries: counts.hits[path] == tries)
            kill_one()
        (row,) = report.result(60)

    assert (row.error, row.status) == ("worker_lost", "failed")
    assert not files_below(tmp_path)


PARENT = """
    import sys
    from downloader import fetch

    strategy, output, *urls = sys.argv[1:]
    fetch(urls, strategy=strategy, output=output, workers=2, timeout=60)
"""


@pytest.mark.parametrize("name", NAMES)
def test_nothing_survives_a_killed_parent(odd, tmp_path, name):
    urls = [odd.url(f"/stall-body/{size}") for size in (70_000, 70_001)]
    script = tmp_path / "parent.py"
    script.write_text(textwrap.dedent(PARENT))
    argv = [sys.executable, str(script), name, str(tmp_path / "out"), *urls]
    with subprocess.Popen(argv) as parent:
        try:
            stalled = 1 if name == "serial" else 2
            odd.wait_for(lambda counts: counts.in_flight == stalled)
            workers = worker_pids(parent.pid)
            for worker in workers[:1]:  # one is not able to notice anything
                os.kill(worker, signal.SIGSTOP)
        finally:
            parent.kill()
        parent.wait()

    assert bool(workers) == (name in WITH_PROCESSES)
    try:
        wait_until(lambda: not any(map(is_alive, workers)), seconds=20)
    finally:
        for survivor in filter(is_alive, workers):
            os.kill(survivor, signal.SIGKILL)


def refuse(*_):
    raise OSError(errno.EAGAIN, "Resource temporarily unavailable")


def test_a_dead_child_that_nothing_can_replace_leaves_its_work_to_others(
    odd, tmp_path, monkeypatch
):
    urls = [odd.url("/stall-body/70000"), *map(odd.url, [f"/ok/{n}" for n in range(9)])]
    settings = {"strategy": "subprocess", "output": tmp_path, "workers": 2}
    with running(urls, **settings) as (_, report):
        odd.wait_for(lambda counts: counts.in_flight)
        monkeypatch.setattr(programs, "start", refuse)
        victim = worker_pids()[0]
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: not is_alive(victim), seconds=20)
        odd.release()
        rows = list(report.result(60))

    assert {row.error for row in rows} == {None}


@pytest.mark.parametrize("strategy", ["subprocess", "multicore"])
def test_children_that_cannot_be_started_end_the_run_in_words(
    odd, tmp_path, monkeypatch, strategy
):
    monkeypatch.setattr(programs, "start", refuse)
    monkeypatch.setattr(programs, "copy", refuse)

    with pytest.raises(StrategyError, match="cannot start a child program: Resource"):
        fetch([odd.url("/ok/1")], strategy=strategy, output=tmp_path)


def test_a_thread_that_cannot_be_set_up_gives_its_attempt_back(
    odd, tmp_path, monkeypatch
):
    monkeypatch.setattr(executors, "BlockingWorker", refuse)
    rows = list(fetch([odd.url("/ok/1")] * 2, strategy="threads", output=tmp_path))

    assert [row.error for row in rows] == ["internal"]

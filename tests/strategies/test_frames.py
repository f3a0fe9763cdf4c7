"""What passes between a parent and its workers, whatever it holds."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from odd_server import body
from strategy_rig import (
    WITH_PROCESSES,
    facts_until_results,
    is_alive,
    make_plan,
    opened,
    wait_until,
    worker_pids,
)

from downloader import fetch
from downloader.models import Attempt, AttemptResult, Failure, Known, WorkerUsage
from downloader.strategies import frames

NOT_UTF8 = os.fsdecode(b"out-\xff")
USAGE = WorkerUsage(1, 0.5, 2)
with_programs = pytest.mark.parametrize("name", ["subprocess", "multicore"])
with_processes = pytest.mark.parametrize("name", WITH_PROCESSES)


def misfit(number, url):
    """An attempt with a value of a type that none has."""
    return Attempt(number, url, f"file-{number}", known=Known(b"\xff", None, url))


@given(st.text(st.characters()), st.text(st.characters(codec="utf-8")))
def test_any_text_is_carried(odd_text, text):
    result = AttemptResult(7, failure=Failure(text, odd_text))
    facts = frames.Facts([result], [], [1], USAGE)

    assert frames.decode(frames.facts_decoder, frames.encode(facts)) == facts


def test_a_plan_for_a_folder_whose_name_is_no_utf_8_is_carried():
    plan = make_plan(NOT_UTF8, cacert=NOT_UTF8, codings=("gzip",))
    carried = frames.decode(frames.plan_decoder, frames.encode(plan))

    assert os.fsencode(carried.root) == b"out-\xff"
    assert msgspec.to_builtins(carried) == msgspec.to_builtins(plan)


def test_an_attempt_that_cannot_be_read_has_its_result():
    (packed,) = frames.pack([misfit(3, "http://h/")])
    result = frames.unpack(packed)

    assert (result.attempt_id, result.failure.kind) == (3, "internal")
    assert "no worker can read the attempt: Expected `str" in result.failure.detail


@with_processes
def test_a_folder_whose_name_is_no_utf_8_is_written_to(odd, tmp_path, name):
    output = tmp_path / NOT_UTF8
    (row,) = fetch([odd.url("/ok/10")], strategy=name, output=output, workers=1)

    assert row.error is None
    assert (output / row.path).read_bytes() == body("/ok/10", 10)


@with_processes
def test_an_attempt_that_cannot_be_carried_fails_alone(odd, tmp_path, name):
    bad, good = (odd.url(f"/ok/{number}") for number in (1, 2))
    with opened(name, tmp_path, workers=1) as strategy:
        strategy.start([misfit(0, bad), Attempt(1, good, "file-1")])
        facts = facts_until_results(strategy, 2, seconds=30)
    by_id = {fact.attempt_id: fact for fact in facts}

    assert by_id[0].failure.kind == "internal"
    assert by_id[1].saved.size_bytes == 2


@with_programs
def test_a_child_that_cannot_read_an_order_says_so_and_ends(odd, tmp_path, name):
    with opened(name, tmp_path, workers=1) as strategy:
        strategy.start([Attempt(0, odd.url("/stall-body/10"), "file-0")])
        while not odd.in_flight:
            strategy.wait(0.05)
        (pid,) = worker_pids()
        strategy._children[0]._orders.put(b"\0\0\0\3\0no")
        (result,) = facts_until_results(strategy, 1, seconds=30)

    assert result.failure.kind == "worker_lost"
    assert result.failure.detail.startswith(
        "its child program died: a fault of this program: ValidationError: "
    )
    assert not is_alive(pid)


@with_programs
def test_a_child_that_is_silent_is_replaced(odd, tmp_path, name):
    with opened(name, tmp_path, workers=1) as strategy:
        strategy.start([Attempt(0, odd.url("/stall-body/10"), "file-0")])
        while not odd.in_flight:
            strategy.wait(0.05)
        (pid,) = worker_pids()
        now = strategy._looked_at = time.monotonic()
        before = list(strategy._replace_silent(now + 1))
        strategy._looked_at = now + 100
        (result,) = strategy._replace_silent(now + 101)
        odd.release()
        strategy.start([Attempt(1, odd.url("/ok/10"), "file-1")])
        *_, another = facts_until_results(strategy, 1, seconds=30)

    assert before == []
    assert result.failure.kind == "worker_lost"
    assert result.failure.detail == "its child program died: it was silent for 60 s"
    assert another.saved.size_bytes == 10
    wait_until(lambda: not is_alive(pid))


def test_a_pool_with_a_silent_worker_is_made_anew(odd, tmp_path):
    with opened("processes", tmp_path, workers=1) as strategy:
        strategy.start([Attempt(0, odd.url("/stall-body/10"), "file-0")])
        while not odd.in_flight:
            strategy.wait(0.05)
        (pid,) = strategy._pool._processes
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: not is_running(pid))
        now = strategy._looked_at = time.monotonic()
        assert not strategy._has_silent(now)
        assert not strategy._has_silent(now + 1_000)  # it was stopped itself
        (batch,) = strategy._in_flight.values()
        batch.heard_at = time.monotonic() - 61
        (result,) = strategy.wait(0.0)
        odd.release()
        strategy.start([Attempt(1, odd.url("/ok/10"), "file-1")])
        (another,) = facts_until_results(strategy, 1, seconds=30)

    detail = "its worker process was silent for 60 s"
    assert result.failure == Failure("worker_lost", detail)
    assert another.saved.size_bytes == 10
    assert not is_alive(pid)


def is_running(pid):
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state != "T"


@with_programs
def test_silence_while_the_parent_was_stopped_as_well_does_not_count(
    odd, tmp_path, name
):
    with opened(name, tmp_path, workers=1) as strategy:
        strategy.start([Attempt(0, odd.url("/stall-body/10"), "file-0")])
        while not odd.in_flight:
            strategy.wait(0.05)

        assert list(strategy._replace_silent(time.monotonic() + 1_000)) == []


QUICK = """
from downloader.strategies import child, core
child.BEAT_SECONDS = 0.05
{}.main()
"""


@pytest.mark.parametrize("module", ["child", "core"])
def test_a_child_with_nothing_to_tell_tells_that_it_lives(tmp_path, module):
    program = [sys.executable, "-c", QUICK.format(module)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(program, **pipes) as process:
        frames.send(process.stdin, frames.Order(plan=make_plan(tmp_path)))
        for _ in range(3):
            told = frames.decode(frames.facts_decoder, frames.receive(process.stdout))
            assert (told.results, told.usage.pid) == ([], process.pid)
        process.stdin.close()

        assert process.wait(30) == 0

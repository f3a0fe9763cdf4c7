"""The `auto` strategy by itself: who gets the work, and what happens to all that is open.

What it should decide is tested without a network in `policy/test_tuning.py`; here a
script takes the tuner's place where a moment must be met for certain.
"""

import os
import signal
import sys

import pytest
from odd_server import body
from strategy_rig import (
    facts_until_results,
    is_alive,
    make_plan,
    named_proxies,
    opened,
    wait_until,
    worker_pids,
)

from downloader import fetch
from downloader.errors import StrategyError
from downloader.models import Attempt, AttemptResult, Failure
from downloader.policy import tuning
from downloader.policy.goodput import Choices
from downloader.policy.tuning import Arm
from downloader.strategies import auto, children, programs
from downloader.strategies.contract import MOST_AUTO_WORKERS, chosen, default_workers

LIGHTEST = chosen("default")


class Script:
    """A tuner that does as the test says."""

    def __init__(self, lightest, others, *, workers, most_workers, now):
        self.others = others
        self.arm = self.kept = Arm(lightest, workers)
        self.opening = None
        self.goal = 0
        self._holds = {lightest}
        self.refused = []
        self.views = []

    @property
    def held(self):
        return self._holds | {self.opening}

    def turn_to(self, name, *, holds=()):
        self.arm = Arm(name, self.arm.workers)
        self._holds = {name, *holds}

    def look(self, now, counts, view):
        self.counts = counts
        self.views.append(view)

    def refuse(self, now, why):
        self.refused.append(why)
        self.opening = None

    def choices(self):
        return Choices(strategy=self.kept.strategy, workers=1, why="a script")


@pytest.fixture
def scripted(monkeypatch):
    monkeypatch.setattr(auto, "Tuner", Script)


def attempt(odd, path, number):
    return Attempt(number, odd.url(path), f"file-{number}")


def open_cores(strategy):
    """Have the children started, and the work turned to them."""
    tuner = strategy._tuner
    tuner.opening = "multicore"
    wait_until(lambda: strategy.wait(0.05) == [] and tuner.views[-1].is_ready)
    tuner.opening = None
    tuner.turn_to("multicore", holds={LIGHTEST})
    strategy.wait(0.05)


def results(strategy, count):
    found = facts_until_results(strategy, count)
    return [fact for fact in found if isinstance(fact, AttemptResult)]


@pytest.mark.usefixtures("scripted")
def test_the_work_goes_where_the_tuner_says_and_what_was_under_way_ends(odd, tmp_path):
    with opened("auto", tmp_path) as strategy:
        strategy.start([attempt(odd, "/stall-body/25000", 1)])
        while not odd.in_flight:
            strategy.wait(0.05)
        open_cores(strategy)
        strategy.start([attempt(odd, "/ok/1000", 2)])
        (first,) = results(strategy, 1)
        was_drained = strategy._tuner.views[-1].is_drained
        odd.release()
        (second,) = results(strategy, 1)
        strategy.wait(0.05)
        told = strategy.usage()

        assert [first.attempt_id, second.attempt_id] == [2, 1]
        assert {first.failure, second.failure} == {None}
        assert not was_drained
        assert strategy._tuner.views[-1].is_drained
        assert {usage.pid for usage in told} == set(worker_pids())


@pytest.mark.usefixtures("scripted")
def test_what_is_not_held_is_closed_once_it_is_idle(odd, tmp_path):
    with opened("auto", tmp_path) as strategy:
        open_cores(strategy)
        strategy.start([attempt(odd, "/stall-body/25000", 1)])
        while not odd.in_flight:
            strategy.wait(0.05)
        workers = worker_pids()
        strategy._tuner.turn_to(LIGHTEST)
        strategy.wait(0.05)
        still_there = worker_pids()
        odd.release()
        (result,) = results(strategy, 1)
        strategy.wait(0.05)

        assert workers == still_there != []
        assert result.failure is None
        wait_until(lambda: not any(map(is_alive, workers)), seconds=10)
        assert {usage.pid for usage in strategy.usage()} == set(workers)
        assert list(strategy._inner) == [LIGHTEST]


@pytest.mark.usefixtures("scripted")
def test_all_together_never_have_more_than_the_tuner_allows(odd, tmp_path):
    with opened("auto", tmp_path, workers=3) as strategy:
        for number in range(2):
            strategy.start([attempt(odd, f"/stall-body/{number + 10}", number)])
        while odd.in_flight < 2:
            strategy.wait(0.05)
        open_cores(strategy)
        room = strategy.capacity
        strategy.start([attempt(odd, "/stall-body/12", 2)])
        strategy.wait(0.05)

        assert (room, strategy.capacity) == (1, 0)
        odd.release()


@pytest.mark.usefixtures("scripted")
def test_fewer_workers_than_are_under_way_leave_no_room(odd, tmp_path):
    with opened("auto", tmp_path, workers=3) as strategy:
        for number in range(3):
            strategy.start([attempt(odd, f"/stall-body/{number + 10}", number)])
        strategy._tuner.arm = Arm(LIGHTEST, 1)
        strategy.wait(0.05)

        assert strategy.capacity == 0
        odd.release()


@pytest.mark.usefixtures("scripted")
def test_cancel_reaches_all_that_are_open(odd, tmp_path):
    with opened("auto", tmp_path) as strategy:
        strategy.start([attempt(odd, "/stall-body/10", 1)])
        while not odd.in_flight:
            strategy.wait(0.05)
        open_cores(strategy)
        strategy.start([attempt(odd, "/stall-body/11", 2)])
        while odd.in_flight < 2:
            strategy.wait(0.05)
        strategy.cancel(Failure("interrupted", "enough"))
        found = results(strategy, 2)

        assert {result.failure.detail for result in found} == {"enough"}


@pytest.mark.usefixtures("scripted")
def test_what_is_opened_after_cancel_is_cancelled_too(odd, tmp_path):
    with opened("auto", tmp_path) as strategy:
        strategy.cancel(Failure("interrupted", "enough"))
        strategy._open("threads")
        strategy._tuner.turn_to("threads")
        strategy._follow()
        strategy.start([attempt(odd, "/ok/1000", 1)])
        (result,) = results(strategy, 1)

        assert result.failure.detail == "enough"


@pytest.mark.usefixtures("scripted")
def test_a_wake_before_a_turn_is_not_lost(tmp_path):
    with opened("auto", tmp_path) as strategy:
        strategy._open("threads")
        strategy.wake()
        strategy._tuner.turn_to("threads", holds={LIGHTEST})
        strategy.wait(0.0)

        assert strategy.wait(600.0) == []  # else the test's own time is over first


@pytest.mark.usefixtures("scripted")
def test_a_wake_ends_a_wait_for_several(odd, tmp_path):
    with opened("auto", tmp_path) as strategy:
        strategy.start([attempt(odd, "/stall-body/10", 1)])
        while not odd.in_flight:
            strategy.wait(0.05)
        open_cores(strategy)
        strategy.wake()

        assert strategy.wait(600.0) == []
        odd.release()


@pytest.mark.usefixtures("scripted")
def test_a_killed_child_of_an_inner_strategy_loses_no_attempt(odd, tmp_path):
    with opened("auto", tmp_path) as strategy:
        open_cores(strategy)
        strategy.start([attempt(odd, "/stall-body/10", 1)])
        strategy.start([attempt(odd, "/stall-body/11", 2)])
        while odd.in_flight < 2:
            strategy.wait(0.05)
        for pid in worker_pids():
            os.kill(pid, signal.SIGKILL)
        found = results(strategy, 2)

        assert {result.failure.kind for result in found} == {"worker_lost"}
        assert strategy.capacity == 2


@pytest.mark.usefixtures("scripted")
def test_children_that_die_as_they_start_are_done_without(odd, tmp_path, monkeypatch):
    monkeypatch.setattr(children.Multicore, "_module", "downloader.no_such_module")
    with opened("auto", tmp_path) as strategy:
        tuner = strategy._tuner
        tuner.opening = "multicore"
        wait_until(lambda: strategy.wait(0.05) == [] and bool(tuner.refused))
        strategy.start([attempt(odd, "/ok/1000", 1)])
        (result,) = results(strategy, 1)

        assert "die as they start" in tuner.refused[0]
        assert result.failure is None
        assert list(strategy._inner) == [LIGHTEST]


@pytest.mark.usefixtures("scripted")
def test_what_breaks_with_work_in_hand_breaks_the_run(odd, tmp_path, monkeypatch):
    with opened("auto", tmp_path) as strategy:
        open_cores(strategy)
        strategy.start([attempt(odd, "/stall-body/10", 1)])
        strategy._tuner.turn_to(LIGHTEST)
        strategy.wait(0.0)
        inner = strategy._inner["multicore"].strategy
        monkeypatch.setattr(inner, "_fruitless", 99)
        for pid in worker_pids():
            os.kill(pid, signal.SIGKILL)

        with pytest.raises(StrategyError):
            wait_until(lambda: strategy.wait(0.05) is None, seconds=20)


@pytest.mark.usefixtures("scripted")
def test_what_cannot_be_opened_is_done_without(odd, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no more processes")

    with opened("auto", tmp_path) as strategy:
        monkeypatch.setattr(programs, "start", refuse)
        strategy._tuner.opening = "multicore"
        strategy.wait(0.05)

        (why,) = strategy._tuner.refused
        assert "no more processes" in why
        assert list(strategy._inner) == [LIGHTEST]


@pytest.mark.usefixtures("scripted")
def test_closing_ends_children_that_are_only_just_starting(odd, tmp_path):
    with opened("auto", tmp_path) as strategy:
        strategy._tuner.opening = "multicore"
        strategy.wait(0.0)
        workers = worker_pids()

    assert workers
    assert not any(map(is_alive, workers))


@pytest.mark.usefixtures("scripted")
def test_results_are_counted_for_what_they_are(odd, tmp_path):
    paths = [
        "/ok/1000",
        "/ok/500",
        "/status/503",
        "/status/404",
        "/redirect-cross/ok/7",
    ]
    with opened("auto", tmp_path, workers=5) as strategy:
        for number, path in enumerate(paths):
            strategy.start([attempt(odd, path, number)])
        results(strategy, len(paths))
        strategy.wait(0.02)
        counts = strategy._tuner.counts

    assert (counts.ended, counts.files, counts.size_bytes, counts.errors) == (
        *(5, 2, 1500, 1),
    )
    assert counts.busy_seconds > 0
    assert counts.waited_seconds >= counts.full_seconds


def test_a_rate_leaves_nothing_to_be_found_out(odd, tmp_path):
    report = fetch(
        [odd.url("/ok/1000")], strategy="auto", output=tmp_path, limit_rate="1M"
    )

    assert report.summary.auto.why == "the rate that was asked for bounds it"


def test_one_worker_is_compared_with_nothing(tmp_path):
    plan = make_plan(tmp_path)

    assert auto._others(plan, 1) == (None, None)
    assert auto._others(plan, 2).threads == "threads"
    assert auto._others(make_plan(tmp_path, http_version=2), 2).threads is None


def test_threads_are_left_out_where_they_cannot_reach_a_socks_proxy(
    tmp_path, monkeypatch
):
    plan = make_plan(tmp_path, proxies=named_proxies(all="socks5://p"))

    assert auto._others(plan, 9).threads == "threads"
    monkeypatch.setitem(sys.modules, "python_socks", None)
    assert auto._others(plan, 9).threads is None
    assert auto._others(make_plan(tmp_path), 9).threads == "threads"


def test_it_begins_with_what_the_lightest_has_and_may_have_more(tmp_path):
    lightest = default_workers(LIGHTEST)
    most = default_workers("auto")
    with opened("auto", tmp_path, workers=most) as strategy:
        assert strategy.capacity == lightest <= most <= MOST_AUTO_WORKERS


def test_a_few_files_are_over_before_anything_is_tried(odd, tmp_path):
    urls = [odd.url(f"/ok/{size}") for size in range(20)]
    summary = fetch(urls, strategy="auto", output=tmp_path).summary

    assert summary.auto.decisions == ()
    assert summary.auto.strategy == LIGHTEST
    assert summary.auto.why == "the run was over before there was anything to compare"
    assert summary.workers == summary.auto.workers


def test_trials_ask_for_nothing_twice_and_end_in_the_report(odd, tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "CORES_AFTER_SECONDS", 0.0)
    monkeypatch.setattr("downloader.policy.goodput.BUSY_SHARE", 0.0)
    monkeypatch.setattr("downloader.policy.goodput.CROWDED_SHARE", 1.0)
    paths = [f"/slow/{size}/0.1" for size in range(1000, 1300)]
    urls = [odd.url(path) for path in paths]
    report = fetch(urls, strategy="auto", output=tmp_path, workers=8)
    choices = report.summary.auto

    assert report.summary.ok == len(urls)
    assert set(odd.hits.values()) == {1}
    assert choices.decisions[0].strategy == "multicore"
    assert choices.decisions[0].files_per_second > 0
    assert choices.why in report.text()
    for path, row in zip(paths, report, strict=True):
        assert (tmp_path / row.path).read_bytes() == body(path, row.bytes)
    assert not worker_pids()

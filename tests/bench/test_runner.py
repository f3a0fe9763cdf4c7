import dataclasses
import math
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import pytest
from bench_figures import arm

from downloader.bench import runner
from downloader.bench.arms import (
    choose_strategies,
    download_arms,
    file_arms,
    page_arms,
    worker_counts,
)
from downloader.bench.child import BenchError, Child
from downloader.bench.experiments.job import ExperimentJob
from downloader.bench.experiments.starting import start_methods
from downloader.bench.load import LoadJob, generate
from downloader.bench.memory import can_tell, tree_bytes
from downloader.bench.open_session import OpenSession
from downloader.bench.runner import run_once, run_rounds
from downloader.bench.usage import sees_living_children, usage_so_far
from downloader.bench.workloads import downloads, file_work, page_work
from downloader.errors import UsageError
from downloader.settings import Settings
from downloader.strategies.contract import NAMES

pytestmark = pytest.mark.usefixtures("counted")

SECONDS = 60.0
# Where Linux shows the names of semaphores.
NAMED = Path("/dev/shm")


def small(recipe, files):
    workload = msgspec.structs.replace(recipe.workload, files=files)
    return dataclasses.replace(recipe, workload=workload)


def test_a_run_of_the_engine_tells_of_files_cpu_memory_and_start(site):
    recipe = small(downloads(is_quick=True)[0], files=3)
    (one,) = download_arms(recipe, site.url, ["threads"], [2], is_quick=True)

    sample = run_once(one, 1, SECONDS)

    assert (sample.files, sample.failed, sample.received_bytes) == (3, 0, 600)
    assert 0.2 <= sample.seconds < SECONDS
    assert sample.user_seconds + sample.system_seconds > 0
    assert sample.startup_seconds > 0
    assert (sample.memory_bytes is not None) == can_tell()


@pytest.mark.skipif(not sees_living_children(), reason="needs /proc")
@pytest.mark.parametrize("name", ["asyncio", "subprocess"])
def test_kept_workers_start_once_and_fetch_anew_in_every_round(site, name):
    recipe = small(downloads(is_quick=True)[0], files=3)
    arms = download_arms(recipe, site.url, [name], [2], is_quick=True)

    found = rounds(arms, most=2, keeps_workers=True)

    first, second = found.samples[0]
    assert found.failures == []
    assert (first.files, second.files) == (3, 3)
    assert (first.received_bytes, second.received_bytes) == (600, 600)
    assert first.startup_seconds > 0
    assert second.startup_seconds is None
    assert (second.round, second.memory_bytes) == (2, None)


def test_a_start_is_in_no_runs_time(site):
    recipe = small(downloads(is_quick=True)[0], files=2)
    (one,) = download_arms(recipe, site.url, ["subprocess"], [2], is_quick=True)

    sample = run_once(one, 1, SECONDS)

    # A new Python that imports the engine; the run only waits for a tenth of a second.
    assert sample.startup_seconds + sample.seconds > 0.2
    assert sample.seconds >= 0.1
    assert sample.voluntary_switches is not None


def test_a_broken_session_is_told_and_does_not_hang(tmp_path):
    settings = Settings.make({}, output=str(tmp_path), strategy="serial")
    session = OpenSession(settings)
    session._session._strategy_class = None

    with pytest.raises(TypeError):
        session.fetch(["http://127.0.0.1:1/"])
    with pytest.raises(TypeError):
        session.close()


@pytest.mark.parametrize("name", ["serial", "threads", "asyncio", "subprocess"])
def test_pages_with_a_stage_come_by_every_mechanism(site, name):
    recipe = small(page_work()[0], files=4)
    arms = page_arms(recipe, site.url, [name])

    sample = run_once(arms[-1], 1, SECONDS)

    assert arms[-1].stage_seconds > arms[0].stage_seconds == 0
    assert sample.files == 4
    assert sample.received_bytes > 4 * 1000
    assert sample.user_seconds > 0
    assert sample.phase_seconds["first_byte"] >= 4 * 0.02
    assert sample.phase_seconds["cpu_stage"] > 0


def test_files_are_copied_and_written_without_a_network(tmp_path):
    copy, write = (small(recipe, files=2) for recipe in file_work(is_quick=False))
    (tmp_path / "source").write_bytes(bytes(5000))

    (copying,) = file_arms(copy, str(tmp_path / "source"), ["serial", "asyncio"])
    (writing,) = file_arms(write, "", ["threads"])

    copied = run_once(copying, 1, SECONDS)
    assert copied.received_bytes == 10_000
    assert copied.phase_seconds.keys() == {"store"}
    assert run_once(writing, 1, SECONDS).received_bytes == 32 << 20


def test_nothing_stays_in_the_temporary_folder(site, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    recipe = small(downloads(is_quick=True)[0], files=1)
    (one,) = download_arms(recipe, site.url, ["serial"], [], is_quick=True)

    run_once(one, 1, SECONDS)

    assert list(tmp_path.iterdir()) == []


def test_a_run_that_breaks_says_why():
    with pytest.raises(BenchError, match="there is no strategy 'nonsense'"):
        run_once(arm("nonsense"), 1, SECONDS)


def test_a_child_that_takes_too_long_is_ended():
    # What it runs waits for more of its input, and says nothing until then.
    url = "http://127.0.0.1:1/"
    job = msgspec.json.encode(LoadJob(url=url, connections=1, seconds=1.0))

    with (
        Child("json.tool", job, "this", 0.001) as child,
        pytest.raises(BenchError, match=re.escape("longer than 0.001 s")),
    ):
        child.prepare()


@pytest.mark.skipif("forkserver" not in start_methods(), reason="needs a fork server")
@pytest.mark.skipif(not can_tell(), reason="needs /proc/PID/smaps_rollup (Linux)")
def test_what_a_killed_fork_server_leaves_goes_with_its_child():
    job = msgspec.json.encode(ExperimentJob(name="memory", workers=1))

    with (
        tempfile.TemporaryDirectory(dir="/tmp") as scratch,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr("tempfile.tempdir", scratch)
        patch.setenv("TMPDIR", scratch)
        with Child("downloader.bench.experiments", job, "this", SECONDS) as child:
            child.prepare()
            child.measure()
            during = os.listdir(scratch)
        left = os.listdir(scratch)

    assert during
    assert left == []


@pytest.mark.skipif(not NAMED.is_dir(), reason="names are not to be seen")
def test_kept_workers_leave_no_name_in_the_system(site):
    before = set(NAMED.iterdir())
    recipe = small(downloads(is_quick=True)[0], files=3)
    arms = download_arms(recipe, site.url, ["processes"], [2], is_quick=True)
    assert rounds(arms, most=1, keeps_workers=True).failures == []
    new = set(NAMED.iterdir()) - before

    # Some of these may be other tests', which end as well.
    deadline = time.monotonic() + SECONDS
    while new & set(NAMED.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not new & set(NAMED.iterdir())


def test_leaving_a_child_ends_it():
    with Child("downloader.bench.load", b"", "this", SECONDS) as child:
        pid = child.pid

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.fixture
def instant(monkeypatch):
    """Runs that take no time; gives the order in which they were made."""
    order = []

    def run(one, number, seconds):
        if one.strategy == "broken":
            raise BenchError(one.name, "it is broken")
        order.append((number, one.strategy))
        return number

    monkeypatch.setattr(runner, "run_once", run)
    return order


def rounds(arms, **values):
    told = {"most": 4, "fewest": 1, "until": math.inf, **values}
    return run_rounds(arms, chance=random.Random(3), tell=lambda text: None, **told)


def test_every_arm_runs_once_a_round_in_changing_order(instant):
    arms = [arm(name) for name in ("a", "b", "c", "d")]

    found = rounds(arms)

    assert found.samples == {place: [1, 2, 3, 4] for place in range(4)}
    orders = [tuple(n for r, n in instant if r == number) for number in (1, 2, 3, 4)]
    assert all(sorted(order) == ["a", "b", "c", "d"] for order in orders)
    assert len(set(orders)) > 1


def test_when_the_time_is_over_no_round_begins_but_the_fewest(instant):
    over = time.monotonic() - 1

    assert rounds([arm("a")], until=over, fewest=3).samples == {0: [1, 2, 3]}
    told = rounds([arm("a")], until=over, fewest=3, fewest_until=over)
    assert told.samples == {0: [1]}


def test_a_round_that_the_deadline_cuts_is_left_out_whole(monkeypatch):
    clock = [0.0]

    def run(one, number, seconds):
        clock[0] += 10.0 if number == 2 else 1.0
        if clock[0] > 12:
            raise BenchError(one.name, "it took too long")
        return number

    monkeypatch.setattr(runner.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(runner, "run_once", run)

    found = rounds([arm("a"), arm("b")], most=3, deadline=13.0)

    assert found.was_cut
    assert found.samples == {0: [1], 1: [1]}
    assert found.failures == []


def test_of_a_first_round_that_is_cut_there_is_what_there_is(instant):
    found = rounds([arm("a")], deadline=time.monotonic() - 1)

    assert found.was_cut
    assert found.samples == {}


def test_an_arm_that_breaks_does_not_keep_others_from_running(instant):
    found = rounds([arm("broken"), arm("a")], most=2)

    assert found.samples == {1: [1, 2]}
    assert "it is broken" in found.failures[0]


def test_the_load_generator_counts_answers_and_bytes(site):
    job = LoadJob(url=f"{site.url}/s/70000", connections=3, seconds=2.0)

    report = generate(job)

    assert report.files_per_second > 0
    assert report.mib_per_second == pytest.approx(
        report.files_per_second * 70_000 / (1 << 20), rel=0.5
    )


def test_strategies_are_all_there_are_or_those_asked_for():
    assert set(choose_strategies(())[0]) <= set(NAMES) - {"auto"}
    assert choose_strategies(("auto",))[0] == ["auto"]
    assert choose_strategies(("threads", "serial", "threads"))[0] == [
        "threads",
        "serial",
    ]
    with pytest.raises(UsageError, match="no strategy 'fibres'"):
        choose_strategies(("fibres",))


def test_a_missing_strategy_is_left_out_unless_it_was_named(monkeypatch):
    from downloader.bench import arms
    from downloader.errors import StrategyUnavailable

    def load(name):
        if name == "threads":
            raise StrategyUnavailable("threads need a loom")

    monkeypatch.setattr(arms, "load", load)

    chosen, notes = choose_strategies(())
    assert "threads" not in chosen
    assert "loom" in notes[0]
    with pytest.raises(StrategyUnavailable):
        choose_strategies(("threads",))


def test_a_curve_has_the_workers_that_were_asked_for(monkeypatch):
    monkeypatch.setattr("downloader.bench.arms.usable_cores", lambda: 2)
    monkeypatch.setattr("downloader.strategies.contract.usable_cores", lambda: 2)

    def counts(name, wanted, is_curve=True, is_quick=False):
        return worker_counts(name, wanted, is_curve=is_curve, is_quick=is_quick)

    assert counts("serial", (4, 16)) == (1,)
    assert counts("threads", (1, 64)) == (1, 64)
    assert counts("processes", (1, 64)) == (1, 16)
    assert counts("processes", ()) == (4, 8)
    assert counts("multicore", (1, 64)) == (1, 64)
    assert counts("multicore", ()) == (4, 16, 64, 100)
    assert counts("threads", ()) == (4, 16, 64)
    assert counts("threads", (), is_quick=True) == (16,)
    assert counts("threads", (1, 64), is_curve=False) == (16,)


@pytest.mark.skipif(not can_tell(), reason="needs /proc/PID/smaps_rollup (Linux)")
def test_a_process_holds_some_memory_and_a_dead_one_none():
    assert tree_bytes(os.getpid()) > 1 << 20
    assert tree_bytes(2**22 + 1) == 0


@pytest.mark.skipif(not sees_living_children(), reason="needs /proc")
def test_what_a_living_child_uses_counts():
    spin = (
        "import time\nwhile time.process_time() < 0.2: pass\nprint(flush=True)\ninput()"
    )
    before = usage_so_far()
    with subprocess.Popen(
        [sys.executable, "-c", spin], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        child.stdout.readline()
        used = usage_so_far().since(before)
        child.communicate(b"\n")
    ended = usage_so_far().since(before)

    assert used.user_seconds + used.system_seconds > 0.15
    assert used.voluntary > 0
    assert ended.user_seconds + ended.system_seconds > 0.15

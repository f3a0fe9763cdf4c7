"""Runs that are made to be bound by one thing each are called by that."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import bound_cases
import pytest

from downloader import fetch
from downloader.cli import main
from downloader.policy.bound import Bound

CASES = [
    pytest.param(strategy, case, id=f"{strategy}-{case.name}")
    for strategy in ("threads", "asyncio", "curl", "multicore", "processes")
    for case in bound_cases.tested(strategy)
]


@pytest.fixture(scope="module")
def waiting():
    """What the runs that only wait are called: side by side, each in its own process.

    In one process each would count the CPU time of all others as its own.
    """
    pairs = [one.values for one in CASES if one.values[1].word != "CPU-bound"]
    with ThreadPoolExecutor(8) as pool:
        return {
            (strategy, case.name): pool.submit(called, strategy, case)
            for strategy, case in pairs
        }


def called(strategy, case):
    argv = [sys.executable, bound_cases.__file__, strategy, case.name]
    return json.loads(subprocess.check_output(argv, timeout=100))


@pytest.mark.parametrize(("strategy", "case"), CASES)
def test_a_run_is_called_by_what_bounds_it(waiting, strategy, case):
    # One that computes has the machine to itself.
    ended = waiting.get((strategy, case.name))
    bound = ended.result() if ended else called(strategy, case)

    assert bound is not None
    assert bound["word"] == case.word, bound["text"]


def test_slots_that_auto_does_not_try_are_nobodys(tmp_path):
    case, *_ = bound_cases.cases("auto", scale=2)
    settings = case.settings | {"workers": 1000}
    bound = bound_cases.bound(
        case._replace(settings=settings, files=400), "auto", str(tmp_path / "out")
    )

    assert bound is not None
    assert bound.word == "IO-bound", bound.text
    assert bound.advice is None


def test_the_summary_tells_where_worker_slots_were(odd, tmp_path):
    urls = [odd.url(f"slow/{n}/0.1") for n in range(100, 108)]
    with fetch(urls, output=str(tmp_path), workers=4, per_host=2) as report:
        spent = report.summary.phase_seconds

    assert set(spent) == {
        *("politeness", "queue", "connect", "tls"),
        *("first_byte", "body", "rate", "hash", "store"),
    }
    # Eight answers after 0.1 s each, two at a time, while two more might have been asked.
    assert spent["first_byte"] + spent["body"] >= 0.8
    assert spent["politeness"] >= 0.4
    assert spent["tls"] == spent["rate"] == 0


def test_a_run_too_short_to_tell_says_nothing(odd, tmp_path):
    with fetch([odd.url("ok/1")], output=str(tmp_path)) as report:
        assert report.summary.bound is None
        assert "-bound" not in report.text()


def test_the_command_says_it_last_and_writes_it_down(odd, workdir, capsys):
    urls = [odd.url(f"slow/{n}/0.1") for n in range(1, 17)]
    arguments = ["fetch", *urls, "--report", "report.json", "-x", "none", "-j", "2"]
    status = main([*arguments, "-s", "threads"])
    line = capsys.readouterr().err.splitlines()[-1]
    bound = json.loads((workdir / "report.json").read_text())["summary"]["bound"]

    assert status == 0
    assert line.startswith("  IO-bound: waiting on the network ")
    assert line == f"  {Bound(**bound).text}"


def test_a_quiet_command_does_not_say_it(odd, workdir, capsys):
    urls = [odd.url(f"slow/{n}/0.1") for n in range(1, 17)]
    status = main(["fetch", *urls, "-q", "-x", "none", "-j", "2"])

    assert status == 0
    assert capsys.readouterr().err == ""

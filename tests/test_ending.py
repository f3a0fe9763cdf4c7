"""Runs that outlive their program's main thread, or begin after it."""

import subprocess
import sys
import textwrap

import pytest

from downloader import fetch
from downloader.strategies.contract import NAMES

pytestmark = pytest.mark.usefixtures("workdir")
MEANING = "the interpreter is ending"

RUN = """
    import atexit, pathlib, sys, threading, time
    from downloader import DownloaderError, fetch

    def run():
        try:
            report = fetch(sys.argv[2:], strategy=sys.argv[1], per_host=2, output="out")
            said = report.summary.ok
        except DownloaderError as error:
            said = error
        print(type(said).__name__, said)
"""
OUTLIVED = """
    threading.Thread(target=run).start()
    until = time.monotonic() + 20
    while time.monotonic() < until and not list(pathlib.Path("out").glob("*/ok/1*")):
        time.sleep(0.01)
"""
AFTERWARDS = """
    atexit.register(run)
"""


def said_by(script, *arguments):
    """What a program of its own prints; it must come to its end."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(RUN + script), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=40,
    )
    assert done.stderr == ""
    return done.stdout.strip()


@pytest.mark.parametrize("strategy", NAMES)
def test_a_run_that_outlives_the_main_thread_comes_to_an_end(odd, strategy):
    urls = [odd.url("ok/1"), *(odd.url(f"slow/{n}/0.2") for n in range(20, 28))]
    said = said_by(OUTLIVED, strategy, *urls)

    # Which strategies can go on depends on the Python; none may hang.
    assert said == f"int {len(urls)}" or (
        said.startswith("StrategyError") and MEANING in said
    )
    assert fetch(urls[:1], output="out").summary.skipped == 1


@pytest.mark.parametrize("strategy", NAMES)
def test_a_run_that_begins_after_the_main_thread_says_so(odd, strategy):
    said = said_by(AFTERWARDS, strategy, odd.url("ok/1"))

    assert said == "int 1" or (said.startswith("StrategyError") and MEANING in said)

"""The `processes` strategy and the process that uses it."""

import multiprocessing
import os
import sys
import threading

import pytest
from strategy_rig import opened

from downloader.errors import StrategyError
from downloader.strategies import processes


def state():
    """What of a process a child that is being started must not have."""
    names = ("PYTHONSAFEPATH", "PYTHONWARNINGS")
    return sys.modules["__main__"], [os.environ.get(name) for name in names]


def test_two_that_start_a_child_at_once_put_back_what_was_there(monkeypatch):
    # Put back at the end, come what may.
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    monkeypatch.setenv("PYTHONSAFEPATH", "")
    monkeypatch.setenv("PYTHONWARNINGS", "once")
    before = state()
    second_is_in, first_is_out = threading.Event(), threading.Event()

    def start_second():
        with processes._spawning():
            second_is_in.set()
            first_is_out.wait(30)

    second = threading.Thread(target=start_second)
    with processes._spawning():
        second.start()
        is_alone = not second_is_in.wait(0.2)
    first_is_out.set()
    second.join()

    assert (is_alone, state()) == (True, before)


def test_too_few_descriptors_are_an_error_with_advice(tmp_path):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        with (
            pytest.raises(StrategyError, match="ulimit -n"),
            opened("processes", tmp_path),
        ):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_daemonic_process_is_told_of_other_strategies(tmp_path, monkeypatch):
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)

    with (
        pytest.raises(StrategyError, match="choose 'subprocess'"),
        opened("processes", tmp_path),
    ):
        pass

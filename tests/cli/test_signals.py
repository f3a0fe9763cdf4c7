import contextlib
import signal
import threading

import pytest

from downloader.cli.signals import Interrupted, Interruptions


class Run:
    def __init__(self):
        self.stops = []

    def stop(self, signum=None):
        self.stops.append(signum)


def test_a_first_and_a_second_signal_stop_the_run():
    run = Run()
    with Interruptions() as interruptions:
        interruptions.attach(run)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)

    assert run.stops == [signal.SIGTERM, signal.SIGINT]


def test_a_third_signal_ends_the_process_at_once():
    statuses = []
    with Interruptions(exit_now=statuses.append) as interruptions:
        interruptions.attach(Run())
        for _ in range(3):
            signal.raise_signal(signal.SIGTERM)

    assert statuses == [143]


def test_a_signal_without_a_run_is_raised():
    with pytest.raises(Interrupted) as caught, Interruptions():
        signal.raise_signal(signal.SIGTERM)

    assert caught.value.signum == signal.SIGTERM


def test_a_signal_that_was_lost_is_raised_again():
    with Interruptions() as interruptions:
        interruptions.check()
        with contextlib.suppress(Interrupted):  # as in a finalizer
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(Interrupted) as caught:
            interruptions.check()

    assert caught.value.signum == signal.SIGINT


def test_a_signal_after_the_run_is_raised():
    run = Run()
    with Interruptions() as interruptions:
        interruptions.attach(run)
        interruptions.detach()
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGINT)

    assert run.stops == []


def test_a_second_signal_after_an_interrupted_run_lets_the_report_be_written():
    run = Run()
    with Interruptions() as interruptions:
        interruptions.attach(run)
        signal.raise_signal(signal.SIGINT)
        interruptions.detach()
        signal.raise_signal(signal.SIGINT)

    assert run.stops == [signal.SIGINT]


def test_the_handlers_are_restored():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Interruptions():
        assert signal.getsignal(signal.SIGINT) is not before[0]

    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_away_from_the_main_thread_nothing_is_touched():
    seen = []

    def look():
        with Interruptions():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()

    assert seen == [signal.getsignal(signal.SIGINT)]

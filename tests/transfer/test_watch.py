import contextlib
import threading

import pytest

from downloader.models import Failure
from downloader.policy.patience import Patience
from downloader.transfer.watch import Watch, Watchdog, sweep_seconds

STOP = Failure("interrupted", "the run was stopped")


def watch(now=0.0, timeout_seconds=10.0, cut=lambda: None):
    return Watch(Patience(timeout_seconds, now), cut)


def test_a_sweep_within_the_timeout_cuts_nothing():
    cuts = []
    one = watch(cut=lambda: cuts.append(1))
    one.sweep(9.9)

    assert (one.failure, cuts) == (None, [])


def test_a_sweep_after_the_timeout_cuts_once_and_says_why():
    cuts = []
    one = watch(cut=lambda: cuts.append(1))
    one.sweep(10.1)
    one.sweep(99.0)

    assert one.failure == Failure("timeout", "no connection within 10 s")
    assert cuts == [1]


def test_the_first_reason_to_cut_stays():
    one = watch()
    one.abort(STOP)
    one.sweep(99.0)

    assert one.failure is STOP


def test_the_failure_stands_before_the_cut_wakes_anybody():
    seen = []
    one = watch(cut=lambda: seen.append(one.failure))
    one.abort(STOP)

    assert seen == [STOP]


@pytest.mark.parametrize(
    ("timeout_seconds", "pause"), [(0.001, 0.02), (0.5, 0.1), (1, 0.2), (300, 0.25)]
)
def test_sweeps_come_in_time_for_the_timeout(timeout_seconds, pause):
    assert sweep_seconds(timeout_seconds) == pause


def test_the_watchdog_cuts_what_waits_too_long_and_nothing_else():
    was_cut = threading.Event()
    with contextlib.closing(Watchdog(0.1)) as dog:
        patient = watch(timeout_seconds=1e9)
        dog.live[1] = patient
        dog.live[2] = watch(timeout_seconds=0.1, now=-1e9, cut=was_cut.set)

        assert was_cut.wait(60)
    assert patient.failure is None


def test_abort_all_cuts_every_attempt():
    with contextlib.closing(Watchdog(300.0)) as dog:
        both = [watch(timeout_seconds=1e9), watch(timeout_seconds=1e9)]
        dog.live.update(enumerate(both))
        dog.abort_all(STOP)

    assert [one.failure for one in both] == [STOP, STOP]


def test_abort_all_bears_attempts_that_end_meanwhile():
    with contextlib.closing(Watchdog(300.0)) as dog:
        for number in range(10):
            dog.live[number] = watch(timeout_seconds=1e9, cut=dog.live.popitem)
        dog.abort_all(STOP)

        assert dog.live == {}


def test_closing_ends_the_thread():
    before = set(threading.enumerate())
    dog = Watchdog(300.0)
    (thread,) = set(threading.enumerate()) - before
    dog.close()

    assert thread.daemon
    assert not thread.is_alive()

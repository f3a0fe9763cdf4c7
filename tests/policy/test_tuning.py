"""How `auto` finds the best on made curves: no clock, no network, noise from a seed."""

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from downloader.policy.goodput import Counts
from downloader.policy.tuning import Arm, Others, Tuner, View

STEP_SECONDS = 0.01
OTHERS = Others("multicore", "threads")


class World:
    """A run on made curves: what each arm brings a second, and what fails of it.

    `rate` gives files a second for an arm, `errors` a share of attempts, `busy` and
    `full` shares of the time, `stalled` one of the busy time; `opens_seconds` is None for what never comes up.
    """

    def __init__(
        self,
        rate,
        *,
        errors=lambda _arm: 0.0,
        busy=lambda _arm: 0.1,
        stalled=0.0,
        full=1.0,
        noise=0.0,
        seed=0,
        workers=100,
        most=1000,
        others=OTHERS,
        opens_seconds=0.4,
        size_bytes=1000,
        attempt_seconds=None,
        drains=True,
    ):
        self.rate, self.errors, self.busy, self.full = rate, errors, busy, full
        self.stalled = stalled
        self.noise, self.random = noise, random.Random(seed)
        self.opens_seconds, self.size_bytes = opens_seconds, size_bytes
        self.attempt_seconds, self.drains = attempt_seconds, drains
        self.tuner = Tuner(
            "curl", others, workers=workers, most_workers=most, now=1000.0
        )
        self.now = 1000.0
        self.values = [0.0] * 8
        self.opened_at = None
        self.arms = []
        self.level = 1.0

    def run(self, seconds):
        """So many seconds of it; the tuner afterwards."""
        until = self.now + seconds
        while self.now < until:
            self._step()
        return self.tuner

    def _step(self):
        tuner = self.tuner
        self.now += STEP_SECONDS
        arm = tuner.arm
        if not self.arms or self.arms[-1] != arm:
            self.arms.append(arm)
            self.level = 1.0 + self.random.uniform(-self.noise, self.noise)
        share = self.errors(arm)
        ended = self.rate(arm) * STEP_SECONDS * self.level
        wins = ended * (1 - share)
        gains = (ended, wins, wins * self.size_bytes, ended * share)
        shares = (self.busy(arm), self.busy(arm) * self.stalled, 1.0, self.full)
        times = [share * STEP_SECONDS for share in shares]
        self.values = [
            old + new for old, new in zip(self.values, (*gains, *times), strict=True)
        ]
        self.opened_at = self.opened_at or (self.now if tuner.opening else None)
        self.tuner.look(self.now, self._counts(), self._view(arm, ended))
        if tuner.opening is None:
            self.opened_at = None

    def _counts(self):
        whole = [int(value + 1e-6) for value in self.values[:4]]
        return Counts(*whole, *self.values[4:])

    def _view(self, arm, ended):
        seconds = self.attempt_seconds
        in_flight = arm.workers
        if seconds is not None:
            in_flight = max(1, round(ended / STEP_SECONDS * seconds))
        is_open = self.opened_at is not None and self.opens_seconds is not None
        is_ready = is_open and self.now - self.opened_at >= self.opens_seconds
        return View(in_flight, is_drained=self.drains, is_ready=is_ready)


def waiting(latency_seconds, most_per_second=math.inf):
    """Files a second where all is waiting, up to what the server has to give."""
    return lambda arm: min(arm.workers / latency_seconds, most_per_second)


def computing(**by_strategy):
    """Files a second where the CPU decides, whatever the number of workers."""
    return lambda arm: by_strategy[arm.strategy]


def always_busy(_arm):
    return 0.98


# Nothing to be gained


def test_it_begins_with_the_lightest_at_once():
    tuner = World(waiting(0.1)).tuner

    assert tuner.arm == tuner.kept == Arm("curl", 100)
    assert tuner.held == {"curl"}
    assert tuner.goal == 0


def test_a_run_that_is_over_at_once_says_so():
    choices = World(waiting(0.1)).run(0.1).choices()

    assert (choices.strategy, choices.workers) == ("curl", 100)
    assert choices.decisions == ()
    assert choices.why == "the run was over before there was anything to compare"


def test_a_run_that_ends_during_a_trial_says_so():
    world = World(computing(curl=5000), busy=always_busy, opens_seconds=None)

    assert "before multicore" in world.run(1.0).choices().why


def test_where_workers_are_free_no_more_are_tried():
    choices = World(waiting(0.1), full=0.2).run(30).choices()

    assert choices.decisions == ()
    assert choices.why.startswith("workers were free")


def test_a_busy_owner_without_another_core_is_left_alone():
    world = World(computing(curl=5000), busy=always_busy, others=Others())
    choices = world.run(30).choices()

    assert choices.decisions == ()
    assert choices.why.startswith("the CPU bounds it")


def test_where_others_have_the_cores_no_more_of_them_are_asked_for():
    world = World(computing(curl=5000, multicore=9000), busy=always_busy, stalled=0.5)
    choices = world.run(30).choices()

    assert choices.decisions == ()
    assert "other programs have taken the other cores" in choices.why


def test_at_the_bound_nothing_else_is_to_be_tried():
    world = World(waiting(0.1), most=100, others=Others())

    assert world.run(30).choices().why == "nothing else was to be tried"


def test_few_files_a_second_compare_nothing():
    choices = World(waiting(60.0)).run(30).choices()

    assert choices.decisions == ()
    assert choices.why.startswith("too few files")


def test_what_never_ends_is_waited_for_without_a_trial():
    assert World(lambda _arm: 0.0).run(30).choices().decisions == ()


# More workers


def test_it_climbs_while_more_workers_bring_more():
    world = World(waiting(0.1))
    tuner = world.run(10)

    assert tuner.kept.workers == 1000
    assert [arm.workers for arm in world.arms[:4]] == [100, 200, 400, 800]


def test_it_never_climbs_above_the_bound():
    world = World(waiting(0.1), most=150)
    world.run(60)

    assert max(arm.workers for arm in world.arms) == 150


def test_it_goes_back_where_more_workers_bring_nothing():
    world = World(waiting(0.1, most_per_second=1000), others=Others())
    choices = world.run(10).choices()

    assert choices.workers == 100
    assert choices.decisions[0].workers == 200
    assert not choices.decisions[0].is_kept
    assert "nothing was to be gained" in choices.why


def test_it_goes_back_from_a_collapse_after_one_block():
    world = World(lambda arm: 1000 if arm.workers == 100 else 50, others=Others())
    world.run(2.5)

    assert [arm.workers for arm in world.arms] == [100, 200, 100]


def test_a_trial_that_brought_nothing_is_repeated_ever_more_rarely():
    world = World(waiting(0.1, most_per_second=1000), others=Others())
    moments = [one.at_seconds for one in world.run(200).choices().decisions]

    assert 3 <= len(moments) <= 8
    assert all(late > 2 * early for early, late in itertools.pairwise(moments))


def test_more_workers_that_only_bring_errors_are_given_up():
    world = World(
        waiting(0.1),
        errors=lambda arm: 0.0 if arm.workers <= 200 else 0.3,
        others=Others(),
    )
    choices = world.run(4).choices()

    assert choices.workers == 200
    assert "30% with it" in choices.decisions[-1].why


# Fewer workers


def test_errors_that_come_of_too_many_workers_bring_their_number_down():
    world = World(lambda _arm: 500, errors=lambda arm: 0.4 if arm.workers > 30 else 0.0)
    tuner = world.run(4)

    assert tuner.kept.workers == 25


def test_errors_that_do_not_come_of_it_leave_the_number_alone():
    world = World(waiting(0.5), errors=lambda _arm: 0.3, others=Others())
    choices = world.run(20).choices()

    assert choices.workers == 100
    assert not any(one.is_kept for one in choices.decisions)


def test_where_fewer_did_not_help_far_fewer_are_tried_later():
    world = World(lambda _arm: 500, errors=lambda arm: 0.4 if arm.workers > 10 else 0.0)
    tuner = world.run(25)

    assert [one.workers for one in tuner.choices().decisions[:2]] == [25, 6]
    assert tuner.kept.workers <= 10


def test_one_worker_is_the_least():
    world = World(lambda _arm: 50, errors=lambda _arm: 0.5, workers=1)
    world.run(10)

    assert world.arms == [Arm("curl", 1)]


def test_after_fewer_more_are_not_tried_at_once():
    world = World(lambda _arm: 500, errors=lambda arm: 0.4 if arm.workers > 60 else 0.0)
    world.run(6)

    assert [arm.workers for arm in world.arms[:3]] == [100, 25, 50]
    assert world.tuner.choices().decisions[1].at_seconds > 2


def test_trouble_that_is_over_does_not_leave_too_few_for_good():
    """25 workers bring too few files of 4 s each for what else is asked of a trial."""

    def errors(arm):
        return 0.5 if 20 < world.now - 1000 < 60 and arm.workers > 10 else 0.0

    world = World(waiting(4.0), errors=errors, others=Others(None, None))
    fewest = world.run(120).kept.workers
    most = world.run(600).kept.workers

    assert fewest < 100 <= most


# Other strategies


def test_a_busy_owner_gets_all_cores_if_they_bring_more():
    world = World(computing(curl=5000, multicore=9000), busy=always_busy)
    choices = world.run(3).choices()

    assert (choices.strategy, choices.workers) == ("multicore", 100)
    (one,) = choices.decisions
    assert one.why == choices.why
    assert one.why.startswith("1.80 times what curl with 100 at once brought")
    assert (one.files_per_second, one.before_files_per_second) == (9000, 5000)


def test_the_lightest_goes_on_while_another_is_opened():
    world = World(
        computing(curl=5000, multicore=9000), busy=always_busy, opens_seconds=2.0
    )
    tuner = world.run(2.0)

    assert tuner.opening == "multicore"
    assert tuner.held == {"curl", "multicore"}
    assert world.arms == [Arm("curl", 100)]


def test_cores_that_bring_a_little_are_not_worth_it():
    world = World(computing(curl=5000, multicore=5300), busy=always_busy)
    choices = world.run(4).choices()
    arms = [arm.strategy for arm in world.arms]

    assert arms == ["curl", "multicore", "curl", "multicore", "curl"]
    assert choices.strategy == "curl"
    assert world.tuner.held == {"curl"}


def test_cores_are_not_given_up_for_their_first_block():
    rates = {"curl": 5000, "multicore": 4000}
    world = World(lambda arm: rates[arm.strategy], busy=always_busy)
    while len(world.arms) < 3:
        world.run(0.01)
    rates["multicore"] = 9000
    choices = world.run(2).choices()

    assert choices.strategy == "multicore"
    assert choices.why.startswith("1.80 times")


def test_cores_that_let_all_collapse_are_given_up_at_once():
    world = World(computing(curl=5000, multicore=2000), busy=always_busy)
    world.run(4)

    assert [arm.strategy for arm in world.arms] == ["curl", "multicore", "curl"]


def test_what_does_not_come_up_is_given_up():
    world = World(computing(curl=5000), busy=always_busy, opens_seconds=None)
    choices = world.run(10).choices()

    assert choices.decisions[0].why == "it did not start: not within 5 s"
    assert choices.strategy == "curl"


def test_what_cannot_be_opened_is_given_up():
    world = World(computing(curl=5000), busy=always_busy, opens_seconds=None)
    tuner = world.run(1.0)
    tuner.refuse(world.now, "no more processes")

    assert tuner.opening is None
    assert tuner.choices().decisions[0].why == "it did not start: no more processes"


def test_a_drain_without_end_ends_the_trial():
    world = World(computing(curl=5000, multicore=9000), busy=always_busy)
    world.run(0.9)
    world.drains = False
    choices = world.run(4).choices()

    assert choices.strategy == "curl"
    assert "took too long to end" in choices.decisions[0].why


def test_slow_attempts_are_not_drained_for_a_trial():
    world = World(computing(curl=50), busy=always_busy, attempt_seconds=2.0)

    assert world.run(20).choices().decisions == ()


def test_threads_are_tried_late_and_kept_if_better():
    world = World(computing(curl=500, threads=900, multicore=1), most=100)
    early = world.run(9.5).choices()
    late = world.run(5).choices()

    assert early.decisions == ()
    assert (late.strategy, late.workers) == ("threads", 32)


def test_the_lightest_is_taken_again_when_it_has_become_as_good():
    rates = {"curl": 5000, "multicore": 9000}
    world = World(lambda arm: rates[arm.strategy], busy=always_busy)
    world.run(3)
    rates["multicore"] = 5000
    choices = world.run(20).choices()

    assert choices.strategy == "curl"
    assert [one.strategy for one in choices.decisions] == ["multicore", "curl"]


def test_the_heavier_stays_if_it_is_still_better():
    world = World(computing(curl=5000, multicore=9000), busy=always_busy)

    assert world.run(60).kept.strategy == "multicore"


# Whatever the curve


@settings(max_examples=20, deadline=None)
@given(
    latency=st.floats(0.02, 0.4),
    most=st.floats(300, 20_000),
    noise=st.floats(0.0, 0.04),
    seed=st.integers(0, 1000),
)
def test_what_it_brings_is_near_the_best_number_of_workers(latency, most, noise, seed):
    curve = waiting(latency, most)
    world = World(curve, noise=noise, seed=seed, others=Others())
    world.run(30)
    best = curve(Arm("curl", 1000))

    assert world.values[1] >= 0.8 * 30 * best
    assert curve(world.tuner.kept) >= 0.85 * best


@settings(max_examples=20, deadline=None)
@given(
    peak=st.integers(50, 1000),
    noise=st.floats(0.0, 0.04),
    seed=st.integers(0, 1000),
)
def test_where_more_workers_let_all_collapse_it_stays_below(peak, noise, seed):
    def curve(arm):
        return 10 * arm.workers if arm.workers <= peak else 2 * peak

    world = World(curve, noise=noise, seed=seed, others=Others(), workers=50)
    world.run(30)

    assert world.tuner.kept.workers <= peak
    assert world.values[1] >= 0.35 * 30 * curve(Arm("curl", peak))


@settings(max_examples=20, deadline=None)
@given(
    gain=st.floats(0.2, 3.0),
    noise=st.floats(0.0, 0.03),
    seed=st.integers(0, 1000),
)
def test_whatever_cores_bring_the_run_is_near_the_better_one(gain, noise, seed):
    curve = computing(curl=5000, multicore=5000 * gain)
    world = World(curve, busy=always_busy, noise=noise, seed=seed)
    world.run(20)
    best = 5000 * max(1.0, gain)

    assert curve(world.tuner.kept) >= 0.85 * best
    assert world.values[1] >= 0.85 * 20 * best


@settings(max_examples=20, deadline=None)
@given(
    knee=st.integers(10, 900),
    slope=st.floats(0.1, 0.9),
    seed=st.integers(0, 1000),
)
def test_where_errors_rise_with_workers_few_fail_in_the_end(knee, slope, seed):
    def errors(arm):
        return min(0.9, slope * max(0, arm.workers - knee) / knee)

    world = World(lambda _arm: 2000, errors=errors, seed=seed, others=Others())
    tuner = world.run(60)
    worst = errors(Arm("curl", 100))

    assert errors(tuner.kept) <= max(0.06, worst / 2)
    assert tuner.kept.workers >= 1


@settings(max_examples=20, deadline=None)
@given(
    rates=st.lists(st.floats(0, 20_000), min_size=1, max_size=8),
    errors=st.floats(0, 1),
    busy=st.floats(0, 1),
    full=st.floats(0, 1),
    most=st.integers(1, 2000),
)
def test_whatever_happens_it_keeps_to_its_bounds(rates, errors, busy, full, most):
    world = World(
        lambda arm: rates[arm.workers % len(rates)],
        errors=lambda _arm: errors,
        busy=lambda _arm: busy,
        full=full,
        workers=min(most, 100),
        most=most,
    )
    world.run(15)

    assert all(1 <= arm.workers <= most for arm in world.arms)
    assert world.tuner.kept.strategy in {"curl", "multicore", "threads"}
    assert world.tuner.held >= {world.tuner.arm.strategy, world.tuner.kept.strategy}
    assert len(world.tuner.choices().decisions) < 40


@pytest.mark.parametrize("jump", [0.5, 2.0])
def test_it_finds_its_way_again_when_the_world_changes(jump):
    scale = 1.0
    world = World(lambda arm: scale * waiting(0.1, 3000)(arm), others=Others())
    world.run(10)
    scale = jump
    world.run(40)

    assert world.rate(world.tuner.kept) >= 0.8 * 3000 * jump

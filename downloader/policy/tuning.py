"""Which strategy a run should use, and with how many workers, found out as it goes.

    settle ──► measure ──► cruise: measure again, and again
       ▲           │ something else may be better, and is not on hold
       │           ▼
       │        open ──► settle ──► measure ──► judge ──► keep it, or go back
       │   (what is slow to start)                │
       └── once more what was there before ◄──────┘ not clear after the first pair

Two are compared by blocks of time, taken in turn: what is there, the other, and if that
leaves a doubt both again. Every file in them is one that was wanted anyway. What takes
more of the machine must bring clearly more; and after a trial that brought nothing, the
next of its kind waits until the run is a few times as old, so that what trials cost stays
a small share of any run.

No clock, no I/O: `now` and the counts come in.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING

from downloader.policy.goodput import (
    FEWEST_FILES,
    Choices,
    Counts,
    block,
    decision,
)
from downloader.policy.trial import Arm, Kind, Trial
from downloader.tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from downloader.policy.goodput import Block, Decision

# A block ends after a whole number of turns of all workers: those that began together
# end together, so half a turn would count for a whole one or for none.
BLOCK_SECONDS = 0.2
BLOCK_TURNS = 2
LONGEST_BLOCK_SECONDS = 3.0
LONGEST_SETTLING_SECONDS = 2.0
LONGEST_OPENING_SECONDS = 5.0
# What is being tried may take so many times as long for a block as what is there.
SLOWEST_TRIAL = 3.0
# Halving would take too long; what did not help goes as much deeper the next time.
FEWER_BY = 4
# To change the strategy, what is under way must end; slower files are not waited for.
LONGEST_ATTEMPT_SECONDS = 1.0
# Child programs take about half a second to start: a shorter run is over by then.
CORES_AFTER_SECONDS = 0.25
# Threads cost five times the CPU; a trial of them must be a small part of the run.
THREADS_AFTER_SECONDS = 10.0
MOST_THREADS = 32


# A trial that came to nothing is repeated when the run is so many times as old, and not
# before so many seconds have passed.
_HOLDS = {
    Kind.MORE: (2.0, 2.0),
    Kind.FEWER: (2.0, 5.0),
    Kind.CORES: (4.0, 5.0),
    Kind.THREADS: (4.0, 30.0),
    Kind.LIGHTER: (4.0, 10.0),
}
# What would undo a change is on hold after it, too; but errors that come later are not.
_UNDONE_BY = {
    Kind.FEWER: Kind.MORE,
    Kind.CORES: Kind.LIGHTER,
    Kind.THREADS: Kind.LIGHTER,
    Kind.LIGHTER: Kind.CORES,
}


class View(NamedTuple):
    """What the tuner sees beside the counts.

    Attributes:
        in_flight: Attempts under way, wherever.
        is_drained: True if none of them is elsewhere than under the present arm.
        is_ready: True if what was to be opened can be used at once.
    """

    in_flight: int
    is_drained: bool = True
    is_ready: bool = True


class Others(NamedTuple):
    """What there is besides the lightest strategy; None for what there is not."""

    cores: str | None = None
    threads: str | None = None


class _Phase(StrEnum):
    SETTLE = "settle"
    MEASURE = "measure"
    OPEN = "open"


class Tuner:
    """Finds the best arm while the run goes on.

    Args:
        lightest: The strategy to begin with; nothing takes less of the machine.
        others: What may be tried instead.
        workers: How many downloads at once to begin with.
        most_workers: The most there may ever be.
        now: The clock's time at the start.

    Attributes:
        arm: What new attempts are to be given to now.
        kept: What is thought best at present.
        opening: A strategy that is to be opened while `arm` goes on.
        goal: How many attempts will have ended when the next look is due.
    """

    def __init__(
        self,
        lightest: str,
        others: Others,
        *,
        workers: int,
        most_workers: int,
        now: float,
    ) -> None:
        self._lightest = lightest
        self._others = others
        self._most = most_workers
        self._first_workers = workers
        self.arm = self.kept = Arm(lightest, workers)
        self.opening: str | None = None
        self.goal: float = 0
        self._began_at = self._since = now
        self._phase = _Phase.SETTLE
        self._goal_is_set = False
        self._turn = FEWEST_FILES
        self._before = Counts()
        self._reference: Block | None = None
        self._trial: Trial | None = None
        self._holds: dict[Kind, float] = {}
        self._fewer_by = FEWER_BY
        self._decisions: list[Decision] = []

    @property
    def held(self) -> set[str]:
        """The strategies that must be open; others may be closed."""
        trial = {self._trial.arm.strategy} if self._trial is not None else set()
        return {self.kept.strategy, self.arm.strategy} | trial

    def look(self, now: float, counts: Counts, view: View) -> None:
        """Take in how the run goes; `arm` and `opening` may be others afterwards."""
        if self._phase is _Phase.OPEN:
            self._look_at_opening(now, view)
        elif self._phase is _Phase.SETTLE:
            self._look_at_settling(now, counts, view)
        else:
            self._look_at_block(now, counts, view)

    def refuse(self, now: float, why: str) -> None:
        """What was to be opened cannot be used."""
        self._end_trial(now, f"it did not start: {why}", is_kept=False)

    def choices(self) -> Choices:
        """What it has come to so far."""
        return Choices(
            strategy=self.kept.strategy,
            workers=self.kept.workers,
            why=self._why(),
            decisions=tuple(self._decisions),
        )

    # The phases

    def _look_at_opening(self, now: float, view: View) -> None:
        if view.is_ready:
            assert self._trial is not None
            self._run(self._trial.arm, now)
        elif now - self._since > LONGEST_OPENING_SECONDS:
            self.refuse(now, f"not within {LONGEST_OPENING_SECONDS:.0f} s")

    def _look_at_settling(self, now: float, counts: Counts, view: View) -> None:
        """Let what began before the change end, and the change take effect."""
        if not self._goal_is_set:
            self._goal_is_set = view.in_flight > 0
            self.goal = counts.ended + view.in_flight
            return
        seconds = now - self._since
        is_late = seconds > min(self._patience_seconds, LONGEST_SETTLING_SECONDS)
        if view.is_drained and (counts.ended >= self.goal or is_late):
            self._measure(now, counts, view)
        elif seconds <= LONGEST_SETTLING_SECONDS:
            return
        elif self._trial is None:
            self._measure(now, counts, view)
        else:
            why = "what was under way took too long to end to compare anything"
            self._end_trial(now, why, is_kept=False)

    @property
    def _patience_seconds(self) -> float:
        """How long a block may take: a trial should not hold the run up for long."""
        if self._trial is None or self._reference is None:
            return LONGEST_BLOCK_SECONDS
        usual = max(self._reference.seconds, BLOCK_SECONDS)
        return min(LONGEST_BLOCK_SECONDS, SLOWEST_TRIAL * usual)

    def _measure(self, now: float, counts: Counts, view: View) -> None:
        self._phase, self._since, self._before = _Phase.MEASURE, now, counts
        self._turn = max(1, view.in_flight)
        self.goal = counts.ended + max(BLOCK_TURNS * self._turn, FEWEST_FILES)

    def _look_at_block(self, now: float, counts: Counts, view: View) -> None:
        seconds = now - self._since
        is_long = seconds >= self._patience_seconds
        if counts.ended < self.goal and not is_long:
            return
        if seconds < BLOCK_SECONDS:
            self.goal = counts.ended + self._turn
            return
        self._take(block(self._before, counts, seconds), now, view)
        if self._phase is _Phase.MEASURE:
            self._measure(now, counts, view)

    def _take(self, found: Block, now: float, view: View) -> None:
        """A block is over."""
        trial = self._trial
        if trial is None:
            self._reference = found
            self._cruise(found, now, view)
        elif self.arm == trial.arm:
            self._judge(trial, found, now)
        else:  # what was there before, for the second time
            self._reference = found
            self._run(trial.arm, now)

    def _run(self, arm: Arm, now: float) -> None:
        """Give an arm the work from now on."""
        self.arm, self.opening = arm, None
        self._phase, self._since, self._goal_is_set = _Phase.SETTLE, now, False
        self.goal = 0

    # Trials

    def _cruise(self, found: Block, now: float, view: View) -> None:
        elapsed = now - self._began_at
        for kind, arm in self._wishes(found, elapsed):
            is_change = arm.strategy != self.kept.strategy
            if elapsed < self._holds.get(kind, 0.0):
                continue
            if (
                is_change
                and found.turn_seconds(view.in_flight) > LONGEST_ATTEMPT_SECONDS
            ):
                continue
            trial = Trial(kind, arm, is_change=is_change)
            self._begin_trial(trial, now, opens=is_change)
            return

    def _wishes(self, found: Block, elapsed: float) -> Iterator[tuple[Kind, Arm]]:
        """What might be better than what there is, the most likely first."""
        name, workers = self.kept
        if found.is_in_trouble:
            if workers > 1:
                yield Kind.FEWER, Arm(name, max(1, workers // self._fewer_by))
            return
        if found.counts.files < FEWEST_FILES:
            yield from self._way_back(found)
            return
        is_lightest = name == self._lightest
        if not is_lightest:
            yield Kind.LIGHTER, Arm(self._lightest, workers)
        cores = self._others.cores if elapsed >= CORES_AFTER_SECONDS else None
        threads = self._others.threads if elapsed >= THREADS_AFTER_SECONDS else None
        if found.is_busy:
            if is_lightest and cores and not found.is_crowded:
                yield Kind.CORES, Arm(cores, workers)
        elif found.is_full:
            if workers < self._most:
                yield Kind.MORE, Arm(name, min(self._most, 2 * workers))
            if is_lightest and threads:
                yield Kind.THREADS, Arm(threads, min(workers, MOST_THREADS))

    def _way_back(self, found: Block) -> Iterator[tuple[Kind, Arm]]:
        """Fewer workers bring fewer files: after trouble that must be no trap."""
        name, workers = self.kept
        if found.is_full and workers < self._first_workers:
            yield Kind.MORE, Arm(name, min(self._first_workers, 2 * workers))

    def _begin_trial(self, trial: Trial, now: float, *, opens: bool) -> None:
        self._trial = trial
        if opens:
            self._phase, self._since = _Phase.OPEN, now
            self.opening, self.goal = trial.arm.strategy, math.inf
        else:
            self._run(trial.arm, now)

    def _judge(self, trial: Trial, found: Block, now: float) -> None:
        before = self._reference
        assert before is not None
        pair = (found, before)
        shares = f"{before.error_share:.0%} of the attempts failed before, {found.error_share:.0%} with it"
        if trial.kind is Kind.FEWER:
            is_better = found.error_share <= before.error_share / 2 or (
                before.fails_more_than(found) and found.gain_over(before) >= 1
            )
            self._end_trial(now, shares, is_kept=is_better, pair=pair)
            return
        if found.fails_more_than(before):
            self._end_trial(now, shares, is_kept=False, pair=pair)
            return
        trial.gains.append(found.gain_over(before))
        if trial.is_open:
            self._run(self.kept, now)
            return
        why = f"{trial.gain:.2f} times what {self.kept} brought"
        self._end_trial(now, why, is_kept=trial.gain >= trial.needed, pair=pair)

    def _end_trial(
        self,
        now: float,
        why: str,
        *,
        is_kept: bool,
        pair: tuple[Block, Block] | None = None,
    ) -> None:
        trial, self._trial = self._trial, None
        assert trial is not None
        elapsed = now - self._began_at
        self._decisions.append(
            decision(elapsed, *trial.arm, why, is_kept=is_kept, pair=pair)
        )
        if is_kept:
            self.kept = trial.arm
            if trial.kind in _UNDONE_BY:
                self._hold(_UNDONE_BY[trial.kind], elapsed)
            assert pair is not None  # nothing is kept unmeasured
            self._reference = pair[0]
        else:
            self._hold(trial.kind, elapsed)
        if trial.kind is Kind.FEWER:
            self._fewer_by = FEWER_BY if is_kept else FEWER_BY * self._fewer_by
        self._run(self.kept, now)

    def _hold(self, kind: Kind, elapsed: float) -> None:
        times, seconds = _HOLDS[kind]
        self._holds[kind] = max(times * elapsed, elapsed + seconds)

    # Words

    def _why(self) -> str:
        for one in reversed(self._decisions):
            if one.is_kept:
                return one.why
        if self._decisions:
            last = self._decisions[-1]
            tried = Arm(last.strategy, last.workers)
            return f"nothing was to be gained: {tried} came to {last.why}"
        return self._why_untried()

    def _why_untried(self) -> str:
        found = self._reference
        if found is None:
            return "the run was over before there was anything to compare"
        if self._trial is not None:
            return f"the run was over before {self._trial.arm} could be compared"
        return found.bound

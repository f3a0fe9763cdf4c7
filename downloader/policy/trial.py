"""Something else that `auto` tries, and what it must bring to be kept; pure."""

from __future__ import annotations

import math
from enum import StrEnum

from downloader.tuples import NamedTuple

# How many times the goodput it must bring, heavier or lighter; so far off one pair decides.
GAIN = 1.1
LIGHTER_GAIN = 0.95
CLEARLY = 1.2
COLLAPSE = 0.5


class Kind(StrEnum):
    """What a trial is of."""

    MORE = "more workers"
    FEWER = "fewer workers"
    CORES = "all cores"
    THREADS = "threads"
    LIGHTER = "the lightest"


class Arm(NamedTuple):
    """A strategy with a number of downloads at once, as a bound."""

    strategy: str
    workers: int

    def __str__(self) -> str:
        return f"{self.strategy} with {self.workers:,} at once"


class Trial:
    """Something else is being tried."""

    def __init__(self, kind: Kind, arm: Arm, *, is_change: bool) -> None:
        self.kind = kind
        self.arm = arm
        self.gains: list[float] = []
        self.needed = LIGHTER_GAIN if kind is Kind.LIGHTER else GAIN
        # Another strategy's first block goes to connecting and to learning what size of
        # batches is good, so it may win by that but not lose.
        self._is_change = is_change

    @property
    def gain(self) -> float:
        """How many times what is there it brought, as far as is known."""
        if self._is_change:
            return self.gains[-1]
        return math.prod(self.gains) ** (1 / len(self.gains))

    @property
    def is_open(self) -> bool:
        """True if the first pair of blocks leaves a doubt."""
        worst = COLLAPSE if self._is_change else self.needed / CLEARLY
        return len(self.gains) == 1 and worst < self.gains[0] < self.needed * CLEARLY

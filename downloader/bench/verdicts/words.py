"""The words of a verdict, and the rule that comparisons are decided by. Pure.

A claim that compares is decided by the interval of a ratio of paired repeats. It holds if
all of the interval lies on its side of 1, it fails if all of it lies on the other; what
is left is "no difference shown", and so is a ratio nearer to 1 than five per cent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from downloader.bench.result import Estimate, Figure, Verdict, Word

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "CLAIMS",
    "FEWEST_TO_DECIDE",
    "MARGIN",
    "figure",
    "together",
    "verdict",
    "word_of",
]

CLAIMS = {
    1: "For IO-bound work threads, processes and asyncio all speed up downloads.",
    2: "Processes cost more memory than threads.",
    3: "Threads are lighter to start and to switch than processes.",
    4: "Only one thread executes Python at a time: for CPU-bound work threads gain "
    "nothing, processes do.",
    5: "The GIL protects the data that a program's threads share.",
    6: "Writing lots to disk and copying files is CPU-bound.",
    7: "Processes must pass everything through pipes, and that costs.",
    8: "Child programs make use of all cores.",
    9: "Futures of threads and of processes look alike.",
    10: "Threads that share data can deadlock.",
}

# Nearer to 1 than this, a ratio counts as none: five per cent is below what repeats on a
# shared machine can tell apart.
MARGIN = 1.05

FEWEST_TO_DECIDE = 3
"""Repeats without which no comparison is decided: two agree by chance too often."""


def word_of(ratio: Estimate | None, wanted: float = MARGIN) -> Word:
    """What a ratio's interval says of "more than 1", or more than `wanted`."""
    if ratio is None or ratio.repeats < FEWEST_TO_DECIDE:
        return Word.UNDECIDED
    if ratio.low > wanted:
        return Word.HOLDS
    if ratio.high < (wanted if wanted > MARGIN else 1 / MARGIN):
        return Word.FAILS
    return Word.UNDECIDED


def together(words: Iterable[Word]) -> Word:
    """A claim of several parts fails with any of them, and holds with all."""
    said = list(words)
    if Word.FAILS in said:
        return Word.FAILS
    return Word.HOLDS if said and set(said) == {Word.HOLDS} else Word.UNDECIDED


def verdict(number: int, word: Word, reason: str, figures: Sequence[Figure]) -> Verdict:
    """A verdict on the claim of that number."""
    return Verdict(
        number=number,
        claim=CLAIMS[number],
        word=word,
        reason=reason,
        figures=tuple(figures),
    )


def figure(
    label: str, told: Estimate, unit: str = "times", scale: float = 1.0
) -> Figure:
    """An estimate as a verdict's figure, in another unit if need be."""
    has_interval = told.repeats > 1
    return Figure(
        label=label,
        value=told.median * scale,
        low=told.low * scale if has_interval else None,
        high=told.high * scale if has_interval else None,
        repeats=told.repeats,
        unit=unit,
    )

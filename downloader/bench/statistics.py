"""Medians, intervals and ratios of repeated measurements; pure, and random only by seed.

Repeats are few and noise has long tails, so nothing here assumes a distribution: medians
in place of means, resampling or order statistics in place of standard errors.
"""

from __future__ import annotations

import math
import random
from statistics import median
from typing import TYPE_CHECKING

from downloader.bench.result import Estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["crossing", "differs", "estimate", "paired_ratio", "quantile"]

CONFIDENCE = 0.95
RESAMPLES = 2000
# Below it the whole range of the values covers the median with less than 95 %
# (1 - 2^(1 - n): 0.94 at five), and resampling would only feign more.
FEWEST_TO_RESAMPLE = 6


def estimate(values: Sequence[float], seed: int = 0) -> Estimate:
    """The median of independent values, with an interval for the true median.

    From six values on it is the percentile bootstrap, but never less than the order
    statistics that hold the median with 95 %: of few values the bootstrap alone holds
    it less often than it says (87 % at seven, 89 % at ten). Below six it is the range of
    the values with the confidence that they give, which is nothing for one value.

    Raises:
        ValueError: There is no value.
    """
    if not values:
        raise ValueError("no values to estimate from")
    ordered = sorted(values)
    count = len(ordered)
    if count < FEWEST_TO_RESAMPLE:
        confidence = 1.0 - 2.0 ** (1 - count)
        low, high = ordered[0], ordered[-1]
    else:
        confidence = CONFIDENCE
        low, high = _bootstrap(ordered, seed)
    return Estimate(
        median=median(ordered),
        low=low,
        high=high,
        repeats=count,
        confidence=confidence,
    )


def _bootstrap(values: Sequence[float], seed: int) -> tuple[float, float]:
    chance = random.Random(seed)  # noqa: S311 - resampling, no secret
    count = len(values)
    medians = sorted(median(chance.choices(values, k=count)) for _ in range(RESAMPLES))
    tail = (1.0 - CONFIDENCE) / 2.0
    spared = _spared(count)
    low = min(quantile(medians, tail), values[spared])
    return low, max(quantile(medians, 1.0 - tail), values[-1 - spared])


def _spared(count: int) -> int:
    """How many values may be left out at each end with the median held by the others.

    The true median misses the rest if all but so few values lie on one side of it, each
    with a chance of a half.
    """
    spared, missed = 0, 2.0**-count
    while True:
        missed += math.comb(count, spared + 1) * 2.0**-count
        if 2 * missed > 1.0 - CONFIDENCE:
            return spared
        spared += 1


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` of sorted values lie, between two of them if need be."""
    place = share * (len(ordered) - 1)
    lower = int(place)
    upper = min(lower + 1, len(ordered) - 1)
    return ordered[lower] + (ordered[upper] - ordered[lower]) * (place - lower)


def paired_ratio(
    values: Sequence[float], references: Sequence[float], seed: int = 0
) -> Estimate | None:
    """The ratio of two measures taken in the same rounds; None if there is no pair.

    Pairing takes out what both met alike: a machine that is slow for a minute is slow
    for both.
    """
    ratios = [
        value / reference
        for value, reference in zip(values, references, strict=True)
        if reference > 0
    ]
    return estimate(ratios, seed) if ratios else None


def differs(ratio: Estimate) -> bool:
    """True if an interval of a ratio leaves 1 out, so that a difference was shown.

    One pair shows nothing: its interval has no width.
    """
    return ratio.repeats > 1 and not ratio.low <= 1.0 <= ratio.high


def crossing(
    places: Sequence[float], first: Sequence[float], second: Sequence[float]
) -> float | None:
    """Where the second curve overtakes the first, interpolated; None if it never does.

    Args:
        places: The curves' common places, rising.
        first: The first curve's height at each.
        second: The second one's.
    """
    gaps = [low - high for high, low in zip(first, second, strict=True)]
    if len(gaps) < 2 or gaps[0] > 0:  # noqa: PLR2004 - a line takes two points
        return None
    # From the end, so that a dip into noise is no crossing.
    for right in range(len(gaps) - 1, 0, -1):
        left = right - 1
        if gaps[right] <= 0:
            return None
        if gaps[left] <= 0:
            step = gaps[left] / (gaps[left] - gaps[right])
            return places[left] + (places[right] - places[left]) * step
    return None

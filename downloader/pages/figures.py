"""The figures of a run's page that take a pass over its rows; what is kept stays small."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from downloader.tally import Quantiles

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from downloader.timings import HostTimes, Slow, Timing, Timings

__all__ = ["Passed", "RunFigures", "Timeline", "gather", "go_over"]

_BINS = 60
_SLOWEST = 20
_ROUNDING = 1e-12


class Timeline:
    """An amount spread over time, in bins of equal width.

    Args:
        seconds: The length of the run; what lies beyond counts for the last bin.
    """

    def __init__(self, seconds: float) -> None:
        self.width = max(seconds, 1e-6) / _BINS
        self._parts = [0.0] * (_BINS + 1)
        # Differences of what fills whole bins: adding takes as long for any length.
        self._steps = [0.0] * (_BINS + 1)
        self._total = 0.0

    def add(self, began: float, ended: float, amount: float) -> None:
        """Spread an amount evenly from one moment to another, counted from the start."""
        width = self.width
        self._total += amount
        last = _BINS - 1
        first_bin = min(last, max(0, int(began / width)))
        last_bin = min(last, max(first_bin, int(ended / width)))
        if first_bin == last_bin:
            self._parts[first_bin] += amount
            return
        density = amount / (ended - began)
        head = density * ((first_bin + 1) * width - began)
        whole = density * width
        self._parts[first_bin] += head
        self._steps[first_bin + 1] += whole
        self._steps[last_bin] -= whole
        self._parts[last_bin] += amount - head - whole * (last_bin - first_bin - 1)

    @property
    def edges(self) -> list[float]:
        """The ends of the bins, one more than there are."""
        return [place * self.width for place in range(_BINS + 1)]

    @property
    def rates(self) -> list[float]:
        """The amount a second in each bin."""
        found, whole = [], 0.0
        # What goes up and down in turn leaves a rest of rounding where there is nothing.
        least = _ROUNDING * self._total
        for part, step in zip(self._parts[:_BINS], self._steps, strict=False):
            whole += step
            amount = part + whole
            found.append(amount / self.width if amount > least else 0.0)
        return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Passed:
    """What a pass over the rows came to.

    Attributes:
        received: Bytes of saved files over time, while their bodies came.
        in_flight: Last attempts under way over time.
        latency: Times of attempts that saved a file, by host.
        files: How many those were.
    """

    received: Timeline
    in_flight: Timeline
    latency: dict[str, Quantiles]
    files: dict[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFigures:
    """All that a run's page shows beside the summary.

    Attributes:
        timed: Rows whose times are known.
        passed: What was read row by row.
        hosts: The busiest hosts, the busiest first.
        has_more_hosts: True if there are others.
        sizes: How many saved files in each range of sizes, and their bytes.
        slowest: The slowest rows, the slowest first.
        examples: The first failure of each kind: a line and what it came to.
    """

    timed: int
    passed: Passed
    hosts: Sequence[HostTimes]
    has_more_hosts: bool
    sizes: Sequence[tuple[int, int]]
    slowest: Sequence[Slow]
    examples: dict[str, tuple[str, str]]


def gather(timings: Timings, seconds: float, most_hosts: int) -> RunFigures:
    """The figures of all rows.

    Args:
        timings: The rows' times.
        seconds: The length of the run.
        most_hosts: How many to tell apart.
    """
    found = timings.busiest_hosts(most_hosts + 1)
    hosts = found[:most_hosts]
    return RunFigures(
        timed=timings.timed(),
        passed=go_over(timings.each(), seconds, [one.host for one in hosts]),
        hosts=hosts,
        has_more_hosts=len(found) > most_hosts,
        sizes=timings.sizes(),
        slowest=timings.slowest(_SLOWEST),
        examples=timings.first_failures(),
    )


def go_over(rows: Iterable[Timing], seconds: float, hosts: Sequence[str]) -> Passed:
    """What only a pass over the rows can tell; see `gather` for the arguments."""
    received, in_flight = Timeline(seconds), Timeline(seconds)
    latency = {host: Quantiles() for host in hosts}
    files = dict.fromkeys(hosts, 0)
    for host, is_new, size, began, connect, tls, first, body, paused, *kept in rows:
        body_began = began + connect + tls + first
        body_ended = body_began + body + paused
        length = body_ended + sum(kept) - began
        in_flight.add(began, began + length, length)
        if is_new:
            received.add(body_began, body_ended, size)
            if host in files:
                files[host] += 1
                latency[host].add(length)
    return Passed(received=received, in_flight=in_flight, latency=latency, files=files)

"""Whether a host answers later, the more is asked of it at once.

Most attempts of a run meet a host as busy as the run's limits let it be; the first ones,
and those after a lull, find it at rest. If nearly all that came to a busy host waited
longer than what came to it at rest, its answers wait in a queue. If both waited alike
nothing follows: a host that shares its time among all that it works on makes the first
wait as long as the others.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

# What is kept: the beginning of a run says what its end does.
MOST_HOSTS = 32
MOST_SAMPLES = 400
# With fewer at once there is no difference to see, and fewer samples show none.
LEAST_AT_ONCE = 4
LEAST_AT_REST = 2
LEAST_CROWDED = 10
# How much longer a crowd waits at least, and how many of it may be as quick as those
# that came to rest: answers that take long by chance are quick by chance in a crowd too.
LEAST_RATIO = 1.7
MOST_QUICK = 0.05


class Crowd(NamedTuple):
    """A host whose answers queue.

    Attributes:
        host: Its name and port.
        rest_seconds: The median time to its first byte with little else under way.
        crowd_seconds: The same with `at_once` requests under way.
        at_once: How many that were, as a median.
    """

    host: str
    rest_seconds: float
    crowd_seconds: float
    at_once: int


class Crowding:
    """Samples of the time to the first byte, some for each of the first hosts."""

    __slots__ = ("_hosts",)

    def __init__(self) -> None:
        self._hosts: dict[str, list[tuple[float, float]]] = {}

    @property
    def hosts(self) -> int:
        """How many hosts were met, as far as they are counted."""
        return len(self._hosts)

    def add(self, host: str, sent_at: float, first_byte_seconds: float) -> None:
        """Take in when a request went out, and how long its answer took to begin."""
        samples = self._hosts.get(host)
        if samples is None:
            if len(self._hosts) >= MOST_HOSTS:
                return
            samples = self._hosts[host] = []
        if len(samples) < MOST_SAMPLES:
            samples.append((sent_at, first_byte_seconds))

    def worst(self) -> Crowd | None:
        """The host that most time was spent on, if hosts that queue had most of it."""
        waited = {host: sum(w for _, w in s) for host, s in self._hosts.items()}
        crowds = [
            crowd
            for host, samples in self._hosts.items()
            if (crowd := _crowd(host, samples)) is not None
        ]
        if 2 * sum(waited[crowd.host] for crowd in crowds) < sum(waited.values()):
            return None
        return max(crowds, key=lambda crowd: waited[crowd.host], default=None)


def _crowd(host: str, samples: list[tuple[float, float]]) -> Crowd | None:
    """What a host's samples show; None if they show no queue."""
    sent = sorted(at for at, _ in samples)
    answered = sorted(at + waited for at, waited in samples)
    # Sent by then and not answered yet, itself included.
    at_once = [bisect_right(sent, at) - bisect_right(answered, at) for at, _ in samples]
    usual = _median(at_once)
    pairs = list(zip(at_once, (waited for _, waited in samples), strict=True))
    rest = [waited for number, waited in pairs if number <= usual / 2]
    crowd = [waited for number, waited in pairs if number > usual / 2]
    is_enough = len(rest) >= LEAST_AT_REST and len(crowd) >= LEAST_CROWDED
    if usual < LEAST_AT_ONCE or not is_enough:
        return None
    rest_seconds, crowd_seconds = _median(rest), _median(crowd)
    quick = sum(waited <= rest_seconds for waited in crowd)
    if crowd_seconds < LEAST_RATIO * rest_seconds or quick > MOST_QUICK * len(crowd):
        return None
    return Crowd(host, rest_seconds, crowd_seconds, round(usual))


def _median(values: list[float] | list[int]) -> float:
    # The standard one takes 10 ms to import.
    ranked = sorted(values)
    middle = len(ranked) // 2
    return (ranked[~middle] + ranked[middle]) / 2

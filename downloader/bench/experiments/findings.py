"""What the experiments found: plain figures, one entry a round where rounds are paired."""

from __future__ import annotations

import msgspec

__all__ = [
    "Computing",
    "Deadlock",
    "Futures",
    "Memory",
    "Passing",
    "Sharing",
    "Starting",
]


class Computing(msgspec.Struct, frozen=True, kw_only=True):
    """Claims 4 and 8: the same Python computation by each mechanism, an entry a round.

    Attributes:
        workers: How many threads, processes and child programs there were each.
        seconds: By mechanism, the wall time.
        utilisation: CPU seconds that its workers had in each second of the wall's.
        two_at_once: Of the time during which any of its workers was seen to run, the
            share during which at least two were.
        all_at_once: The same of all of them.
        others: How many cores other programs had during each of them; empty where the
            system does not tell.
    """

    workers: int
    seconds: dict[str, list[float]] = {}
    utilisation: dict[str, list[float]] = {}
    two_at_once: dict[str, list[float]] = {}
    all_at_once: dict[str, list[float]] = {}
    others: list[float] = []


class Starting(msgspec.Struct, frozen=True, kw_only=True):
    """Claim 3: seconds to start and join a worker, and to hand a byte over and back.

    Attributes:
        start_seconds: By kind (`thread`, `process by spawn`, ...), one mean a round.
        switch_seconds: One way, by kind (`thread`, `process`), one mean a pair.
        is_pinned: True if the hand-overs were kept on one core, so that each is a
            switch and not a wake-up of another core.
    """

    start_seconds: dict[str, list[float]]
    switch_seconds: dict[str, list[float]]
    is_pinned: bool


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Claim 2: bytes that one more idle worker, ready to download, adds.

    Attributes:
        worker_bytes: By kind (`thread`, `process by fork`, ..., `child program`), one a
            round; empty where the system does not tell.
    """

    worker_bytes: dict[str, list[float]]


class Sharing(msgspec.Struct, frozen=True, kw_only=True):
    """Claim 5: updates of one shared number that were lost, by round.

    Attributes:
        expected: Updates made in each round.
        lost_bare: By `n += 1`.
        lost_call: By `n = int(n) + 1`.
        lost_locked: By the same under a lock.
        seen_by_parent: What a parent sees of updates that its processes made.
    """

    expected: int
    threads: int
    lost_bare: list[int]
    lost_call: list[int]
    lost_locked: list[int]
    seen_by_parent: int


class Futures(msgspec.Struct, frozen=True, kw_only=True):
    """Claim 9: what futures of an executor said, by question."""

    answers: dict[str, dict[str, str]]


class Deadlock(msgspec.Struct, frozen=True, kw_only=True):
    """Claim 10: threads that took two locks.

    Attributes:
        stuck: Threads still waiting, of two that took the locks in two orders.
        waited_seconds: How long they were given.
        same_order_done: Rounds that two threads with one order finished, of `rounds`.
        retreating_done: The same for threads that let go after a time and try again.
    """

    stuck: int
    waited_seconds: float
    rounds: int
    same_order_done: int
    retreating_done: int


class Passing(msgspec.Struct, frozen=True, kw_only=True):
    """Claim 7: the cost of a result by its way, and what crosses for it.

    Attributes:
        seconds: By way (`thread`, `process`, `child program`), for each size of result
            in bytes, the mean time from asking to having it, one a round.
        crossing_bytes: Bytes that cross a pipe for it, by way and size.
    """

    seconds: dict[str, dict[int, list[float]]]
    crossing_bytes: dict[str, dict[int, int]]

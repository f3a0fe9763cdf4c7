"""Where the worker slots of a run were: at work, or idle, and then for whose sake.

Summed once per turn of the session's loop, which passes the clock in; never per file.
"""

from __future__ import annotations

from enum import IntEnum

# Runs shorter than this, or with fewer attempts in less than that, tell nothing.
LEAST_SECONDS = 0.5
LEAST_ATTEMPTS = 10
ENOUGH_SECONDS = 5.0


def tells_enough(seconds: float, attempts: int) -> bool:
    """True if a run is long enough to say what bound it."""
    if not attempts or seconds < LEAST_SECONDS:
        return False
    return attempts >= LEAST_ATTEMPTS or seconds >= ENOUGH_SECONDS


class Hold(IntEnum):
    """What keeps a slot idle; a number, since each turn of the loop looks one up."""

    NOTHING = 0  # there is no more to do, or nothing has begun
    LIST = 1  # the list, or the folder, has not said yet what is next
    LIMITS = 2  # hosts have as many transfers as they may
    PAUSES = 3  # hosts are paused, or what is left waits for another try


class Occupancy:
    """Slot seconds of a run.

    Args:
        slots: How many workers there are.

    Attributes:
        busy_seconds: Summed over the slots that had an attempt in flight.
    """

    __slots__ = ("_at", "_busy", "_free", "_hold", "_idle", "_slots", "busy_seconds")

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._at: float | None = None
        self._busy = self._free = 0
        self._hold = Hold.NOTHING
        self._idle = [0.0] * len(Hold)
        self.busy_seconds = 0.0

    def turn(self, now: float, in_flight: int, room: int, hold: Hold) -> None:
        """Count the time since the last turn, and note what holds from now on.

        Args:
            now: The clock's time.
            in_flight: Attempts handed out; of a batch more may wait than there are slots.
            room: How many more would be taken now: fewer than the other slots where a
                strategy tries fewer out, more where it takes batches.
            hold: What keeps the other slots idle, if any are.
        """
        if self._at is not None:
            spent = now - self._at
            self.busy_seconds += spent * self._busy
            self._idle[self._hold] += spent * self._free
        self._at = now
        self._busy = min(in_flight, self._slots)
        self._free = min(room, self._slots - self._busy)
        self._hold = hold

    def begin_anew(self, began_at: float) -> None:
        """Leave out what was before the first attempt began: workers had to start."""
        if self._at is not None:
            self._at = min(self._at, began_at)
            self.busy_seconds = 0.0
            self._idle = [0.0] * len(Hold)

    def idle_seconds(self, hold: Hold) -> float:
        """Summed over the slots that were idle for this reason."""
        return self._idle[hold]

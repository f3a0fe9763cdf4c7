"""The shared memory through which pooled worker processes tell progress and are told to stop."""

from __future__ import annotations

from typing import Any

from downloader.models import Moved


class Board:
    """Numbers in memory that the parent and all pooled workers share, without a lock.

    A worker killed while it holds a lock would stop all others; here each number has
    one writer, and a torn read costs a flicker of a progress bar.

    Args:
        cells: A shared array of 64-bit integers, `Board.size(seats)` of them.
    """

    _STOP, _RATE, _FIRST_SEAT = 0, 1, 2
    _SEAT_CELLS = 5

    def __init__(self, cells: Any) -> None:
        self._cells = cells

    @classmethod
    def size(cls, seats: int) -> int:
        """How many cells serve so many seats."""
        return cls._FIRST_SEAT + seats * cls._SEAT_CELLS

    @property
    def bytes_per_second(self) -> float | None:
        """The rate that each worker may use."""
        return self._cells[self._RATE] or None

    def limit(self, bytes_per_second: float | None) -> None:
        """Set the rate that each worker may use."""
        self._cells[self._RATE] = (
            0 if bytes_per_second is None else max(1, int(bytes_per_second))
        )

    @property
    def is_stopped(self) -> bool:
        """True once everything is to end."""
        return bool(self._cells[self._STOP])

    def end_all(self) -> None:
        """Tell every worker to end what it does."""
        self._cells[self._STOP] = 1

    def tell(self, seat: int, moved: Moved) -> None:
        """A worker's progress."""
        first = self._FIRST_SEAT + seat * self._SEAT_CELLS
        total = -1 if moved.total_bytes is None else moved.total_bytes
        self._cells[first : first + 4] = (
            moved.attempt_id + 1,
            moved.received_bytes,
            total,
            int(moved.is_divided),
        )

    def moved(self, seat: int) -> Moved | None:
        """The progress of the transfer in a seat; None before it told any."""
        first = self._FIRST_SEAT + seat * self._SEAT_CELLS
        attempt, received, total, is_divided = self._cells[first : first + 4]
        if not attempt:
            return None
        total_bytes = None if total < 0 else total
        return Moved(attempt - 1, received, total_bytes, bool(is_divided))

    def beat(self, seat: int) -> None:
        """Tell that the worker in a seat lives."""
        self._cells[self._FIRST_SEAT + (seat + 1) * self._SEAT_CELLS - 1] += 1

    def beats(self, seat: int) -> int:
        """Count the signs of life of the worker in a seat; 0 before it began."""
        return int(self._cells[self._FIRST_SEAT + (seat + 1) * self._SEAT_CELLS - 1])

    def clear(self, seat: int) -> None:
        """Make a seat free for another batch."""
        first = self._FIRST_SEAT + seat * self._SEAT_CELLS
        self._cells[first] = self._cells[first + self._SEAT_CELLS - 1] = 0

"""What the rows of a run's ledger say of time and size, as far as SQL can sum it up.

SQLite goes over a million rows in less than a second for each question; only what it
cannot sum is read row by row. Nothing here grows with the rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from downloader.models import STOPPED

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

__all__ = ["PHASES", "SIZE_STEPS", "HostTimes", "Slow", "Timing", "Timings"]

PHASES = ("connect", "tls", "first_byte", "body", "paused", "hash", "store")
"""The columns of a row that its last attempt's time went to, in order."""

SIZE_STEPS = tuple(1024 * 4**step for step in range(11))
"""The ends of ranges of sizes: a KiB, and each four times the one before."""

_FETCHED_ROWS = 1024
_SUMS = ", ".join(f"total({phase})" for phase in PHASES)
_TOTAL = " + ".join(PHASES)
_RANGES = " ".join(
    f"WHEN bytes < {step} THEN {place}" for place, step in enumerate(SIZE_STEPS)
)

Timing = tuple[str, int, int, float, float, float, float, float, float, float, float]
"""Host, 1 for a saved file, its bytes, when the attempt began, and its phases."""


class HostTimes(NamedTuple):
    """A host's rows, and the seconds of their last attempts by phase."""

    host: str
    rows: int
    seconds: tuple[float, ...]


class Slow(NamedTuple):
    """A row whose last attempt took long."""

    seconds: float
    url: str
    came_to: str
    size_bytes: int
    began: float
    parts: tuple[float, ...]


class Timings:
    """Questions to the rows; each is answered as they stand when it is put.

    Args:
        connection: The ledger's.
        began_at: The run's start, on the clock that the rows' times are of.
    """

    def __init__(self, connection: sqlite3.Connection, began_at: float) -> None:
        self._connection = connection
        self._began_at = began_at

    def busiest_hosts(self, most: int) -> list[HostTimes]:
        """The hosts with most rows, the busiest first."""
        found = self._connection.execute(
            f"SELECT host, count(*), {_SUMS} FROM rows WHERE host IS NOT NULL "  # noqa: S608 - constants
            "GROUP BY host ORDER BY count(*) DESC, host LIMIT ?",
            (most,),
        )
        return [HostTimes(host, rows, tuple(seconds)) for host, rows, *seconds in found]

    def timed(self) -> int:
        """How many rows have times."""
        rows: int
        (rows,) = self._connection.execute("SELECT count(began) FROM rows").fetchone()
        return rows

    def sizes(self) -> list[tuple[int, int]]:
        """Saved files below each of `SIZE_STEPS` and above all: how many, their bytes."""
        found = self._connection.execute(
            f"SELECT CASE {_RANGES} ELSE {len(SIZE_STEPS)} END, count(*), sum(bytes) "  # noqa: S608 - constants
            "FROM rows WHERE status = 'ok' GROUP BY 1"
        )
        own = {place: (files, size_bytes) for place, files, size_bytes in found}
        return [own.get(place, (0, 0)) for place in range(len(SIZE_STEPS) + 1)]

    def slowest(self, most: int) -> list[Slow]:
        """The rows whose last attempt took longest, the slowest first."""
        found = self._connection.execute(
            f"SELECT {_TOTAL}, url, coalesce(error, status), bytes, began, "  # noqa: S608 - constants
            f"{', '.join(PHASES)} FROM rows WHERE began IS NOT NULL "
            "ORDER BY 1 DESC, seq LIMIT ?",
            (most,),
        )
        return [
            Slow(seconds, url, came_to, size, began - self._began_at, tuple(parts))
            for seconds, url, came_to, size, began, *parts in found
        ]

    def first_failures(self) -> dict[str, tuple[str, str]]:
        """The first row of each kind of failure: its line, and what it came to."""
        # Beside min() SQLite takes the other columns from the row that has it.
        found = self._connection.execute(
            "SELECT error, min(seq), url, coalesce(detail, '') FROM rows "
            "WHERE error IS NOT NULL GROUP BY error"
        )
        return {
            kind: (url, detail) for kind, _, url, detail in found if kind not in STOPPED
        }

    def each(self) -> Iterator[Timing]:
        """Every row that has times, as a bare tuple: it is made a million times."""
        cursor = self._connection.execute(
            f"SELECT host, status = 'ok', bytes, began - ?, {', '.join(PHASES)} "  # noqa: S608 - constants
            "FROM rows WHERE began IS NOT NULL",
            (self._began_at,),
        )
        while found := cursor.fetchmany(_FETCHED_ROWS):
            yield from found

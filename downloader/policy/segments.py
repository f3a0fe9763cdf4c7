"""Which bytes of a file to fetch next, when several connections work on it together.

    0 ├── piece ──┤├── piece ──┤├── piece ──┤├────────── free ──────────┤ total
        ▲ position   ▲ position   ▲ position
    ├──┤ the front: all before it is written, and may be hashed

Nobody hands the pieces out: whoever has nothing to do takes the next one that is free, so
that the front comes on while the file does; at the end, when none is free, the second half
of the one with most to go. So the slow are helped by the quick.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from downloader.tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

# What is hashed in the time of a round trip: 370 MiB/s (sha256 without help of the
# processor's, measured 2026-11) times a tenth of a second.
_HASHED_IN_A_ROUND_TRIP_BYTES = 37 << 20
# Once they have a connection, nobody shies away from a further request for so much.
_LEAST_HELP_BYTES = 512 << 10


class Span(NamedTuple):
    """Some bytes of a file and how far they have come.

    Attributes:
        position: All from the span's beginning up to here is written.
        end: Where it ends; may move down while somebody works on it.
        owner: Who works on it; 0 for nobody.
    """

    position: int
    end: int
    owner: int

    @property
    def left_bytes(self) -> int:
        """What is still to come."""
        return max(0, self.end - self.position)


class Bounds(NamedTuple):
    """How much to take at a time.

    Attributes:
        least_bytes: Nobody begins with less, unless it lies there free.
        piece_bytes: Nobody takes more while others may want some.
        most_spans: There may be no more of them.
    """

    least_bytes: int
    piece_bytes: int
    most_spans: int


class Claim(NamedTuple):
    """What to work on: bytes of span number `place`, from `first` up to before `end`."""

    place: int
    first: int
    end: int


def bounds(
    total_bytes: int, segments: int, least_bytes: int, most_spans: int, *, hashes: bool
) -> Bounds:
    """How a file is divided among so many.

    With k pieces for each of them it costs k round trips more, and the last pieces, a
    k-th of the file, are hashed when all has come: best where both take equally long.
    Unhashed, one for each will do.
    """
    pieces = math.sqrt(total_bytes / _HASHED_IN_A_ROUND_TRIP_BYTES) if hashes else 1.0
    pieces = max(1.0, min(pieces, most_spans / 2 / segments))
    piece_bytes = math.ceil(total_bytes / segments / pieces)
    return Bounds(least_bytes, max(least_bytes, piece_bytes), most_spans)


def claim(spans: list[Span], owner: int, bounds: Bounds) -> Claim | None:
    """What somebody who has nothing to do should take; None if nothing is worth it.

    Args:
        spans: What there is.
        owner: Who asks. What is theirs already comes before all else.
        bounds: How much to take.
    """
    place = _first(spans, {owner}) if owner else None
    if place is None:
        place = _first(spans, {0})
    has_room = len(spans) + 2 <= bounds.most_spans
    if place is not None:
        position, end, _ = spans[place]
        # What would be left of it must be worth a connection.
        is_large = end - position >= bounds.piece_bytes + bounds.least_bytes
        is_cut = has_room and is_large
        return Claim(place, position, position + bounds.piece_bytes if is_cut else end)
    place = max(range(len(spans)), key=lambda one: spans[one].left_bytes)
    return _part_of(place, spans, owner, bounds) if has_room else None


def _first(spans: list[Span], owners: set[int]) -> int | None:
    """The foremost of their spans that is not written yet."""
    found = [
        index
        for index, span in enumerate(spans)
        if span.left_bytes and span.owner in owners
    ]
    return min(found, key=lambda one: spans[one].position, default=None)


def _part_of(place: int, spans: list[Span], owner: int, bounds: Bounds) -> Claim | None:
    """The second half of what somebody works on; of much, what follows a first piece."""
    least, piece, _ = bounds
    position, end, _ = spans[place]
    has_connection = any(span.owner == owner for span in spans)
    worth = min(least, _LEAST_HELP_BYTES) if has_connection else least
    left = end - position
    if left < 2 * worth:
        return None
    if left < 2 * piece:
        return Claim(place, end - max(worth, left // 2), end)
    first = position + piece
    is_cut = end - first >= piece + least
    return Claim(place, first, first + piece if is_cut else end)


def is_complete(spans: Iterable[Span]) -> bool:
    """True if every byte is written."""
    return not any(span.left_bytes for span in spans)


def front(spans: Iterable[Span], total_bytes: int) -> int:
    """Up to where every byte of the file is written."""
    left = (span.position for span in spans if span.left_bytes)
    return min(left, default=total_bytes)


def is_divisible(total_bytes: int | None, segments: int, least_bytes: int) -> bool:
    """True if a file is large enough for several connections."""
    return segments > 1 and total_bytes is not None and total_bytes >= 2 * least_bytes

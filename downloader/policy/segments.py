"""Which bytes of a file to fetch next, when several connections work on it together.

    0 ├──────── span 0 ────────┤├──── span 1 ────┤├── span 2 ──┤ total
          ▲ position              ▲ position        (free)

Nobody hands the spans out: whoever has nothing to do takes a free one, or else the second
part of the one with most to go. So the slow are helped by the quick up to the end.
"""

from __future__ import annotations

from downloader.tuples import NamedTuple


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


class Claim(NamedTuple):
    """What to work on: span number `place`, or what is behind `cut` in it."""

    place: int
    cut: int | None = None


def claim(
    spans: list[Span], least_bytes: int, share_bytes: int, most_spans: int
) -> Claim | None:
    """What somebody who has nothing to do should take; None if nothing is worth it.

    Args:
        spans: What there is.
        least_bytes: Nobody begins with less, unless it lies there free.
        share_bytes: What each of all who may work on the file would have.
        most_spans: There may be no more of them.
    """
    for index, span in enumerate(spans):
        if not span.owner and span.left_bytes:
            return Claim(index)
    index, longest = max(enumerate(spans), key=lambda one: one[1].left_bytes)
    if longest.left_bytes < 2 * least_bytes or len(spans) >= most_spans:
        return None
    taken = max(least_bytes, min(share_bytes, longest.left_bytes // 2))
    return Claim(index, longest.end - taken)


def is_complete(spans: list[Span]) -> bool:
    """True if every byte is written."""
    return not any(span.left_bytes for span in spans)


def is_divisible(total_bytes: int | None, segments: int, least_bytes: int) -> bool:
    """True if a file is large enough for several connections."""
    return segments > 1 and total_bytes is not None and total_bytes >= 2 * least_bytes

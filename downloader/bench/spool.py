"""The user's lists as one file, so that every run is given the same lines."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from downloader.errors import UsageError
from downloader.sources import open_lists

if TYPE_CHECKING:
    from downloader.sources import Feed

__all__ = ["spool"]

_LINES_AT_ONCE = 1_000
_PAUSE_SECONDS = 0.02


def spool(sources: tuple[str, ...], path: str) -> int:
    """Write every line of the lists to a file, and return how many there are.

    Args:
        sources: URLs, list files, and `-` for standard input, which is read to its end.
        path: Where to.

    Raises:
        UsageError: A list cannot be read, or there is no line at all.
    """
    feed = open_lists(sources)
    lines = 0
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        while not feed.is_done:
            taken = _take(feed)
            file.writelines(f"{line}\n" for line in taken)
            lines += len(taken)
    if not lines:
        raise UsageError("the list has no URL in it, so there is nothing to measure")
    return lines


def _take(feed: Feed) -> list[str]:
    taken = [request.url for request, _ in feed.take(_LINES_AT_ONCE)]
    if not taken and not feed.is_done:
        time.sleep(_PAUSE_SECONDS)
    return taken

"""State of each host in the frontier: queue, slots, pauses, answers."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from downloader.policy.ticket import Ticket


class Host:
    """One host's queue, slots and pause.

    Attributes:
        began_at: When the first request for it went out.
        granted: Its answers that were no refusals.
        granted_at: When the last of them came, None if none did.
        reached_at: When it last answered anything, None if it never did.
    """

    __slots__ = (
        "began_at",
        "divided",
        "granted",
        "granted_at",
        "held",
        "is_ready",
        "key",
        "paused_until",
        "pauses",
        "queue",
        "reached_at",
        "slots",
        "spilled",
    )

    def __init__(self, key: str) -> None:
        self.key = key
        self.queue: deque[Ticket] = deque()
        self.slots = 0
        self.held = 0
        self.spilled = 0
        self.paused_until = 0.0
        self.pauses = 0  # timers that will end one
        self.is_ready = False
        self.divided: list[Ticket] = []  # those that more connections may help with
        self.began_at = 0.0
        self.granted = 0
        self.granted_at: float | None = None
        self.reached_at: float | None = None

    @property
    def is_idle(self) -> bool:
        # A pause outlives its last request: redirects may lead here again before it ends.
        is_used = self.held or self.spilled or self.slots or self.pauses
        # In the round of those that may start it is still looked at.
        return not (is_used or self.is_ready)

    def put_first(self, *, is_tried: bool) -> None:
        """Put a request that has (or has not) failed before the others, if there is one."""
        found = next((t for t in self.queue if t.history.is_tried is is_tried), None)
        if found is not None:
            self.queue.remove(found)
            self.queue.appendleft(found)


class Slot:
    """One of a host's slots while a batch holds it."""

    __slots__ = ("host", "remaining")

    def __init__(self, host: Host, remaining: int) -> None:
        self.host = host
        self.remaining = remaining

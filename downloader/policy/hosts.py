"""What the frontier keeps of each host: its queue, its slots, its pauses."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from downloader.policy.ticket import Ticket


class Host:
    """One host's queue, slots and pause."""

    __slots__ = (
        "divided",
        "held",
        "is_ready",
        "key",
        "paused_until",
        "pauses",
        "queue",
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

    @property
    def is_idle(self) -> bool:
        # A pause outlives its last request: redirects may lead here again before it ends.
        is_used = self.held or self.spilled or self.slots or self.pauses
        # In the round of those that may start it is still looked at.
        return not (is_used or self.is_ready)


class Slot:
    """One of a host's slots while a batch holds it."""

    __slots__ = ("host", "remaining")

    def __init__(self, host: Host, remaining: int) -> None:
        self.host = host
        self.remaining = remaining

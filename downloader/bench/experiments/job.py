"""What an experiment's process is told."""

from __future__ import annotations

import msgspec

__all__ = ["ExperimentJob"]


class ExperimentJob(msgspec.Struct, frozen=True, kw_only=True):
    """Which experiment, how often, with how many workers.

    Attributes:
        budget_seconds: When over, no round begins but the fewest that decide anything.
    """

    name: str
    rounds: int = 1
    workers: int = 2
    seed: int = 0
    budget_seconds: float = 60.0

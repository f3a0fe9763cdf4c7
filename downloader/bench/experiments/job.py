"""What an experiment's process is told."""

from __future__ import annotations

import msgspec

__all__ = ["ExperimentJob"]


class ExperimentJob(msgspec.Struct, frozen=True, kw_only=True):
    """Which experiment, how often, with how many workers; `kind` is for `memory` alone."""

    name: str
    rounds: int = 1
    workers: int = 2
    seed: int = 0
    kind: str = ""

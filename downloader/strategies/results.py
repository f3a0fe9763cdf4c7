"""What workers of every kind say about themselves and their faults."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import msgspec

from downloader.errors import DownloaderError
from downloader.log import Log
from downloader.models import AttemptResult, ErrorKind, Failure, WorkerUsage
from downloader.policy.redaction import redact_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable

    from downloader.models import Attempt

logger = Log(__name__)


def internal_failure(
    attempt: Attempt, error: Exception, seconds: float
) -> AttemptResult:
    """The result of an attempt that met a fault of this program."""
    logger.debug("attempt %s broke", attempt.id, error=error)
    failure = Failure(ErrorKind.INTERNAL, fault_text(error))
    return AttemptResult(attempt.id, failure=failure, seconds=seconds)


def fault_text(error: BaseException) -> str:
    """Return the words for a fault of this program, for rows and messages."""
    text = str(error)
    if not isinstance(error, DownloaderError):
        # Not its repr: what cannot be encoded, a password say, stands in there.
        text = f"{type(error).__name__}: {redact_secrets(text)}"
    return f"a fault of this program: {text}"


def own_usage(start_cpu_seconds: float) -> WorkerUsage:
    """What this process has used so far, and of it to start."""
    return WorkerUsage(
        os.getpid(), time.process_time(), peak_bytes(), start_cpu_seconds
    )


def peak_bytes() -> int:
    """The most memory this process has ever held, in bytes; 0 where that is unknown."""
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def bury(usage: dict[int, WorkerUsage], pids: Iterable[int]) -> None:
    """Keep what dead processes have used of the CPU; their memory is others' now."""
    for pid in pids:
        if pid in usage:
            usage[pid] = msgspec.structs.replace(usage[pid], peak_bytes=0)


class BatchSize:
    """How many attempts to hand a sequential worker at once, learnt from their times.

    Small quick files travel together, for the pipe's sake; slow or large ones alone,
    since whatever is behind them in a batch has to wait.
    """

    LARGEST = 8
    # A batch should take no longer than this.
    SECONDS = 0.05
    _WEIGHT = 0.2

    def __init__(self) -> None:
        self._mean_seconds = 1.0

    @property
    def attempts(self) -> int:
        """The size of the next batch, from 1 to `LARGEST`."""
        return max(1, min(self.LARGEST, int(self.SECONDS / self._mean_seconds)))

    def learn(self, results: list[AttemptResult]) -> None:
        """Take the times of finished attempts in."""
        for result in results:
            gap = max(result.seconds, 1e-6) - self._mean_seconds
            self._mean_seconds += self._WEIGHT * gap

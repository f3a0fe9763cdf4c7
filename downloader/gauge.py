"""What is measured of a run to say what bound it; the judgement is in `policy.bound`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from downloader.policy.occupancy import Hold, Occupancy, tells_enough
from downloader.readiness import Readiness, ready_seconds
from downloader.strategies.contract import KINDS, chosen, usable_cores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from downloader.models import AttemptResult, WorkerUsage
    from downloader.policy.bound import Bound
    from downloader.policy.goodput import Choices
    from downloader.settings import Settings
    from downloader.tally import Times


class Gauge:
    """Measures one run, from its making on.

    Args:
        strategy: Its strategy's name.
        workers: How many slots that has.
        has_processes: True if worker processes move the bytes.
        settings: The run's.

    Attributes:
        turn: Tells, once per turn of the loop, where slots are; see `Occupancy`.
    """

    def __init__(
        self, strategy: str, workers: int, settings: Settings, *, has_processes: bool
    ) -> None:
        self._strategy = strategy
        self._workers = workers
        self._settings = settings
        self._has_processes = has_processes
        self._occupancy = Occupancy(workers)
        self._readiness = Readiness()
        self._made_at = time.monotonic()
        self._began_at: float | None = None
        self._ready_seconds = self._worker_ready_seconds = 0.0
        self.turn = self._occupancy.turn

    def begin(self, result: AttemptResult) -> None:
        """Take in when the first attempt began; further ones change nothing."""
        if self._began_at is None and result.phases is not None:
            self._began_at = result.phases.began_at
            self._occupancy.begin_anew(self._began_at)

    def look_at_workers(self, usage: Sequence[WorkerUsage]) -> None:
        """The workers are about to end, and with them what the system knows of them."""
        # A loop is one thread; others beside it wait for its disk, several at once.
        kind = KINDS[self._strategy]
        is_one = (kind.is_loop or kind.workers == 1) and not self._has_processes
        readiness = self._readiness
        self._ready_seconds = (
            readiness.thread_seconds() if is_one else readiness.own_seconds()
        )
        self._worker_ready_seconds = ready_seconds(one.pid for one in usage)

    def phase_seconds(self, times: Times) -> dict[str, float]:
        """Where slots were; see `report.Summary`."""
        idle_seconds = self._occupancy.idle_seconds
        own_seconds = times.paused_seconds + times.hash_seconds + times.store_seconds
        spent = times.network_seconds + own_seconds
        return {
            "politeness": idle_seconds(Hold.LIMITS) + idle_seconds(Hold.PAUSES),
            "queue": max(0.0, self._occupancy.busy_seconds - spent),
            "connect": times.connect_seconds,
            "tls": times.tls_seconds,
            "first_byte": times.first_byte_seconds,
            "body": times.body_seconds,
            "rate": times.paused_seconds,
            "hash": times.hash_seconds,
            "store": times.store_seconds,
        }

    def bound(
        self,
        times: Times,
        usage: Sequence[WorkerUsage],
        *,
        seconds: float,
        cpu_seconds: float,
        commit_seconds: float,
        received_bytes: int,
        choices: Choices | None,
    ) -> Bound | None:
        """What bound the run; None if it was too short to tell.

        Args:
            times: Those of its attempts.
            usage: What worker processes used.
            seconds: The run's length.
            cpu_seconds: The CPU time of the run's own process.
            commit_seconds: That the loop waited for the record to be committed.
            received_bytes: Bytes of bodies that came.
            choices: What a strategy that chooses among others came to.
        """
        if not tells_enough(seconds, times.attempts):
            return None
        # Only now: a short run shall not pay for what it has no use for.
        from downloader.policy.bound import classify
        from downloader.policy.figures import Figures

        start_seconds = (self._began_at or self._made_at) - self._made_at
        rate = self._settings.limit_rate
        most_bytes = (rate or 0) * max(1e-9, seconds - start_seconds)
        idle_seconds = self._occupancy.idle_seconds
        strategy = choices.strategy if choices else self._strategy
        figures = Figures(
            strategy=strategy,
            is_loop=KINDS[strategy].is_loop,
            loop=chosen("default"),
            is_chosen=choices is not None,
            has_processes=bool(usage) if choices else self._has_processes,
            workers=choices.workers if choices else self._workers,
            per_host=self._settings.per_host,
            hosts=times.crowding.hosts,
            cores=usable_cores(),
            is_durable=self._settings.durable,
            hash=_dearer_hash(self._settings),
            seconds=seconds,
            start_seconds=start_seconds,
            attempts=times.attempts,
            refused=times.refused,
            busy_seconds=self._occupancy.busy_seconds,
            list_seconds=idle_seconds(Hold.LIST),
            limits_seconds=idle_seconds(Hold.LIMITS),
            pauses_seconds=idle_seconds(Hold.PAUSES),
            network_seconds=times.network_seconds,
            first_byte_seconds=times.first_byte_seconds,
            paused_seconds=times.paused_seconds,
            rate_share=min(1.0, received_bytes / most_bytes) if rate else 0.0,
            hash_seconds=times.hash_seconds,
            store_seconds=times.store_seconds,
            commit_seconds=commit_seconds,
            cpu_seconds=cpu_seconds,
            worker_cpu_seconds=sum(one.cpu_seconds for one in usage),
            worker_start_cpu_seconds=sum(one.start_cpu_seconds for one in usage),
            worker_processes=len(usage),
            ready_seconds=self._ready_seconds,
            worker_ready_seconds=self._worker_ready_seconds,
            crowd=times.crowding.worst(),
        )
        return classify(figures)


def _dearer_hash(settings: Settings) -> str | None:
    """The digest in use where another would cost less; a list of sha256 needs that."""
    if settings.hash == "none" or settings.checksums is not None:
        return None
    return settings.hash

"""The figures of a run, kept as it goes, in memory that does not grow with it."""

from __future__ import annotations

import math
import time
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from downloader.models import STOPPED, ErrorKind, Status
from downloader.policy.crowding import Crowding
from downloader.policy.retry import REFUSALS
from downloader.report import Summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from downloader.models import AttemptResult, Outcome, WorkerUsage
    from downloader.policy.bound import Bound
    from downloader.policy.goodput import Choices

_MIB = 1 << 20
# Failures that are nobody's: a file of the user's was left alone, or there was no time.
_UNTRIED = (ErrorKind.EXISTS.value, *(kind.value for kind in STOPPED))


class Quantiles:
    """Quantiles of positive numbers, to within half a per cent, in a few kilobytes.

    Counts on a logarithmic scale: exact ranks, values rounded to 1 %.
    """

    _STEP = math.log(1.01)

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._size = 0

    def add(self, value: float) -> None:
        """Count a value."""
        self._counts[round(math.log(max(value, 1e-9)) / self._STEP)] += 1
        self._size += 1

    def quantile(self, share: float) -> float | None:
        """The value that `share` of all do not exceed; None without values."""
        rank = max(1, math.ceil(share * self._size))
        for step, number in sorted(self._counts.items()):
            rank -= number
            if rank <= 0:
                return math.exp(step * self._STEP)
        return None


class Times:
    """Where the time of all attempts went, summed up, and how busy hosts answered.

    Attributes:
        attempts: How many there were.
        refused: How many of them were answered 429 or 503.
        connect_seconds: Connecting, the name's look-up included.
        tls_seconds: TLS handshakes.
        first_byte_seconds: From the request to the head.
        body_seconds: From the head to the body's end.
        paused_seconds: Held back by a rate.
        hash_seconds: Hashing.
        store_seconds: Writing, and giving files their names.
    """

    __slots__ = (
        "attempts",
        "body_seconds",
        "connect_seconds",
        "crowding",
        "first_byte_seconds",
        "hash_seconds",
        "paused_seconds",
        "refused",
        "store_seconds",
        "tls_seconds",
    )

    def __init__(self) -> None:
        self.attempts = self.refused = 0
        self.connect_seconds = self.tls_seconds = self.first_byte_seconds = 0.0
        self.body_seconds = self.paused_seconds = 0.0
        self.hash_seconds = self.store_seconds = 0.0
        self.crowding = Crowding()

    @property
    def network_seconds(self) -> float:
        """All that was waited for on the network."""
        before = self.connect_seconds + self.tls_seconds
        return before + self.first_byte_seconds + self.body_seconds

    def add(self, result: AttemptResult, host: str | None = None) -> None:
        """Take in an attempt; of one without a host no answer is compared."""
        self.attempts += 1
        failure = result.failure
        if failure is not None and failure.kind in REFUSALS:
            self.refused += 1
        phases = result.phases
        if phases is None:
            return
        first_byte = phases.first_byte_seconds
        before = phases.connect_seconds + phases.tls_seconds
        self.connect_seconds += phases.connect_seconds
        self.tls_seconds += phases.tls_seconds
        self.first_byte_seconds += first_byte
        self.body_seconds += phases.body_seconds
        self.paused_seconds += phases.paused_seconds
        self.hash_seconds += phases.hash_seconds
        self.store_seconds += phases.store_seconds
        if host is not None and failure is None and not result.hops:
            self.crowding.add(host, phases.began_at + before, first_byte)


class Tally:
    """Counts attempts and outcomes, and makes the summary.

    Attributes:
        times: Where the time of all attempts went.
        received_bytes: Bytes of bodies that came over the network.
    """

    def __init__(self) -> None:
        self.started_at = datetime.now(UTC)
        self._began = time.perf_counter()
        self._cpu_began = time.process_time()
        # By their words: hashing a member of an enumeration takes a call of Python's.
        self._statuses: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._latency = Quantiles()
        self._bytes = 0
        self.received_bytes = 0
        self._attempts = 0
        self._retries = 0
        self.times = Times()

    def helped(self, result: AttemptResult) -> None:
        """Take in what an attempt brought to a file that others finish."""
        self.received_bytes += result.received_bytes
        self.times.add(result)

    def result(self, result: AttemptResult, host: str = "") -> None:
        """Count an attempt's end.

        Args:
            result: What it brought.
            host: The host and port that its line names.
        """
        self.received_bytes += result.received_bytes
        self.times.add(result, host)
        if result.saved is not None:
            self._latency.add(result.seconds)

    def outcome(self, outcome: Outcome) -> None:
        """Count a row."""
        self._statuses[str(outcome.status)] += 1
        self._attempts += outcome.attempts
        if outcome.attempts > 1:
            self._retries += outcome.attempts - 1
        if outcome.status is Status.OK:
            self._bytes += outcome.bytes
        elif outcome.error is not None:
            self._errors[outcome.error] += 1

    @property
    def failed_of_ended(self) -> tuple[int, int]:
        """Rows that failed though they were tried, and all that have ended."""
        untried = sum(self._errors[kind] for kind in _UNTRIED)
        return self._statuses[Status.FAILED.value] - untried, self._statuses.total()

    def given_up(self, rows: int, error: str) -> None:
        """Count rows that failed without a try."""
        if rows:
            self._statuses[Status.FAILED.value] += rows
            self._errors[error] += rows

    def summary(
        self,
        *,
        strategy: str,
        workers: int,
        per_host: int | None,
        duplicates: int,
        usage: Iterable[WorkerUsage],
        own_peak_bytes: int,
        interrupted_by: int | None,
        list_complete: bool,
        manifest_complete: bool,
        stopped_because: str | None = None,
        phase_seconds: dict[str, float] | None = None,
        bound: Callable[[float, float], Bound | None] = lambda _, __: None,
        auto: Choices | None = None,
    ) -> Summary:
        """The figures as they stand now.

        `bound` is asked, with the run's length and its own CPU seconds, what bound it;
        the others are as in `Summary`.
        """
        usage = list(usage)
        seconds = time.perf_counter() - self._began
        cpu_seconds = time.process_time() - self._cpu_began
        statuses = self._statuses
        rows = statuses.total()
        with_file = rows - statuses[Status.FAILED.value]
        return Summary(
            strategy=strategy,
            workers=workers,
            per_host=per_host,
            started_at=self.started_at,
            seconds=seconds,
            lines=rows + duplicates,
            rows=rows,
            duplicates=duplicates,
            ok=statuses[Status.OK.value],
            unchanged=statuses[Status.UNCHANGED.value],
            skipped=statuses[Status.SKIPPED.value],
            failed=statuses[Status.FAILED.value],
            bytes=self._bytes,
            received_bytes=self.received_bytes,
            files_per_second=with_file / seconds,
            mib_per_second=self.received_bytes / _MIB / seconds,
            latency_p50_seconds=self._latency.quantile(0.50),
            latency_p95_seconds=self._latency.quantile(0.95),
            latency_p99_seconds=self._latency.quantile(0.99),
            cpu_seconds=cpu_seconds + sum(one.cpu_seconds for one in usage),
            peak_memory_bytes=own_peak_bytes + sum(one.peak_bytes for one in usage),
            retries=self._retries,
            attempts=self._attempts,
            errors=dict(sorted(self._errors.items())),
            interrupted_by=interrupted_by,
            list_complete=list_complete,
            manifest_complete=manifest_complete,
            stopped_because=stopped_because,
            phase_seconds=phase_seconds or {},
            bound=bound(seconds, cpu_seconds),
            auto=auto,
        )

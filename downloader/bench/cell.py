"""`python -m downloader.bench.cell`: one run of one cell, in this fresh process.

Downloads go through the whole engine with its manifest, checks and hashes, since that is
what a user gets; a CPU stage and plain files go by the bare mechanisms. Told to measure
again, it does so with the workers that it has.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from typing import TYPE_CHECKING

import msgspec

from downloader.bench import mechanisms
from downloader.bench.child import serve
from downloader.bench.statistics import quantile
from downloader.bench.usage import sees_living_children, usage_so_far
from downloader.bench.works import Work, perform
from downloader.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from downloader.bench.open_session import Block
    from downloader.bench.usage import Usage

__all__ = ["WARM_UP_LATENCY_SECONDS", "CellJob", "CellReport", "main"]

TICK_SECONDS = 0.01
WARM_UP_LATENCY_SECONDS = 0.2
"""How long the site holds a file of the warm-up back: no worker does another one's too."""


class CellJob(msgspec.Struct, frozen=True, kw_only=True):
    """What one run is to do.

    Attributes:
        folder: An empty folder of its own.
        urls: What to fetch; or the pieces, if there is a `work`.
        sources: Lists as the command takes them, in place of `urls`.
        warm_up: Tiny files to fetch beforehand, so that every worker is there.
        is_single_block: True to end the session after its first block, which tells
            where time went; False to keep it for further ones.
        settings: What a user's own list is to be fetched under; None for a site that
            is nobody's: no limit a host, no proxy.
        work: Work for the bare mechanism; None to fetch by the engine.
    """

    strategy: str
    workers: int
    folder: str
    urls: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    warm_up: tuple[str, ...] = ()
    is_single_block: bool = True
    settings: Settings | None = None
    work: Work | None = None


class CellReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one run came to; see `Sample` for what the fields mean."""

    seconds: float
    files: int
    failed: int
    received_bytes: int
    user_seconds: float
    system_seconds: float
    startup_seconds: float | None = None
    voluntary_switches: int | None = None
    involuntary_switches: int | None = None
    ticker_lag_seconds: float | None = None
    latency_p50_seconds: float | None = None
    latency_p95_seconds: float | None = None
    phase_seconds: dict[str, float] = {}


def main() -> None:
    """Serve the parent that started this process."""
    serve(prepare)


def prepare(line: bytes) -> Callable[[], bytes]:
    """Load and warm up all that the job needs; the returned function measures."""
    job = msgspec.json.decode(line, type=CellJob)
    measure = _prepare_engine(job) if job.work is None else _prepare_work(job, job.work)
    return lambda: msgspec.json.encode(measure())


def _prepare_work(job: CellJob, work: Work) -> Callable[[], CellReport]:
    with tempfile.TemporaryDirectory(dir=job.folder) as spare:
        aside = msgspec.structs.replace(work, folder=spare)
        for piece in job.warm_up:
            perform(aside, piece)

    def measure() -> CellReport:
        ran = mechanisms.run(job.strategy, job.workers, work, job.urls)
        return CellReport(
            seconds=ran.seconds,
            files=len(job.urls),
            failed=0,
            received_bytes=ran.size_bytes,
            user_seconds=ran.user_seconds,
            system_seconds=ran.system_seconds,
            phase_seconds=ran.phase_seconds,
        )

    return measure


def _prepare_engine(job: CellJob) -> Callable[[], CellReport]:
    from downloader.strategies.contract import load

    load(job.strategy)
    if job.sources:
        return lambda: _fetch_list(job)
    return _Blocks(job).measure


class _Blocks:
    """One session of the engine and the blocks that it fetches, one for each round."""

    def __init__(self, job: CellJob) -> None:
        from downloader.bench.open_session import OpenSession

        self._job = job
        self._session = OpenSession(_settings(job))
        self._is_single = job.is_single_block
        self._number = 0

    def measure(self) -> CellReport:
        """Fetch the next block; before the first one the workers are started."""
        began = usage_so_far()
        startup_seconds = None
        if not self._number:
            startup_seconds = self._start()
        self._number += 1
        urls = [_of_block(url, self._number) for url in self._job.urls]
        # Where living children keep what they used to themselves, their start counts.
        before = usage_so_far() if sees_living_children() else began
        phases_before = self._session.phase_seconds()
        with _Ticker() as ticker:
            block = self._session.fetch(urls)
        after = usage_so_far()
        summary = self._session.close() if self._is_single else None
        if not sees_living_children():
            after = usage_so_far()
        phases = _since(phases_before, summary.phase_seconds) if summary else {}
        report = _report(block, after.since(before), ticker, phases)
        return msgspec.structs.replace(report, startup_seconds=startup_seconds)

    def _start(self) -> float:
        """Start all workers; how long that took, without the server's own waiting."""
        began = time.perf_counter()
        self._session.fetch(self._job.warm_up)
        return max(0.0, time.perf_counter() - began - WARM_UP_LATENCY_SECONDS)


def _of_block(url: str, number: int) -> str:
    """The URL as it is asked for in that block: no block fetches another one's files."""
    return f"{url}{'&' if '?' in url else '?'}block={number}"


def _settings(job: CellJob) -> Settings:
    chosen = {
        "output": os.path.join(job.folder, "run"),
        "strategy": job.strategy,
        "workers": job.workers,
    }
    if job.settings is not None:
        return msgspec.structs.replace(job.settings, **chosen)
    return Settings.make({}, per_host="none", proxy="none", **chosen)


def _fetch_list(job: CellJob) -> CellReport:
    """The user's own list, once, from the start of workers to their end."""
    from downloader.api import run_list
    from downloader.progress import Silent

    before = usage_so_far()
    with _Ticker() as ticker:
        began = time.perf_counter()
        with run_list(job.sources, _settings(job), Silent()) as report:
            summary = report.summary
        seconds = time.perf_counter() - began
    used = usage_so_far().since(before)
    return CellReport(
        seconds=seconds,
        files=summary.rows - summary.failed,
        failed=summary.failed,
        received_bytes=summary.received_bytes,
        user_seconds=used.user_seconds,
        system_seconds=used.system_seconds,
        voluntary_switches=used.voluntary,
        involuntary_switches=used.involuntary,
        ticker_lag_seconds=ticker.lag_seconds,
        latency_p50_seconds=summary.latency_p50_seconds,
        latency_p95_seconds=summary.latency_p95_seconds,
        phase_seconds=summary.phase_seconds,
    )


def _report(
    block: Block, used: Usage, ticker: _Ticker, phases: dict[str, float]
) -> CellReport:
    latency = block.latency_seconds
    return CellReport(
        seconds=block.seconds,
        files=block.files,
        failed=block.failed,
        received_bytes=block.received_bytes,
        user_seconds=used.user_seconds,
        system_seconds=used.system_seconds,
        voluntary_switches=used.voluntary,
        involuntary_switches=used.involuntary,
        ticker_lag_seconds=ticker.lag_seconds,
        latency_p50_seconds=quantile(latency, 0.50) if latency else None,
        latency_p95_seconds=quantile(latency, 0.95) if latency else None,
        phase_seconds=phases,
    )


def _since(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """Where time went after `before`; what workers' start took is told apart."""
    return {
        phase: max(0.0, seconds - before[phase]) for phase, seconds in after.items()
    }


class _Ticker:
    """A thread that sleeps 10 ms at a time and notes how late it wakes.

    The lag is an upper bound of waiting for the interpreter's lock: it also holds
    waiting for a core, and the timer's own slack.
    """

    def __init__(self) -> None:
        self._lags: list[float] = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> _Ticker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    @property
    def lag_seconds(self) -> float | None:
        """The 95th percentile; None if the run was over at once."""
        return quantile(sorted(self._lags), 0.95) if self._lags else None

    def _tick(self) -> None:
        while not self._is_over.is_set():
            due = time.perf_counter() + TICK_SECONDS
            time.sleep(TICK_SECONDS)
            self._lags.append(time.perf_counter() - due)


if __name__ == "__main__":
    main()

"""`python -m downloader.bench.cell`: one run of one cell, in this fresh process.

Downloads go through the whole engine, `downloader.fetch` with its manifest, checks and
hashes, since that is what a user gets; a CPU stage and plain files go by the bare
mechanisms.
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
from downloader.bench.works import Work, perform
from downloader.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from downloader.report import Summary

__all__ = ["CellJob", "CellReport", "main"]

TICK_SECONDS = 0.01


class CellJob(msgspec.Struct, frozen=True, kw_only=True):
    """What one run is to do.

    Attributes:
        folder: An empty folder of its own.
        urls: What to fetch; or the pieces, if there is a `work`.
        sources: Lists as the command takes them, in place of `urls`.
        warm_up: Tiny files to fetch beforehand; empty to load modules only.
        is_start_timed: False to warm up in this process alone, which is quicker and
            says nothing of what starting workers takes.
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
    is_start_timed: bool = True
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
        )

    return measure


def _prepare_engine(job: CellJob) -> Callable[[], CellReport]:
    from downloader.strategies.contract import load

    has_worker_processes = load(job.strategy).has_worker_processes
    startup_seconds = None
    if job.warm_up and job.is_start_timed:
        startup_seconds = _warm_up(job)
    elif job.warm_up:
        # This process's side is the same under every strategy; workers are new anyway.
        name = "serial" if has_worker_processes else job.strategy
        one = msgspec.structs.replace(job, strategy=name, warm_up=job.warm_up[:1])
        _warm_up(one)
    settings = _settings(job, "run")

    def measure() -> CellReport:
        before = _Usage()
        with _Ticker() as ticker:
            began = time.perf_counter()
            summary = _fetch(job, settings)
            seconds = time.perf_counter() - began
        after = _Usage()
        return _report(summary, seconds, startup_seconds, before, after, ticker)

    return measure


def _warm_up(job: CellJob) -> float:
    warm = msgspec.structs.replace(job, urls=job.warm_up, sources=())
    settings = _settings(warm, "warm-up")
    began = time.perf_counter()
    _fetch(warm, settings)
    return time.perf_counter() - began


def _settings(job: CellJob, name: str) -> Settings:
    chosen = {
        "output": os.path.join(job.folder, name),
        "strategy": job.strategy,
        "workers": job.workers,
    }
    if job.settings is not None:
        return msgspec.structs.replace(job.settings, **chosen)
    return Settings.make({}, per_host="none", proxy="none", **chosen)


def _fetch(job: CellJob, settings: Settings) -> Summary:
    from downloader.api import run_list
    from downloader.progress import Silent

    if job.sources:
        with run_list(job.sources, settings, Silent()) as report:
            return report.summary
    listing = os.path.join(job.folder, "urls.txt")
    with open(listing, "w", encoding="utf-8") as file:
        file.writelines(f"{url}\n" for url in job.urls)
    with run_list((listing,), settings, Silent()) as report:
        return report.summary


def _report(
    summary: Summary,
    seconds: float,
    startup_seconds: float | None,
    before: _Usage,
    after: _Usage,
    ticker: _Ticker,
) -> CellReport:
    return CellReport(
        seconds=seconds,
        files=summary.rows - summary.failed,
        failed=summary.failed,
        received_bytes=summary.received_bytes,
        user_seconds=after.user_seconds - before.user_seconds,
        system_seconds=after.system_seconds - before.system_seconds,
        startup_seconds=startup_seconds,
        voluntary_switches=_gap(after.voluntary, before.voluntary),
        involuntary_switches=_gap(after.involuntary, before.involuntary),
        ticker_lag_seconds=ticker.lag_seconds,
        latency_p50_seconds=summary.latency_p50_seconds,
        latency_p95_seconds=summary.latency_p95_seconds,
        phase_seconds=dict(getattr(summary, "phase_seconds", {})),
    )


def _gap(after: int | None, before: int | None) -> int | None:
    return None if after is None or before is None else after - before


class _Usage:
    """CPU and context switches of this process and its ended children, so far."""

    def __init__(self) -> None:
        self.voluntary: int | None = None
        self.involuntary: int | None = None
        try:
            import resource
        except ImportError:
            used = os.times()
            self.user_seconds = used.user + used.children_user
            self.system_seconds = used.system + used.children_system
            return
        own = resource.getrusage(resource.RUSAGE_SELF)
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.user_seconds = own.ru_utime + ended.ru_utime
        self.system_seconds = own.ru_stime + ended.ru_stime
        self.voluntary = own.ru_nvcsw + ended.ru_nvcsw
        self.involuntary = own.ru_nivcsw + ended.ru_nivcsw


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

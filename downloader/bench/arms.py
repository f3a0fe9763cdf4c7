"""Which strategies are compared on a workload, with how many workers each."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.request import ProxyHandler, build_opener

from downloader.bench import mechanisms
from downloader.bench.cell import WARM_UP_LATENCY_SECONDS, CellJob
from downloader.bench.runner import Arm
from downloader.bench.works import Work, run_stage
from downloader.errors import StrategyUnavailable, UsageError
from downloader.strategies.contract import (
    NAMES,
    default_workers,
    load,
    usable_cores,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from downloader.bench.workloads import Recipe
    from downloader.settings import Settings

__all__ = [
    "choose_strategies",
    "download_arms",
    "file_arms",
    "list_arms",
    "page_arms",
    "worker_counts",
]

CURVE = (4, 16, 64)
# More worker processes than that a core start for longer than they work; twice as many
# are started for whoever asks for them.
_PROCESSES_A_CORE = 4
_MOST_PROCESSES_A_CORE = 8
_MOST_BARE_WORKERS = 16
_MOST_FILE_WORKERS = 4
_MOST_WARM_UPS = 16
_CALIBRATIONS = 15


def choose_strategies(wanted: Sequence[str]) -> tuple[list[str], list[str]]:
    """The strategies to compare, and what to say of those that are not installed.

    Args:
        wanted: Their names; empty for all there are but `auto`, which is one of them in
            the end.

    Raises:
        UsageError: One of the names is unknown, or was named and is not installed.
    """
    for name in wanted:
        if name not in NAMES:
            raise UsageError(
                f"there is no strategy {name!r}; choose from {', '.join(NAMES)}"
            )
    chosen, notes = [], []
    everything = (name for name in NAMES if name != "auto")
    for name in dict.fromkeys(wanted or everything):
        try:
            load(name)
        except StrategyUnavailable as error:
            if wanted:
                raise
            notes.append(f"left out: {error}")
        else:
            chosen.append(name)
    return chosen, notes


def worker_counts(
    name: str, wanted: Sequence[int], *, is_curve: bool, is_quick: bool
) -> tuple[int, ...]:
    """The numbers of workers that a strategy is measured with."""
    if name == "serial":
        return (1,)
    if name == "auto":  # it looks for the number by itself
        return tuple(wanted) or (default_workers(name),)
    if not is_curve or (is_quick and not wanted):
        return (default_workers(name),)
    counts = wanted or sorted({*CURVE, default_workers(name)})
    if name not in mechanisms.ELSEWHERE:
        return tuple(counts)
    a_core = _MOST_PROCESSES_A_CORE if wanted else _PROCESSES_A_CORE
    most = max(a_core * usable_cores(), default_workers(name))
    return tuple(sorted({min(count, most) for count in counts}))


def download_arms(
    recipe: Recipe,
    origin: str,
    strategies: Sequence[str],
    workers: Sequence[int],
    *,
    is_quick: bool,
) -> list[Arm]:
    """Every strategy on a download from the embedded site."""
    urls = recipe.urls(origin)
    return [
        Arm(
            workload=recipe.workload.name,
            strategy=name,
            workers=count,
            job=CellJob(
                strategy=name,
                workers=count,
                folder="",
                urls=urls,
                warm_up=tuple(
                    f"{origin}/n/{number}/warm-up?latency={WARM_UP_LATENCY_SECONDS}"
                    for number in range(_warm_ups(name, count))
                ),
            ),
        )
        for name in strategies
        for count in worker_counts(
            name, workers, is_curve=recipe.is_curve, is_quick=is_quick
        )
    ]


def _warm_ups(strategy: str, workers: int) -> int:
    """How many files have all workers started: a process starts with its first."""
    is_elsewhere = strategy in mechanisms.ELSEWHERE
    return workers if is_elsewhere else min(workers, _MOST_WARM_UPS)


def list_arms(
    sources: tuple[str, ...],
    settings: Settings,
    strategies: Sequence[str],
    workers: Sequence[int],
) -> list[Arm]:
    """Every strategy on the user's own list; nothing is requested to warm up."""
    return [
        Arm(
            workload="list",
            strategy=name,
            workers=count,
            job=CellJob(
                strategy=name,
                workers=count,
                folder="",
                sources=sources,
                settings=settings,
            ),
        )
        for name in strategies
        for count in worker_counts(name, workers, is_curve=True, is_quick=True)
    ]


def page_arms(recipe: Recipe, origin: str, strategies: Sequence[str]) -> list[Arm]:
    """Every mechanism at every length of the CPU stage."""
    urls = recipe.urls(origin)
    name = recipe.workload.name
    # Without a proxy, which a user's environment may name and loopback never needs.
    with build_opener(ProxyHandler({})).open(f"{origin}/", timeout=30) as answer:
        page = answer.read()
    round_seconds = _stage_seconds(Work(name=name, stage_rounds=1), page)
    arms = []
    for stage_seconds in recipe.stages_seconds:
        rounds = round(stage_seconds / round_seconds) if stage_seconds else 0
        rounds = max(rounds, 1) if stage_seconds else 0
        work = Work(name=name, stage_rounds=rounds)
        arms += [
            _bare_arm(
                work,
                mechanism,
                _MOST_BARE_WORKERS,
                urls,
                warm_up=(f"{origin}/",),
                stage_seconds=rounds * round_seconds,
            )
            for mechanism in _mechanisms(strategies)
        ]
    return arms


def file_arms(recipe: Recipe, source: str, strategies: Sequence[str]) -> list[Arm]:
    """Every mechanism on plain files; an event loop has nothing to offer for them."""
    size_bytes = recipe.workload.file_bytes or 0
    work = Work(name=recipe.workload.name, source=source, file_bytes=size_bytes)
    return [
        _bare_arm(work, mechanism, _MOST_FILE_WORKERS, recipe.urls(""))
        for mechanism in _mechanisms(strategies)
        if mechanism != "asyncio"
    ]


def _mechanisms(strategies: Sequence[str]) -> Iterator[str]:
    return (name for name in strategies if name in mechanisms.NAMES)


def _bare_arm(
    work: Work,
    name: str,
    most: int,
    pieces: tuple[str, ...],
    *,
    warm_up: tuple[str, ...] = (),
    stage_seconds: float = 0.0,
) -> Arm:
    workers = min(default_workers(name), most)
    job = CellJob(
        strategy=name,
        workers=workers,
        folder="",
        urls=pieces,
        warm_up=warm_up,
        work=work,
    )
    return Arm(
        workload=work.name,
        strategy=name,
        workers=workers,
        job=job,
        stage_seconds=stage_seconds,
    )


def _stage_seconds(work: Work, page: bytes) -> float:
    """Seconds of one round of a stage, the median of some.

    By the clock on the wall: CPU time goes by ticks of 16 ms on some systems.
    """
    run_stage(work, page)
    seconds = []
    for _ in range(_CALIBRATIONS):
        began = time.perf_counter()
        run_stage(work, page)
        seconds.append(time.perf_counter() - began)
    return sorted(seconds)[_CALIBRATIONS // 2]

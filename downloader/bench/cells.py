"""Samples to cells: medians with intervals, speed-ups by round, curves that cross. Pure."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import msgspec

from downloader.bench.result import Cell, Crossing, Estimate, Sample, Workload
from downloader.bench.statistics import crossing, estimate, paired_ratio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from downloader.bench.runner import Arm, Rounds

__all__ = ["find_crossings", "make_cells", "ratio_of"]

_MIB = 1 << 20
# Nearer to the server's own limit than this, it is the server that was measured.
_NEAR_LIMIT = 0.9
BASELINE = "serial"


def make_cells(
    arms: Sequence[Arm], rounds: Rounds, workload: Workload, cores: int, seed: int
) -> list[Cell]:
    """A cell for each arm that was measured at least once."""
    made = [
        _cell(arms[place], samples, workload, cores, seed)
        for place, samples in sorted(rounds.samples.items())
    ]
    return [_with_speedup(cell, made, seed) for cell in made]


def _cell(
    arm: Arm, samples: list[Sample], workload: Workload, cores: int, seed: int
) -> Cell:
    def told(figure: Callable[[Sample], float]) -> Estimate:
        return estimate([figure(sample) for sample in samples], seed)

    def told_if_known(figure: Callable[[Sample], float | None]) -> Estimate | None:
        values = [figure(sample) for sample in samples]
        known = [value for value in values if value is not None]
        return estimate(known, seed) if known else None

    cell = Cell(
        workload=arm.workload,
        strategy=arm.strategy,
        workers=arm.workers,
        stage_seconds=arm.stage_seconds,
        samples=tuple(samples),
        seconds=told(lambda s: s.seconds),
        files_per_second=told(lambda s: s.files / s.seconds),
        mib_per_second=told(lambda s: s.received_bytes / s.seconds / _MIB),
        cpu_seconds=told(_cpu_seconds),
        user_seconds=told(lambda s: s.user_seconds),
        system_seconds=told(lambda s: s.system_seconds),
        utilisation=told(lambda s: _cpu_seconds(s) / s.seconds),
        utilisation_of_all=told(lambda s: _cpu_seconds(s) / s.seconds / cores),
        memory_bytes=told_if_known(lambda s: s.memory_bytes),
        worker_memory_bytes=told_if_known(lambda s: s.worker_memory_bytes),
        startup_seconds=told_if_known(lambda s: s.startup_seconds),
        context_switches=told_if_known(_switches),
        ticker_lag_seconds=told_if_known(lambda s: s.ticker_lag_seconds),
        phase_seconds=_phases(samples),
    )
    is_bound = _is_server_bound(cell, workload)
    return msgspec.structs.replace(cell, is_server_bound=is_bound)


def _cpu_seconds(sample: Sample) -> float:
    return sample.user_seconds + sample.system_seconds


def _switches(sample: Sample) -> float | None:
    if sample.voluntary_switches is None or sample.involuntary_switches is None:
        return None
    return float(sample.voluntary_switches + sample.involuntary_switches)


def _phases(samples: Iterable[Sample]) -> dict[str, float]:
    by_phase: dict[str, list[float]] = {}
    for sample in samples:
        for phase, seconds in sample.phase_seconds.items():
            by_phase.setdefault(phase, []).append(seconds)
    return {phase: estimate(values).median for phase, values in by_phase.items()}


def _is_server_bound(cell: Cell, workload: Workload) -> bool:
    files, mib = workload.server_files_per_second, workload.server_mib_per_second
    return (
        files is not None and cell.files_per_second.median >= _NEAR_LIMIT * files
    ) or (mib is not None and cell.mib_per_second.median >= _NEAR_LIMIT * mib)


def _with_speedup(cell: Cell, cells: Sequence[Cell], seed: int) -> Cell:
    """The cell, compared with the baseline of the same work in the same rounds."""
    if cell.strategy == BASELINE:
        return cell
    for other in cells:
        if other.strategy == BASELINE and other.stage_seconds == cell.stage_seconds:
            speedup = ratio_of(cell, other, seed)
            return msgspec.structs.replace(cell, speedup=speedup)
    return cell


def ratio_of(cell: Cell, reference: Cell, seed: int = 0) -> Estimate | None:
    """How many times as fast the first is, paired by round; None without a common one."""
    mine = {sample.round: sample for sample in cell.samples}
    theirs = {sample.round: sample for sample in reference.samples}
    common = sorted(mine.keys() & theirs.keys())
    return paired_ratio(
        [mine[number].files / mine[number].seconds for number in common],
        [theirs[number].files / theirs[number].seconds for number in common],
        seed,
    )


def find_crossings(cells: Sequence[Cell], elsewhere: Sequence[str]) -> list[Crossing]:
    """Where, with more CPU work behind each download, other processes take the lead.

    Args:
        cells: All that were measured.
        elsewhere: The strategies whose workers are processes; the others share one.
    """
    found: list[Crossing] = []
    for workload in dict.fromkeys(cell.workload for cell in cells):
        mine = [cell for cell in cells if cell.workload == workload]
        curves = _curves(mine, lambda cell: cell.files_per_second.median)
        rounds = [_curves(mine, _of_round(number)) for number in _round_numbers(mine)]
        for before, after in product(curves, elsewhere):
            if before in elsewhere or after not in curves:
                continue
            place = _crossing(curves, before, after)
            if place is None:
                continue
            shared = [one for one in rounds if before in one and after in one]
            places = [_crossing(one, before, after) for one in shared]
            known = [one for one in places if one is not None]
            found.append(
                Crossing(
                    workload=workload,
                    before=before,
                    after=after,
                    stage_seconds=place,
                    by_round=estimate(known) if known else None,
                    rounds=len(shared),
                )
            )
    return found


def _crossing(
    curves: dict[str, dict[float, float]], before: str, after: str
) -> float | None:
    places = sorted(curves[before].keys() & curves[after].keys())
    return crossing(
        places,
        [curves[before][one] for one in places],
        [curves[after][one] for one in places],
    )


def _round_numbers(cells: Iterable[Cell]) -> list[int]:
    return sorted({sample.round for cell in cells for sample in cell.samples})


def _of_round(number: int) -> Callable[[Cell], float | None]:
    def speed(cell: Cell) -> float | None:
        rates = (s.files / s.seconds for s in cell.samples if s.round == number)
        return next(rates, None)

    return speed


def _curves(
    cells: Iterable[Cell], speed: Callable[[Cell], float | None]
) -> dict[str, dict[float, float]]:
    """Speed by stage for each strategy that has more than one stage."""
    curves: dict[str, dict[float, float]] = {}
    for cell in cells:
        height = speed(cell)
        if height is not None:
            curves.setdefault(cell.strategy, {})[cell.stage_seconds] = height
    return {name: curve for name, curve in curves.items() if len(curve) > 1}

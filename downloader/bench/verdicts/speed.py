"""Claims 1, 4, 6 and 8: who is faster, and what bounds the work. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from downloader.bench.cells import BASELINE, ratio_of
from downloader.bench.result import Cell, Estimate, Verdict, Word
from downloader.bench.statistics import estimate, paired_ratio
from downloader.bench.verdicts.words import (
    FEWEST_TO_DECIDE,
    MARGIN,
    figure,
    together,
    verdict,
    word_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from downloader.bench.experiments.findings import Computing

__all__ = ["child_programs", "file_work", "io_bound", "one_thread"]

# More than one core's worth of CPU time by so much means that threads ran at once.
_ONE_CORE = 1.1
# Below it a core has time to wait, so that it is not what bounds the work.
_BUSY = 0.8


def io_bound(cells: Sequence[Cell]) -> Verdict:
    """Claim 1, from cells of latency-bound work, one a strategy."""
    words = {cell.strategy: word_of(cell.speedup) for cell in cells}
    figures = [
        figure(f"{cell.strategy}, {cell.workers} workers, against serial", cell.speedup)
        for cell in cells
        if cell.speedup is not None
    ]
    word = together(words.values())
    if word is Word.HOLDS:
        reason = (
            "While one waits for its answer the others go on, whatever they run in."
        )
    else:
        slow = [name for name, one in words.items() if one is not Word.HOLDS]
        reason = f"Not shown to be faster than serial: {', '.join(slow)}."
    return verdict(1, word, reason, figures)


def _worth_of_cores(cores: int) -> float:
    """The speed-up from which cores are at work: a quarter of what the further ones could add."""
    return max(MARGIN, 1 + (cores - 1) / 4)


def one_thread(found: Computing, cores: int, *, is_gil_enabled: bool) -> Verdict:
    """Claim 4, from wall times, and from the CPU time that threads got at once."""
    serial = found.seconds["serial"]
    threads = paired_ratio(serial, found.seconds["threads"])
    processes = paired_ratio(serial, found.seconds["processes"])
    used = estimate(found.thread_utilisation)
    figures = [figure("CPU time of all threads a second", used, "cores")]
    if threads is not None:
        figures.append(figure("threads against serial", threads))
    if processes is not None:
        figures.append(figure("processes against serial", processes))
    if cores == 1 or used.repeats < FEWEST_TO_DECIDE:
        reason = "One core, or so few repeats, cannot show it."
        return verdict(4, Word.UNDECIDED, reason, figures)
    lock = "with" if is_gil_enabled else "without"
    if used.low > _ONE_CORE:
        reason = f"Several threads computed at once on this build, {lock} its lock."
        return verdict(4, Word.FAILS, reason, figures)
    gain = word_of(processes)
    if used.high > _ONE_CORE or gain is Word.UNDECIDED:
        reason = "The machine was too noisy to tell."
        return verdict(4, Word.UNDECIDED, reason, figures)
    assert processes is not None
    reason = (
        f"All threads together used one core, {lock} the interpreter's lock; processes "
        f"on {cores} cores were {processes.median:.1f} times as fast as one."
    )
    return verdict(4, gain, reason, figures)


def file_work(cells: Sequence[Cell]) -> Verdict:
    """Claim 6: bound by the CPU is what keeps a core busy when one worker does it."""
    words, figures, notes = [], [], []
    for cell in cells:
        if cell.strategy != BASELINE:
            continue
        used, kernel = cell.utilisation, cell.system_seconds.median
        words.append(_busy(used))
        figures.append(figure(f"{cell.workload}: CPU time a second", used, "cores"))
        total = cell.cpu_seconds.median or 1.0
        rivals = [one for one in cells if one.workload == cell.workload]
        best = max(rivals, key=lambda one: one.files_per_second.median)
        lead = ratio_of(best, cell)
        if best is not cell and lead is not None:
            figures.append(figure(f"{cell.workload}: {best.strategy} (best)", lead))
        notes.append(
            f"{cell.workload} spent {kernel / total:.0%} of its CPU time there"
        )
    word = together(words)
    reason = {
        Word.HOLDS: "A core was busy nearly all the time",
        Word.FAILS: "The core mostly waited for the disk",
        Word.UNDECIDED: "The disk's speed changed too much to tell",
    }[word]
    reason += f"; what CPU time there is goes to the kernel: {', '.join(notes)}."
    return verdict(6, word, reason, figures)


def _busy(used: Estimate) -> Word:
    if used.repeats < FEWEST_TO_DECIDE:
        return Word.UNDECIDED
    if used.low >= _BUSY:
        return Word.HOLDS
    return Word.FAILS if used.high < _BUSY else Word.UNDECIDED


def child_programs(found: Computing, cores: int) -> Verdict:
    """Claim 8: as many as there are cores, on work that only computes."""
    ratio = paired_ratio(found.seconds["serial"], found.seconds["child programs"])
    label = f"{found.workers} child programs against serial"
    figures = [figure(label, ratio)] if ratio else []
    if cores == 1 or ratio is None:
        return verdict(8, Word.UNDECIDED, "One core cannot show it.", figures)
    word = word_of(ratio, _worth_of_cores(cores))
    reason = (
        f"{found.workers} of them on {cores} cores were {ratio.median:.1f} times as fast "
        f"as serial; more than {_worth_of_cores(cores):.2f} counts as using the cores."
    )
    return verdict(8, word, reason, figures)

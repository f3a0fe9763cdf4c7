"""Claims 1, 4, 6 and 8: who is faster, and what bounds the work. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from downloader.bench.cells import BASELINE, ratio_of
from downloader.bench.result import Cell, Estimate, Figure, Verdict, Word
from downloader.bench.statistics import estimate, paired_ratio
from downloader.bench.verdicts.words import (
    FEWEST_TO_DECIDE,
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
# With more in other hands, having one core only says nothing of the mechanism.
_OTHERS_CORES = 0.25
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
    """From how many at once further cores count as used: a quarter of them."""
    return max(_ONE_CORE, 1 + (cores - 1) / 4)


def one_thread(found: Computing, cores: int, *, is_gil_enabled: bool) -> Verdict:
    """Claim 4, from how many workers had a core at once.

    Not from wall times alone: on a shared machine two busy cores may do the work of one,
    and then nothing gains, whatever runs at once.
    """
    threads = estimate(found.utilisation["threads"])
    processes = estimate(found.utilisation["processes"])
    figures = [
        figure("threads had", threads, "cores at once"),
        figure("processes had", processes, "cores at once"),
        *_speedup(found, "threads"),
        *_speedup(found, "processes"),
        *_others(found),
    ]
    lock = "with" if is_gil_enabled else "without"
    if cores == 1 or threads.repeats < FEWEST_TO_DECIDE:
        reason = "One core, or so few repeats, cannot show it."
        return verdict(4, Word.UNDECIDED, reason, figures)
    if threads.low > _ONE_CORE:
        reason = f"Several threads computed at once on this build, {lock} its lock."
        return verdict(4, Word.FAILS, reason, figures)
    if processes.high < _ONE_CORE and _had_the_machine(found):
        reason = "Processes computed one at a time as well."
        return verdict(4, Word.FAILS, reason, figures)
    if threads.high > _ONE_CORE or processes.low < _worth_of_cores(cores):
        reason = "Other work took too much of the cores to tell."
        return verdict(4, Word.UNDECIDED, reason, figures)
    reason = (
        f"All threads together had one core, {lock} the interpreter's lock, and processes "
        f"had {processes.median:.1f} of {cores}{_caveat(found, 'processes')}."
    )
    return verdict(4, Word.HOLDS, reason, figures)


def _speedup(found: Computing, name: str) -> list[Figure]:
    ratio = paired_ratio(found.seconds["serial"], found.seconds[name])
    return [] if ratio is None else [figure(f"{name} against serial", ratio)]


def _others(found: Computing) -> list[Figure]:
    if not found.others:
        return []
    return [figure("other programs had", estimate(found.others), "cores")]


def _had_the_machine(found: Computing) -> bool:
    """True if other programs are known to have left the cores alone."""
    return bool(found.others) and estimate(found.others).high < _OTHERS_CORES


def _caveat(found: Computing, name: str) -> str:
    """What to add where more cores at once were no gain in time."""
    ratio = paired_ratio(found.seconds["serial"], found.seconds[name])
    if word_of(ratio) is Word.HOLDS:
        return ""
    return (
        "; that no gain in time is shown is this machine's doing, whose cores together "
        "gave little more than one alone: a shared or throttled one"
    )


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
    name = "child programs"
    used = estimate(found.utilisation[name])
    figures = [
        figure(f"{found.workers} {name} had", used, "cores at once"),
        *_speedup(found, name),
        *_others(found),
    ]
    if cores == 1 or used.repeats < FEWEST_TO_DECIDE:
        reason = "One core, or so few repeats, cannot show it."
        return verdict(8, Word.UNDECIDED, reason, figures)
    if used.high < _ONE_CORE and _had_the_machine(found):
        reason = "They computed one at a time."
        return verdict(8, Word.FAILS, reason, figures)
    if used.low < _worth_of_cores(cores):
        reason = "Other work took too much of the cores to tell."
        return verdict(8, Word.UNDECIDED, reason, figures)
    reason = (
        f"They had {used.median:.1f} of {cores} cores at once{_caveat(found, name)}."
    )
    return verdict(8, Word.HOLDS, reason, figures)

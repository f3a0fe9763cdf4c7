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
    from collections.abc import Iterator, Sequence

    from downloader.bench.experiments.findings import Computing

__all__ = ["child_programs", "file_work", "io_bound", "one_thread"]

# What claim 1 speaks of.
_NAMED = ("threads", "processes", "asyncio")
# More than one core's worth of CPU time by so much means that threads ran at once.
_ONE_CORE = 1.1
# Seen at one moment for more of the time than that is no slip of a clock: a stretch that
# counts as undisturbed may have waited for 50 us, and the lock changes hands every 5 ms.
_SEEN_SHARE = 0.01
# So much of all cores' CPU time is all of them, but for what starts and ends.
_MOST_OF_ALL = 0.75
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
    figures += [
        figure(f"{cell.strategy}, to start", cell.startup_seconds, "s")
        for cell in cells
        if cell.startup_seconds is not None
    ]
    word = together(words.values())
    missing = [name for name in _NAMED if name not in words]
    if word is Word.HOLDS and missing:
        word = Word.UNDECIDED
        reason = f"Of what the claim names this was not measured: {', '.join(missing)}."
    elif word is Word.HOLDS:
        reason = (
            "While one waits for its answer the others go on, whatever they run in; "
            "workers stood ready, and their start comes on top."
        )
    else:
        slow = [name for name, one in words.items() if one is not Word.HOLDS]
        reason = f"Not shown to be faster than serial: {', '.join(slow)}."
    return verdict(1, word, reason, figures)


def one_thread(found: Computing, cores: int, *, is_gil_enabled: bool) -> Verdict:
    """Claim 4, from whether workers were seen to run at the same moment.

    Not from wall times: on a shared machine two busy cores may do the work of one, and
    then nothing gains, whatever runs at once. Seen at once is a proof; not seen is none,
    but for processes that were, in the same rounds: if threads ran at once as often as in
    3 of n rounds, the chance to see it in none would be below exp(-3), 5 %.
    """
    figures = [
        *_at_once(found.two_at_once, "threads", "two or more"),
        *_at_once(found.two_at_once, "processes", "two or more"),
        figure("threads had", estimate(found.utilisation["threads"]), "cores"),
        figure("processes had", estimate(found.utilisation["processes"]), "cores"),
        *_speedup(found, "threads"),
        *_speedup(found, "processes"),
        *_others(found),
    ]
    lock = "with" if is_gil_enabled else "without"
    threads = _rounds(found.two_at_once, found.utilisation, "threads", _ONE_CORE)
    processes = _rounds(found.two_at_once, found.utilisation, "processes", _ONE_CORE)
    rounds = len(found.seconds["threads"])
    if cores == 1 or rounds < FEWEST_TO_DECIDE:
        reason = "One core, or so few repeats, cannot show it."
        return verdict(4, Word.UNDECIDED, reason, figures)
    if threads >= FEWEST_TO_DECIDE:
        reason = f"Several threads computed at once on this build, {lock} its lock."
        return verdict(4, Word.FAILS, reason, figures)
    if not processes and _had_the_machine(found):
        reason = "Processes computed one at a time as well."
        return verdict(4, Word.FAILS, reason, figures)
    if threads or processes < FEWEST_TO_DECIDE:
        reason = "Other work took too much of the cores to tell."
        return verdict(4, Word.UNDECIDED, reason, figures)
    reason = (
        f"In none of {rounds} rounds did two threads run at one moment, {lock} the "
        f"interpreter's lock, and in {processes} two processes did"
        f"{_caveat(found, 'processes')}."
    )
    return verdict(4, Word.HOLDS, reason, figures)


def _at_once(
    shares: dict[str, list[float]], name: str, how_many: str
) -> Iterator[Figure]:
    if name in shares:
        label = f"{how_many} {name} ran at one moment"
        yield figure(label, estimate(shares[name]), "% of the time", 100.0)


def _rounds(
    shares: dict[str, list[float]],
    utilisation: dict[str, list[float]],
    name: str,
    cores: float,
) -> int:
    """In how many rounds workers were seen at once, or had more cores than that."""
    return sum(
        share > _SEEN_SHARE or used > cores
        for share, used in zip(shares[name], utilisation[name], strict=True)
    )


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


def file_work(cells: Sequence[Cell], *, is_in_memory: bool = False) -> Verdict:
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
    word = Word.UNDECIDED if is_in_memory else together(words)
    if is_in_memory:
        reason = (
            "The temporary folder is kept in memory, so that no disk had a part in it: "
            "have TMPDIR name a folder on a disk."
        )
        return verdict(6, word, reason, figures)
    reason = {
        Word.HOLDS: "A core was busy nearly all the time",
        Word.FAILS: "The core mostly waited for the disk",
        Word.UNDECIDED: "The disk's speed changed too much, or repeats are too few, to "
        "tell",
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
        *_at_once(found.all_at_once, name, f"all {found.workers}"),
        figure(f"{found.workers} {name} had", used, "cores"),
        *_speedup(found, name),
        *_others(found),
    ]
    rounds = _rounds(found.all_at_once, found.utilisation, name, _MOST_OF_ALL * cores)
    if cores == 1 or used.repeats < FEWEST_TO_DECIDE:
        reason = "One core, or so few repeats, cannot show it."
        return verdict(8, Word.UNDECIDED, reason, figures)
    if rounds >= FEWEST_TO_DECIDE:
        reason = (
            f"In {rounds} of {used.repeats} rounds there was one on every core at the "
            f"same moment, or together they had {_MOST_OF_ALL:.0%} of all cores"
            f"{_caveat(found, name)}."
        )
        return verdict(8, Word.HOLDS, reason, figures)
    if not rounds and _had_the_machine(found):
        reason = "They never had all cores, though nobody else did."
        return verdict(8, Word.FAILS, reason, figures)
    reason = "Other work took too much of the cores to tell."
    return verdict(8, Word.UNDECIDED, reason, figures)

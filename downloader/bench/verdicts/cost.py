"""Claims 2, 3 and 7: what workers cost in memory, starts and passing. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from downloader.bench.result import Figure, Verdict, Word
from downloader.bench.statistics import estimate, paired_ratio
from downloader.bench.verdicts.words import figure, together, verdict, word_of

if TYPE_CHECKING:
    from downloader.bench.experiments.findings import Memory, Passing, Starting

__all__ = ["memory", "passing", "starting"]

_MIB = 1 << 20


def memory(found: Memory) -> Verdict:
    """Claim 2; `thread` is what the other kinds are held to."""
    told = {kind: estimate(values) for kind, values in found.worker_bytes.items()}
    thread = told.get("thread")
    if thread is None or len(told) == 1:
        reason = "This system does not tell what a process holds for itself."
        return verdict(2, Word.UNDECIDED, reason, ())
    others = [one for kind, one in told.items() if kind != "thread"]
    if min(one.low for one in others) > thread.high:
        word = Word.HOLDS
        reason = (
            "Each process has an interpreter of its own with all that it imports; a "
            "forked one shares its parent's pages until either writes to them."
        )
    elif min(one.high for one in others) < thread.low:
        word, reason = Word.FAILS, "A kind of process was lighter than a thread."
    else:
        word, reason = Word.UNDECIDED, "Their ranges overlap."
    figures = [
        figure(f"a {kind} more", one, "MiB", 1 / _MIB) for kind, one in told.items()
    ]
    return verdict(2, word, reason, figures)


def starting(found: Starting) -> Verdict:
    """Claim 3."""
    start, switch = found.start_seconds, found.switch_seconds
    ratios = {
        kind: paired_ratio(values, start["thread"])
        for kind, values in start.items()
        if kind != "thread"
    }
    switching = paired_ratio(switch["process"], switch["thread"])
    start_word = together(word_of(ratio) for ratio in ratios.values())
    switch_word = word_of(switching)
    figures = [
        figure(f"start and join a {kind}", estimate(values), "ms", 1e3)
        for kind, values in start.items()
    ]
    figures += [
        figure(f"hand over to another {kind}", estimate(values), "us", 1e6)
        for kind, values in switch.items()
    ]
    pinned = "on one core" if found.is_pinned else "with the system choosing cores"
    reason = f"To start: {start_word}; to switch, {pinned}: {switch_word}."
    return verdict(3, together([start_word, switch_word]), reason, figures)


def _bare_pipe(seconds: dict[str, dict[int, list[float]]]) -> str:
    """What to add where pipes alone cost less than what an executor puts around them."""
    by_size = seconds.get("child program", {})
    dearer = [
        estimate(own).median >= estimate(seconds["process"][size]).median
        for size, own in by_size.items()
    ]
    if not dearer or any(dearer):
        return ""
    return " The bare pipe of a child program costs less than that."


def passing(found: Passing) -> Verdict:
    """Claim 7."""
    figures, words = [], []
    for size, thread in found.seconds["thread"].items():
        name = f"{size // _MIB} MiB" if size >= _MIB else f"{size} B"
        for way, by_size in found.seconds.items():
            told = estimate(by_size[size])
            figures.append(figure(f"a result of {name} by {way}", told, "us", 1e6))
            crossing = found.crossing_bytes[way][size]
            if crossing:
                figures.append(
                    Figure(label=f"which crosses, by {way}", value=crossing, unit="B")
                )
        words.append(word_of(paired_ratio(found.seconds["process"][size], thread)))
    word = together(words)
    reason = {
        Word.HOLDS: "A thread hands over a reference; a process of an executor packs, "
        "writes, reads and unpacks, by way of two further threads."
        + _bare_pipe(found.seconds),
        Word.FAILS: "A result cost no more from a process than from a thread.",
        Word.UNDECIDED: "The machine was too noisy to tell.",
    }[word]
    return verdict(7, word, reason, figures)

"""Claims 5, 9 and 10: shared data, futures and locks. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from downloader.bench.result import Figure, Verdict, Word
from downloader.bench.verdicts.words import verdict

if TYPE_CHECKING:
    from downloader.bench.experiments.findings import Deadlock, Futures, Sharing

__all__ = ["deadlock", "futures", "shared_data"]

# No loss in so many updates rules out, at 95 %, a rate above 3 in a million (rule of three).
_ENOUGH_UPDATES = 1_000_000


def shared_data(found: Sharing, *, is_gil_enabled: bool = True) -> Verdict:
    """Claim 5: one lost update is enough to refute it."""
    ways = {
        "n += 1": found.lost_bare,
        "n = int(n) + 1": found.lost_call,
        "the same under a lock": found.lost_locked,
    }
    updates = found.expected * len(found.lost_call)
    figures = [
        Figure(label=f"lost by {way}", value=sum(lost), unit=f"of {updates:,} updates")
        for way, lost in ways.items()
    ]
    figures.append(
        Figure(
            label="updates by processes that their parent sees",
            value=found.seen_by_parent,
            unit="of 2",
        )
    )
    lost = sum(found.lost_bare) + sum(found.lost_call)
    if lost:
        word = Word.FAILS
        safe = "lost none" if not sum(found.lost_locked) else "lost some, too"
        guard = (
            "The lock guards the interpreter's own state"
            if is_gil_enabled
            else "Without the lock each object guards its own state"
        )
        bare = (
            ""
            if sum(found.lost_bare)
            else "; that `n += 1` alone lost none is an accident "
            "of where this version switches threads"
        )
        reason = (
            f"{guard}, not a read, a call and a write that belong together{bare}. A lock around them {safe}, and processes share "
            "nothing."
        )
    elif updates >= _ENOUGH_UPDATES:
        word = Word.HOLDS
        reason = "No update was lost; that rules out more than 3 in a million, no more."
    else:
        word, reason = Word.UNDECIDED, "No update was lost, in too few to say."
    return verdict(5, word, reason, figures)


_EXPECTED = {"done() at once": "False", "done() after it": "True", "result()": "42"}


def futures(found: Futures) -> Verdict:
    """Claim 9."""
    kinds = list(found.answers.values())
    alike = sum(len({str(one.get(key)) for one in kinds}) == 1 for key in kinds[0])
    asked = len(kinds[0])
    figures = [Figure(label="answers alike", value=alike, unit=f"of {asked}")]
    if len(kinds) == 1:
        reason = "Only one of the executors works here."
        return verdict(9, Word.UNDECIDED, reason, figures)
    is_expected = all(
        one.get(key) == value for one in kinds for key, value in _EXPECTED.items()
    )
    if alike == asked and is_expected:
        reason = (
            "done() is False before and True after, result() gives the value, errors "
            "and timeouts are raised alike."
        )
        return verdict(9, Word.HOLDS, reason, figures)
    return verdict(9, Word.FAILS, "Some questions were answered differently.", figures)


def deadlock(found: Deadlock) -> Verdict:
    """Claim 10."""
    both = 2
    unit = f"of {found.rounds} rounds"
    figures = [
        Figure(
            label=f"threads stuck after {found.waited_seconds:g} s",
            value=found.stuck,
            unit=f"of {both}",
        ),
        Figure(label="with one order", value=found.same_order_done, unit=unit),
        Figure(label="with retreat", value=found.retreating_done, unit=unit),
    ]
    if not found.stuck:
        return verdict(10, Word.FAILS, "Two orders did not lock them up.", figures)
    is_avoided = found.same_order_done == found.retreating_done == found.rounds
    if found.stuck == both and is_avoided:
        reason = (
            "Each held the lock that the other waited for. One order for all, or a "
            "timeout upon which a thread lets go, avoids it."
        )
        return verdict(10, Word.HOLDS, reason, figures)
    reason = "They were stuck, but so was what should avoid it: perhaps only slow."
    return verdict(10, Word.UNDECIDED, reason, figures)

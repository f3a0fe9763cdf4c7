"""What a stretch of a run brought, and what `auto` decided upon it; pure values."""

from __future__ import annotations

import math

import msgspec

from downloader.models import ErrorKind, http_kind
from downloader.tuples import NamedTuple

# With fewer files a block's figures are chance.
FEWEST_FILES = 32
# Fewer errors than this say nothing, whatever their share.
FEWEST_ERRORS = 3
TROUBLE_SHARE = 0.05
BUSY_SHARE = 0.7
FULL_SHARE = 0.5
# Of the time that its thread could have worked in.
CROWDED_SHARE = 0.25
_MIB = 1 << 20
# What fails like this may be for too much that was asked for at once.
OVERLOAD = frozenset(
    {
        *(ErrorKind.TIMEOUT, ErrorKind.TOO_SLOW, ErrorKind.CONNECT),
        *(ErrorKind.TRUNCATED, ErrorKind.WORKER_LOST),
        *map(http_kind, (408, 429, 500, 502, 503, 504)),
    }
)


class Counts(NamedTuple):
    """What a run has come to so far; nothing in it ever falls.

    Attributes:
        ended: Attempts that have ended, well or not.
        files: Those that brought a file, whole.
        size_bytes: The bytes of these.
        errors: Attempts that failed as they do where too much is asked for.
        busy_seconds: Time in which the thread that owns the run had something to do.
        stalled_seconds: As much of this as others had the CPU; 0 where that is unknown.
        waited_seconds: Time that it spent waiting for results.
        full_seconds: As much of this as no worker was free in.
    """

    ended: int = 0
    files: int = 0
    size_bytes: int = 0
    errors: int = 0
    busy_seconds: float = 0.0
    stalled_seconds: float = 0.0
    waited_seconds: float = 0.0
    full_seconds: float = 0.0


class Block(NamedTuple):
    """A stretch of the run under one strategy with one number of workers."""

    seconds: float
    counts: Counts

    @property
    def files_per_second(self) -> float:
        """Files that came whole."""
        return self.counts.files / self.seconds

    @property
    def bytes_per_second(self) -> float:
        """Bytes of files that came whole."""
        return self.counts.size_bytes / self.seconds

    @property
    def error_share(self) -> float:
        """The share of attempts that failed as if too much was asked for."""
        return self.counts.errors / max(1, self.counts.ended)

    @property
    def is_in_trouble(self) -> bool:
        """True if so many failed that fewer at once may bring more."""
        enough = self.counts.errors >= FEWEST_ERRORS
        return enough and self.error_share >= TROUBLE_SHARE

    @property
    def is_busy(self) -> bool:
        """True if the owner's thread had next to no time to spare."""
        return self.counts.busy_seconds >= BUSY_SHARE * self.seconds

    @property
    def is_crowded(self) -> bool:
        """True if the owner's thread often had to wait for a core: none lies idle."""
        return self.counts.stalled_seconds > CROWDED_SHARE * self.counts.busy_seconds

    @property
    def is_full(self) -> bool:
        """True if no worker was free as a rule: more of them would have had work."""
        return self.counts.full_seconds > FULL_SHARE * self.counts.waited_seconds

    @property
    def bound(self) -> str:
        """Why nothing was to be tried, for a person."""
        if self.counts.files < FEWEST_FILES:
            return "too few files came in a block of time to compare anything"
        if self.is_busy and self.is_crowded:
            return "the CPU bounds it, and other programs have taken the other cores"
        if self.is_busy:
            return "the CPU bounds it, and there was no other core or no time to try it"
        if not self.is_full:
            return "workers were free: the list or the bound for each host is the limit"
        return "nothing else was to be tried"

    def turn_seconds(self, in_flight: int) -> float:
        """How long so many attempts under way will take, by those that have ended."""
        return in_flight * self.seconds / max(1, self.counts.ended)

    def fails_more_than(self, other: Block) -> bool:
        """True if clearly more of it failed."""
        rise = self.error_share - other.error_share
        return self.counts.errors >= FEWEST_ERRORS and rise >= TROUBLE_SHARE

    def gain_over(self, other: Block) -> float:
        """How many times the other's goodput it brought.

        The geometric mean of files and bytes: neither a few large files nor many empty
        ones decide alone. Infinite if the other brought nothing, and this did.
        """
        if not other.counts.files:
            return math.inf if self.counts.files else 1.0
        files = self.files_per_second / other.files_per_second
        if not other.counts.size_bytes:
            return files
        return math.sqrt(files * self.bytes_per_second / other.bytes_per_second)


def block(before: Counts, after: Counts, seconds: float) -> Block:
    """What came between two looks at the counts."""
    gaps = Counts(
        ended=after.ended - before.ended,
        files=after.files - before.files,
        size_bytes=after.size_bytes - before.size_bytes,
        errors=after.errors - before.errors,
        busy_seconds=after.busy_seconds - before.busy_seconds,
        stalled_seconds=after.stalled_seconds - before.stalled_seconds,
        waited_seconds=after.waited_seconds - before.waited_seconds,
        full_seconds=after.full_seconds - before.full_seconds,
    )
    return Block(max(seconds, 1e-9), gaps)


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Something that `auto` tried on files that were wanted anyway.

    Attributes:
        at_seconds: When it was decided, from the run's start.
        strategy: What was tried.
        workers: With how many downloads at once.
        is_kept: True if the run went on with it.
        why: The reason, for a person.
        files_per_second: What it brought; None if it came to no measurement.
        mib_per_second: Likewise.
        error_share: Likewise: attempts that failed, 0 to 1.
        before_files_per_second: What was there before brought, measured next to it.
        before_mib_per_second: Likewise.
        before_error_share: Likewise.
    """

    at_seconds: float
    strategy: str
    workers: int
    is_kept: bool
    why: str
    files_per_second: float | None = None
    mib_per_second: float | None = None
    error_share: float | None = None
    before_files_per_second: float | None = None
    before_mib_per_second: float | None = None
    before_error_share: float | None = None


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """What `auto` came to.

    Attributes:
        strategy: What it kept.
        workers: Downloads at once at the end, as a bound.
        why: One sentence, for a person.
        decisions: All that was tried, in order.
    """

    strategy: str
    workers: int
    why: str
    decisions: tuple[Decision, ...] = ()


def decision(
    at_seconds: float,
    strategy: str,
    workers: int,
    why: str,
    *,
    is_kept: bool,
    pair: tuple[Block, Block] | None = None,
) -> Decision:
    """A decision with its figures: what was tried and, second, what was there before."""
    figures: dict[str, float] = {}
    for prefix, one in zip(("", "before_"), pair or (), strict=False):
        figures[f"{prefix}files_per_second"] = round(one.files_per_second, 3)
        figures[f"{prefix}mib_per_second"] = round(one.bytes_per_second / _MIB, 3)
        figures[f"{prefix}error_share"] = round(one.error_share, 4)
    return Decision(
        at_seconds=round(at_seconds, 3),
        strategy=strategy,
        workers=workers,
        is_kept=is_kept,
        why=why,
        **figures,
    )

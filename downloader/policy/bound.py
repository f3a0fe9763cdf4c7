"""What bound a run: the network, the CPU, a server, our politeness, the disk, or several.

    enough to tell? ──no──► None
        │ answers were refused                                   ► server-bound
        │ the CPU is at its ceiling                              ► CPU-bound
        │ most of the time went to storing, or to commits        ► disk-bound
        │ answers queue at their host                            ► server-bound
        │ limits, pauses or a rate held most slots               ► politeness-bound
        │ most of the time went to waiting for the network       ► IO-bound
        └ none of it                                             ► mixed

The order matters: whoever lacks CPU, or waits for the disk, sees the network late, so
that waiting for it says nothing then; only a server's own word goes before that. Nor does
an idle slot say anything of our own limits while the server behind them has no more to
give.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from downloader.policy.figures import Figures
from downloader.policy.occupancy import tells_enough
from downloader.policy.redaction import printable

# From which share of its ceiling on the CPU bounds a run: a loop that is always at work
# still waits for its server now and then.
CPU_SHARE = 0.7
# What one thing must have of the time to bound a run alone.
MAIN_SHARE = 0.6
# From which share of refused answers (429, 503) on it is the server that says no.
REFUSED_SHARE = 0.2
# What must be used of a rate that was asked for, to be what bounds the run.
RATE_SHARE = 0.9
# What is said of a mixed run at least.
_WORTH_SAYING = 0.1
_MOST_MORE = 8
_MOST_READY = 2
_NEVER_IDLE = 0.9
# From which share of the CPU, or of workers' time, on hashing is worth doing without.
_MUCH_HASHING = 0.25
# The digests from the dearest to the cheapest.
_HASHES = ("sha256", "blake3", "xxh3", "none")


class BoundKind(StrEnum):
    """The word for what bound a run."""

    IO = "IO-bound"
    CPU = "CPU-bound"
    SERVER = "server-bound"
    POLITENESS = "politeness-bound"
    DISK = "disk-bound"
    MIXED = "mixed"


class Bound(msgspec.Struct, frozen=True):
    """What bound a run.

    Attributes:
        word: One of `BoundKind`.
        evidence: The figures that say so, in a line.
        advice: What would help, or would not; None if nothing follows.
    """

    word: str
    evidence: str
    advice: str | None = None

    @property
    def text(self) -> str:
        """All of it in a line."""
        advice = f"; {self.advice}" if self.advice else ""
        return f"{self.word}: {self.evidence}{advice}"


def classify(figures: Figures) -> Bound | None:
    """What bound a run; None if it was too short to tell."""
    if not tells_enough(figures.seconds, figures.attempts):
        return None
    looks = (_refusals, _cpu, _disk, _crowd, _politeness, _network)
    bounds = (look(figures) for look in looks)
    bound = next((one for one in bounds if one is not None), None) or _mixed(figures)
    return _started(figures, bound)


def _started(figures: Figures, bound: Bound) -> Bound:
    """What is to be said of a run that took most of its time to start."""
    started = _share(figures.start_seconds, figures.seconds)
    if started < MAIN_SHARE:
        return bound
    evidence = f"{bound.evidence}, once it had begun, {_percent(started)} into the run"
    advice = "a strategy without processes would begin sooner"
    return Bound(bound.word, evidence, advice if figures.has_processes else None)


def _share(part: float, whole: float) -> float:
    return min(1.0, part / whole) if whole > 0 else 0.0


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms"


# The CPU


def _cpu_share(figures: Figures) -> float:
    """What the run wanted of the CPU that it can use, as a share of it.

    One thread at a time runs Python: a process has one core at the most, and so has the
    parent, through which all goes.
    """
    cpu, ready, seconds = figures.cpu_seconds, figures.ready_seconds, figures.seconds
    if figures.has_processes:
        workers = _workers_share(figures)
        used = figures.all_cpu_seconds - figures.worker_start_cpu_seconds
        everywhere = _share(used, seconds * figures.cores)
        return max(_parent_share(figures), workers, everywhere)
    if figures.strategy == "threads":
        # Each is at work or ready, or waits for something else than a core, a lock say.
        always = _share(cpu + ready, figures.slot_seconds)
        return max(_parent_share(figures), always)
    return _one_thread_share(cpu, ready, seconds)


def _parent_share(figures: Figures) -> float:
    """That of threads that share one interpreter.

    What they were ready for and did not get counts for no more than what they got: who
    only waits for answers is kept from a core as well, each a moment and all at once,
    and the answers are on their way meanwhile.
    """
    cpu = figures.cpu_seconds
    return _share(cpu + min(figures.ready_seconds, cpu), figures.seconds)


def _workers_share(figures: Figures) -> float:
    """That of worker processes, which have one thread each, and all cores together."""
    cpu, ready = figures.worker_cpu_seconds, figures.worker_ready_seconds
    number, seconds = figures.worker_processes, figures.seconds
    if 0 < _NEVER_IDLE * number * seconds <= cpu + ready:
        return 1.0
    # Starting is told of apart, and over before anything else could wait for it.
    wanted = _wanted(cpu - figures.worker_start_cpu_seconds, ready)
    return _share(wanted, min(number, figures.cores) * seconds)


def _one_thread_share(cpu_seconds: float, ready_seconds: float, whole: float) -> float:
    """That of one thread a process; one that is never idle wants all it can have."""
    if 0 < _NEVER_IDLE * whole <= cpu_seconds + ready_seconds:
        return 1.0
    return _share(_wanted(cpu_seconds, ready_seconds), whole)


def _wanted(cpu_seconds: float, ready_seconds: float) -> float:
    return cpu_seconds + min(ready_seconds, _MOST_READY * cpu_seconds)


def _cpu_text(figures: Figures) -> str:
    used = figures.all_cpu_seconds / figures.seconds
    if figures.has_processes and figures.cores > 1:
        return f"CPU {used:.1f} of {figures.cores} cores"
    return f"CPU {_percent(used)} of one core"


def _cpu(figures: Figures) -> Bound | None:
    if _cpu_share(figures) < CPU_SHARE and not _stores_without_a_core(figures):
        return None
    network = _share(figures.network_seconds, figures.slot_seconds)
    evidence = (
        f"{_cpu_evidence(figures)}, {_kept_text(figures)}"
        f"waiting on the network {_percent(network)} of worker time"
    )
    is_kept = _is_kept_from_cores(figures)
    cpu_advice = _kept_advice(figures) if is_kept else _cpu_advice(figures)
    # Of the CPU or of workers, whichever hashing has more of.
    whole = min(figures.all_cpu_seconds, figures.slot_seconds)
    said = (_hash_advice(figures, whole), cpu_advice)
    advice = "; ".join(one for one in said if one is not None)
    return Bound(BoundKind.CPU, evidence, advice or None)


def _cpu_evidence(figures: Figures) -> str:
    """What was used of the CPU, by whom, and what was wanted where that decided."""
    used, ready = figures.all_cpu_seconds, figures.ready_seconds
    ready += figures.worker_ready_seconds
    text, cores = _cpu_text(figures), figures.cores if figures.has_processes else 1
    if _is_the_parent(figures):
        used, ready, cores = figures.cpu_seconds, figures.ready_seconds, 1
        text = f"CPU of the parent {_percent(used / figures.seconds)} of one core"
    elif 0 < figures.worker_processes < cores:
        text += f" by {figures.worker_processes} worker processes"
    if not _is_kept_from_cores(figures):
        return text
    # Many threads may be ready for one core; there is no more than the rest of it.
    more = max(0.0, min(ready / figures.seconds, cores - used / figures.seconds))
    return (
        f"{text} and ready for {_percent(more) if cores == 1 else f'{more:.1f}'} more"
    )


def _kept_text(figures: Figures) -> str:
    """What was done with bytes, where that decided."""
    if _cpu_share(figures) >= CPU_SHARE:
        return ""
    kept = _share(figures.kept_seconds, figures.slot_seconds)
    return f"hashing and storing {_percent(kept)}, "


def _is_the_parent(figures: Figures) -> bool:
    """True if the parent alone, and not its workers, is at its ceiling."""
    if not figures.has_processes or _parent_share(figures) < CPU_SHARE:
        return False
    everywhere = _share(figures.all_cpu_seconds, figures.seconds * figures.cores)
    return max(_workers_share(figures), everywhere) < CPU_SHARE


def _is_kept_from_cores(figures: Figures) -> bool:
    """True if what the run got of the CPU alone would not be called a ceiling."""
    got = msgspec.structs.replace(figures, ready_seconds=0.0, worker_ready_seconds=0.0)
    return _cpu_share(got) < CPU_SHARE and not _stores_without_a_core(got)


def _hash_advice(figures: Figures, whole: float) -> str | None:
    """The cheaper digests, where hashing is a large part of so many seconds."""
    share = _share(figures.hash_seconds, whole)
    if figures.hash is None or share < _MUCH_HASHING:
        return None
    *others, last = _HASHES[_HASHES.index(figures.hash) + 1 :]
    names = f"{', '.join(others)} or {last}" if others else last
    return f"--hash {names} would help"


def _kept_advice(figures: Figures) -> str | None:
    # Threads that wake all at once keep each other from the cores as well.
    is_sure = figures.has_processes or figures.strategy != "threads"
    return "other programs had the cores" if is_sure else None


def _cpu_advice(figures: Figures) -> str | None:
    if figures.is_chosen:
        return None
    if not figures.has_processes and figures.cores > 1:
        return "--strategy multicore would help, more workers would not"
    if not figures.has_processes:
        return "more workers would not help, a faster machine would"
    if _parent_share(figures) >= CPU_SHARE:
        return "the parent, through which all goes, has no more to give"
    workers = min(figures.cores, figures.attempts)
    if figures.worker_processes < workers:
        return f"--workers {workers} would help"
    return "more workers would not help, more cores would"


# The disk


def _disk(figures: Figures) -> Bound | None:
    stored = _share(_stored_seconds(figures), figures.slot_seconds)
    committed = _share(figures.commit_seconds, figures.seconds)
    is_one_loop = figures.is_loop and not figures.has_processes
    is_inline = is_one_loop and not figures.is_durable
    # A loop that stores a file does nothing else meanwhile.
    blocked = _share(figures.store_seconds, figures.seconds) if is_inline else 0.0
    share, evidence = max(
        (stored, f"storing {_percent(stored)} of worker time"),
        (blocked, f"storing {_percent(blocked)} of the time"),
        (committed, f"waiting for the manifest {_percent(committed)} of the time"),
    )
    if share < MAIN_SHARE:
        return None
    advice = "a faster disk would help, more workers would not"
    if figures.is_durable:
        advice = "without --durable nothing would wait for the disk"
    return Bound(BoundKind.DISK, f"{evidence}, {_cpu_text(figures)}", advice)


def _stores_without_a_core(figures: Figures) -> bool:
    """True if keeping took most of the time, and at least half of that for the CPU."""
    # In a loop many attempts wait at once while one thread is ready.
    if figures.is_loop:
        return False
    kept = _share(figures.kept_seconds, figures.slot_seconds)
    ready = figures.ready_seconds + figures.worker_ready_seconds
    cpu = figures.all_cpu_seconds - figures.worker_start_cpu_seconds
    return kept >= MAIN_SHARE and 2 * _wanted(cpu, ready) >= figures.kept_seconds


def _stored_seconds(figures: Figures) -> float:
    """What slots lost to the disk, and to the record."""
    stored = figures.store_seconds
    # What workers have done lies there while the loop that is to judge it waits.
    left_lying = figures.worker_seconds - figures.attempt_seconds
    return stored + min(left_lying, figures.commit_seconds * figures.workers)


# Servers


def _refusals(figures: Figures) -> Bound | None:
    refused = _share(figures.refused, figures.attempts)
    if refused < REFUSED_SHARE:
        return None
    return Bound(
        BoundKind.SERVER,
        f"{_percent(refused)} of the attempts were answered 429 or 503",
        "fewer requests at once (a smaller -x or -j) would be refused less often",
    )


def _crowd(figures: Figures) -> Bound | None:
    crowd = figures.crowd
    # Slots that our own limit keeps idle would not help: they would only queue.
    slots = figures.slot_seconds - figures.limits_seconds
    waited = _share(figures.first_byte_seconds, slots)
    if crowd is None or waited < MAIN_SHARE:
        return None
    evidence = (
        f"{printable(crowd.host)} began to answer within "
        f"{_milliseconds(crowd.rest_seconds)} when little was asked of it, and within "
        f"{_milliseconds(crowd.crowd_seconds)} with {crowd.at_once} requests at once"
    )
    return Bound(BoundKind.SERVER, evidence, "more workers would not help")


# Our own politeness


def _politeness(figures: Figures) -> Bound | None:
    slots = figures.slot_seconds
    limits = _share(figures.limits_seconds, slots)
    pauses = _share(figures.pauses_seconds, slots)
    rate = _share(figures.paused_seconds, slots)
    is_at_rate = figures.rate_share >= RATE_SHARE
    if limits + pauses + rate < MAIN_SHARE and not is_at_rate:
        return None
    held = f"kept {{}} of worker slots idle, {_cpu_text(figures)}"
    if is_at_rate or rate >= max(limits, pauses):
        evidence = (
            f"the rate limit, of which {_percent(figures.rate_share)} was used, held "
            f"transfers back {_percent(rate)} of worker time"
        )
        return Bound(BoundKind.POLITENESS, evidence, "a higher --limit-rate would help")
    if pauses >= limits:
        evidence = f"pauses and back-off {held.format(_percent(pauses))}"
        advice = (
            "more workers would not help: the servers, or their failures, ask for it"
        )
        return Bound(BoundKind.POLITENESS, evidence, advice)
    evidence = f"the limit for each host {held.format(_percent(limits))}"
    per_host = figures.per_host or figures.workers
    # What neither workers nor the list can use is no gain.
    more = min(2 * per_host, figures.workers, figures.attempts)
    advice = f"-x {more} would help where hosts allow it"
    return Bound(BoundKind.POLITENESS, evidence, advice if more > per_host else None)


# The network


def _network(figures: Figures) -> Bound | None:
    network = _share(figures.network_seconds, figures.slot_seconds)
    if network < MAIN_SHARE:
        return None
    evidence = (
        f"waiting on the network {_percent(network)} of worker time, "
        f"{_cpu_text(figures)}"
    )
    return Bound(BoundKind.IO, evidence, _network_advice(figures))


def _network_advice(figures: Figures) -> str | None:
    """More at once, as far as the CPU, the hosts' limit and the list go."""
    # There was not more to do than could be done at once, or more was tried.
    if figures.attempts < 2 * figures.workers or figures.is_chosen:
        return None
    most = CPU_SHARE / max(_cpu_share(figures), 1e-9)
    # What is more than the list has would stand idle.
    wanted = min(figures.workers * min(_MOST_MORE, most), figures.attempts)
    workers = _round_down(wanted)
    if workers < 1.5 * figures.workers:
        return None
    # A full line, unlike a slow answer, does not carry more for being asked more often.
    is_sure = 2 * figures.first_byte_seconds >= figures.network_seconds
    verb = "would help" if is_sure else "may help"
    more = _more_at_a_host(figures, workers)
    # A strategy that has more at once waits for the same limit, if that holds already.
    is_at_limit = _is_at_hosts_limit(figures)
    loop = f"--strategy {figures.loop}{more if is_at_limit else ''}"
    if figures.strategy == "serial":
        return f"{loop} {verb}, more processes would not"
    if figures.strategy in {"processes", "subprocess"}:
        return f"{loop} {verb}, and costs less than more processes"
    advice = f"--workers {workers}{more}"
    if figures.strategy == "threads" and not is_at_limit:
        advice = f"{advice} or {loop}"
    return f"{advice} {verb}, more processes would not"


def _is_at_hosts_limit(figures: Figures) -> bool:
    """True if hosts would not take more at once than there are workers."""
    if figures.per_host is None:
        return False
    return figures.per_host * max(1, figures.hosts) <= figures.workers


def _more_at_a_host(figures: Figures, workers: int) -> str:
    """The further option without which so many workers would stand idle."""
    hosts = max(1, figures.hosts)
    if figures.per_host is None or workers <= figures.per_host * hosts:
        return ""
    return f" with -x {-(-workers // hosts)}, where hosts allow it,"


def _round_down(number: float) -> int:
    """A number as people say it: with one digit, or two."""
    whole = int(number)
    step = 10 ** max(0, len(str(whole)) - 1) // 2 or 1
    return whole // step * step


# Several things at once


def _mixed(figures: Figures) -> Bound:
    slots = figures.slot_seconds
    shares = (
        ("waiting on the network", _share(figures.network_seconds, slots)),
        ("hashing", _share(figures.hash_seconds, slots)),
        ("storing", _share(figures.store_seconds, slots)),
        ("held back by the rate", _share(figures.paused_seconds, slots)),
        ("idle by hosts' limits", _share(figures.limits_seconds, slots)),
        ("idle in pauses", _share(figures.pauses_seconds, slots)),
        ("idle for want of lines", _share(figures.list_seconds, slots)),
    )
    said = [
        f"{name} {_percent(share)}" for name, share in shares if share >= _WORTH_SAYING
    ]
    workers = f"{', '.join(said)} of worker time, " if said else ""
    evidence = f"{workers}{_cpu_text(figures)}"
    advice = _hash_advice(figures, figures.slot_seconds)
    return Bound(BoundKind.MIXED, evidence, advice)

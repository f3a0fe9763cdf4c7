"""What a strategy owes the session, and where each is to be found.

A strategy is a completion queue for attempts:

    start(batch)  buffer attempts of one host, to run one after another in one place
    wait(t)       hand out what was started, and bring back facts; at once after `wake`
    cancel(f)     end every attempt under way with the failure f
    close(t)      let go of everything within t seconds, by force if need be

It holds no rule about HTTP, retries, hosts, names or files. Only one thread calls it, but
`wake` and `cancel` may be called from any thread and from a signal handler.
"""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol

from downloader.errors import StrategyUnavailable
from downloader.strategies.refusals import refused
from downloader.transfer import descriptors

if TYPE_CHECKING:
    from collections.abc import Callable

    from downloader.models import Attempt, Fact, Failure, WorkerUsage
    from downloader.policy.goodput import Choices
    from downloader.transfer.plan import Plan


class Strategy(Protocol):
    """Where attempts run, and how many at once.

    Made with the run's plan and a number of workers; `wait` never takes longer than the
    time it is given, and that is never more than half a second.
    """

    name: ClassVar[str]
    # True if other processes (may) move the bytes: then a worker can be lost.
    has_worker_processes: ClassVar[bool]
    # False if a transfer under way keeps `wait` from returning at once after `wake`.
    wakes_within_a_transfer: ClassVar[bool]

    def __init__(self, plan: Plan, workers: int) -> None: ...

    @property
    def capacity(self) -> int:
        """How many more batches it takes now."""
        ...

    @property
    def batch(self) -> int:
        """How many attempts a batch may hold now; they share one slot of their host."""
        ...

    def start(self, attempts: list[Attempt]) -> None:
        """Take up a batch; nothing has to happen before the next `wait`."""
        ...

    def wait(self, timeout_seconds: float) -> list[Fact]:
        """Run, until there are facts, or `wake` was called, or the time is over.

        Raises:
            StrategyError: The mechanism itself is broken.
        """
        ...

    def wake(self) -> None:
        """Make `wait` return at once, now or when it is called next."""
        ...

    def cancel(self, failure: Failure) -> None:
        """End every attempt under way with this failure; their results still come."""
        ...

    def usage(self) -> list[WorkerUsage]:
        """What worker processes have used so far; empty if there are none."""
        ...

    def close(self, grace_seconds: float) -> None:
        """End all workers: kindly within the given time, then by force."""
        ...


def choices_of(strategy: Strategy) -> Choices | None:
    """What a strategy that chooses among others has decided; None of any other."""
    # Not by a protocol that can be checked: that loads `inspect`.
    choices: Callable[[], Choices] | None = getattr(strategy, "choices", None)
    return None if choices is None else choices()


def usable_cores() -> int:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Kind(NamedTuple):
    """What is to be known of a strategy before it is loaded.

    Attributes:
        module: Where in this package its class is.
        member: The class's name.
        workers: How many it has unless told otherwise; None for two a core, since a core
            runs two blocking ones well: one waits while the other works.
        is_loop: True if one thread of each process that moves bytes serves many files.
        has_newer_http: True if it speaks HTTP/2 and 3, where libcurl is at hand.
    """

    module: str
    member: str
    workers: int | None = None
    is_loop: bool = False
    has_newer_http: bool = False


# Threads that share one interpreter gain little beyond a few dozen; an event loop waits
# for hundreds of connections at no cost.
KINDS = {
    "serial": Kind("executors", "Serial", 1),
    "threads": Kind("executors", "Threads", 16),
    "processes": Kind("processes", "Processes"),
    "subprocess": Kind("children", "Subprocess"),
    "asyncio": Kind("event_loop", "EventLoop", 100, is_loop=True),
    "curl": Kind("curl", "Curl", 100, is_loop=True, has_newer_http=True),
    "multicore": Kind("children", "Multicore", 100, is_loop=True, has_newer_http=True),
    "auto": Kind("auto", "Auto", has_newer_http=True),
}
NAMES = tuple(KINDS)


# The most downloads at once that `auto` climbs to by itself.
MOST_AUTO_WORKERS = 1_000


def chosen(name: str) -> str:
    """The strategy that a setting stands for: `default` is the fastest at hand."""
    if name != "default":
        return name
    return "curl" if find_spec("pycurl") is not None else "asyncio"


def default_workers(name: str) -> int:
    """How many workers a strategy has unless told otherwise; see `Kind`.

    For `auto` it is the bound: it begins with what the lightest has, and half of the
    files that may be open are left for what it compares that with.
    """
    if name == "auto":
        room = descriptors.most_workers(descriptors.A_TRANSFER) // 2
        least = default_workers(chosen("default"))
        return max(least, min(MOST_AUTO_WORKERS, room))
    return KINDS[name].workers or max(2, 2 * usable_cores())


def load(name: str) -> type[Strategy]:
    """The class of a strategy; its libraries are imported now.

    Raises:
        StrategyUnavailable: There is none of that name, or its engine is missing.
        StrategyError: The interpreter is ending, and makes no pool any more.
    """
    kind = KINDS.get(name)
    if kind is None:
        raise StrategyUnavailable(
            f"there is no strategy {name!r}; choose one of {', '.join(NAMES)}"
        )
    try:
        module = import_module(f"downloader.strategies.{kind.module}")
    except RuntimeError as error:  # from the standard library's own module of a pool
        raise refused(name, error, "its mechanism") from error
    strategy: type[Strategy] = getattr(module, kind.member)
    return strategy

"""CPU time and context switches of a process and everything that it started.

The kernel tells of children that have ended; of those that live only Linux does, in steps
of 10 ms of CPU time each.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass

from downloader.bench.memory import tree

__all__ = ["Usage", "sees_living_children", "usage_so_far"]

_UTIME, _STIME, _CUTIME, _CSTIME = range(11, 15)


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """What has been used so far; switches are None where the system does not tell."""

    user_seconds: float
    system_seconds: float
    voluntary: int | None = None
    involuntary: int | None = None

    def since(self, before: Usage) -> Usage:
        """What came on top of an earlier look."""
        return Usage(
            user_seconds=self.user_seconds - before.user_seconds,
            system_seconds=self.system_seconds - before.system_seconds,
            voluntary=_gap(self.voluntary, before.voluntary),
            involuntary=_gap(self.involuntary, before.involuntary),
        )


def sees_living_children() -> bool:
    """True if children need not end before what they used is known."""
    return os.path.exists("/proc/self/task")


def usage_so_far() -> Usage:
    """Of this process, its children that ended and, where it can be seen, the others."""
    own = _own_usage()
    if not sees_living_children():
        return own
    user, system = own.user_seconds, own.system_seconds
    voluntary, involuntary = own.voluntary or 0, own.involuntary or 0
    for pid in tree(os.getpid())[1:]:
        more_user, more_system = _cpu_of(pid)
        user, system = user + more_user, system + more_system
        waited, forced = _switches_of(pid)
        voluntary, involuntary = voluntary + waited, involuntary + forced
    return Usage(
        user_seconds=user,
        system_seconds=system,
        voluntary=voluntary,
        involuntary=involuntary,
    )


def _own_usage() -> Usage:
    try:
        import resource
    except ImportError:
        used = os.times()
        return Usage(
            user_seconds=used.user + used.children_user,
            system_seconds=used.system + used.children_system,
        )
    own = resource.getrusage(resource.RUSAGE_SELF)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Usage(
        user_seconds=own.ru_utime + ended.ru_utime,
        system_seconds=own.ru_stime + ended.ru_stime,
        voluntary=own.ru_nvcsw + ended.ru_nvcsw,
        involuntary=own.ru_nivcsw + ended.ru_nivcsw,
    )


def _cpu_of(pid: int) -> tuple[float, float]:
    """User and system seconds of a living process and its ended children."""
    with suppress(OSError), open(f"/proc/{pid}/stat", "rb") as file:
        # The name before it, in brackets, may have blanks in it.
        fields = file.read().rpartition(b")")[2].split()
        ticks = os.sysconf("SC_CLK_TCK")
        user = int(fields[_UTIME]) + int(fields[_CUTIME])
        system = int(fields[_STIME]) + int(fields[_CSTIME])
        return user / ticks, system / ticks
    return 0.0, 0.0


def _switches_of(pid: int) -> tuple[int, int]:
    """Context switches of its living threads: voluntary, forced."""
    waited = forced = 0
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/status", "rb") as file:
                for line in file:
                    if line.startswith(b"voluntary_ctxt_switches"):
                        waited += int(line.split()[1])
                    elif line.startswith(b"nonvoluntary_ctxt_switches"):
                        forced += int(line.split()[1])
    return waited, forced


def _gap(after: int | None, before: int | None) -> int | None:
    return None if after is None or before is None else after - before

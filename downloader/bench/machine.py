"""The machine in a bench's header: cores, load, versions, the interpreter's lock."""

from __future__ import annotations

import multiprocessing
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import msgspec

from downloader.bench.result import Machine
from downloader.strategies.contract import usable_cores
from downloader.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "busy_seconds",
    "describe",
    "effective_cores",
    "gil_is_enabled",
    "is_in_memory",
    "load",
    "with_load_after",
]

_PACKAGES = ("aiohttp", "requests", "urllib3", "msgspec", "pycurl")


def describe() -> Machine:
    """The machine as it stands now."""
    return Machine(
        system=platform.platform(),
        processor=_processor(),
        cores=os.cpu_count() or 1,
        usable_cores=usable_cores(),
        quota_cores=_quota_cores(),
        memory_bytes=_memory_bytes(),
        load_before=load(),
        load_after=None,
        python=platform.python_version(),
        implementation=platform.python_implementation(),
        is_gil_enabled=gil_is_enabled(),
        start_method=multiprocessing.get_all_start_methods()[0],
        switch_interval_seconds=sys.getswitchinterval(),
        versions=dict(_versions()),
    )


def with_load_after(machine: Machine) -> Machine:
    """The same machine with the load as it is at a bench's end."""
    return msgspec.structs.replace(machine, load_after=load())


def effective_cores(machine: Machine) -> int:
    """Cores that work can have at once: those allowed, within a container's limit."""
    if machine.quota_cores is None:
        return machine.usable_cores
    return max(1, min(machine.usable_cores, int(machine.quota_cores)))


def is_in_memory(folder: str) -> bool:
    """True if what is written to a folder is known to reach no disk."""
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="replace") as file:
            mounts = [line.split(" ")[1:3] for line in file]
    except OSError:
        return False
    where = f"{os.path.realpath(folder).rstrip('/')}/"
    holding = [one for one in mounts if where.startswith(f"{one[0].rstrip('/')}/")]
    # Of several on one place the last one is seen.
    _, kind = max(reversed(holding), key=lambda one: len(one[0]), default=("", ""))
    return kind in {"tmpfs", "ramfs"}


def gil_is_enabled() -> bool:
    """True unless this is a free-threaded build that runs without the lock."""
    ask = getattr(sys, "_is_gil_enabled", None)
    return True if ask is None else bool(ask())


def load() -> float | None:
    """The load average of the last minute, None where there is none."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None


def busy_seconds() -> float | None:
    """CPU time that all cores together have spent on anything; None but on Linux."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            user, nice, system, _, _, *rest = map(int, file.readline().split()[1:9])
        return (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK")
    except (AttributeError, OSError, ValueError):
        return None


def _versions() -> Iterator[tuple[str, str]]:
    yield "downloader", __version__
    for name in _PACKAGES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except (OSError, ValueError):
        pass
    return platform.processor() or platform.machine()


def _quota_cores() -> float | None:
    """What a control group of version 2 allows this process."""
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
            quota, period = file.read().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return None


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None

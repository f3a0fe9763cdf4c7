"""How many files and sockets a process may have open, and how they are shared out.

Every transfer takes a socket and a part file, and a little more while a connection is
made. Folders and idle connections that are kept open save time, and take what is left.
"""

from __future__ import annotations

import os

from downloader.tuples import NamedTuple

# What a run needs besides its transfers: two databases with their logs, the lock, the
# list, the report, a look-up, the folders that the session itself looks into.
RESERVED = 36
# A socket, its copy during a handshake, the part, and the folder it is in. The parent's
# ends of a worker process's pipes are as many.
A_TRANSFER = 4
_UNLIMITED = 65_536
_MOST_FOLDERS = 16
_MOST_IDLE = 100


class Share(NamedTuple):
    """What one owner of transfers may keep open beyond them.

    Attributes:
        folders: Folders whose descriptors are kept.
        idle: Connections that are kept though nobody uses them now.
    """

    folders: int
    idle: int


def limit() -> int:
    """How many descriptors this process may have."""
    try:
        import resource
    except ImportError:
        return _UNLIMITED
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _UNLIMITED if soft == resource.RLIM_INFINITY else min(soft, _UNLIMITED)


def in_use() -> int:
    """How many it has at present; a guess where the system does not say."""
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 16


def most_workers(a_worker: int) -> int:
    """How many workers of which each takes so many descriptors find room; at least 1."""
    return max(1, (limit() - in_use() - RESERVED) // a_worker)


def share(transfers: int, owners: int = 1) -> Share:
    """What each of several owners may keep open beyond its part of the transfers."""
    free = limit() - in_use() - RESERVED - transfers * A_TRANSFER
    each = max(0, free) // (2 * owners)
    return Share(max(1, min(_MOST_FOLDERS, each)), max(1, min(_MOST_IDLE, each)))

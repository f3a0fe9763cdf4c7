"""SQLite databases in a folder that is held open, whoever may have made them.

SQLite opens a database, its `-wal` and its `-shm` by path, whenever it needs them, and
follows symbolic links on the way to them; it even reads the link `/proc/self/fd/N` and
goes by the path found there (`unixFullPathname`, 3.40). So whoever may rename the folder
between two of these steps chooses the files that are written. Where the system has
`/proc`, SQLite therefore gets names below `/proc/self/fd/N` by a VFS of our own, which
differs from the usual one in taking names as they stand. Elsewhere the file's inode is
compared once it is open, before anything is written.

A database may also be an attacker's program: `restrict` lets nothing in its schema do
more than store values (https://sqlite.org/security.html).
"""

from __future__ import annotations

import os
import sqlite3
import sys
from functools import cache

from downloader.errors import ManifestError

_VFS = "downloader"
_VFS_VERSION = 3  # since 2011
_DESCRIPTORS = "/proc/self/fd"
_CANTOPEN = 14  # SQLITE_CANTOPEN
# More than any row of ours has; what is larger is refused before it is read.
_MOST_VALUE_BYTES = 16 << 20
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: _MOST_VALUE_BYTES,
    sqlite3.SQLITE_LIMIT_COLUMN: 100,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}


def connect(
    path: str, directory: int | None, timeout_seconds: float = 5.0
) -> sqlite3.Connection:
    """Open a database that exists already.

    Args:
        path: The path of its file.
        directory: A descriptor of its folder, which must stay open for as long as the
            connection does; None where the system has none of folders.
        timeout_seconds: How long to wait while another program holds it.

    Raises:
        ManifestError: Another file has got its name meanwhile.
        sqlite3.Error: It cannot be opened.
    """
    name = os.path.basename(path)
    by_descriptor = directory is not None and _takes_names_as_they_stand()
    if by_descriptor:
        place = f"file:{_DESCRIPTORS}/{directory}/{name}?vfs={_VFS}&mode=rw"
    else:
        from pathlib import Path  # 5 ms, with what it imports

        place = f"{Path(path).as_uri()}?mode=rw"
    connection = sqlite3.connect(
        place,
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=timeout_seconds,
    )
    if directory is not None and not by_descriptor:
        try:
            _check_inode(path, name, directory)
        except BaseException:
            connection.close()
            raise
    return connection


def restrict(connection: sqlite3.Connection) -> None:
    """Have a connection trust nothing in its file's schema, and refuse huge values."""
    for limit, value in _LIMITS.items():
        connection.setlimit(limit, value)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    if sys.version_info >= (3, 12):
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True)  # noqa: FBT003 - a flag by its number
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_TRIGGER, False)  # noqa: FBT003 - likewise
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_VIEW, False)  # noqa: FBT003 - likewise


def _check_inode(path: str, name: str, directory: int) -> None:
    by_path = os.stat(path, follow_symlinks=False)
    ours = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if (by_path.st_dev, by_path.st_ino) != (ours.st_dev, ours.st_ino):
        raise ManifestError(path, "its folder was replaced as it was opened; try again")


@cache
def _takes_names_as_they_stand() -> bool:
    """Register the VFS, once in a process; False where that cannot be done."""
    if not os.path.exists(_DESCRIPTORS):
        return False
    try:
        return _register()
    except (ImportError, OSError, AttributeError):  # SQLite is not to be reached there
        return False


def _register() -> bool:
    import _sqlite3
    import ctypes  # 2 ms

    library = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
    library.sqlite3_vfs_find.restype = ctypes.c_void_p
    usual = library.sqlite3_vfs_find(None)
    if usual is None:
        return False
    full_name = ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p
    )

    class Vfs(ctypes.Structure):
        """`sqlite3_vfs` of sqlite3.h, third version."""

        _fields_ = (
            ("version", ctypes.c_int),
            ("file_size", ctypes.c_int),
            ("most_bytes", ctypes.c_int),
            ("next", ctypes.c_void_p),
            ("name", ctypes.c_char_p),
            ("more", ctypes.c_void_p * 4),
            ("full_name", full_name),
            ("rest", ctypes.c_void_p * 12),
        )

    def as_it_stands(_: object, name: bytes, room: int, place: int) -> int:
        if len(name) >= room:
            return _CANTOPEN
        ctypes.memmove(place, name + b"\0", len(name) + 1)
        return 0

    ours = Vfs.from_buffer_copy(Vfs.from_address(usual))
    if ours.version < _VFS_VERSION:
        return False
    ours.next, ours.name = None, _VFS.encode()
    ours.full_name = full_name(as_it_stands)
    # SQLite uses it until the process ends, so that it is never let go.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(ours))
    return bool(library.sqlite3_vfs_register(ctypes.byref(ours), 0) == 0)

"""One run a folder: a lock that the system lets go of when its holder dies.

Who holds it stands in a file beside it, for the message of whoever comes second; that
file may be out of date, the lock never is.
"""

from __future__ import annotations

import contextlib
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from downloader.errors import FolderLocked, ManifestError
from downloader.policy.redaction import printable

if TYPE_CHECKING:
    from downloader.record_folder import RecordFolder

_LOCK, _HOLDER = "lock", "holder.json"
_MOST_HOLDER_BYTES = 4 << 10

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def _unlock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    # `filelock` would do as well, but takes 40 ms to import: a third of a short run.
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


class _Holder(msgspec.Struct, frozen=True):
    pid: int
    host: str
    since: datetime


class FolderLock:
    """The lock of an output folder, held from the making of this object to `release`.

    Args:
        output: The output folder, for messages.
        folder: Its folder of records.

    Raises:
        FolderLocked: Another run holds it.
        ManifestError: It cannot be made.
    """

    def __init__(self, output: str, folder: RecordFolder) -> None:
        path = folder.place(_LOCK)
        try:
            self._descriptor: int | None = folder.open(_LOCK, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise _no_lock(path, error) from error
        try:
            _lock(self._descriptor)
        except (BlockingIOError, PermissionError) as error:
            os.close(self._descriptor)
            raise FolderLocked(output, _who(folder)) from error
        except OSError as error:
            os.close(self._descriptor)
            raise _no_lock(path, error) from error
        _sign(folder)

    def release(self) -> None:
        """Let go of it; called again it does nothing."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            # Not by closing alone: a child that is being made has a copy for a moment.
            _unlock(descriptor)
            os.close(descriptor)


def _no_lock(path: str, error: OSError) -> ManifestError:
    return ManifestError(path, f"it cannot be locked: {error.strerror or error}")


def _sign(folder: RecordFolder) -> None:
    """Write down who holds the lock, in a new file: the old one may have other names."""
    holder = _Holder(os.getpid(), _host_name(), datetime.now(UTC))
    # On a full disk the lock holds all the same, only the message says less.
    with contextlib.suppress(OSError, ManifestError):
        with contextlib.suppress(FileNotFoundError):
            folder.remove(_HOLDER)
        descriptor = folder.open(_HOLDER, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        with open(descriptor, "wb") as stream:
            stream.write(msgspec.json.encode(holder))


def _host_name() -> str:
    if hasattr(os, "uname"):
        return os.uname().nodename
    import socket

    return socket.gethostname()


def _who(folder: RecordFolder) -> str:
    try:
        with open(folder.open(_HOLDER, os.O_RDONLY), "rb") as stream:
            holder = msgspec.json.decode(stream.read(_MOST_HOLDER_BYTES), type=_Holder)
        since = holder.since.astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
    except (OSError, ManifestError, msgspec.MsgspecError, ValueError, OverflowError):
        return "by whom is not written down"
    return f"process {holder.pid} on {printable(holder.host)}, since {since}"

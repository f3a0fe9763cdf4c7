"""One run a folder: a lock that the system lets go of when its holder dies.

Who holds it stands in a file beside it, for the message of whoever comes second; that
file may be out of date, the lock never is.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime

import msgspec

from downloader.errors import FolderLocked, ManifestError
from downloader.manifest import refuse_irregular

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
        folder: Its `.downloader` folder.

    Raises:
        FolderLocked: Another run holds it.
        ManifestError: It cannot be made.
    """

    def __init__(self, output: str, folder: str) -> None:
        path = os.path.join(folder, "lock")
        holder_path = os.path.join(folder, "holder.json")
        for one in (path, holder_path):
            refuse_irregular(one)
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        try:
            self._descriptor: int | None = os.open(path, flags, 0o600)
        except OSError as error:
            raise _no_lock(path, error) from error
        try:
            _lock(self._descriptor)
        except (BlockingIOError, PermissionError) as error:
            os.close(self._descriptor)
            raise FolderLocked(output, _who(holder_path)) from error
        except OSError as error:
            os.close(self._descriptor)
            raise _no_lock(path, error) from error
        _sign(holder_path)

    def release(self) -> None:
        """Let go of it; called again it does nothing."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            # Not by closing alone: a child that is being made has a copy for a moment.
            _unlock(descriptor)
            os.close(descriptor)


def _no_lock(path: str, error: OSError) -> ManifestError:
    return ManifestError(path, f"it cannot be locked: {error.strerror or error}")


def _sign(path: str) -> None:
    holder = _Holder(os.getpid(), _host_name(), datetime.now(UTC))
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
    try:
        with open(os.open(path, flags, 0o600), "wb") as stream:
            stream.write(msgspec.json.encode(holder))
    except OSError:
        return  # a full disk: the lock holds, only the message says less


def _host_name() -> str:
    if hasattr(os, "uname"):
        return os.uname().nodename
    import socket

    return socket.gethostname()


def _who(path: str) -> str:
    try:
        with open(path, "rb") as stream:
            holder = msgspec.json.decode(stream.read(), type=_Holder)
    except (OSError, msgspec.MsgspecError):
        return "by whom is not written down"
    since = holder.since.astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
    return f"process {holder.pid} on {holder.host}, since {since}"

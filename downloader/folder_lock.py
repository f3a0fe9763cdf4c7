"""One run a folder: a lock that the system lets go of when its holder dies.

Who holds it stands in a file beside it, for the message of whoever comes second; that
file may be out of date, the lock never is.
"""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime

import msgspec

from downloader.errors import FolderLocked, ManifestError
from downloader.manifest import refuse_irregular


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
        # It imports asyncio for its other half, so not before a run.
        from filelock import FileLock, Timeout

        path = os.path.join(folder, "lock")
        holder_path = os.path.join(folder, "holder.json")
        for one in (path, holder_path):
            refuse_irregular(one)
        # Taken in one thread and let go of in another, and never shared between two runs.
        # No soft lock where the system has none: that would outlive a killed run.
        self._lock = FileLock(
            path,
            timeout=0,
            mode=0o600,
            thread_local=False,
            is_singleton=False,
            fallback_to_soft=False,
            preserve_lock_file=True,
        )
        try:
            self._lock.acquire()
        except Timeout as error:
            raise FolderLocked(output, _who(holder_path)) from error
        except (OSError, NotImplementedError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ManifestError(path, f"it cannot be locked: {reason}") from error
        _sign(holder_path)

    def release(self) -> None:
        """Let go of it; called again it does nothing."""
        self._lock.release()


def _sign(path: str) -> None:
    holder = _Holder(os.getpid(), socket.gethostname(), datetime.now(UTC))
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
    try:
        with open(os.open(path, flags, 0o600), "wb") as stream:
            stream.write(msgspec.json.encode(holder))
    except OSError:
        return  # a full disk: the lock holds, only the message says less


def _who(path: str) -> str:
    try:
        with open(path, "rb") as stream:
            holder = msgspec.json.decode(stream.read(), type=_Holder)
    except (OSError, msgspec.MsgspecError):
        return "by whom is not written down"
    since = holder.since.astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
    return f"process {holder.pid} on {holder.host}, since {since}"

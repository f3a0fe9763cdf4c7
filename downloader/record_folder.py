"""An output folder's `.downloader`, held open: all that is in it is opened through this.

Who may write to the output folder may put a link or a folder of their own in its place
at any moment. So it is opened once, without following links, and checked to be ours;
every file in it is then named relative to that descriptor, and is none of somebody
else's: no link, no further name of another file, no other owner's.
"""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING

from downloader import database
from downloader.errors import DiskError, ManifestError, TransportError
from downloader.transfer.folder import (
    BINARY,
    CLOEXEC,
    NOFOLLOW,
    NONBLOCK,
    RECORDS,
    Folder,
    file_fault,
)

if TYPE_CHECKING:
    import sqlite3

_FLAGS = NOFOLLOW | NONBLOCK | CLOEXEC | BINARY


class RecordFolder:
    """The folder of an output folder's records; made if missing.

    Whoever has opened a file in it holds on to it: it is let go with its last user.

    Args:
        output: The output folder's absolute path.

    Attributes:
        path: Its own path, for messages.

    Raises:
        ManifestError: It is a link or a file, another user's, or cannot be made.
    """

    def __init__(self, output: str) -> None:
        self.path = os.path.join(output, RECORDS)
        try:
            folder = Folder(output, most_open=1)
            try:
                found, _ = folder.locate(f"{RECORDS}/.")
                self._descriptor = None if found is None else os.dup(found)
            finally:
                folder.close()
        except (DiskError, TransportError) as error:
            reason = error.reason if isinstance(error, DiskError) else error.detail
            raise ManifestError(self.path, reason) from error
        if self._descriptor is not None:
            # A process that ends lets it go by itself, and not before its databases.
            weakref.finalize(self, os.close, self._descriptor).atexit = False

    def place(self, name: str) -> str:
        """The path of a file in it, for messages."""
        return os.path.join(self.path, name)

    def check(self, name: str) -> bool:
        """True if there is a file of ours, False if there is nothing.

        Raises:
            ManifestError: There is something that must not be written to.
        """
        try:
            found = os.stat(
                self._at(name), dir_fd=self._descriptor, follow_symlinks=False
            )
        except FileNotFoundError:
            return False
        parent = None if self._descriptor is None else os.fstat(self._descriptor)
        fault = file_fault(found, parent)
        if fault is not None:
            raise ManifestError(self.place(name), fault)
        return True

    def open(self, name: str, flags: int) -> int:
        """A descriptor of a file of ours; it is made for its owner alone.

        Raises:
            ManifestError: As for `check`.
            OSError: The system refuses.
        """
        self.check(name)
        return os.open(self._at(name), flags | _FLAGS, 0o600, dir_fd=self._descriptor)

    def size_bytes(self, name: str) -> int:
        """A file's length; 0 for none."""
        try:
            return os.stat(
                self._at(name), dir_fd=self._descriptor, follow_symlinks=False
            ).st_size
        except FileNotFoundError:
            return 0

    def remove(self, name: str) -> None:
        """Take a file's name away, whatever it stands for.

        Raises:
            OSError: There is none, or the system refuses.
        """
        os.unlink(self._at(name), dir_fd=self._descriptor)

    def rename(self, name: str, new_name: str) -> None:
        """Give a file another name.

        Raises:
            OSError: There is none, or the system refuses.
        """
        os.rename(
            self._at(name),
            self._at(new_name),
            src_dir_fd=self._descriptor,
            dst_dir_fd=self._descriptor,
        )

    def connect(self, name: str, timeout_seconds: float = 5.0) -> sqlite3.Connection:
        """Open a database that is there.

        Raises:
            ManifestError: As for `check`.
            sqlite3.Error: It cannot be opened.
        """
        self.check(name)
        return database.connect(self.place(name), self._descriptor, timeout_seconds)

    def _at(self, name: str) -> str:
        return self.place(name) if self._descriptor is None else name

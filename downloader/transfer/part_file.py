"""The part file: bytes arrive beside their target and reach its name only when whole.

Parts are created exclusively: a FIFO, a device or another file's hard link is never
opened. All errors leave here as `DiskError`, never as `OSError`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from typing import TYPE_CHECKING

from downloader.errors import DiskError, PartLost, TargetExists
from downloader.policy import digests
from downloader.policy.naming import part_name
from downloader.transfer.digest import HASHED_BESIDE_BYTES, Digest, digest_of
from downloader.transfer.folder import (
    BINARY,
    CLOEXEC,
    NOFOLLOW,
    NONBLOCK,
    disk_error,
    translated,
)

try:
    import fcntl
except (
    ImportError
):  # Windows keeps others from a file that is open, without being asked
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from downloader.transfer.folder import Folder

_CREATE_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | NOFOLLOW | CLOEXEC | BINARY
_RESUME_FLAGS = os.O_RDWR | NOFOLLOW | CLOEXEC | BINARY | NONBLOCK
_READ_BYTES = 1 << 20
# A file without a name, on Linux: gone with whoever made it, until it is linked somewhere.
_NAMELESS_FLAGS = os.O_WRONLY | getattr(os, "O_TMPFILE", 0) | CLOEXEC
_NOT_SUPPORTED = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL})


class PartFile:
    """The bytes of one attempt on their way to `path`; hashed as they are written.

    While it is open its file is locked: a worker whose run was killed a moment ago may
    still write to it when the next run wants to go on.

    Args:
        folder: The worker's view of the output folder.
        path: The final name, relative to it.
        algorithm: What hashes it; see `policy.digests`.

    Attributes:
        size_bytes: What it holds.
        hash_seconds: That went to hashing it here, or to waiting for who does.
    """

    __slots__ = (
        "_digest",
        "_fd",
        "_folder",
        "_held",
        "_path",
        "_whole",
        "algorithm",
        "hash_seconds",
        "size_bytes",
    )

    def __init__(
        self, folder: Folder, path: str, algorithm: str = digests.SHA256
    ) -> None:
        self.algorithm = algorithm
        self._folder = folder
        self._path = path
        self._fd: int | None = None
        self._held: bytes | None = None
        self._whole: str | None = None
        self._digest: Digest | None = None
        self.size_bytes = 0
        self.hash_seconds = 0.0

    def __del__(self) -> None:
        # An attempt that was cancelled, or broke, may have nobody left to end it.
        self._close()

    def open(self, offset_bytes: int, expected_bytes: int | None = None) -> None:
        """Begin to write at an offset; 0 starts a fresh file, whatever lay there.

        `expected_bytes` is how much is to come, if that is known.

        With an offset, `catch_up` must follow before anything is written.

        Raises:
            PartLost: It cannot be gone on with: it holds less, or another one writes it.
            DiskError: It cannot be made.
        """
        self._end_digest()
        self._whole = None
        is_large = (expected_bytes or 0) >= HASHED_BESIDE_BYTES
        self._digest = Digest(self.algorithm, is_large=is_large)
        self.size_bytes = offset_bytes
        with translated("write", self._path):
            parent, name = self._folder.locate(part_name(self._path))
            if offset_bytes:
                self._fd = self._reopen(name, parent, offset_bytes)
            else:
                self._fd = _create(name, parent, self._path)

    def hold(self, body: bytes) -> None:
        """Take a whole small body; `commit` then needs no part beside its name."""
        self._held = body
        since = time.perf_counter()
        self._whole = digest_of(self.algorithm, body)
        self.hash_seconds += time.perf_counter() - since
        self.size_bytes = len(body)

    def share(self) -> None:
        """Let others of this run write to the part as well."""
        if self._fd is not None:
            _lock(self._fd, is_shared=True)

    def join(self) -> None:
        """Open a part that others write to.

        Raises:
            PartLost: It is gone, or another run writes it.
            DiskError: It is no plain file.
        """
        with translated("write", self._path):
            parent, name = self._folder.locate(part_name(self._path))
            try:
                self._fd = os.open(name, _RESUME_FLAGS, dir_fd=parent)
            except FileNotFoundError as error:
                raise PartLost("go on with", self._path, "its part is gone") from error
            self._check_part(self._fd, 0, is_shared=True)

    def new_digest(self) -> tuple[Digest, int]:
        """A digest for all of a part that several write, and a descriptor to read it by.

        Both are the caller's, whom an end of this attempt does not disturb.
        """
        assert self._fd is not None
        return Digest(self.algorithm), os.dup(self._fd)

    def gathered(self, digest: Digest, total_bytes: int, hash_seconds: float) -> None:
        """All of a part that several have written is there, and hashed.

        That took so much longer than the last of it took to come.
        """
        self.hash_seconds += hash_seconds
        self._end_digest()  # of the first bytes, which came while it was ours alone
        self._digest = digest
        self.size_bytes = total_bytes

    def write_at(self, chunk: bytes | memoryview, position: int) -> None:
        """Put a chunk in its place; whoever reads it there hashes it.

        Raises:
            DiskError: The disk is full or refuses.
        """
        assert self._fd is not None
        view = memoryview(chunk)
        try:
            while view:
                written = os.pwrite(self._fd, view, position)
                view, position = view[written:], position + written
        except OSError as error:
            raise disk_error("write", self._path, error) from error

    def catch_up(self) -> None:
        """Hash what lies there already; may take long, and may run in another thread.

        Raises:
            DiskError: It cannot be read.
        """
        assert self._fd is not None
        assert self._digest is not None
        left = self.size_bytes
        with translated("read", self._path):
            # Of its own, and read by position: an attempt that is cut off meanwhile
            # closes the other, whose number may be another part's a moment later.
            descriptor = os.dup(self._fd)
            try:
                position = 0
                while block := _read_at(
                    descriptor, min(left - position, _READ_BYTES), position
                ):
                    self._hash(block)
                    position += len(block)
            finally:
                os.close(descriptor)

    def sync(self) -> None:
        """Wait until the disk has all of it; may run in another thread.

        Raises:
            DiskError: It fails.
        """
        assert self._fd is not None
        with translated("write", self._path):
            os.fsync(self._fd)

    @property
    def is_hashed_beside(self) -> bool:
        """True while a thread may still have something to hash."""
        return self._digest is not None and self._digest.is_beside

    def end_hash(self) -> None:
        """Wait for that thread, if there is one; may run in another thread."""
        self._end_digest()

    @property
    def is_open(self) -> bool:
        """True while there is a part to write to."""
        return self._fd is not None

    @property
    def digest(self) -> str:
        """The digest of all that was written; see `policy.digests`."""
        if self._whole is not None:
            return self._whole
        assert self._digest is not None
        return self._digest.text()

    def write(self, chunk: bytes) -> None:
        """Append a chunk.

        Raises:
            DiskError: The disk is full or refuses.
        """
        assert self._fd is not None
        view = memoryview(chunk)
        try:
            while view:
                written = os.write(self._fd, view)
                view = view[written:]
        except OSError as error:
            raise disk_error("write", self._path, error) from error
        self._hash(chunk)
        self.size_bytes += len(chunk)

    def commit(self, *, replaces: bool = True) -> int:
        """Give the part its final name.

        Args:
            replaces: Whether a plain file that has the name may be replaced.

        Returns:
            The modification time in nanoseconds.

        Raises:
            TargetExists: A file has the name, and may not be replaced.
            DiskError: A folder, a link or a device has the name, or the disk refuses.
        """
        held, self._held = self._held, None
        if held is not None:
            # Until it has its name there is nothing that could be gone on with.
            size_bytes, self.size_bytes = self.size_bytes, 0
            try:
                modified_ns = self._place(held)
            except OSError as error:
                raise disk_error("write", self._path, error) from error
            self.size_bytes = size_bytes
            if modified_ns is not None:
                return modified_ns
            self.open(0)
            self.write(held)
        assert self._fd is not None
        with translated("finish", self._path):
            written = os.fstat(self._fd)
            parent, name = self._folder.locate(self._path)
            if not _is_same(written, part_name(name), parent):
                raise DiskError("finish", self._path, "its part was taken away")
            if _refuse_irregular(name, parent, self._path) and not replaces:
                raise TargetExists("finish", self._path, "another file has its name")
            self._close()
            os.replace(part_name(name), name, src_dir_fd=parent, dst_dir_fd=parent)
        return written.st_mtime_ns

    def _place(self, body: bytes) -> int | None:
        """Make a file without a name, and name it when it is whole: 36 µs against 56.

        Returns:
            The modification time in nanoseconds; None where that cannot be done.

        Raises:
            TargetExists: As for `commit`; nothing is ever replaced.
            DiskError: Likewise.
        """
        parent, name = self._folder.locate(self._path)
        if parent is None or not self._folder.takes_nameless:
            return None
        try:
            descriptor = os.open(".", _NAMELESS_FLAGS, 0o666, dir_fd=parent)
        except OSError as error:
            if error.errno not in _NOT_SUPPORTED:
                raise
            self._folder.takes_nameless = False
            return None
        try:
            left_bytes = len(body) - os.write(descriptor, body) if body else 0
            while left_bytes:
                left_bytes -= os.write(descriptor, memoryview(body)[-left_bytes:])
            modified_ns = os.fstat(descriptor).st_mtime_ns
            os.link(f"/proc/self/fd/{descriptor}", name, dst_dir_fd=parent)
        except FileExistsError as error:
            _refuse_irregular(name, parent, self._path)
            raise TargetExists(
                "finish", self._path, "another file has its name"
            ) from error
        except FileNotFoundError:
            if os.path.exists("/proc/self/fd"):
                raise  # the folder is gone
            self._folder.takes_nameless = False
            return None
        finally:
            os.close(descriptor)
        return modified_ns

    def keep(self) -> int:
        """Leave the part for another attempt; its size in bytes."""
        self._close()
        return self.size_bytes

    def discard(self) -> None:
        """Remove the part, if it is the one written here; what cannot be removed is left."""
        if self._fd is None:
            return
        with contextlib.suppress(OSError, DiskError):
            parent, name = self._folder.locate(part_name(self._path))
            if _is_same(os.fstat(self._fd), name, parent):
                os.unlink(name, dir_fd=parent)
        self._close()

    def _reopen(self, name: str, parent: int | None, offset_bytes: int) -> int:
        try:
            descriptor = os.open(name, _RESUME_FLAGS, dir_fd=parent)
        except FileNotFoundError as error:
            raise PartLost("go on with", self._path, "its part is gone") from error
        try:
            self._check_part(descriptor, offset_bytes)
            os.ftruncate(descriptor, offset_bytes)
            os.lseek(descriptor, 0, os.SEEK_END)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _check_part(
        self, descriptor: int, offset_bytes: int, *, is_shared: bool = False
    ) -> None:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            raise DiskError("go on with", self._path, "its part is no plain file")
        if found.st_size < offset_bytes:
            raise PartLost("go on with", self._path, "its part has become shorter")
        if not _lock(descriptor, is_shared=is_shared):
            raise PartLost("go on with", self._path, "another run writes its part")

    def _hash(self, data: bytes) -> None:
        assert self._digest is not None
        since = time.perf_counter()
        self._digest.update(data)
        self.hash_seconds += time.perf_counter() - since

    def _end_digest(self) -> None:
        if self._digest is not None:
            since = time.perf_counter()
            self._digest.end()
            self.hash_seconds += time.perf_counter() - since

    def _close(self) -> None:
        self._end_digest()
        if self._fd is not None:
            descriptor, self._fd = self._fd, None
            # Closing alone would not do while a child that is being made has a copy.
            _unlock(descriptor)
            os.close(descriptor)


def remove_part(folder: Folder, path: str) -> None:
    """Remove the part that a dead worker left for `path`; only a regular file is one."""
    with contextlib.suppress(OSError, DiskError):
        parent, name = folder.find(part_name(path))
        if stat.S_ISREG(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=parent)


def _is_same(written: os.stat_result, name: str, parent: int | None) -> bool:
    """True if a name still stands for the very file: another run may share the folder."""
    try:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return (found.st_dev, found.st_ino) == (written.st_dev, written.st_ino)


def _create(name: str, parent: int | None, path: str) -> int:
    try:
        descriptor = os.open(name, _CREATE_FLAGS, 0o666, dir_fd=parent)
    except FileExistsError:
        _refuse_irregular(name, parent, path)
        # An earlier run's leftover: unlinked, not truncated, since the name may be one
        # of several hard links to a file that is not ours, or be written to still.
        os.unlink(name, dir_fd=parent)
        descriptor = os.open(name, _CREATE_FLAGS, 0o666, dir_fd=parent)
    _lock(descriptor)
    return descriptor


def _lock(descriptor: int, *, is_shared: bool = False) -> bool:
    """Lock a file for as long as it is open; False if another process has it locked."""
    if fcntl is None:
        return True
    try:
        kind = fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks
    return True


def _read_at(descriptor: int, size_bytes: int, position: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(descriptor, size_bytes, position)
    os.lseek(descriptor, position, os.SEEK_SET)  # Windows; the end is where it ends
    return os.read(descriptor, size_bytes)


def _unlock(descriptor: int) -> None:
    if fcntl is not None:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)


def _refuse_irregular(name: str, parent: int | None, path: str) -> bool:
    """True if a plain file has the name, False if nothing has."""
    try:
        mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISREG(mode):
        return True
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISLNK, "a symbolic link"))
    kind = next((text for is_it, text in kinds if is_it(mode)), "a special file")
    raise DiskError("write", path, f"{kind} has its name")

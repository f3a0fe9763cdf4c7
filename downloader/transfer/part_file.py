"""The part file: bytes arrive beside their target and reach its name only when whole.

Every name below the output folder is walked one component at a time with descriptors
(openat), so that no symbolic link in it is ever followed, whoever plants it and whenever;
where the system has no such calls, each component is looked at first. Parts are created
exclusively: a FIFO, a device or another file's hard link is never opened.

All errors leave here as `DiskError`, never as `OSError`.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections import OrderedDict
from typing import TYPE_CHECKING

from downloader.errors import DiskError
from downloader.policy.naming import part_name

if TYPE_CHECKING:
    from collections.abc import Iterator

_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_CLOEXEC = getattr(os, "O_CLOEXEC", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)
_DIRECTORY = getattr(os, "O_DIRECTORY", 0)
_CREATE_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _CLOEXEC | _BINARY
_RESUME_FLAGS = os.O_RDWR | _NOFOLLOW | _CLOEXEC | _BINARY | _NONBLOCK
_FOLDER_FLAGS = os.O_RDONLY | _DIRECTORY | _NOFOLLOW | _CLOEXEC
_HAS_OPENAT = {os.open, os.mkdir, os.stat, os.unlink, os.rename} <= os.supports_dir_fd
_READ_BYTES = 1 << 20


class Folder:
    """The output folder as one worker sees it; not for use by several threads.

    Args:
        root: Its path, which must exist and may itself be a link.
        most_open: Descriptors of folders below it to keep open; few, since `ulimit -n`
            counts them.

    Raises:
        DiskError: It cannot be opened.
    """

    def __init__(self, root: str, most_open: int = 16) -> None:
        self._root = root
        self._most_open = most_open
        self._open: OrderedDict[str, int] = OrderedDict()
        self._root_fd: int | None = None
        self._is_closed = False
        if _HAS_OPENAT:
            with _translated("open", root):
                self._root_fd = os.open(root, os.O_RDONLY | _DIRECTORY | _CLOEXEC)

    def close(self) -> None:
        """Let go of every descriptor; part files already open can only be kept."""
        self._is_closed = True
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()
        if self._root_fd is not None:
            os.close(self._root_fd)
            self._root_fd = None

    def locate(self, path: str) -> tuple[int | None, str]:
        """Where a relative path stands: its folder's descriptor and its last component.

        Missing folders are made. The descriptor stays valid until the next call. Without
        openat it is None and the name is a whole path.

        Raises:
            DiskError: A component is a link, a file, or cannot be made; or the folder
                is closed, as a thread finds that hung for longer than its run.
        """
        if self._is_closed:
            raise DiskError("use folder", self._root, "the run has ended")
        parent, _, name = path.rpartition("/")
        if self._root_fd is None:
            self._check_parents(parent)
            return None, os.path.join(self._root, *path.split("/"))
        if not parent:
            return self._root_fd, name
        descriptor = self._open.get(parent)
        if descriptor is None:
            descriptor = self._walk(self._root_fd, parent)
            self._open[parent] = descriptor
            if len(self._open) > self._most_open:
                os.close(self._open.popitem(last=False)[1])
        else:
            self._open.move_to_end(parent)
        return descriptor, name

    def _walk(self, root_fd: int, parent: str) -> int:
        current = root_fd
        try:
            for component in parent.split("/"):
                following = self._enter(current, component, parent)
                if current != root_fd:
                    os.close(current)
                current = following
        except DiskError:
            if current != root_fd:
                os.close(current)
            raise
        return current

    @staticmethod
    def _enter(current: int, component: str, parent: str) -> int:
        with contextlib.suppress(FileNotFoundError), _refused(parent):
            return os.open(component, _FOLDER_FLAGS, dir_fd=current)
        with _translated("create folder", parent):
            with contextlib.suppress(FileExistsError):
                os.mkdir(component, 0o777, dir_fd=current)
            return os.open(component, _FOLDER_FLAGS, dir_fd=current)

    def _check_parents(self, parent: str) -> None:
        path = self._root
        for component in filter(None, parent.split("/")):
            path = os.path.join(path, component)
            with _translated("create folder", parent):
                with contextlib.suppress(FileExistsError):
                    os.mkdir(path)
                mode = os.lstat(path).st_mode
            if not stat.S_ISDIR(mode):
                raise DiskError(
                    "use folder", parent, "a link or a file is in its place"
                )


class PartFile:
    """The bytes of one attempt on their way to `path`; hashed as they are written.

    Args:
        folder: The worker's view of the output folder.
        path: The final name, relative to it.
    """

    __slots__ = ("_digest", "_fd", "_folder", "_path", "size_bytes")

    def __init__(self, folder: Folder, path: str) -> None:
        self._folder = folder
        self._path = path
        self._fd: int | None = None
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    def __del__(self) -> None:
        # An attempt that was cancelled, or broke, may have nobody left to end it.
        self._close()

    def open(self, offset_bytes: int) -> None:
        """Begin to write at an offset; 0 starts a fresh file, whatever lay there.

        Raises:
            DiskError: It cannot be made, or holds less than `offset_bytes`.
        """
        self._digest = hashlib.sha256()
        self.size_bytes = offset_bytes
        with _translated("write", self._path):
            parent, name = self._folder.locate(part_name(self._path))
            if offset_bytes:
                self._fd = self._reopen(name, parent, offset_bytes)
            else:
                self._fd = _create(name, parent, self._path)

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
            raise _disk_error("write", self._path, error) from error
        self._digest.update(chunk)
        self.size_bytes += len(chunk)

    def commit(self) -> tuple[str, int]:
        """Give the part its final name, replacing a regular file there.

        Returns:
            The sha256 in hexadecimal and the modification time in nanoseconds.

        Raises:
            DiskError: A folder, a link or a device has the name, or the disk refuses.
        """
        assert self._fd is not None
        with _translated("finish", self._path):
            written = os.fstat(self._fd)
            parent, name = self._folder.locate(self._path)
            if not _is_same(written, part_name(name), parent):
                raise DiskError("finish", self._path, "its part was taken away")
            self._close()
            _refuse_irregular(name, parent, self._path)
            os.replace(part_name(name), name, src_dir_fd=parent, dst_dir_fd=parent)
        return self._digest.hexdigest(), written.st_mtime_ns

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
        descriptor = os.open(name, _RESUME_FLAGS, dir_fd=parent)
        try:
            self._check_part(os.fstat(descriptor), offset_bytes)
            os.ftruncate(descriptor, offset_bytes)
            self._hash_what_lies(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _check_part(self, found: os.stat_result, offset_bytes: int) -> None:
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            raise DiskError("go on with", self._path, "its part is no plain file")
        if found.st_size < offset_bytes:
            raise DiskError("go on with", self._path, "its part has become shorter")

    def _hash_what_lies(self, descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        while block := os.read(descriptor, _READ_BYTES):
            self._digest.update(block)

    def _close(self) -> None:
        if self._fd is not None:
            descriptor, self._fd = self._fd, None
            os.close(descriptor)


def remove_part(folder: Folder, path: str) -> None:
    """Remove the part that a dead worker left for `path`; only a regular file is one."""
    with contextlib.suppress(OSError, DiskError):
        parent, name = folder.locate(part_name(path))
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
        return os.open(name, _CREATE_FLAGS, 0o666, dir_fd=parent)
    except FileExistsError:
        _refuse_irregular(name, parent, path)
    # An earlier run's leftover: unlinked, not truncated, since the name may be one of
    # several hard links to a file that is not ours.
    os.unlink(name, dir_fd=parent)
    return os.open(name, _CREATE_FLAGS, 0o666, dir_fd=parent)


def _refuse_irregular(name: str, parent: int | None, path: str) -> None:
    try:
        mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISREG(mode):
        return
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISLNK, "a symbolic link"))
    kind = next((text for is_it, text in kinds if is_it(mode)), "a special file")
    raise DiskError("write", path, f"{kind} has its name")


def _disk_error(action: str, path: str, error: OSError) -> DiskError:
    return DiskError(action, path, error.strerror or type(error).__name__)


@contextlib.contextmanager
def _translated(action: str, path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _disk_error(action, path, error) from error


@contextlib.contextmanager
def _refused(parent: str) -> Iterator[None]:
    """A link or a file where a folder should be; a missing one is let through."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENOTDIR}:
            reason = "a symbolic link or a file is in its place"
            raise DiskError("use folder", parent, reason) from error
        raise _disk_error("use folder", parent, error) from error

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
import shutil
import stat
from collections import OrderedDict
from typing import TYPE_CHECKING

from downloader.errors import DiskError, PartLost, TargetExists, TransportError
from downloader.models import ErrorKind
from downloader.policy.naming import part_name
from downloader.policy.standing import Stamp

try:
    import fcntl
except (
    ImportError
):  # Windows keeps others from a file that is open, without being asked
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_CLOEXEC = getattr(os, "O_CLOEXEC", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)
_DIRECTORY = getattr(os, "O_DIRECTORY", 0)
_CREATE_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _CLOEXEC | _BINARY
_RESUME_FLAGS = os.O_RDWR | _NOFOLLOW | _CLOEXEC | _BINARY | _NONBLOCK
_FOLDER_FLAGS = os.O_RDONLY | _DIRECTORY | _NOFOLLOW | _CLOEXEC
_HAS_OPENAT = {os.open, os.mkdir, os.stat, os.unlink, os.rename} <= os.supports_dir_fd
_READ_FLAGS = os.O_RDONLY | _NOFOLLOW | _CLOEXEC | _BINARY | _NONBLOCK
_READ_BYTES = 1 << 20
# What is left free for records and reports when a file's size is known beforehand.
SPARED_BYTES = 1 << 20


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
        return self._locate(path, makes=True)

    def find(self, path: str) -> tuple[int | None, str]:
        """As `locate`, but makes no folder.

        Raises:
            DiskError: As for `locate`.
            FileNotFoundError: One of its folders is missing.
        """
        return self._locate(path, makes=False)

    def stamp(self, path: str) -> Stamp | None:
        """What tells the file that stands under a relative path from others.

        None if there is nothing, or nothing that is a plain file: whoever wants to
        write there finds out what it is.
        """
        try:
            parent, name = self.find(path)
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except (OSError, DiskError):
            return None
        if not stat.S_ISREG(found.st_mode):
            return None
        return Stamp(found.st_size, found.st_mtime_ns, found.st_ino)

    def open_file(self, path: str) -> int:
        """A descriptor of the plain file under a relative path, for reading.

        Raises:
            DiskError: There is none, or it cannot be read.
        """
        with _translated("read", path):
            parent, name = self.find(path)
            descriptor = os.open(name, _READ_FLAGS, dir_fd=parent)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise DiskError("read", path, "it is no plain file")
        return descriptor

    def check_room(self, path: str, size_bytes: int) -> None:
        """Refuse a file that the disk has no room for, before a byte of it is written.

        Raises:
            DiskError: There is none.
        """
        with _translated("write", path):
            if self._root_fd is not None and hasattr(os, "fstatvfs"):
                found = os.fstatvfs(self._root_fd)
                free = found.f_bavail * found.f_frsize
            else:
                free = shutil.disk_usage(self._root).free
        if size_bytes > free - SPARED_BYTES:
            raise DiskError(
                "write",
                path,
                f"it needs {size_bytes:,} bytes, the disk has {free:,} bytes free, of "
                f"which {SPARED_BYTES:,} are spared",
            )

    def sync(self, paths: Iterable[str]) -> None:
        """Have the system write the names of relative paths to the disk.

        Raises:
            DiskError: It fails.
        """
        parents = {path.rpartition("/")[0] for path in paths}
        # A folder's own name stands in the one above.
        parents |= {above for parent in parents for above in _above(parent)}
        for parent in parents:
            with _translated("sync", parent or "."):
                self._sync_folder(parent)

    def _locate(self, path: str, *, makes: bool) -> tuple[int | None, str]:
        if self._is_closed:
            raise DiskError("use folder", self._root, "the run has ended")
        parent, _, name = path.rpartition("/")
        if self._root_fd is None:
            self._check_parents(parent, makes=makes)
            return None, os.path.join(self._root, *path.split("/"))
        if not parent:
            return self._root_fd, name
        descriptor = self._open.get(parent)
        if descriptor is None:
            descriptor = self._walk(self._root_fd, parent, makes=makes)
            self._open[parent] = descriptor
            if len(self._open) > self._most_open:
                os.close(self._open.popitem(last=False)[1])
        else:
            self._open.move_to_end(parent)
        return descriptor, name

    def _sync_folder(self, parent: str) -> None:
        descriptor, _ = self.find(f"{parent}/." if parent else ".")
        if descriptor is not None:
            os.fsync(descriptor)

    def _walk(self, root_fd: int, parent: str, *, makes: bool) -> int:
        current = root_fd
        try:
            for component in parent.split("/"):
                following = self._enter(current, component, parent, makes=makes)
                if current != root_fd:
                    os.close(current)
                current = following
        except (DiskError, FileNotFoundError):
            if current != root_fd:
                os.close(current)
            raise
        return current

    @staticmethod
    def _enter(current: int, component: str, parent: str, *, makes: bool) -> int:
        try:
            with _refused(parent):
                return os.open(component, _FOLDER_FLAGS, dir_fd=current)
        except FileNotFoundError:
            if not makes:
                raise
        with _translated("create folder", parent):
            with contextlib.suppress(FileExistsError):
                os.mkdir(component, 0o777, dir_fd=current)
            return os.open(component, _FOLDER_FLAGS, dir_fd=current)

    def _check_parents(self, parent: str, *, makes: bool) -> None:
        path = self._root
        for component in filter(None, parent.split("/")):
            path = os.path.join(path, component)
            if not makes:
                os.lstat(path)
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

    While it is open its file is locked: a worker whose run was killed a moment ago may
    still write to it when the next run wants to go on.

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

        With an offset, `catch_up` must follow before anything is written.

        Raises:
            PartLost: It cannot be gone on with: it holds less, or another one writes it.
            DiskError: It cannot be made.
        """
        self._digest = hashlib.sha256()
        self.size_bytes = offset_bytes
        with _translated("write", self._path):
            parent, name = self._folder.locate(part_name(self._path))
            if offset_bytes:
                self._fd = self._reopen(name, parent, offset_bytes)
            else:
                self._fd = _create(name, parent, self._path)

    def catch_up(self) -> None:
        """Hash what lies there already; may take long, and may run in another thread.

        Raises:
            DiskError: It cannot be read.
        """
        assert self._fd is not None
        left = self.size_bytes
        with _translated("read", self._path):
            os.lseek(self._fd, 0, os.SEEK_SET)
            while left and (block := os.read(self._fd, min(left, _READ_BYTES))):
                self._digest.update(block)
                left -= len(block)

    def sync(self) -> None:
        """Wait until the disk has all of it; may run in another thread.

        Raises:
            DiskError: It fails.
        """
        assert self._fd is not None
        with _translated("write", self._path):
            os.fsync(self._fd)

    @property
    def sha256(self) -> str:
        """The digest of all that was written, in hexadecimal."""
        return self._digest.hexdigest()

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
        assert self._fd is not None
        with _translated("finish", self._path):
            written = os.fstat(self._fd)
            parent, name = self._folder.locate(self._path)
            if not _is_same(written, part_name(name), parent):
                raise DiskError("finish", self._path, "its part was taken away")
            if _refuse_irregular(name, parent, self._path) and not replaces:
                raise TargetExists("finish", self._path, "another file has its name")
            self._close()
            os.replace(part_name(name), name, src_dir_fd=parent, dst_dir_fd=parent)
        return written.st_mtime_ns

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

    def _check_part(self, descriptor: int, offset_bytes: int) -> None:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            raise DiskError("go on with", self._path, "its part is no plain file")
        if found.st_size < offset_bytes:
            raise PartLost("go on with", self._path, "its part has become shorter")
        if not _lock(descriptor):
            raise PartLost("go on with", self._path, "another run writes its part")

    def _close(self) -> None:
        if self._fd is not None:
            descriptor, self._fd = self._fd, None
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


def _above(parent: str) -> Iterator[str]:
    while parent:
        parent = parent.rpartition("/")[0]
        yield parent


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


def _lock(descriptor: int) -> bool:
    """Lock a file for as long as it is open; False if another process has it locked."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks
    return True


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


def _disk_error(action: str, path: str, error: OSError) -> DiskError | TransportError:
    if error.errno in {errno.EMFILE, errno.ENFILE}:
        # Not the disk's fault, and soon over: as good as no connection.
        return TransportError(ErrorKind.CONNECT, "too many open files")
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

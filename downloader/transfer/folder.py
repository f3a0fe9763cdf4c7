"""The output folder as its writers see it: names are walked, never followed.

Every name below it is walked one component at a time with descriptors (openat), so that
no symbolic link in it is ever followed, whoever plants it and whenever; where the system
has no such calls, each component is looked at first. The folder of records, `.downloader`,
must be ours besides: what lies there says which bytes are written where.

All errors leave here as `DiskError`, never as `OSError`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections import OrderedDict
from typing import TYPE_CHECKING

from downloader.errors import DiskError, TransportError
from downloader.models import ErrorKind
from downloader.policy.standing import Stamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# What a run writes down, below the output folder.
RECORDS = ".downloader"
NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
CLOEXEC = getattr(os, "O_CLOEXEC", 0)
BINARY = getattr(os, "O_BINARY", 0)
NONBLOCK = getattr(os, "O_NONBLOCK", 0)
_DIRECTORY = getattr(os, "O_DIRECTORY", 0)
_FOLDER_FLAGS = os.O_RDONLY | _DIRECTORY | NOFOLLOW | CLOEXEC
_READ_FLAGS = os.O_RDONLY | NOFOLLOW | CLOEXEC | BINARY | NONBLOCK
_PROBE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | NOFOLLOW | CLOEXEC
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_HAS_OPENAT = {os.open, os.mkdir, os.stat, os.unlink, os.rename} <= os.supports_dir_fd
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
        # Until it turns out that its file system does not.
        self.takes_nameless = hasattr(os, "O_TMPFILE")
        if _HAS_OPENAT:
            with translated("open", root):
                self._root_fd = os.open(root, os.O_RDONLY | _DIRECTORY | CLOEXEC)

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

    def changed_ns(self, path: str) -> int | None:
        """When the file under a relative path got its name or content, None if unknown.

        The system's own note (`st_ctime`), which copies and restored backups do not keep.
        """
        try:
            parent, name = self.find(path)
            return os.stat(name, dir_fd=parent, follow_symlinks=False).st_ctime_ns
        except (OSError, DiskError):
            return None

    def is_missing(self, folder: str) -> bool:
        """True if there is no such folder below it, so that nothing can be in there."""
        try:
            self.find(f"{folder}/.")
        except FileNotFoundError:
            return True
        except DiskError:
            return False
        return False

    def open_file(self, path: str) -> int:
        """A descriptor of the plain file under a relative path, for reading.

        Raises:
            DiskError: There is none, or it cannot be read.
        """
        with translated("read", path):
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
        with translated("write", path):
            if self._root_fd is not None and hasattr(os, "fstatvfs"):
                found = os.fstatvfs(self._root_fd)
                free = found.f_bavail * found.f_frsize
            else:
                import shutil

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

        A folder that somebody has taken away meanwhile is none to write.

        Raises:
            DiskError: It fails.
        """
        parents = {path.rpartition("/")[0] for path in paths}
        # A folder's own name stands in the one above.
        parents |= {above for parent in parents for above in _above(parent)}
        for parent in parents:
            with (
                translated("sync", parent or "."),
                contextlib.suppress(FileNotFoundError),
            ):
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
        is_record = parent.partition("/")[0] == RECORDS
        try:
            for component in parent.split("/"):
                following = self._enter(current, component, parent, makes=makes)
                if current != root_fd:
                    os.close(current)
                current = following
                if is_record:
                    _check_ours(current, parent)
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
        with translated("create folder", parent):
            with contextlib.suppress(FileExistsError):
                os.mkdir(component, _mode(parent), dir_fd=current)
            return os.open(component, _FOLDER_FLAGS, dir_fd=current)

    def _check_parents(self, parent: str, *, makes: bool) -> None:
        path = self._root
        for component in filter(None, parent.split("/")):
            path = os.path.join(path, component)
            if not makes:
                os.lstat(path)
            with translated("create folder", parent):
                with contextlib.suppress(FileExistsError):
                    os.mkdir(path, _mode(parent))
                mode = os.lstat(path).st_mode
            if not stat.S_ISDIR(mode):
                raise DiskError(
                    "use folder", parent, "a link or a file is in its place; remove it"
                )


def file_fault(found: os.stat_result, parent: os.stat_result | None) -> str | None:
    """Say why a file of records must not be written to; None if it may.

    Args:
        found: The file, or what has its name.
        parent: Its folder, which is ours; None where files have no owners.
    """
    if not stat.S_ISREG(found.st_mode):
        return "a link or a special file has its name; remove it"
    if found.st_nlink > 1:
        return (
            f"it has {found.st_nlink} names (hard links), and writing to it would change "
            "what the others stand for; replace it by a copy of its own, or remove it"
        )
    if parent is not None and found.st_uid != parent.st_uid:
        return f"it belongs to another user (id {found.st_uid}); remove it"
    return None


def _check_ours(descriptor: int, path: str) -> None:
    """Refuse a folder of records that another user could change.

    Raises:
        DiskError: It belongs to another user, or that cannot be told.
    """
    with translated("use folder", path):
        found = os.fstat(descriptor)
        own = os.geteuid()
        if own != found.st_uid:
            own = _given_owner(descriptor, own)
        if own != found.st_uid:
            reason = (
                f"it belongs to another user (id {found.st_uid}, this run's is {own}), "
                "who could change it meanwhile; run as that user, or remove it"
            )
            raise DiskError("use folder", path, reason)
        if stat.S_IMODE(found.st_mode) & _OTHERS_WRITE:
            # What others wrote there by now is judged like all that lies there.
            with contextlib.suppress(OSError):  # a file system without modes
                os.fchmod(descriptor, 0o700)


def _given_owner(descriptor: int, own: int) -> int:
    """The owner that a file system gives our files: some network ones choose it."""
    name = f"owner-{os.urandom(8).hex()}"
    try:
        probe = os.open(name, _PROBE_FLAGS, 0o600, dir_fd=descriptor)
    except PermissionError:
        return own
    try:
        return os.fstat(probe).st_uid
    finally:
        os.close(probe)
        os.unlink(name, dir_fd=descriptor)


def _mode(parent: str) -> int:
    return 0o700 if parent.partition("/")[0] == RECORDS else 0o777


def _above(parent: str) -> Iterator[str]:
    while parent:
        parent = parent.rpartition("/")[0]
        yield parent


def disk_error(action: str, path: str, error: OSError) -> DiskError | TransportError:
    """Our word for what the system says."""
    if error.errno in {errno.EMFILE, errno.ENFILE}:
        # Not the disk's fault, and soon over: as good as no connection.
        return TransportError(ErrorKind.CONNECT, "too many open files")
    return DiskError(action, path, error.strerror or type(error).__name__)


@contextlib.contextmanager
def translated(action: str, path: str) -> Iterator[None]:
    """Errors of the system become ours; `action` and `path` say what was tried."""
    try:
        yield
    except OSError as error:
        raise disk_error(action, path, error) from error


@contextlib.contextmanager
def _refused(parent: str) -> Iterator[None]:
    """A link or a file where a folder should be; a missing one is let through."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENOTDIR}:
            reason = "a symbolic link or a file is in its place; remove it"
            raise DiskError("use folder", parent, reason) from error
        raise disk_error("use folder", parent, error) from error

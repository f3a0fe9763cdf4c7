"""A disk that takes few writes a second: a real one, where the system lets us make it.

A file system in a file, mounted, its device slowed down by the kernel's block layer for
this process and its children (cgroup v1, as root). What syncs there waits indeed.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup/blkio")
_LIMIT = "blkio.throttle.write_iops_device"


def is_to_be_had():
    """True if this system can make one."""
    tools = all(map(shutil.which, ("losetup", "mkfs.ext4", "mount")))
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    return tools and is_root and (_GROUPS / _LIMIT).exists()


@contextlib.contextmanager
def slow_disk(writes_per_second=40):
    """A folder on such a disk; this process must not write to it from elsewhere."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        image, mounted = Path(folder, "image"), Path(folder, "mounted")
        mounted.mkdir()
        with image.open("wb") as stream:
            stream.truncate(256 << 20)
        _run("mkfs.ext4", "-q", "-F", str(image))
        device = _run("losetup", "-f", "--show", str(image))
        stack.callback(_run, "losetup", "-d", device)
        _run("mount", device, str(mounted))
        stack.callback(_run, "umount", str(mounted))
        stack.enter_context(_slowed(device, writes_per_second))
        yield str(mounted)


@contextlib.contextmanager
def _slowed(device, writes_per_second):
    group = _GROUPS / f"slow-disk-{os.getpid()}"
    group.mkdir()
    number = Path("/sys/class/block", Path(device).name, "dev").read_text().strip()
    (group / _LIMIT).write_text(f"{number} {writes_per_second}")
    (group / "cgroup.procs").write_text(str(os.getpid()))
    try:
        yield
    finally:
        _leave(group)


def _leave(group):
    """Have all that is in a group leave it, children that live on too, and remove it."""
    until = time.monotonic() + 5
    while group.exists() and time.monotonic() < until:
        for pid in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):  # it has just ended
                (_GROUPS / "cgroup.procs").write_text(pid)
        with contextlib.suppress(OSError):
            group.rmdir()
            return
        time.sleep(0.05)


def _run(*command):
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip()

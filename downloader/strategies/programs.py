"""How a child program comes about: as a new process, or as a copy of this one.

A copy starts in a few milliseconds with all that is loaded here, a new process in the time
that Python and the engine take. But a copy has one thread only, the one that asked for it:
a lock that another one held at that moment would stay taken for ever. So copies are made
on Linux, and only while this process has a single thread, those of libraries in C
included.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, NoReturn, Protocol

from downloader.strategies.guard import interrupts_blocked

if TYPE_CHECKING:
    from collections.abc import Callable

# How often a copy that is to end is looked at, at first and later.
_FIRST_LOOK_SECONDS = 0.0005
_LATER_LOOK_SECONDS = 0.05
_MOST_DESCRIPTORS = 1 << 20
# How long a thread that Python has seen end may still be listed by the system.
_ENDING_SECONDS = 0.05


class Program(Protocol):
    """A child program; what `subprocess.Popen` has of it is enough."""

    pid: int

    @property
    def stdin(self) -> IO[bytes] | None:
        """Where it reads orders."""
        ...

    @property
    def stdout(self) -> IO[bytes] | None:
        """Where it writes facts."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        Raises:
            subprocess.TimeoutExpired: It has not ended within so many seconds.
        """
        ...

    def kill(self) -> None:
        """End it at once."""
        ...


def start(module: str) -> Program:
    """A new process that runs a module of this very package."""
    package_root = Path(__file__).parents[2]
    path = [str(package_root), os.environ.get("PYTHONPATH", "")]
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path))}
    with interrupts_blocked():
        return subprocess.Popen(  # noqa: S603 - this interpreter, this package
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environ,
        )


def can_copy() -> bool:
    """True if a copy of this process would be sound."""
    if not sys.platform.startswith("linux"):
        return False
    until = time.monotonic() + _ENDING_SECONDS
    try:
        while len(os.listdir("/proc/self/task")) > 1:
            if threading.active_count() > 1 or time.monotonic() > until:
                return False
            time.sleep(0.001)
    except OSError:
        return False
    return True


def copy(serve: Callable[[], None]) -> Program:
    """A copy of this process that serves its standard streams; see `can_copy`."""
    orders, to_child = os.pipe()
    from_child, facts = os.pipe()
    # Our handler, which the copy has at first, would take its end for ours and lose it.
    with interrupts_blocked(signal.SIGTERM):
        pid = os.fork()
        if not pid:
            _become(serve, orders, facts)
    os.close(orders)
    os.close(facts)
    return _Copy(pid, os.fdopen(to_child, "wb"), os.fdopen(from_child, "rb"))


class _Copy:
    """A copy of this process, in its parent's hands; used by one thread at a time."""

    def __init__(self, pid: int, stdin: IO[bytes], stdout: IO[bytes]) -> None:
        self.pid = pid
        self.stdin: IO[bytes] | None = stdin
        self.stdout: IO[bytes] | None = stdout
        self._status: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        until = None if timeout is None else time.monotonic() + timeout
        pause_seconds = _FIRST_LOOK_SECONDS
        while (status := self._look(blocks=until is None)) is None:
            assert timeout is not None
            left = (until or 0.0) - time.monotonic()
            if left <= 0:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(min(left, pause_seconds))
            pause_seconds = min(2 * pause_seconds, _LATER_LOOK_SECONDS)
        return status

    def kill(self) -> None:
        if self._look() is None:  # else its number may be another's by now
            os.kill(self.pid, signal.SIGKILL)

    def _look(self, *, blocks: bool = False) -> int | None:
        """How it ended; None while it lives."""
        if self._status is None:
            try:
                pid, status = os.waitpid(self.pid, 0 if blocks else os.WNOHANG)
            except ChildProcessError:  # somebody else has asked
                pid, status = self.pid, 0
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status


def _become(serve: Callable[[], None], orders: int, facts: int) -> NoReturn:
    """In the copy: keep nothing of the parent's but what is loaded."""
    try:
        os.dup2(orders, 0)
        os.dup2(facts, 1)
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 2)
        # Locks, databases and other children's pipes among them.
        os.closerange(3, _MOST_DESCRIPTORS)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        serve()
    finally:
        os._exit(1)

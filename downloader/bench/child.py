"""A fresh Python process that measures one thing: job in, facts out, a line each.

    parent                              child
    job as JSON            ───────►     loads, warms up
                           ◄───────     "ready"
    looks at its memory
    "go"                   ───────►     measures
                           ◄───────     the result as JSON
    "go" again, or the end of it

The child leads a process group of its own, so that it and whatever it starts can be ended
together. When its standard input ends it has a moment to clear up, since a process that is
killed leaves what `multiprocessing` named in the system; then it ends that group itself.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from downloader.errors import DownloaderError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import BinaryIO

__all__ = ["BenchError", "Child", "serve"]

_READY = b"ready\n"
_GO = b"go\n"
# What a child may take to clear up, and how often to look whether it has.
_CLEARING_SECONDS = 1.0
_POLL_SECONDS = 0.005
# A socket's path has 107 bytes at most, 103 on macOS; `/pymp-xxxxxxxx/listener-xxxxxxxx`
# comes behind this.
_LONGEST_SCRATCH = 70


class BenchError(DownloaderError):
    """A measurement did not come about; `reason` says why."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(what, reason)
        self.what = what
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.what} could not be measured: {self.reason}"


class Child:
    """One measuring process, from `with` to its end.

    Args:
        module: What it runs, `downloader.bench.cell` say; it calls `serve`.
        job: What it is told, JSON without a line's end.
        what: What is measured, for messages.
        seconds: How long loading, and then each measuring, may take.
    """

    def __init__(self, module: str, job: bytes, what: str, seconds: float) -> None:
        self._module = module
        self._job = job
        self._what = what
        self._seconds = seconds
        self._is_late = False

    def __enter__(self) -> Self:
        self._scratch = tempfile.TemporaryDirectory(
            prefix="downloader-", ignore_cleanup_errors=True
        )
        self._complaints = tempfile.TemporaryFile()
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, this package
            # -P: a file in the current folder must not stand in for a module.
            [sys.executable, "-P", "-m", self._module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            env=_environment(self._scratch.name),
            start_new_session=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
        self._await_end()
        self._end()
        self._process.wait()
        for stream in (self._process.stdout, self._complaints):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        self._scratch.cleanup()

    @property
    def pid(self) -> int:
        """Its process's number."""
        return self._process.pid

    def prepare(self) -> None:
        """Give it the job and wait until it is ready.

        Raises:
            BenchError: It ended, or took too long.
        """
        self._write(self._job + b"\n")
        if self._read() != _READY:
            raise self._failure()

    def measure(self, seconds: float | None = None) -> bytes:
        """Let it measure, once more if it has already, and return what it found.

        Args:
            seconds: How long that may take; None for what was said at first.

        Raises:
            BenchError: It ended, or took too long.
        """
        self._seconds = seconds or self._seconds
        self._write(_GO)
        line = self._read()
        if not line.endswith(b"\n"):
            raise self._failure()
        return line

    def _write(self, line: bytes) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # its end is noticed in what it says
            self._process.stdin.write(line)
            self._process.stdin.flush()

    def _read(self) -> bytes:
        assert self._process.stdout is not None
        alarm = threading.Timer(self._seconds, self._end_late)
        alarm.daemon = True
        alarm.start()
        try:
            return self._process.stdout.readline()
        finally:
            alarm.cancel()

    def _failure(self) -> BenchError:
        self._end()
        status = self._process.wait()
        self._complaints.seek(0)
        text = self._complaints.read().decode(errors="replace").strip()
        if text:
            return BenchError(self._what, text.rpartition("\n")[2])
        if self._is_late:
            return BenchError(self._what, f"it took longer than {self._seconds:.3g} s")
        return BenchError(self._what, f"its process ended with status {status}")

    def _end_late(self) -> None:
        self._is_late = True
        self._end()

    def _await_end(self) -> None:
        """Let it clear up, but not for long; it is not reaped, so that its group stays."""
        if self._process.returncode is not None or not hasattr(os, "waitid"):
            return
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT
        until = time.monotonic() + _CLEARING_SECONDS
        while time.monotonic() < until:
            if os.waitid(os.P_PID, self._process.pid, how) is not None:
                return
            time.sleep(_POLL_SECONDS)

    def _end(self) -> None:
        """Kill all of its group; harmless when nothing of it is left."""
        if hasattr(os, "killpg"):
            # The number stays taken as long as the leader has not been waited for.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()


def _environment(scratch: str) -> dict[str, str]:
    """The environment in which the child finds this very package.

    Its temporary files go with it: killed, it could not remove what `multiprocessing`
    put there. But the name of a socket in that folder must not get too long.
    """
    here = str(Path(__file__).resolve().parents[2])
    path = [here, os.environ.get("PYTHONPATH", "")]
    found = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}
    if len(os.fsencode(scratch)) <= _LONGEST_SCRATCH:
        found["TMPDIR"] = scratch
    return found


def serve(prepare: Callable[[bytes], Callable[[], bytes]]) -> None:
    """The child's side: take the job, get ready, measure as often as told, answer.

    Args:
        prepare: Makes of a job a function that measures; what it returns is JSON.
    """
    orders, facts = _take_over_pipes()
    job = orders.readline()
    told: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(orders, told), daemon=True).start()
    measure = prepare(job)
    facts.write(_READY)
    facts.flush()
    while told.get() == _GO:
        facts.write(measure() + b"\n")
        facts.flush()


def _take_over_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Keep the pipes for jobs and facts; a stray print goes to standard error."""
    orders = os.fdopen(os.dup(0), "rb", buffering=0)
    facts = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    return orders, facts


def _listen(orders: BinaryIO, told: queue.SimpleQueue[bytes]) -> None:
    """Pass orders on; when they end the parent has, and so does this whole group."""
    for line in iter(orders.readline, b""):
        told.put(line)
    told.put(b"")
    time.sleep(_CLEARING_SECONDS)
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGKILL)
    os._exit(1)

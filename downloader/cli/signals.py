"""What SIGINT, SIGTERM and SIGHUP, a terminal's end, do while a run is on.

    1st  loading ──► the run never starts     running ──► stops within seconds
    2nd  running ──► stops without waiting for any worker
    3rd  at any time ──► the process ends at once

Once the run has ended, a first signal cuts the writing of the report short; after an
interruption nothing but a third one does, since the report says what is missing.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

__all__ = ["Interrupted", "Interruptions", "Stoppable"]

_LAST = 3


def _heeded() -> list[signal.Signals]:
    signums = [signal.SIGINT, signal.SIGTERM]
    # Not there on Windows; ignored from the start, as under nohup, it means: go on.
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
        signums.append(hangup)
    return signums


class Stoppable(Protocol):
    """A run that can be asked to end, as a session can."""

    def stop(self, signum: int | None = None) -> None:
        """End early; called from a signal handler, and a second time in a hurry."""
        ...


class Interrupted(KeyboardInterrupt):
    """A signal came while no run was there to be stopped; `signum` is its number."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


class Interruptions:
    """The signals' handlers, from entering the block to leaving it.

    Only a main thread may set handlers; elsewhere the block changes nothing.

    Args:
        exit_now: Ends the process without any ceremony.
    """

    def __init__(self, exit_now: Callable[[int], object] = os._exit) -> None:
        self._exit_now = exit_now
        self._run: Stoppable | None = None
        self._count = 0
        self._signum: int | None = None
        self._previous: list[tuple[int, object]] = []

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for signum in _heeded():
                self._previous.append((signum, signal.signal(signum, self._handle)))
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._previous:
            # None stands for a handler that was not set from Python.
            signal.signal(signum, handler or signal.SIG_DFL)  # type: ignore[arg-type] # what signal() gave back

    def attach(self, run: Stoppable) -> None:
        """From now on a signal stops this run."""
        self._run = run

    def detach(self) -> None:
        """The run has ended."""
        self._run = None

    def check(self) -> None:
        """Raise `Interrupted` again where Python lost it: in a finalizer, say.

        Raises:
            Interrupted: A signal came while no run was attached.
        """
        if self._signum is not None:
            raise Interrupted(self._signum)

    def _handle(self, signum: int, _frame: FrameType | None) -> None:
        self._count += 1
        if self._count >= _LAST:
            self._exit_now(128 + signum)
        if self._run is not None:
            self._run.stop(signum)
        elif self._count == 1:
            self._signum = signum
            raise Interrupted(signum)

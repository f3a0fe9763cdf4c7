"""How a worker process behaves towards the terminal and its parent's death."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


# A worker process that has not even told for so long that it lives counts as dead. It
# tells every few seconds, whatever it is doing.
MOST_SILENT_SECONDS = 60.0
# A parent that has not looked for so long was stopped, perhaps with its children.
STOPPED_SECONDS = 5.0
# What a terminal sends to the whole process group: for Ctrl-C, and when it is closed.
TERMINALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGHUP") if hasattr(signal, name)
)


def ignore_interrupts() -> None:
    """Leave Ctrl-C and the terminal's end, which reach every process, to the parent."""
    for signum in TERMINALS:
        signal.signal(signum, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, TERMINALS)


def end_with_parent() -> None:
    """Have Linux kill this process when the thread that started it ends.

    It does so whatever this process is doing, as where it is stopped or in C code. A
    parent that ended before shows, as on other systems, by the end of its pipe.
    """
    if not sys.platform.startswith("linux"):
        return
    with suppress(ImportError, OSError, AttributeError):  # a Python without ctypes
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


# From <linux/prctl.h>.
_PR_SET_PDEATHSIG = 1


@contextmanager
def interrupts_blocked(*more: int) -> Iterator[None]:
    """A child starts with the terminal's signals blocked, until it has learnt to ignore them.

    Args:
        *more: Further signals that a child must not get for the time being.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*TERMINALS, *more})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Guard:
    """A thread that ends this process when its parent is gone.

    Args:
        parent_is_gone: Blocks for a moment, then tells.
    """

    def __init__(self, parent_is_gone: Callable[[], bool]) -> None:
        self._parent_is_gone = parent_is_gone
        threading.Thread(target=self._run, name="downloader-guard", daemon=True).start()

    def _run(self) -> None:
        while not self._parent_is_gone():
            pass
        # At once, in the middle of a read too: nobody is left to tell.
        os._exit(1)

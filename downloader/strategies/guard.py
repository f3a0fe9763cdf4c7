"""How a worker process behaves towards the terminal and its parent's death."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def ignore_interrupts() -> None:
    """Leave Ctrl-C, which reaches the whole process group, to the parent alone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


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

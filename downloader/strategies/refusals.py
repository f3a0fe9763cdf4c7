"""What a strategy says when its mechanism cannot start anything.

One reason is a run that outlives the program's main thread, or begins after it: the
interpreter takes no new work then. Its pools refuse what is submitted, and from Python
3.12 on no thread starts any more.
"""

from __future__ import annotations

import errno
import threading

from downloader.errors import StrategyError

_WHY = (
    "the interpreter is ending and takes no new work; wait for runs in its main thread"
)


def is_ending() -> bool:
    """True once the main thread has come to its end."""
    # Pools refuse a little before that thread counts as dead; no public name tells.
    is_over = bool(getattr(threading, "_SHUTTING_DOWN", False))
    return is_over or not threading.main_thread().is_alive()


def refused(strategy: str, error: OSError | RuntimeError, what: str) -> StrategyError:
    """An error for a mechanism that starts nothing, with its reason in plain words.

    Args:
        strategy: Whose mechanism it is.
        error: What the system or the interpreter said.
        what: What could not be started.
    """
    reason = getattr(error, "strerror", None) or str(error)
    if getattr(error, "errno", None) == errno.EMFILE:
        reason += "; allow more of them (ulimit -n), or choose another strategy"
    why = _WHY if is_ending() else f"it cannot start {what}: {reason}"
    return StrategyError(strategy, why)

"""Lines to standard error, and what keeps closed standard streams from doing harm."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["complain", "end_process", "open_closed_descriptors", "say"]

# A status above it says which signal ended the run.
_SIGNALLED = 128


def say(text: str) -> None:
    """Write a text and a line's end to standard error; a closed one is passed over."""
    # print() with file=None would write to standard output instead.
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        return


def complain(message: object, level: str = "error") -> None:
    """Say what is wrong in one line, without secrets, that cannot steer a terminal."""
    from downloader.policy.redaction import printable, redact_secrets

    say(f"downloader: {level}: {printable(redact_secrets(str(message)))}")


def open_closed_descriptors() -> None:
    """Point descriptors 0 to 2 at nothing if they are closed.

    Otherwise the next file or socket takes the number, and whatever writes to standard
    error writes into a download.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number is the one just found to be free. Write-only, so
            # that a list on a closed standard input is an error and not empty.
            os.open(os.devnull, os.O_WRONLY)


def end_process(status: int) -> NoReturn:
    """End with a status, once what is buffered is out; nothing can hold the exit up.

    Python writes `Exception ignored ... BrokenPipeError` and ends with 120 if a stream
    breaks while it shuts down; it also joins every thread, even one that hangs on a
    dead server. Neither may happen to a run that has ended. Nor need the interpreter be
    taken apart piece by piece, which takes 5 to 10 ms.
    """
    was_interrupted = status > _SIGNALLED
    _settle_signals(was_interrupted=was_interrupted)
    if not was_interrupted and not _has_lingering_threads():
        # What libraries asked for; one of these functions might hang otherwise.
        atexit._run_exitfuncs()  # noqa: SLF001 - as Python's own end does
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            if stream is not None:
                stream.flush()
    os._exit(status)


def _settle_signals(*, was_interrupted: bool) -> None:
    """Let no further signal change the status of an interrupted run.

    After any other a SIGINT ends the process, where Python would print a traceback.
    """
    # Loaded with a run; before one, Python's own way does no harm.
    signal = sys.modules.get("signal")
    if signal is None:
        return
    reaction = signal.SIG_IGN if was_interrupted else signal.SIG_DFL
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, reaction)
    if was_interrupted and hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _has_lingering_threads() -> bool:
    threading = sys.modules.get("threading")
    if threading is None:
        return False
    own = threading.main_thread()
    return any(one is not own and not one.daemon for one in threading.enumerate())

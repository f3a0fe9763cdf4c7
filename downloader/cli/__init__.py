"""The command line: the only place that prints, handles signals and ends the process.

`main` loads what a call needs and no more, so that `--help` stays instant.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["main"]

# 128 + SIGINT, as shells have it.
_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status; see the README for what each means.

    Args:
        argv: The arguments after the program's name. None means that this call is the
            process itself: `sys.argv` is taken, closed standard streams are made
            harmless, and threads that hang do not hold up the exit.
    """
    if argv is not None:
        return _run_interruptibly(argv, lambda: None)
    try:
        from downloader.cli import streams
        from downloader.own_process import prepare
    except KeyboardInterrupt:
        return _INTERRUPTED

    streams.open_closed_descriptors()
    return streams.end_process(_run_interruptibly(sys.argv[1:], prepare))


def _run_interruptibly(argv: Sequence[str], prepare: Callable[[], None]) -> int:
    try:
        return _run(argv, prepare)
    except KeyboardInterrupt as interrupt:
        # A signal while the run was being loaded, or after its end.
        signum = getattr(interrupt, "signum", None)
        return _INTERRUPTED if signum is None else 128 + int(signum)


def _run(argv: Sequence[str], prepare: Callable[[], None]) -> int:
    from downloader.cli import arguments, streams
    from downloader.errors import UsageError

    try:
        invocation = arguments.parse(argv)
    except UsageError as error:
        streams.complain(error)
        return 2
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else 0
    prepare()
    from downloader.cli import commands

    return commands.run(invocation)

"""Reports on their way out: to a file that appears when it is whole, a pipe, or stdout."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Sink", "deliver"]


class Sink(Protocol):
    """What a report can be written to."""

    def write(self, text: bytes, /) -> int: ...
    def flush(self) -> None: ...


def deliver(
    destination: str | os.PathLike[str], write: Callable[[Sink], object]
) -> None:
    """Have a report written where it is wanted.

    A file appears under its name only when it is whole, with the mode that the umask
    gives; a device or a pipe is written to as it stands.

    Args:
        destination: A path, or `-` for standard output.
        write: Writes all of it to what it is given.

    Raises:
        OSError: It cannot be written.
    """
    path = os.fspath(destination)
    if path == "-":
        _to_stdout(write)
    elif os.path.exists(path) and not os.path.isfile(path):
        # A rename would put a file in the place of /dev/null or a pipe.
        with open(path, "wb") as stream:
            write(stream)
            stream.flush()
    else:
        _to_file(os.path.realpath(path), write)


def _to_stdout(write: Callable[[Sink], object]) -> None:
    if sys.stdout is None:  # as under pythonw
        raise OSError("there is no standard output to write the report to")
    sys.stdout.flush()
    # A notebook's stdout takes text alone.
    stream: Sink = getattr(sys.stdout, "buffer", None) or _TextSink(sys.stdout)
    write(stream)
    stream.flush()


def _to_file(path: str, write: Callable[[Sink], object]) -> None:
    part = os.path.join(os.path.dirname(path), f".report-{os.urandom(8).hex()}.part")
    # `x` and not `tempfile`, whose mode 0600 would pass on to the report.
    stream = open(part, "xb")  # noqa: SIM115 - the part must go if closing fails too
    try:
        with stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise


class _TextSink:
    """A text stream taken as one of bytes, as far as writing a report needs it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: bytes, /) -> int:
        return self._stream.write(text.decode())

    def flush(self) -> None:
        self._stream.flush()

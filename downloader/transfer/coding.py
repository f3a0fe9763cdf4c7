"""Content codings undone while a body comes in, in bounded memory (RFC 9110 §8.4.1)."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Protocol

from downloader.errors import TransportError
from downloader.models import ErrorKind

if TYPE_CHECKING:
    from collections.abc import Iterator

# What is held of the decoded body at a time: a compressed megabyte may stand for a
# thousand of them.
PIECE_BYTES = 1 << 20
# What is given to zlib at a time.
STEP_BYTES = 8 << 10
# A stream costs about as much as 5 KiB of a body, so members are bounded by what they hold.
# bgzip's hold 64 KiB, those of a WARC file some hundred bytes, one for each line a dozen.
SPARE_MEMBERS = 1_000
MEMBER_BYTES = 16
_ZLIB_CODINGS = ("gzip", "deflate")
_GZIP_BITS, _ZLIB_BITS, _RAW_BITS = 31, 15, -15
# RFC 1950 §2.2: the method in the low bits of a zlib stream's first byte.
_METHOD_MASK, _DEFLATE_METHOD = 0x0F, 8


def known_codings() -> tuple[str, ...]:
    """What can be undone here: brotli only where its package is."""
    try:
        import brotli
    except ImportError:
        return _ZLIB_CODINGS
    # Before 1.2 it had no bound on what one call unfolds.
    is_bounded = hasattr(brotli.Decompressor, "can_accept_more_data")
    return (*_ZLIB_CODINGS, "br") if is_bounded else _ZLIB_CODINGS


def decoder(coding: str) -> Decoder:
    """What undoes one body's coding: one of `known_codings`, or `x-gzip`."""
    return Brotli() if coding == "br" else Zlib(coding)


class Decoder(Protocol):
    """One body's coding, undone piece by piece."""

    def decode(self, data: bytes) -> Iterator[bytes]:
        """The pieces that some of the body stands for, of about `PIECE_BYTES` at most.

        Raises:
            TransportError: It is no such coding, or goes on behind its end.
        """

    def end(self) -> None:
        """The body is over.

        Raises:
            TransportError: Its coding is not.
        """


class Brotli:
    """The coding `br` (RFC 7932)."""

    def __init__(self) -> None:
        import brotli

        self._stream = brotli.Decompressor()
        self._error = brotli.error

    def decode(self, data: bytes) -> Iterator[bytes]:
        """As `Decoder` has it."""
        # With no more input it goes on unfolding what it holds.
        while piece := self._process(data):
            yield piece
            data = b""

    def end(self) -> None:
        """As `Decoder` has it."""
        if not self._stream.is_finished():
            raise _cut()

    def _process(self, data: bytes) -> bytes:
        if not data and self._stream.is_finished():
            return b""
        try:
            piece: bytes = self._stream.process(data, output_buffer_limit=PIECE_BYTES)
        except self._error as error:
            raise _broken("its content coding is damaged") from error
        return piece


class Zlib:
    """The codings that zlib knows.

    Args:
        coding: `gzip`, `x-gzip` or `deflate`.
    """

    def __init__(self, coding: str) -> None:
        self._is_gzip = coding != "deflate"
        self._stream: zlib._Decompress | None = None
        self._members = 0
        self._size_bytes = 0

    def decode(self, data: bytes) -> Iterator[bytes]:
        """As `Decoder` has it."""
        position = 0
        while position < len(data):
            # Of what follows a member zlib makes a copy: short steps keep it short.
            step = data[position : position + STEP_BYTES]
            if self._stream is None:
                position += self._begin(step)
                continue
            for piece in _undo(self._stream, step):
                self._size_bytes += len(piece)
                yield piece
            position += len(step)
            if self._stream.eof:
                # A gzip file may have several members (RFC 1952 §2.2).
                position -= len(self._stream.unused_data)
                self._stream = None

    def end(self) -> None:
        """As `Decoder` has it."""
        if self._stream is not None or not self._members:
            raise _cut()

    def _begin(self, step: bytes) -> int:
        """Make the stream that the first byte calls for, or skip what pads the last one.

        Returns:
            How many bytes to skip.
        """
        if self._members:
            padding_bytes = len(step) - len(step.lstrip(b"\0"))
            if padding_bytes:
                return padding_bytes  # gzip ignores it as well
            if not self._is_gzip:
                raise _broken("something follows its content coding")
            if self._members >= SPARE_MEMBERS + self._size_bytes // MEMBER_BYTES:
                raise _broken("its content coding has too many members for its size")
        self._stream = zlib.decompressobj(self._bits(step[0]))
        self._members += 1
        return 0

    def _bits(self, first: int) -> int:
        if self._is_gzip:
            return _GZIP_BITS
        # "deflate" means zlib's format; some servers send it bare, and browsers take it.
        is_zlib = first & _METHOD_MASK == _DEFLATE_METHOD
        return _ZLIB_BITS if is_zlib else _RAW_BITS


def _undo(stream: zlib._Decompress, data: bytes) -> Iterator[bytes]:
    """Give out what some of a stream stands for, in pieces of a bounded size."""
    while True:
        try:
            piece = stream.decompress(data, PIECE_BYTES)
        except zlib.error as error:
            raise _broken("its content coding is damaged") from error
        if piece:
            yield piece
        data = stream.unconsumed_tail
        # With its input used up it may still hold more than a piece of the output.
        if stream.eof or not (data or len(piece) == PIECE_BYTES):
            return


def _cut() -> TransportError:
    return TransportError(
        ErrorKind.TRUNCATED, "the body ended inside its content coding"
    )


def _broken(text: str) -> TransportError:
    return TransportError(ErrorKind.PROTOCOL, text)

"""Content codings undone while a body comes in, in bounded memory (RFC 9110 §8.4.1)."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from downloader.errors import TransportError
from downloader.models import ErrorKind

if TYPE_CHECKING:
    from collections.abc import Iterator

# What is held of the decoded body at a time: a compressed megabyte may stand for a
# thousand of them.
PIECE_BYTES = 1 << 20
_GZIP_BITS, _ZLIB_BITS, _RAW_BITS = 31, 15, -15
# RFC 1950 §2.2: the method in the low bits of a zlib stream's first byte.
_METHOD_MASK, _DEFLATE_METHOD = 0x0F, 8


class Decoder:
    """One body's coding, undone piece by piece.

    Args:
        coding: `gzip`, `x-gzip` or `deflate`.
    """

    def __init__(self, coding: str) -> None:
        self._is_gzip = coding != "deflate"
        self._stream: zlib._Decompress | None = None
        self._is_begun = False

    def decode(self, data: bytes) -> Iterator[bytes]:
        """The pieces that some of the body stands for, none larger than `PIECE_BYTES`.

        Raises:
            TransportError: It is no such coding, or goes on behind its end.
        """
        while data:
            if self._stream is None:
                data = self._begin(data)
                if self._stream is None:
                    return
            try:
                piece = self._stream.decompress(data, PIECE_BYTES)
            except zlib.error as error:
                raise _broken("its content coding is damaged") from error
            if piece:
                yield piece
            data = self._stream.unconsumed_tail
            if self._stream.eof:
                # A gzip file may have several members (RFC 1952 §2.2).
                data, self._stream = self._stream.unused_data, None

    def end(self) -> None:
        """The body is over.

        Raises:
            TransportError: Its coding is not.
        """
        if self._stream is not None or not self._is_begun:
            raise TransportError(
                ErrorKind.TRUNCATED, "the body ended inside its content coding"
            )

    def _begin(self, data: bytes) -> bytes:
        """Make the stream that the first byte calls for; what is left of the data."""
        if self._is_begun:
            data = data.lstrip(b"\0")  # padding, which gzip ignores as well
            if data and not self._is_gzip:
                raise _broken("something follows its content coding")
        if data:
            self._stream = zlib.decompressobj(self._bits(data[0]))
            self._is_begun = True
        return data

    def _bits(self, first: int) -> int:
        if self._is_gzip:
            return _GZIP_BITS
        # "deflate" means zlib's format; some servers send it bare, and browsers take it.
        is_zlib = first & _METHOD_MASK == _DEFLATE_METHOD
        return _ZLIB_BITS if is_zlib else _RAW_BITS


def _broken(text: str) -> TransportError:
    return TransportError(ErrorKind.PROTOCOL, text)

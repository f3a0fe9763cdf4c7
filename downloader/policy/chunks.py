"""The chunked transfer coding (RFC 9112 §7.1), read strictly where bytes are in doubt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from downloader.errors import TransportError
from downloader.models import ErrorKind
from downloader.patterns import lazy
from downloader.policy.framing import MALFORMED

if TYPE_CHECKING:
    from collections.abc import Iterator

# RFC 9112 §7.1, with the blanks that §7.1.1 tells recipients to bear.
SIZE_LINE = lazy(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\n]*)?\r?\n")
# What a size with its extensions, and all of the trailer, may take.
MOST_LINE_BYTES = 65_536
MOST_TRAILER_BYTES = 256 << 10


class ChunkDecoder:
    """Takes the bytes of a chunked body in as they come and gives its content out.

    Attributes:
        is_over: True once the last chunk and its trailer have come.
        is_plain: False if lines end in LF alone.
        surplus: Bytes that came with the last chunk and do not belong to it.
    """

    __slots__ = (
        "_held",
        "_left",
        "_state",
        "_trailer_bytes",
        "is_over",
        "is_plain",
        "surplus",
    )

    def __init__(self) -> None:
        self.is_over = False
        self.is_plain = True
        self.surplus = b""
        self._state = "size"
        self._left = 0
        self._held = b""
        self._trailer_bytes = 0

    def decode(self, data: bytes) -> Iterator[bytes]:
        """The content in some more bytes, piece by piece.

        Raises:
            TransportError: They are no chunks.
        """
        position = 0
        data, self._held = self._held + data, b""
        while position < len(data):
            if self.is_over:
                self.surplus = data[position:]
                return
            if self._state == "content":
                end = min(len(data), position + self._left)
                self._left -= end - position
                yield data[position:end]
                position = end
                if not self._left:
                    self._state = "end"
            else:
                following = data.find(b"\n", position) + 1
                if not following:
                    self._hold(data[position:])
                    return
                self._take_line(data[position:following])
                position = following

    def _hold(self, rest: bytes) -> None:
        """Keep the beginning of a line until its end comes."""
        _require(len(rest) <= MOST_LINE_BYTES)
        _require(self._state != "end" or rest == b"\r")
        self._held = rest

    def _take_line(self, line: bytes) -> None:
        if not line.endswith(b"\r\n"):
            self.is_plain = False
        if self._state == "end":
            _require(line in {b"\r\n", b"\n"})
            self._state = "size"
        elif self._state == "size":
            size = SIZE_LINE.fullmatch(line)
            _require(size is not None)
            assert size is not None
            self._left = int(size[1], 16)
            self._state = "content" if self._left else "trailer"
        elif line in {b"\r\n", b"\n"}:
            self.is_over = True
        else:
            self._trailer_bytes += len(line)
            _require(b":" in line and self._trailer_bytes <= MOST_TRAILER_BYTES)


def _require(holds: bool) -> None:  # noqa: FBT001 - reads as a sentence
    if not holds:
        raise TransportError(ErrorKind.PROTOCOL, MALFORMED)

"""Response heads and the framing of bodies (RFC 9112 §4 to §7), read from bytes.

One place for every strategy: requests and aiohttp hand all that comes on a connection to
an `AnswerReader`; libcurl reads by itself, and its heads, chunks and surplus are judged by
the same functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from downloader.errors import TransportError
from downloader.models import ErrorKind
from downloader.policy import headers
from downloader.policy.chunks import ChunkDecoder
from downloader.policy.framing import MALFORMED, SWITCHING_PROTOCOLS, Framing, frame

if TYPE_CHECKING:
    from collections.abc import Iterator

# A head's status line and fields together; http.client and aiohttp bound single lines.
MOST_HEAD_BYTES = 64 << 10
MOST_HEAD_FIELDS = 99
# Interim answers (1xx) before the final one; RFC 9110 §15.2 allows any number, no server
# in the field sends more than a few.
MOST_INTERIM_ANSWERS = 32
HEAD_TOO_LARGE = "the response head is too large: more than 64 KiB"

_EMPTY_LINES = frozenset({b"\r\n", b"\n"})
_PROTOCOL = b"HTTP/1."


class Head(NamedTuple):
    """A response head; the fields by lower-case name, as `headers.fields` gives them."""

    version: str
    status: int
    fields: dict[str, str]

    @property
    def is_interim(self) -> bool:
        """True if the final head is still to come."""
        return 100 <= self.status < 200 and self.status != SWITCHING_PROTOCOLS  # noqa: PLR2004 - RFC 9110 §15.2

    @property
    def framing(self) -> Framing | None:
        """Framing of the body; None if the head leaves it in doubt."""
        try:
            return frame(self.version, self.status, self.fields)
        except ValueError:
            return None


def parse_head(lines: list[bytes]) -> Head:
    """Return the head that some lines are, its empty line left out.

    Raises:
        TransportError: They are too many bytes, or no head.
    """
    if sum(map(len, lines)) > MOST_HEAD_BYTES:
        raise head_too_large()
    if len(lines) > MOST_HEAD_FIELDS + 1:
        raise malformed()
    try:
        version, status = headers.status_line(lines[0])
        return Head(version, status, headers.parse(lines[1:]))
    except ValueError as error:
        raise malformed() from error


def malformed() -> TransportError:
    """An answer that is not HTTP/1.1."""
    return TransportError(ErrorKind.PROTOCOL, MALFORMED)


def head_too_large() -> TransportError:
    """A head that is not read to its end."""
    return TransportError(ErrorKind.TOO_LARGE, HEAD_TOO_LARGE)


class BodyReader:
    """Reads one body from the bytes that follow its head.

    Args:
        framing: How it ends; None if nothing of it can be read.

    Attributes:
        is_over: True once all of it has come.
        keeps_connection: True if the connection may serve another request then.
        is_followed: True if more than line ends followed.
    """

    __slots__ = (
        "_chunks",
        "_framing",
        "_left",
        "is_followed",
        "is_over",
        "keeps_connection",
    )

    def __init__(self, framing: Framing | None) -> None:
        self._framing = framing
        self._left = None if framing is None else framing.length
        is_chunked = framing is not None and framing.is_chunked
        self._chunks = ChunkDecoder() if is_chunked else None
        self.is_over = self._left == 0
        self.is_followed = False
        self.keeps_connection = (
            framing is not None and framing.keeps_connection and framing.is_plain
        )

    @property
    def is_cut(self) -> bool:
        """True if an end of the connection now would leave chunks without their end."""
        return self._chunks is not None and not self.is_over

    def read(self, data: bytes) -> Iterator[bytes]:
        """Give out the content in some more bytes.

        Raises:
            TransportError: They are no such body.
        """
        if self._framing is None or not data:
            return
        if self._chunks is not None:
            yield from self._chunks.decode(data)
            self.is_over = self._chunks.is_over
            self.keeps_connection &= self._chunks.is_plain
            self.follow(self._chunks.surplus, is_declared=False)
        elif self._left is None:
            yield data
        else:
            content, surplus = data[: self._left], data[self._left :]
            self._left -= len(content)
            self.is_over = not self._left
            self.follow(surplus, is_declared=True)
            if content:
                yield content

    def follow(self, surplus: bytes, *, is_declared: bool = True) -> None:
        """Take in bytes behind the body's end, which nobody has asked for.

        Line ends and another answer put a declared length in no doubt, and chunks are in
        none whatever follows.

        Raises:
            TransportError: The declared length may be the wrong one.
        """
        if not surplus:
            return
        self.keeps_connection = False
        rest = surplus.lstrip(b"\r\n")[: len(_PROTOCOL)]
        self.is_followed |= bool(rest)
        if is_declared and not _PROTOCOL.startswith(rest):
            raise malformed()

    def end(self, *, is_clean: bool) -> None:
        """Take the connection's end in, which may be the body's.

        Args:
            is_clean: False if it was cut: by a reset, or without TLS's own end.
        """
        if is_clean and self._chunks is None and self._left is None:
            self.is_over = self._framing is not None


class AnswerReader:
    """Reads the final answer to one request from the bytes of its connection.

    Attributes:
        has_begun: True once any byte has come.
        head: The final response head; None until it is complete.
        body: What reads on behind it.
    """

    __slots__ = (
        "_head_bytes",
        "_held",
        "_interim_answers",
        "_lines",
        "body",
        "has_begun",
        "head",
    )

    def __init__(self) -> None:
        self.has_begun = False
        self.head: Head | None = None
        self.body: BodyReader
        self._lines: list[bytes] = []
        self._held = b""
        self._head_bytes = self._interim_answers = 0

    @property
    def keeps_connection(self) -> bool:
        """True if the connection may serve another request once the answer is over."""
        return self.head is not None and self.body.keeps_connection

    def read_head(self, data: bytes) -> bytes:
        """Take some bytes in until `head` is there; return those that follow it.

        Raises:
            TransportError: They are no HTTP/1.1 response head.
        """
        self.has_begun = True
        self._head_bytes += len(data)
        data, self._held = self._held + data, b""
        position = 0
        while following := data.find(b"\n", position) + 1:
            line = data[position:following]
            position = following
            if line not in _EMPTY_LINES:
                self._lines.append(line)
            elif self._lines and self._take_head():
                return data[position:]
        self._held = data[position:]
        if self._head_bytes > MOST_HEAD_BYTES:
            raise head_too_large()
        # A server of another protocol may wait for us, or end without a line's end.
        begun = (self._lines or [self._held.lstrip(b"\r")])[0]
        if not _PROTOCOL.startswith(begun[: len(_PROTOCOL)]):
            raise malformed()
        return b""

    def _take_head(self) -> bool:
        """Read the lines that have come; True if they were the final head."""
        lines, self._lines = self._lines, []
        head = parse_head(lines)
        if head.version[0] != "1":
            raise malformed()
        if head.is_interim:
            self._head_bytes = 0
            self._interim_answers += 1
            if self._interim_answers > MOST_INTERIM_ANSWERS:
                raise malformed()
            return False
        self.head = head
        self.body = BodyReader(head.framing)
        return True

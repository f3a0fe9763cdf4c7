"""Framing of a response body, as its head tells it (RFC 9112 §6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from downloader.policy import headers

if TYPE_CHECKING:
    from collections.abc import Mapping

# Which of its faults it was, some libraries do not say.
MALFORMED = "the answer is not valid HTTP/1.1"
# These answers end with their head, whatever it says (RFC 9112 §6.3).
BODILESS = frozenset({204, 304})
# Ends HTTP/1.1 on its connection.
SWITCHING_PROTOCOLS = 101


class Framing(NamedTuple):
    """Framing of one answer's body: where it ends.

    Attributes:
        length: The declared number of bytes; None if chunks or the connection's end tell.
        is_chunked: True if chunks tell.
        keeps_connection: True if the server leaves the connection open behind it.
        is_plain: False if the head says it in an odd way, though without any doubt: the
            connection is not used again.
    """

    length: int | None
    is_chunked: bool
    keeps_connection: bool
    is_plain: bool


def frame(version: str, status: int, answer: Mapping[str, str]) -> Framing:
    """Return how an answer's body ends.

    Args:
        version: `1.1`, say; what frames bodies by itself has another first digit.
        status: The answer's status code.
        answer: Its fields by lower-case name.

    Raises:
        ValueError: The head leaves that in doubt.
    """
    if status == SWITCHING_PROTOCOLS:
        raise ValueError(status)
    field, coding = answer.get("content-length"), answer.get("transfer-encoding")
    length = headers.content_length(field)
    is_chunked = coding is not None and _is_chunked(coding)
    is_plain = field is None or "," not in field
    if coding is not None:
        is_plain = field is None and coding.strip().lower() == "chunked"
    if is_chunked:
        length = None  # RFC 9112 §6.3: chunks override a length
    if status in BODILESS:
        length, is_chunked = 0, False
    is_framed = is_chunked or length is not None or version[0] != "1"
    keeps = is_framed and _stays_open(version, answer.get("connection"))
    return Framing(length, is_chunked, keeps, is_plain)


def _stays_open(version: str, field: str | None) -> bool:
    """RFC 9112 §9.3."""
    if field is None:
        return version != "1.0"
    options = field.lower()
    return "close" not in options and (version != "1.0" or "keep-alive" in options)


def _is_chunked(coding: str) -> bool:
    """True if a Transfer-Encoding says so; `identity` counts as absent.

    RFC 2616 §3.6 knew it, and servers of its time still send it.
    """
    names = [name.strip().lower() for name in coding.split(",")]
    codings = [name for name in names if name not in {"", "identity"}]
    if codings not in ([], ["chunked"]):
        raise ValueError(coding)  # no other coding was asked for
    return bool(codings)

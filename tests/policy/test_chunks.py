"""The chunked coding, fed in every way that a network may cut it."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.errors import TransportError
from downloader.policy.chunks import (
    MOST_LINE_BYTES,
    MOST_TRAILER_BYTES,
    ChunkDecoder,
)

BODY = b"5;name=value\r\nhello\r\nA\r\n0123456789\r\n0\r\nX-Odd: 1\r\n\r\n"


def decoded(*pieces):
    decoder = ChunkDecoder()
    content = b"".join(part for piece in pieces for part in decoder.decode(piece))
    return content, decoder.is_over


@given(st.sets(st.integers(1, len(BODY) - 1)))
def test_it_reads_the_same_wherever_it_is_cut(cuts):
    edges = [0, *sorted(cuts), len(BODY)]
    pieces = [BODY[a:b] for a, b in pairwise(edges)]

    assert decoded(*pieces) == (b"hello0123456789", True)


@given(st.integers(0, len(BODY) - 1))
def test_it_is_not_over_before_its_last_byte(length):
    assert decoded(BODY[:length])[1] is False


@pytest.mark.parametrize(
    "body",
    [
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"\r\nhello",
        b"f" * 17 + b"\r\n",
        b"3\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello\rX",
        b"0\r\nno colon\r\n\r\n",
        b"1" * (MOST_LINE_BYTES + 1),
        b"0\r\n" + b"X: 1\r\n" * (MOST_TRAILER_BYTES // 6 + 1),
    ],
)
def test_what_is_no_chunk_is_refused(body):
    with pytest.raises(TransportError, match="not valid"):
        decoded(body)


def test_a_byte_of_a_chunks_end_may_be_waited_for():
    assert decoded(b"1\r\na\r", b"\n0\r\n\r\n") == (b"a", True)


@pytest.mark.parametrize("body", [BODY.replace(b"\r\n", b"\n"), b"1\na\r\n0\r\n\r\n"])
def test_lines_that_end_in_lf_alone_are_read_and_remembered(body):
    decoder = ChunkDecoder()
    content = b"".join(decoder.decode(body))

    assert content in {b"hello0123456789", b"a"}
    assert decoder.is_over
    assert not decoder.is_plain


def test_what_follows_the_trailer_is_left():
    decoder = ChunkDecoder()
    content = b"".join(decoder.decode(BODY + b"more"))

    assert content == b"hello0123456789"
    assert (decoder.is_over, decoder.surplus) == (True, b"more")

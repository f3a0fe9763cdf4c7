"""Content codings undone piece by piece."""

import gzip
import zlib

import pytest

from downloader.errors import TransportError
from downloader.transfer.coding import (
    MEMBER_BYTES,
    PIECE_BYTES,
    SPARE_MEMBERS,
    decoder,
)


def raw(data):
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflate.compress(data) + deflate.flush()


@pytest.mark.parametrize("more", [*range(-300, 300, 50), 1, PIECE_BYTES])
@pytest.mark.parametrize(
    ("coding", "pack"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", raw)],
)
def test_what_ends_about_a_pieces_end_is_whole(coding, pack, more):
    data = bytes(PIECE_BYTES + more)
    undo = decoder(coding)
    pieces = list(undo.decode(pack(data)))
    undo.end()

    assert b"".join(pieces) == data
    assert max(map(len, pieces)) <= PIECE_BYTES


def members(count, content):
    return count * gzip.compress(content, mtime=0)


@pytest.mark.parametrize("size", [0, 1, MEMBER_BYTES - 1])
def test_members_that_hold_next_to_nothing_are_bounded(size):
    undo = decoder("gzip")

    with pytest.raises(TransportError, match="too many members") as caught:
        list(undo.decode(members(20 * SPARE_MEMBERS, bytes(size))))
    assert caught.value.kind == "protocol"


@pytest.mark.parametrize("cut", [7, 4096, 1 << 20])
def test_any_number_of_members_that_hold_something_is_undone(cut):
    content, undo = b"one line", decoder("gzip")
    data = members(5 * SPARE_MEMBERS, 2 * content) + members(SPARE_MEMBERS - 1, b"")
    pieces = [data[at : at + cut] for at in range(0, len(data), cut)]
    undone = b"".join(one for piece in pieces for one in undo.decode(piece))
    undo.end()

    assert undone == 10 * SPARE_MEMBERS * content


def test_padding_between_members_is_skipped():
    undo = decoder("gzip")
    data = (gzip.compress(b"a", mtime=0) + bytes(20_000)) * 2

    assert b"".join(undo.decode(data)) == b"aa"
    undo.end()

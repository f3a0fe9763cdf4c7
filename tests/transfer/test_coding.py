"""Content codings undone piece by piece."""

import gzip
import zlib

import pytest

from downloader.transfer.coding import PIECE_BYTES, decoder


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

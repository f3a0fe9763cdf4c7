"""The map of a divided part: what whoever is killed leaves in it, and who may take what."""

import contextlib

import pytest

from downloader.transfer import segment_map
from downloader.transfer.folder import Folder
from downloader.transfer.segment_map import SegmentMap

TOTAL = 1_000
LEAST = 100


@pytest.fixture
def folder(tmp_path):
    with contextlib.closing(Folder(str(tmp_path))) as opened:
        yield opened


def opened(folder, owner, *, is_new=False):
    return SegmentMap(folder, "file.map", owner, TOTAL, is_new=is_new)


def to_come(one):
    """The bytes that some span says are still to be fetched."""
    return {byte for span in one._spans() for byte in range(span.position, span.end)}


@pytest.mark.parametrize("writes", range(4))
def test_a_kill_while_bytes_change_hands_forgets_none_of_them(
    folder, monkeypatch, writes
):
    opened(folder, 1, is_new=True).advance(10)
    left = iter(range(writes))
    write = segment_map.os.pwrite

    def killed_after_some(*args):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return write(*args)

    helper = opened(folder, 2)
    monkeypatch.setattr(segment_map.os, "pwrite", killed_after_some)
    with contextlib.suppress(KeyboardInterrupt):
        helper.claim(LEAST, 250)
    monkeypatch.undo()

    assert to_come(opened(folder, 3)) == set(range(10, TOTAL))

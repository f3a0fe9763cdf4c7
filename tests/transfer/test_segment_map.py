"""The map of a divided part: what whoever is killed leaves in it, and who may take what."""

import contextlib
import struct

import pytest

from downloader.errors import PartLost
from downloader.policy.segments import Bounds
from downloader.transfer import segment_map
from downloader.transfer.folder import Folder
from downloader.transfer.segment_map import SegmentMap

TOTAL = 1_000
BOUNDS = Bounds(100, 250, 8)


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
        helper.claim(BOUNDS)
    monkeypatch.undo()

    assert to_come(opened(folder, 3)) == set(range(10, TOTAL))


def test_a_refused_helpers_bytes_and_all_behind_go_back_to_who_had_them(folder):
    first = opened(folder, 1, is_new=True)
    helper = opened(folder, 2)
    assert helper.claim(BOUNDS) == (250, 500)
    helper.give_back()

    assert first.end == TOTAL
    assert opened(folder, 3).claim(BOUNDS) == (250, 500)


def test_the_front_is_where_the_first_byte_is_missing(folder):
    first = opened(folder, 1, is_new=True)
    helper = opened(folder, 2)
    helper.claim(BOUNDS)
    helper.advance(500)
    assert first.front == 0
    first.advance(250)

    assert first.front == 500


def test_one_finishes_and_whoever_takes_over_when_that_one_is_gone(folder):
    first, other = opened(folder, 1, is_new=True), opened(folder, 2)
    assert (first.finishes(), other.finishes()) == (True, False)
    first.release()

    assert (other.finishes(), first.finishes()) == (True, False)


def test_nobody_finishes_what_is_of_no_use(folder):
    first = opened(folder, 1, is_new=True)
    opened(folder, 2).void()

    assert not first.finishes()


def test_the_next_run_finishes_what_a_killed_one_was_to(folder):
    opened(folder, 1, is_new=True)
    later = opened(folder, 2)
    later.release_others()

    assert later.finishes()


def test_a_map_of_an_earlier_make_is_none(folder, tmp_path):
    (tmp_path / "file.map").write_bytes(struct.pack("<qqqqq", 0, TOTAL, 0, TOTAL, 1))

    with pytest.raises(PartLost):
        opened(folder, 1)

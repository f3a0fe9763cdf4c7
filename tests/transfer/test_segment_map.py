"""The map of a divided part: what whoever is killed leaves in it, and who may take what."""

import contextlib
import errno
import os
import struct

import pytest

from downloader.errors import DiskError, PartLost
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


@pytest.mark.parametrize("written", [0, 8, 24, 30])
def test_a_disk_that_fills_up_while_bytes_change_hands_forgets_none_of_them(
    folder, monkeypatch, written
):
    """Two spans of 24 bytes are added there, of which the system takes some."""
    opened(folder, 1, is_new=True).advance(10)
    helper = opened(folder, 2)
    write = segment_map.os.pwrite

    def short(descriptor, data, offset):
        return write(descriptor, data[:written], offset)

    monkeypatch.setattr(segment_map.os, "pwrite", short)
    with pytest.raises(DiskError, match="No space"):
        helper.claim(BOUNDS)
    monkeypatch.undo()

    assert to_come(opened(folder, 3)) == set(range(10, TOTAL))
    helper.release()
    assert opened(folder, 3).claim(BOUNDS) is not None


@pytest.mark.parametrize("size", [0, 8, 32, 40])
def test_of_a_map_that_has_become_shorter_nothing_counts_as_written(
    folder, tmp_path, size
):
    one = opened(folder, 1, is_new=True)
    os.truncate(tmp_path / "file.map", size)

    with pytest.raises(PartLost):
        _ = one.front
    with pytest.raises(PartLost):
        _ = one.written_bytes
    with pytest.raises(PartLost):
        one.claim(BOUNDS)


@pytest.mark.parametrize(
    ("module", "call"), [("os", "pwrite"), ("os", "pread"), ("fcntl", "flock")]
)
def test_a_system_that_refuses_is_the_disks_failure(folder, monkeypatch, module, call):
    def refuse(*_):
        raise OSError(errno.EIO, "I/O error")

    one = opened(folder, 1, is_new=True)
    monkeypatch.setattr(getattr(segment_map, module), call, refuse)

    with pytest.raises(DiskError, match=r"file\.map: I/O error"):
        one.release()
    monkeypatch.undo()


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

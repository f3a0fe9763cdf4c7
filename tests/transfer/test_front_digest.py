"""A part that several write is hashed while it comes, from its beginning."""

import contextlib
import hashlib
import os
import threading

import pytest

from downloader.errors import DiskError, PartLost
from downloader.policy.segments import Bounds
from downloader.transfer.digest import Digest
from downloader.transfer.folder import Folder
from downloader.transfer.front_digest import FrontDigest
from downloader.transfer.segment_map import SegmentMap

CONTENT = os.urandom(1_000)
SECONDS = 60


class Seen(Digest):
    """A digest that tells how far it has come."""

    __slots__ = ("hashed_bytes", "news")

    def __init__(self, algorithm="sha256"):
        super().__init__(algorithm)
        self.hashed_bytes = 0
        self.news = threading.Condition()

    def update(self, chunk):
        super().update(chunk)
        with self.news:
            self.hashed_bytes += len(chunk)
            self.news.notify_all()

    def has_hashed(self, size_bytes):
        with self.news:
            return self.news.wait_for(lambda: self.hashed_bytes == size_bytes, SECONDS)


class Part:
    """A part of a thousand bytes and its map, which two write and one reads."""

    def __init__(self, root, folder):
        self.path = root / "part"
        self.path.touch()
        self.folder = folder
        self.first = self.opened(1, is_new=True)
        self.second = self.opened(2)
        assert self.second.claim(Bounds(100, 500, 8)) == (500, 1_000)

    def opened(self, owner, *, is_new=False):
        total = len(CONTENT)
        return SegmentMap(self.folder, "map", owner, total, is_new=is_new)

    def write(self, one, begin, end):
        with self.path.open("r+b") as stream:
            stream.seek(begin)
            stream.write(CONTENT[begin:end])
        one.advance(end)

    def follow(self, digest):
        descriptor = os.open(self.path, os.O_RDONLY)
        view, total = self.opened(1), len(CONTENT)
        return FrontDigest(digest, descriptor, view, total, "file")


@pytest.fixture
def part(tmp_path):
    with contextlib.closing(Folder(str(tmp_path))) as folder:
        yield Part(tmp_path, folder)


def test_what_has_come_is_hashed_before_all_has(part):
    digest = Seen()
    front = part.follow(digest)
    part.write(part.second, 500, 800)
    part.write(part.first, 0, 300)
    assert digest.has_hashed(300)
    part.write(part.first, 300, 500)
    assert digest.has_hashed(800)
    assert not front.wait(0)
    part.write(part.second, 800, 1_000)

    assert front.wait(SECONDS)
    assert digest.text() == hashlib.sha256(CONTENT).hexdigest()


def test_what_shall_not_be_hashed_is_waited_for_all_the_same(part):
    front = part.follow(Digest("none"))
    part.write(part.first, 0, 500)
    assert not front.wait(0)
    part.write(part.second, 500, 1_000)

    assert front.wait(SECONDS)


def test_a_part_that_becomes_shorter_is_lost(part):
    front = part.follow(Seen())
    part.first.advance(500)
    with pytest.raises(PartLost):
        front.wait(SECONDS)


def test_a_part_that_cannot_be_read_is_the_disks_fault(part, tmp_path):
    descriptor = os.open(part.path, os.O_WRONLY)
    front = FrontDigest(Digest(), descriptor, part.opened(1), len(CONTENT), "file")
    part.write(part.first, 0, 500)
    with pytest.raises(DiskError):
        front.wait(SECONDS)


def test_an_end_is_heard_in_the_midst_of_it(part):
    front = part.follow(Seen())
    front.stop()
    front._thread.join(SECONDS)

    assert not front._thread.is_alive()
    assert not front.wait(0)


class Broken(Digest):
    """One that the machine has no memory for."""

    __slots__ = ()

    def update(self, chunk):
        raise MemoryError


def test_a_digest_that_breaks_is_never_taken_for_whole(part):
    part.write(part.first, 0, 500)
    part.write(part.second, 500, 1_000)
    front = part.follow(Broken())

    with pytest.raises(MemoryError):
        front.wait(SECONDS)

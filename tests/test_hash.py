"""Files hashed with something else than sha256."""

import hashlib
import os
import sqlite3
import sys
import threading
from pathlib import Path

import blake3
import pytest
import xxhash
from odd_exchange import body

from downloader import UsageError, fetch
from downloader.cli import main
from downloader.strategies.contract import NAMES
from downloader.transfer.digest import Digest

pytestmark = pytest.mark.usefixtures("workdir")
SIZE = 200_000
MADE_BY = {
    "blake3": lambda data: blake3.blake3(data).hexdigest(),
    "xxh3": lambda data: xxhash.xxh3_128(data).hexdigest(),
}
algorithms = pytest.mark.parametrize("algorithm", sorted(MADE_BY))


def damage(row):
    """Change a file, but neither its size nor its time."""
    path = Path("downloads", row.path)
    before = path.stat()
    path.write_bytes(b"!" + path.read_bytes()[1:])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("strategy", NAMES)
@algorithms
def test_every_strategy_takes_it(odd, strategy, algorithm):
    sizes = (0, 1, SIZE)
    urls = [odd.url(f"ok/{size}") for size in sizes]
    rows = list(fetch(urls, strategy=strategy, hash=algorithm))

    for size, row in zip(sizes, rows, strict=True):
        data = body(f"/ok/{size}", size)
        assert row.digest == f"{algorithm}:{MADE_BY[algorithm](data)}"
        assert row.sha256 is None


def test_none_hashes_nothing(odd):
    (row,) = fetch([odd.url("ok/10")], hash="none")

    assert (row.error, row.sha256, row.digest) == (None, None, None)
    (again,) = fetch([odd.url("ok/10")], hash="none")
    assert again.status == "skipped"


def test_a_divided_file_is_hashed_likewise(odd):
    odd.release()
    (row,) = fetch(
        [odd.url("steady/512")], hash="xxh3", segments=4, min_segment_size="64K"
    )
    data = body("/steady/512#1", 512 << 10)

    assert row.digest == f"xxh3:{MADE_BY['xxh3'](data)}"


@pytest.mark.parametrize("algorithm", ["blake3", "none"])
def test_a_wanted_sha256_is_made_all_the_same(odd, algorithm):
    good = hashlib.sha256(body("/ok/10", 10)).hexdigest()
    right, wrong = fetch(
        [f"{odd.url('ok/10')} sha256={good}", f"{odd.url('ok/11')} sha256={good}"],
        hash=algorithm,
    )

    assert (right.error, right.sha256, right.digest) == (None, good, None)
    assert wrong.error == "checksum"


@algorithms
def test_verifying_uses_what_was_recorded(odd, algorithm):
    (row,) = fetch([odd.url("ok/1000")], hash=algorithm)
    (same,) = fetch([odd.url("ok/1000")], verify=True)
    assert (same.status, same.digest) == ("skipped", row.digest)

    damage(row)
    (again,) = fetch([odd.url("ok/1000")], verify=True)
    assert again.status == "ok"
    assert Path("downloads", again.path).read_bytes() == body("/ok/1000", 1000)


def test_what_was_not_hashed_cannot_be_verified_and_is_fetched(odd, caplog):
    fetch([odd.url("ok/1000")], hash="none")
    (again,) = fetch([odd.url("ok/1000")], verify=True)

    assert again.status == "ok"
    assert again.sha256 == hashlib.sha256(body("/ok/1000", 1000)).hexdigest()
    assert "was not hashed when it was fetched" in caplog.text


@pytest.mark.parametrize("algorithm", ["xxh3", "none"])
def test_a_sha256_that_is_asked_for_later_is_looked_for_in_the_file(odd, algorithm):
    fetch([odd.url("ok/1000")], hash=algorithm)
    good = hashlib.sha256(body("/ok/1000", 1000)).hexdigest()
    (right,) = fetch([f"{odd.url('ok/1000')} sha256={good}"])
    (wrong,) = fetch([f"{odd.url('ok/1000')} sha256={'0' * 64}"], overwrite=True)

    assert right.status == "skipped"
    assert wrong.error == "checksum"


def test_a_file_is_read_for_a_sha256_that_another_line_asks_for(odd):
    url = odd.url("ok/10")
    good = hashlib.sha256(body("/ok/10", 10)).hexdigest()
    lines = [url, f"{url} sha256={'0' * 64}", f"{url} sha256={good}"]
    first, wrong, right = fetch(lines, hash="none")

    assert (first.error, right.error) == (None, None)
    assert wrong.error == "checksum"
    assert f"its sha256 is {good}" in wrong.detail
    assert odd.hits.total() == 1


def test_a_package_that_is_missing_is_named(odd, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "blake3", None)

    with pytest.raises(UsageError, match="hash"):
        fetch([odd.url("ok/10")], hash="blake3")
    assert main(["fetch", odd.url("ok/10"), "--hash", "blake3"]) == 2
    assert "pip install 'downloader-engine[hash]'" in capsys.readouterr().err
    assert odd.hits.total() == 0


def test_a_manifest_from_before_is_taken_over(odd):
    (row,) = fetch([odd.url("ok/10")])
    with sqlite3.connect("downloads/.downloader/manifest.sqlite") as older:
        older.execute("ALTER TABLE files RENAME COLUMN digest TO sha256")
        older.execute("PRAGMA user_version = 2")
    older.close()
    (again,) = fetch([odd.url("ok/10")])

    assert (again.status, again.sha256) == ("skipped", row.sha256)


def test_large_files_are_hashed_alike_with_a_thread_beside_and_without(monkeypatch):
    """There are only so many threads, and a system may give none at all."""
    data = os.urandom(3 << 20)
    many = [Digest(is_large=True) for _ in range(12)]
    beside = [one.is_beside for one in many]

    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    for one in many:
        one.update(data)
    texts = {one.text() for one in many}
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        alone = Digest(is_large=True)
    alone.update(data)

    assert beside == [True] * 8 + [False] * 4
    assert not alone.is_beside
    assert texts == {alone.text()} == {hashlib.sha256(data).hexdigest()}


def test_a_digest_that_is_dropped_takes_its_thread_with_it():
    one = Digest(is_large=True)
    one.update(b"x")
    assert one.is_beside  # `no_threads_left` looks at what is left

import gzip
import itertools
import os
import subprocess
import sys
import textwrap
import threading

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from downloader.errors import UsageError
from downloader.models import Request
from downloader.policy.urls import MAX_LENGTH
from downloader.sources import (
    ReadyFeed,
    ThreadedFeed,
    as_requests,
    is_url,
    lines,
    open_lists,
)

LONGEST = 20_000


def blocks(*parts):
    """A reader that brings these blocks, and then the end for ever."""
    rest = [part for part in parts if part]
    return lambda: rest.pop(0) if rest else b""


def read(*parts):
    return list(lines(blocks(*parts)))


@pytest.fixture
def written(tmp_path):
    """Write a list; gives its path."""

    def write(content, name="urls.txt"):
        path = tmp_path / name
        path.write_bytes(content)
        return str(path)

    return write


def drain(feed, taken=None):
    """Everything that a feed brings; waits for one that blocks."""
    taken = [] if taken is None else taken
    news = threading.Event()
    if isinstance(feed, ThreadedFeed):
        feed.wake = news.set
    while not feed.is_done:
        batch = feed.take(1)
        taken += [request for request, _ in batch]
        if not batch and not feed.is_done:
            # What came before `wake` was set has woken nobody.
            news.wait(0.05)
            news.clear()
    return taken


def urls_of(*arguments):
    return [request.url for request in drain(open_lists(arguments))]


# Lines


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"a", ["a"]),
        (b"a\nb\n", ["a", "b"]),
        (b"a\nb", ["a", "b"]),
        (b"a\r\nb\r\n", ["a\r", "b\r"]),
        (b"\n\na\n\n", ["", "", "a", ""]),
        (b"\xef\xbb\xbfa\nb", ["a", "b"]),
        (b"\xef\xbb\xbf", []),
        ("\ufeffä\nb\n".encode("utf-16-le"), ["ä", "b"]),
        ("\ufeffä\r\nb".encode("utf-16-be"), ["ä\r", "b"]),
        ("\ufeffä\nb".encode("utf-32-le"), ["ä", "b"]),
        ("\ufeffä\nb".encode("utf-32-be"), ["ä", "b"]),
        ("hä\nb".encode("utf-16-le"), ["hä", "b"]),
        ("hä\nb".encode("utf-16-be"), ["hä", "b"]),
        (b"h\0\0", ["h\0\0"]),
        (b"caf\xe9\nb", ["caf\udce9", "b"]),
        (b"a\xff", ["a\udcff"]),
        ("ä\N{LINE SEPARATOR}b".encode(), ["ä\N{LINE SEPARATOR}b"]),
        (b"a\x0cb\x1cc", ["a\x0cb\x1cc"]),
    ],
)
def test_a_text_has_these_lines(content, expected):
    assert read(content) == expected


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=6))
@example(b"\xef\xbb\xbfa", [1])
@example(b"\xef\xbb\xbfa", [1, 2])
@example(b"\xff\xfea\x00\n\x00", [1, 3, 5])
@example("ä\nö".encode(), [1, 4])
@example(b"a\x00\n\x00", [1, 2])
@example(b"\xff\xfe\x00\x00a\x00\x00\x00", [2, 3])
def test_any_blocking_of_the_same_bytes_gives_the_same_lines(content, cuts):
    bounds = [0, *sorted(cuts), len(content)]
    parts = [content[a:b] for a, b in itertools.pairwise(bounds)]

    assert read(*parts) == read(content)


@given(st.lists(st.text(st.characters(exclude_characters="\n"), max_size=9)))
def test_what_is_written_as_lines_is_read_as_lines(texts):
    content = "".join(f"{text}\n" for text in ["#", *texts])

    assert read(content.encode("utf-8", "surrogatepass"))[0] == "#"
    assert len(read(content.encode("utf-8", "surrogatepass"))) == len(texts) + 1


def test_an_endless_line_is_cut_but_stays_too_long_for_a_url():
    parts = [b"x" * 4096] * 100
    first, second = read(*parts, b"\nnext")

    assert MAX_LENGTH < len(first) < LONGEST + 4096 + 1
    assert second == "next"


def test_an_endless_line_costs_no_memory_and_the_list_goes_on():
    program = """
        import resource
        from downloader.sources import lines
        rest = iter([b"x" * (1 << 18)] * 2000 + [b"\\nhttp://h/a"])
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        *_, last = lines(lambda: next(rest, b""))
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(last, after - before < 20_000)
    """
    child = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert child.stdout == "http://h/a True\n"


# Lists


def test_a_list_gives_its_urls_with_file_and_line(written):
    path = written(b"# mine\n\n  http://h/a \t\r\n   # more\nhttp://h/b#top")

    assert drain(open_lists([path])) == [
        Request("http://h/a", f"{path}:3"),
        Request("http://h/b#top", f"{path}:5"),
    ]


def test_lists_and_urls_may_be_mixed_and_keep_their_order(written):
    one, two = written(b"http://h/1\n", "one"), written(b"http://h/3\n", "two")

    assert drain(open_lists([one, "HTTP://h/2", two])) == [
        Request("http://h/1", f"{one}:1"),
        Request("HTTP://h/2", "argument 2"),
        Request("http://h/3", f"{two}:1"),
    ]


def test_every_list_may_begin_with_a_mark_and_have_more_amid_it(written):
    one = written(b"\xef\xbb\xbfhttp://h/1\n\xef\xbb\xbf# mine\n", "one")
    two = written("\ufeffhttp://h/2\n\u200b\n".encode("utf-16-le"), "two")
    three = written("\ufeff\u200ehttp://h/3\u2060\n".encode(), "three")

    assert urls_of(one, two, three) == ["http://h/1", "http://h/2", "http://h/3"]


def test_bad_lines_are_no_business_of_a_list(written):
    path = written(b"ftp://h/a\nnonsense\ncaf\xe9\n")

    assert urls_of(path) == ["ftp://h/a", "nonsense", "caf\udce9"]


def test_a_list_may_be_empty(written):
    assert urls_of(written(b"")) == []


def test_a_list_longer_than_a_block_loses_no_line(written):
    expected = [f"http://h/{number}" for number in range(50_000)]

    assert urls_of(written("\n".join(expected).encode())) == expected


@pytest.mark.parametrize(
    ("name", "reason"),
    [("missing", "No such file"), ("", "No such file"), ("folder", "is a folder")],
)
def test_a_list_that_cannot_be_read_is_a_usage_error(tmp_path, workdir, name, reason):
    (workdir / "folder").mkdir()

    with pytest.raises(UsageError, match=f"cannot read the list {name}: .*{reason}"):
        open_lists([name])


def test_an_unreadable_list_is_found_before_any_is_read(written):
    with pytest.raises(UsageError, match="missing"):
        open_lists([written(b"http://h/1\n"), "/missing"])


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("http://h", True),
        ("HTTPS://h", True),
        ("ftp://h", False),
        ("urls.txt", False),
        ("http:", False),
        ("-", False),
    ],
)
def test_an_argument_is_a_url_by_its_scheme(argument, expected):
    assert is_url(argument) is expected


def test_standard_input_is_a_list(monkeypatch):
    read_end, write_end = os.pipe()
    saved = os.dup(0)
    os.dup2(read_end, 0)
    try:
        feed = open_lists(["-"])
    finally:
        os.dup2(saved, 0)
        os.close(saved)
        os.close(read_end)
    os.write(write_end, b"http://h/a\nhttp://h/b")
    os.close(write_end)

    assert isinstance(feed, ThreadedFeed)
    assert drain(feed) == [
        Request("http://h/a", "stdin:1"),
        Request("http://h/b", "stdin:2"),
    ]


def test_a_compressed_list_is_refused_with_what_to_do(written):
    path = written(gzip.compress(b"http://h/a\n"), "urls.gz")

    with pytest.raises(UsageError, match=r"is compressed; give its lines: gzip -dc"):
        open_lists(["http://h/a", path])


def test_a_fifo_is_a_list_that_blocks_nobody(tmp_path):
    path = str(tmp_path / "fifo")
    os.mkfifo(path)
    # Open for both, so that neither end waits for the other.
    writer = os.open(path, os.O_RDWR)
    feed = open_lists([path])
    before = feed.take(64)
    os.write(writer, b"http://h/a\n")
    os.close(writer)

    assert before == []
    assert drain(feed) == [Request("http://h/a", f"{path}:1")]


def test_reading_a_list_to_its_end_closes_it(written):
    path = written(b"http://h/a\n")
    before = len(os.listdir("/proc/self/fd"))
    drain(open_lists([path]))

    assert len(os.listdir("/proc/self/fd")) == before


def test_a_list_that_is_refused_leaves_no_other_open(written):
    path = written(b"http://h/a\n")
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(UsageError):
        open_lists([path, "/missing"])

    assert len(os.listdir("/proc/self/fd")) == before


def test_a_long_list_takes_no_more_memory_than_a_short_one(tmp_path):
    program = """
        import resource, sys
        from downloader.sources import open_lists
        feed = open_lists(sys.argv[1:])
        feed.take(1000)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        lines = 1000
        while not feed.is_done:
            lines += len(feed.take(64))
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(lines, after - before < 10_000)
    """
    path = tmp_path / "urls.txt"
    path.write_text("".join(f"http://h/some/path/{n}\n" for n in range(300_000)))
    child = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(path)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert child.stdout == "300000 True\n"


# A caller's URLs


def test_texts_and_requests_are_numbered_and_kept():
    mine = Request("http://h/b", "mine")

    assert list(as_requests(["http://h/a", mine])) == [
        Request("http://h/a", "urls[0]"),
        mine,
    ]


@pytest.mark.parametrize("url", [None, 1, b"http://h/a", ["http://h/a"]])
def test_anything_else_is_a_usage_error_that_names_its_place(url):
    with pytest.raises(UsageError, match=r"urls\[1\] is a \w+, not a text"):
        list(as_requests(["http://h/a", url]))


# Feeds


def requests(number):
    return [Request(f"http://h/{n}") for n in range(number)]


def test_a_ready_feed_gives_as_much_as_it_is_asked_for():
    feed = ReadyFeed(requests(3))

    assert [len(feed.take(2)), feed.is_done] == [2, False]
    assert [len(feed.take(2)), feed.is_done] == [1, True]
    assert feed.take(2) == []


def test_a_closed_ready_feed_is_done():
    feed = ReadyFeed(requests(3))
    feed.close()

    assert feed.is_done


def test_a_threaded_feed_gives_everything_in_order():
    assert drain(ThreadedFeed(iter(requests(3000)))) == requests(3000)


def test_a_threaded_feed_wakes_its_session():
    let_go, woken = threading.Event(), threading.Event()

    def slow():
        assert let_go.wait(60)
        yield Request("http://h/a")

    feed = ThreadedFeed(slow())
    feed.wake = woken.set
    assert feed.take(1) == []
    let_go.set()

    assert woken.wait(60)


def test_a_threaded_feed_reads_only_a_little_ahead():
    read_ahead, is_full = [], threading.Event()

    def endless():
        while True:
            read_ahead.append(1)
            if len(read_ahead) > ThreadedFeed._AHEAD:
                is_full.set()
            yield Request("http://h/a")

    feed = ThreadedFeed(endless())
    taken = len(feed.take(100))
    assert is_full.wait(60)
    taken += len(feed.take(100 - taken))
    feed.close()

    assert taken == 100
    assert len(read_ahead) <= ThreadedFeed._AHEAD + 1 + 100


def test_what_a_callers_generator_raises_is_raised_behind_its_urls():
    seen = []

    def broken():
        yield Request("http://h/a")
        raise LookupError("the database is gone")

    feed = ThreadedFeed(broken())
    with pytest.raises(LookupError, match="the database is gone"):
        drain(feed, seen)

    assert seen == [Request("http://h/a")]
    assert feed.is_done


def test_a_closed_threaded_feed_ends_its_thread():
    before = set(threading.enumerate())
    feed = ThreadedFeed(iter(requests(5000)))
    assert set(threading.enumerate()) <= before
    feed.take(1)
    (thread,) = set(threading.enumerate()) - before
    feed.close()
    thread.join(60)

    assert feed.is_done
    assert not thread.is_alive()

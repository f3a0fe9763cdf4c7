import os
import signal
import subprocess
import sys
import textwrap
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader import ledger as module
from downloader.errors import ManifestError
from downloader.ledger import Kind, Ledger
from downloader.models import Entry, Failure, Outcome, Phases, Status
from downloader.record_folder import RecordFolder


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger(RecordFolder(str(tmp_path)))
    yield ledger
    ledger.close()


def outcome(seq, **changes):
    fields = {"seq": seq, "url": f"http://h/{seq}", "status": Status.OK} | changes
    return Outcome(**fields)


def entry(seq, host="h:80"):
    url = f"http://{host}/{seq}"
    return Entry(seq, url, url, url, host, f"h/{seq}", None)


# Lines


def test_the_first_line_for_a_url_is_new_and_has_the_next_row(ledger):
    assert ledger.admit("a", "a", "a") == (Kind.NEW, 0, 0)
    assert ledger.admit("b", "b", "b") == (Kind.NEW, 1, 1)


def test_the_same_line_again_is_a_duplicate_of_its_row(ledger):
    ledger.admit("b", "b", "b")
    ledger.admit("a", "a", "a")

    assert ledger.admit("a", "a", "a") == (Kind.DUPLICATE, 1, 1)
    assert ledger.duplicates == 1


def test_another_spelling_has_a_row_and_knows_the_first(ledger):
    ledger.admit("b", "b", "b")
    ledger.admit("a", "a", "a")

    assert ledger.admit("a", "A", "A") == (Kind.SPELLING, 2, 1)
    assert ledger.admit("c", "c", "c").seq == 3


def test_another_spelling_again_is_a_duplicate(ledger):
    ledger.admit("a", "a", "a")
    ledger.admit("a", "A", "A")

    assert ledger.admit("a", "A", "A") == (Kind.DUPLICATE, 1, 0)
    assert ledger.admit("a", "a", "a") == (Kind.DUPLICATE, 0, 0)
    assert ledger.duplicates == 2


def test_bytes_that_are_no_utf8_are_told_apart(ledger):
    assert ledger.admit("a\udce9", "a\udce9", "").kind is Kind.NEW
    assert ledger.admit("a\udcea", "a\udcea", "").kind is Kind.NEW
    assert ledger.admit("a\udce9", "a\udce9", "").kind is Kind.DUPLICATE


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("123"))))
def test_lines_are_rows_or_duplicates(tmp_path_factory, lines):
    ledger = Ledger(RecordFolder(str(tmp_path_factory.getbasetemp())))
    kinds = [
        ledger.admit(identity, identity + form, "").kind for identity, form in lines
    ]
    duplicates = ledger.duplicates
    next_row = ledger.admit("!", "!", "").seq
    ledger.close()

    assert kinds.count(Kind.NEW) == len({identity for identity, _ in lines})
    assert next_row == len(set(lines))
    assert next_row + duplicates == len(lines)


# Rows


def test_a_row_comes_back_as_it_was(ledger):
    whole = Outcome(
        seq=0,
        url="http://h/ä",
        status=Status.FAILED,
        http_status=503,
        path="h/a",
        bytes=1 << 40,
        sha256="ab" * 32,
        attempts=3,
        seconds=0.1,
        error="http_503",
        detail="busy",
    )
    ledger.add(whole)

    assert list(ledger.rows()) == [whole]
    assert ledger.outcome(0) == whole


def test_each_spelling_of_a_line_that_came_otherwise_first_has_its_row(ledger):
    lines = [("a", "A"), ("a", "a"), ("b", "B"), ("b", "b"), ("b", "b")]
    kinds = [ledger.admit(identity, spelling, spelling) for identity, spelling in lines]

    assert kinds == [
        (Kind.NEW, 0, 0),
        (Kind.SPELLING, 1, 0),
        (Kind.NEW, 2, 2),
        (Kind.SPELLING, 3, 2),
        (Kind.DUPLICATE, 3, 2),
    ]


def test_a_row_keeps_its_host_and_the_times_of_its_last_attempt(ledger):
    ledger.add(
        outcome(1, bytes=7),
        "h:80",
        Phases(ledger._began_at + 8.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0),
    )
    ledger.add(outcome(0), "h:81")
    ledger.add(outcome(2))
    (row,) = ledger.timings().each()

    assert row[:3] == ("h:80", 1, 7)
    assert row[3:] == (pytest.approx(8.0), 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0)
    assert [one.host for one in ledger.timings().busiest_hosts(9)] == ["h:80", "h:81"]


def test_a_row_that_was_given_up_keeps_its_host(ledger):
    ledger.spill(entry(0, "h:81"))
    ledger.give_up_spilled(Failure("connect", "down"))
    timings = ledger.timings()

    assert timings.busiest_hosts(9) == [("h:81", 1, (0, 0, 0, 0, 0, 0, 0))]
    assert list(timings.each()) == []


def test_a_pending_row_has_no_outcome(ledger):
    assert ledger.outcome(7) is None


@given(st.permutations(range(40)))
def test_rows_follow_the_list_whatever_ends_first(tmp_path_factory, order):
    ledger = Ledger(RecordFolder(str(tmp_path_factory.getbasetemp())))
    for seq in order:
        ledger.add(outcome(seq))
    rows = [row.seq for row in ledger.rows()]
    ledger.close()

    assert rows == list(range(40))


def test_no_row_of_many_is_lost(ledger):
    for seq in reversed(range(2000)):
        ledger.add(outcome(seq))

    assert len(ledger) == 2000
    assert [row.seq for row in ledger.rows()] == list(range(2000))


def test_a_row_that_is_added_again_replaces_itself(ledger):
    ledger.add(outcome(0, status=Status.FAILED))
    ledger.add(outcome(0))

    assert [row.status for row in ledger.rows()] == [Status.OK]


def test_failures_can_be_read_alone(ledger):
    for seq in range(10):
        ledger.add(outcome(seq, status=Status.FAILED if seq % 3 else Status.OK))

    assert [row.seq for row in ledger.rows(errors_only=True)] == [1, 2, 4, 5, 7, 8]


def test_rows_can_be_read_while_others_are_added(ledger):
    for seq in range(0, 1000, 2):
        ledger.add(outcome(seq))
    seen = []
    for row in ledger.rows():
        seen.append(row.seq)
        ledger.add(outcome(row.seq + 1))

    assert set(seen) >= set(range(0, 1000, 2))
    assert len(ledger) == 1000


def test_a_spelling_has_the_outcome_of_the_first_or_none(ledger):
    for identity, spelling in (("a", "a"), ("b", "b"), ("a", "A"), ("b", "B")):
        ledger.admit(identity, spelling, f"shown {spelling}")
    ledger.add(outcome(0))

    assert list(ledger.spellings()) == [
        (2, "shown A", outcome(0)),
        (3, "shown B", None),
    ]


# Entries that wait


def test_a_host_gets_its_entries_back_in_order_and_once(ledger):
    for seq in (3, 1, 2):
        ledger.spill(entry(seq))
    ledger.spill(entry(0, "other:80"))

    assert ledger.unspill("h:80", 2) == [entry(1), entry(2)]
    assert ledger.unspill("h:80", 2) == [entry(3)]
    assert ledger.unspill("h:80", 2) == []


def test_what_still_waits_gets_its_row_in_the_lists_order(ledger):
    for seq, host in ((3, "a:80"), (1, "b:80"), (2, "a:80")):
        ledger.spill(entry(seq, host))
    ledger.unspill("a:80", 1)

    given_up = ledger.give_up_spilled(Failure("not_tried", "stopped"))

    assert given_up == 2
    assert [(row.seq, row.error, row.detail) for row in ledger.rows()] == [
        (1, "not_tried", "stopped"),
        (3, "not_tried", "stopped"),
    ]
    assert ledger.give_up_spilled(Failure("not_tried", "stopped")) == 0


def test_an_entrys_credentials_survive_the_wait(ledger):
    secret = Entry(0, "l", "u", "i", "h:80", "p", "me:pw")
    ledger.spill(secret)

    assert ledger.unspill("h:80", 9) == [secret]


# The file


def test_the_file_has_no_name_while_it_is_open(tmp_path):
    ledger = Ledger(RecordFolder(str(tmp_path)))
    ledger.add(outcome(0))

    assert os.listdir(tmp_path / ".downloader") == []
    assert list(ledger.rows()) == [outcome(0)]
    ledger.close()


def test_closing_twice_does_no_harm_and_lets_the_descriptor_go(tmp_path):
    folder = RecordFolder(str(tmp_path))
    before = len(os.listdir("/proc/self/fd"))
    ledger = Ledger(folder)
    ledger.close()
    ledger.close()

    assert len(os.listdir("/proc/self/fd")) == before


def test_a_forgotten_ledger_closes_itself(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    Ledger(RecordFolder(str(tmp_path))).add(outcome(0))

    assert len(os.listdir("/proc/self/fd")) == before


def test_two_ledgers_in_one_folder_do_not_meet(tmp_path):
    one, two = Ledger(RecordFolder(str(tmp_path))), Ledger(RecordFolder(str(tmp_path)))
    one.add(outcome(1))
    two.add(outcome(2))

    assert [row.seq for row in one.rows()] == [1]
    assert [row.seq for row in two.rows()] == [2]
    one.close()
    two.close()


def test_the_files_name_cannot_be_foreseen(tmp_path, monkeypatch):
    names = []
    monkeypatch.setattr(RecordFolder, "remove", lambda _, name: names.append(name))
    for _ in range(2):
        Ledger(RecordFolder(str(tmp_path))).close()

    assert len(set(names)) == 2


@pytest.mark.parametrize("target", ["outside.sqlite", "missing.sqlite"])
def test_a_link_at_its_name_is_never_followed(tmp_path, monkeypatch, target):
    (tmp_path / "outside.sqlite").write_bytes(b"precious")
    folder = tmp_path / ".downloader"
    folder.mkdir()
    # Nobody can know the name beforehand; even who guesses it gains nothing.
    monkeypatch.setattr("os.urandom", lambda _: b"guessed")
    (folder / f"run-{b'guessed'.hex()}.sqlite").symlink_to(tmp_path / target)

    with pytest.raises(ManifestError, match="a link or a special file"):
        Ledger(RecordFolder(str(tmp_path)))
    assert (tmp_path / "outside.sqlite").read_bytes() == b"precious"
    assert not (tmp_path / "missing.sqlite").exists()


def test_a_killed_run_leaves_no_file(tmp_path):
    program = """
        import os, signal, sys
        from downloader.ledger import Ledger
        from downloader.models import Outcome, Status
        from downloader.record_folder import RecordFolder
        ledger = Ledger(RecordFolder(sys.argv[1]))
        for seq in range(1000):
            ledger.add(Outcome(seq=seq, url="u", status=Status.OK))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    argv = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)]
    child = subprocess.run(argv, check=False)

    assert child.returncode == -signal.SIGKILL
    assert os.listdir(tmp_path / ".downloader") == []


def test_memory_does_not_grow_with_the_lines(tmp_path):
    program = """
        import resource, sys
        from downloader import ledger as module
        from downloader.ledger import Ledger
        from downloader.models import Entry, Failure, Outcome, Phases, Status
        from downloader.record_folder import RecordFolder
        module.CACHE_KIB = 1 << 10

        def run(ledger, first, last):
            for seq in range(first, last):
                url = f"http://example.org/a/path/of/usual/length/{seq}"
                ledger.admit(url, url, url)
                ledger.spill(Entry(seq, url, url, url, "example.org:80", url))
                ledger.add(Outcome(seq=seq, url=url, status=Status.OK, path=url))
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        ledger = Ledger(RecordFolder(sys.argv[1]))
        before = run(ledger, 0, 20_000)
        print(run(ledger, 20_000, 200_000) - before < 12_000)
    """
    child = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert child.stdout == "True\n"


def test_reading_the_rows_holds_few_of_them(ledger):
    for seq in range(20_000):
        ledger.add(outcome(seq, detail="x" * 200))
    tracemalloc.start()
    try:
        assert sum(1 for _ in ledger.rows()) == 20_000
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak_bytes < 1 << 20


def test_the_cache_that_sqlite_may_keep_is_bounded(ledger):
    (cache,) = ledger._connection.execute("PRAGMA cache_size").fetchone()

    assert cache == -module.CACHE_KIB

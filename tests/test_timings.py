import pytest

from downloader.ledger import Ledger
from downloader.models import Outcome, Phases, Status
from downloader.record_folder import RecordFolder
from downloader.timings import SIZE_STEPS


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger(RecordFolder(str(tmp_path)))
    yield ledger
    ledger.close()


def add(ledger, seq, host="h:80", **values):
    """A saved row, or what the values make of it; numbers without a name are phases."""
    phases = {
        name: values.pop(name)
        for name in [*values]
        if name.endswith("_seconds") or name == "began_at"
    }
    began_at = ledger._began_at + phases.pop("began_at", 0.0)
    outcome = {"url": f"http://h/{seq}", "status": Status.OK, **values}
    ledger.add(Outcome(seq=seq, **outcome), host, Phases(began_at, **phases))


def add_failure(ledger, seq, error, **values):
    add(ledger, seq, status=Status.FAILED, error=error, detail="why", **values)


def test_the_busiest_hosts_come_first_with_their_time(ledger):
    for seq, host in enumerate(["a:1", "b:1", "b:1", "c:1", "c:1", "c:1"]):
        add(ledger, seq, host, body_seconds=2.0, connect_seconds=1.0)
    ledger.add(Outcome(seq=9, url="no URL", status=Status.FAILED, error="invalid_url"))

    assert ledger.timings().busiest_hosts(2) == [
        ("c:1", 3, (3, 0, 0, 6, 0, 0, 0)),
        ("b:1", 2, (2, 0, 0, 4, 0, 0, 0)),
    ]


def test_rows_with_times_are_those_that_were_tried(ledger):
    add(ledger, 0)
    add(ledger, 1)
    ledger.add(Outcome(seq=2, url="u", status=Status.SKIPPED), "h:80")

    assert ledger.timings().timed() == 2


@pytest.mark.parametrize("step", range(len(SIZE_STEPS)))
def test_a_size_falls_in_the_range_that_it_begins(ledger, step):
    edge = SIZE_STEPS[step]
    add(ledger, 0, bytes=edge)
    add(ledger, 1, bytes=edge - 1)
    add(ledger, 2, bytes=edge, status=Status.SKIPPED)
    sizes = ledger.timings().sizes()

    assert len(sizes) == len(SIZE_STEPS) + 1
    assert sizes[step] == (1, edge - 1)
    assert sizes[step + 1] == (1, edge)


def test_the_slowest_come_first(ledger):
    for seq in range(50):
        add(ledger, seq, began_at=3.0, bytes=seq, body_seconds=float(seq * 7 % 50))
    add_failure(ledger, 60, "timeout", store_seconds=100.0)
    first, second, *others = ledger.timings().slowest(20)

    assert (first.came_to, first.seconds, first.parts[6]) == ("timeout", 100.0, 100.0)
    assert (second.came_to, second.seconds, second.size_bytes) == ("ok", 49.0, 7)
    assert second.began == pytest.approx(3.0)
    assert [one.seconds for one in others] == [float(48 - n) for n in range(18)]


def test_a_kind_of_failure_is_shown_by_its_first_row(ledger):
    for seq, error in enumerate(["dns", "tls", "dns", "not_tried", "interrupted"]):
        add_failure(ledger, 9 - seq, error)

    assert ledger.timings().first_failures() == {
        "dns": ("http://h/7", "why"),
        "tls": ("http://h/8", "why"),
    }


def test_each_row_with_times_is_told_once(ledger):
    add(ledger, 0, "a:1", began_at=1.0, bytes=7, body_seconds=2.0)
    add_failure(ledger, 1, "dns", connect_seconds=3.0)
    ledger.add(Outcome(seq=2, url="u", status=Status.SKIPPED), "h:80")
    (host, is_new, size, began, *phases), failure = ledger.timings().each()

    assert (host, is_new, size, phases) == ("a:1", 1, 7, [0, 0, 0, 2, 0, 0, 0])
    assert began == pytest.approx(1.0)
    assert (failure[1], failure[4]) == (0, 3.0)

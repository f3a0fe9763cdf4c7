from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import re
import signal
import stat
import subprocess
import sys
import tracemalloc
from datetime import UTC, datetime

import msgspec
import pytest

from downloader.models import Outcome, Status
from downloader.policy.bound import Bound
from downloader.policy.goodput import Choices, decision
from downloader.report import Report, Summary

SAVED = Outcome(
    seq=0,
    url="http://h/a",
    status=Status.OK,
    http_status=200,
    path="h_80/a~f",
    bytes=3,
    sha256="ab" * 32,
    attempts=2,
    seconds=0.12345678,
)
GONE = Outcome(
    seq=1,
    url="http://h/gone",
    status=Status.FAILED,
    http_status=404,
    attempts=1,
    error="http_404",
    detail="the server answered 404 Not Found",
)
SUMMARY = Summary(
    strategy="asyncio",
    workers=100,
    per_host=8,
    started_at=datetime(2026, 11, 24, 12, 0, tzinfo=UTC),
    seconds=1.9000004,
    lines=304,
    rows=300,
    duplicates=4,
    ok=297,
    unchanged=0,
    skipped=2,
    failed=1,
    bytes=22_439_526,
    received_bytes=22_539_526,
    files_per_second=158.2,
    mib_per_second=11.3,
    latency_p50_seconds=0.021,
    latency_p95_seconds=0.040,
    latency_p99_seconds=0.080,
    cpu_seconds=0.6,
    peak_memory_bytes=62 * 2**20,
    retries=3,
    attempts=301,
    errors={"http_404": 1},
)
ALL_THERE = msgspec.structs.replace(SUMMARY, ok=298, failed=0, errors={})
ROW_KEYS = [
    "url",
    "status",
    "http_status",
    "path",
    "bytes",
    "sha256",
    "attempts",
    "seconds",
    "error",
    "detail",
    "length_known",
]


class ListedRows:
    """Rows that stand in a list."""

    def __init__(self, *outcomes):
        self.outcomes = outcomes
        self.closings = 0

    def rows(self, errors_only=False):
        return (row for row in self.outcomes if row.error or not errors_only)

    def __len__(self):
        return len(self.outcomes)

    def close(self):
        self.closings += 1


class MadeRows:
    """As many equal rows as wanted, none of them kept."""

    def __init__(self, outcome, count):
        self.outcome = outcome
        self.count = count

    def rows(self, errors_only=False):
        return (msgspec.structs.replace(self.outcome) for _ in range(self.count))

    def __len__(self):
        return self.count

    def close(self):
        pass


class BreakingRows(ListedRows):
    """Rows whose reading fails after the first."""

    def rows(self, errors_only=False):
        yield SAVED
        raise RuntimeError("the ledger broke")


def reported(*outcomes, summary=SUMMARY, **changes):
    summary = msgspec.structs.replace(summary, **changes)
    return Report(ListedRows(*outcomes), summary, "downloads")


@contextlib.contextmanager
def umask(mask):
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


# Reading it


def test_a_report_says_what_of_it_can_be_pickled():
    report = reported(SAVED)

    with pytest.raises(TypeError, match=r"report\.summary and list"):
        pickle.dumps(report)


def test_each_iteration_is_a_fresh_pass_in_the_list_s_order():
    report = reported(SAVED, GONE)

    assert list(report) == [SAVED, GONE]
    assert list(report) == [SAVED, GONE]
    assert len(report) == 2


def test_failures_are_the_rows_without_a_file():
    assert list(reported(SAVED, GONE).failures()) == [GONE]


def test_a_report_of_an_empty_list_is_no_false_value():
    assert reported()


@pytest.mark.parametrize(
    ("changes", "ok"),
    [
        ({}, True),
        ({"failed": 1}, False),
        ({"interrupted_by": 2}, False),
        ({"list_complete": False}, False),
    ],
)
def test_it_is_ok_only_if_the_whole_list_is_there(changes, ok):
    report = reported(summary=ALL_THERE, **changes)

    assert report.ok is ok
    assert report.exit_code == (0 if ok else 1)


def test_it_names_the_signal_that_interrupted():
    assert reported(interrupted_by=15).interrupted_by == 15
    assert reported().interrupted_by is None


def test_leaving_the_context_closes_the_rows_once():
    report = reported(SAVED)
    with report:
        pass
    report.close()

    assert report._rows.closings == 1


def test_a_closed_report_keeps_its_summary_and_says_why_rows_are_gone():
    report = reported(SAVED, GONE)
    report.close()

    assert len(report) == 300
    assert "failed: http_404 1" in report.text()
    with pytest.raises(ValueError, match="the report is closed"):
        iter(report)
    with pytest.raises(ValueError, match="the report is closed"):
        report.failures()


def test_its_repr_shows_the_counts():
    assert repr(reported()) == (
        "<Report ok=297, skipped=2, failed=1, duplicates=4 output='downloads'>"
    )


# For people


def test_the_text_ends_with_what_bound_the_run():
    bound = Bound("IO-bound", "waiting 96 %", "-j 9 would help")
    lines = reported(SAVED, bound=bound, stopped_because="enough").text().splitlines()

    assert lines[-1] == "  IO-bound: waiting 96 %; -j 9 would help"
    assert reported(GONE, bound=bound).failures_text().count("IO-bound") == 0


def test_the_text_says_what_matters():
    assert reported(SAVED, GONE).text().splitlines() == [
        "299 of 300 files, 21.4 MiB (21.5 MiB received) in 1.9 s: 158 files/s, 11.3 MiB/s  (asyncio, 100 workers, 8 a host)",
        "  ok 297 · skipped 2 · failed 1 · duplicates 4",
        "  latency 21 ms median, 40 ms p95, 80 ms p99 · 3 retries · CPU 0.60 s · memory 62.0 MiB",
        "  failed: http_404 1",
        "    http://h/gone  http_404: the server answered 404 Not Found",
    ]


def test_without_failures_there_is_no_line_about_them():
    text = reported(SAVED, summary=ALL_THERE).text()

    assert text.startswith("300 files, ")
    assert "failed" not in text


def test_one_of_a_thing_is_singular():
    text = reported(
        summary=ALL_THERE, rows=1, workers=1, retries=1, per_host=None
    ).text()

    assert text.startswith("1 file, ")
    assert "(asyncio, 1 worker, no limit a host)" in text
    assert "1 retry ·" in text


def test_figures_without_data_are_left_out():
    text = reported(
        summary=ALL_THERE,
        retries=0,
        latency_p50_seconds=None,
        latency_p95_seconds=None,
        latency_p99_seconds=None,
    ).text()

    assert text.splitlines()[2] == "  CPU 0.60 s · memory 62.0 MiB"


def test_kinds_of_failure_stand_in_the_order_of_their_counts():
    errors = {"dns": 1, "timeout": 1200, "connect": 1}

    assert "  failed: timeout 1,200, connect 1, dns 1\n" in (
        reported(*[GONE] * 6, failed=1202, errors=errors).text()
    )


def test_of_many_failures_the_first_five_are_named_and_the_others_counted():
    failures = [
        msgspec.structs.replace(GONE, url=f"http://h/{number}") for number in range(9)
    ]
    lines = reported(*failures, failed=9, errors={"http_404": 9}).text().splitlines()

    assert [line.split()[0] for line in lines[4:9]] == [
        f"http://h/{number}" for number in range(5)
    ]
    assert lines[9:] == ["    and 4 more: --report FILE.json lists every one"]


@pytest.mark.parametrize("name", ["text", "failures_text"])
def test_the_file_that_has_the_other_failures_is_named(name):
    report = reported(*[GONE] * 6, failed=6, errors={"http_404": 6})

    assert "    and 1 more: r.json lists every one" in getattr(report, name)("r.json")


def test_a_stopped_run_says_what_came_beside_what_was_saved():
    headline, *_, last = (
        reported(
            rows=1,
            ok=0,
            skipped=0,
            bytes=0,
            received_bytes=60 * 2**20,
            files_per_second=0.0,
            mib_per_second=20.0,
            errors={"interrupted": 1},
            interrupted_by=signal.SIGINT,
            seconds=3.0,
        )
        .text()
        .splitlines()
    )

    assert headline.startswith(
        "0 of 1 file, 0 B (60.0 MiB received) in 3.0 s: 0.0 files/s, 20.0 MiB/s"
    )
    assert last == (
        "  interrupted by SIGINT; the same command goes on from the parts that are kept"
    )


def test_a_slow_line_has_its_own_unit():
    text = reported(received_bytes=SUMMARY.bytes, mib_per_second=29 / 1024).text()

    assert ", 21.4 MiB in 1.9 s: 158 files/s, 29.0 KiB/s  (" in text


def test_what_a_server_or_a_list_says_cannot_move_the_cursor_or_show_a_secret():
    evil = msgspec.structs.replace(
        GONE, url="http://h/?token=abc\x1b[2J", detail="moved\nto http://u:pw@h/"
    )
    line = reported(evil).text().splitlines()[-1]

    assert "\x1b" not in line
    assert "abc" not in line
    assert "pw" not in line
    assert line.endswith("moved\\x0ato http://u:***@h/")


def test_a_failing_line_without_end_is_cut():
    endless = msgspec.structs.replace(GONE, url="x" * 10**6, detail="\x00" * 10**6)
    line = reported(endless).text().splitlines()[-1]

    assert len(line) < 500
    assert "x…  http_404: \\x00" in line


def test_a_failure_without_detail_shows_its_kind():
    bare = msgspec.structs.replace(GONE, detail=None)

    assert reported(bare).text().endswith("http://h/gone  http_404")


_STOPPED = (
    "  interrupted by SIGINT, 9 lines not tried, the list not read to its end; "
    "the same command goes on"
)


def test_an_interruption_says_what_is_left_and_how_to_go_on():
    untried = msgspec.structs.replace(GONE, error="not_tried", detail="interrupted")
    lines = (
        reported(
            *[untried] * 9,
            GONE,
            failed=10,
            errors={"not_tried": 9, "http_404": 1},
            interrupted_by=signal.SIGINT,
            list_complete=False,
        )
        .text()
        .splitlines()
    )

    assert lines[3:] == [
        "  failed: not_tried 9, http_404 1",
        "    http://h/gone  http_404: the server answered 404 Not Found",
        _STOPPED,
    ]


def test_a_list_left_unread_without_a_signal_is_an_interruption_too():
    assert "  interrupted, the list not read to its end" in (
        reported(list_complete=False).text()
    )


def test_an_unknown_signal_has_its_number():
    assert "interrupted by signal 999" in reported(interrupted_by=999).text()


# For programs


def test_the_json_has_the_summary_and_every_row(tmp_path):
    path = tmp_path / "report.json"
    reported(SAVED, GONE).write_json(path)

    written = json.loads(path.read_bytes())
    assert list(written) == ["summary", "results"]
    assert written["summary"]["started_at"] == "2026-11-24T12:00:00Z"
    assert list(written["summary"]) == list(Summary.__struct_fields__)
    assert [list(row) for row in written["results"]] == [ROW_KEYS, ROW_KEYS]
    assert written["results"][1]["detail"] == "the server answered 404 Not Found"


def test_seconds_are_rounded_to_microseconds(tmp_path):
    path = tmp_path / "report.json"
    reported(SAVED).write_json(path)

    written = json.loads(path.read_bytes())
    assert written["summary"]["seconds"] == 1.9
    assert written["results"][0]["seconds"] == 0.123457


def test_a_report_without_rows_is_json_too(tmp_path):
    path = tmp_path / "report.json"
    reported().write_json(path)

    assert json.loads(path.read_bytes())["results"] == []


def test_a_dash_writes_to_standard_output(capfdbinary):
    reported(SAVED).write_json("-")

    assert len(json.loads(capfdbinary.readouterr().out)["results"]) == 1


def test_a_standard_output_that_takes_only_text_gets_the_json_too(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    reported(SAVED).write_json("-")

    assert len(json.loads(stream.getvalue())["results"]) == 1


def test_no_standard_output_is_an_os_error(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)

    with pytest.raises(OSError, match="no standard output"):
        reported(SAVED).write_json("-")


def test_a_reader_that_went_away_is_a_broken_pipe(monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    with io.TextIOWrapper(io.FileIO(writer, "w")) as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)

        with pytest.raises(BrokenPipeError):
            reported(SAVED).write_json("-")


def test_a_failure_in_the_midst_leaves_the_old_report_and_nothing_else(tmp_path):
    path = tmp_path / "report.json"
    path.write_text("the old one")

    with pytest.raises(RuntimeError):
        Report(BreakingRows(), SUMMARY, "downloads").write_json(path)
    assert path.read_text() == "the old one"
    assert os.listdir(tmp_path) == ["report.json"]


def test_the_file_is_not_to_be_seen_before_it_is_whole(tmp_path):
    path = tmp_path / "report.json"
    seen = []

    class WatchingRows(ListedRows):
        def rows(self, errors_only=False):
            seen.append(path.exists())
            yield SAVED
            seen.append(path.exists())

    Report(WatchingRows(), SUMMARY, "downloads").write_json(path)

    assert seen == [False, False]
    assert os.listdir(tmp_path) == ["report.json"]


def test_the_file_s_mode_follows_the_umask(tmp_path):
    path = tmp_path / "report.json"
    with umask(0o027):
        reported(SAVED).write_json(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_link_s_target_is_written_and_the_link_stays(tmp_path):
    link = tmp_path / "latest.json"
    link.symlink_to("report.json")
    reported(SAVED).write_json(link)

    assert link.is_symlink()
    assert json.loads((tmp_path / "report.json").read_bytes())["results"]


def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as reader:
        reported(SAVED).write_json(path)
        read, _ = reader.communicate()

    assert len(json.loads(read)["results"]) == 1
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_a_folder_that_is_missing_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        reported(SAVED).write_json(tmp_path / "missing" / "report.json")


@pytest.mark.parametrize("outcome", [SAVED, GONE], ids=["saved", "failed"])
def test_memory_does_not_grow_with_the_rows(tmp_path, outcome):
    path = tmp_path / "report.json"
    summary = msgspec.structs.replace(SUMMARY, failed=200_000)
    report = Report(MadeRows(outcome, 200_000), summary, "downloads")
    tracemalloc.start()
    try:
        report.write_json(path)
        report.text()
        passed = sum(1 for _ in report)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert passed == 200_000
    assert peak_bytes < 2**20
    assert len(re.findall(rb'"url"', path.read_bytes())) == 200_000


CHOICES = Choices(
    strategy="multicore",
    workers=1000,
    why="1.80 times what curl with 100 at once brought",
    decisions=(
        decision(0.9, "multicore", 1000, "1.80 times", is_kept=True),
        decision(1.9, "multicore", 2000, "0.90 times", is_kept=False),
    ),
)


def test_what_auto_kept_and_why_is_a_line_of_the_text():
    summary = msgspec.structs.replace(ALL_THERE, strategy="auto", auto=CHOICES)

    assert (
        "auto: kept multicore with 1,000 at once (2 tried, 1 kept): "
        "1.80 times what curl with 100 at once brought"
    ) in Report(ListedRows(), summary, "out").text()


def test_what_auto_did_not_try_is_not_counted():
    choices = Choices(strategy="curl", workers=100, why="it was over")
    summary = msgspec.structs.replace(ALL_THERE, strategy="auto", auto=choices)

    assert "auto: kept curl with 100 at once: it was over" in (
        Report(ListedRows(), summary, "out").text()
    )


def test_the_json_report_lists_what_auto_tried(tmp_path):
    summary = msgspec.structs.replace(ALL_THERE, strategy="auto", auto=CHOICES)
    Report(ListedRows(), summary, "out").write_json(tmp_path / "report.json")
    written = json.loads((tmp_path / "report.json").read_text())["summary"]["auto"]

    assert written["strategy"] == "multicore"
    assert [one["is_kept"] for one in written["decisions"]] == [True, False]

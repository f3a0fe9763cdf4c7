import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from page_reader import Reader

from downloader.bench.memory import can_tell
from downloader.bench.result import Mode, read_json
from downloader.bench.text import promise
from downloader.cli import main

pytestmark = pytest.mark.usefixtures("workdir")


@pytest.mark.parametrize(
    ("argv", "clues"),
    [
        (["bench", "--workers", "0"], ["--workers", "1,4,16"]),
        (["bench", "-j", "4,x"], ["--workers", "'4,x'"]),
        (["bench", "--repeats", "0"], ["--repeats", "0"]),
        (["bench", "--strategies", "fibres"], ["no strategy 'fibres'", "threads"]),
        (["bench", "missing.txt", "--repeats", "1"], ["missing.txt"]),
        (["bench", "--quick", "-o", "file"], ["--output", "file"]),
        (["bench", "file", "--quick"], ["--quick", "--repeats"]),
        (["bench", "--quik"], ["--quik", "--quick?"]),
    ],
)
def test_wrong_usage_says_what_and_measures_nothing(argv, clues, capsys, workdir):
    (workdir / "file").write_text("")

    status = main(argv)

    error = capsys.readouterr().err
    assert status == 2
    assert all(clue in error for clue in clues), error
    assert "measuring" not in error
    assert not (workdir / "bench.json").exists()


def test_an_empty_list_is_nothing_to_measure(capsys, workdir):
    (workdir / "urls.txt").write_text("# none\n")

    assert main(["bench", "urls.txt"]) == 2
    assert "no URL" in capsys.readouterr().err


def test_the_users_list_is_fetched_by_each_strategy(capsys, workdir, site):
    (workdir / "urls.txt").write_text("".join(f"{site.url}/n/{n}\n" for n in range(5)))
    argv = ["bench", "urls.txt", "-s", "serial,threads", "--repeats", "2", "-j", "2,3"]

    status = main([*argv, "-o", "measured"])

    told = capsys.readouterr()
    result = read_json("measured/bench.json")
    assert status == 0, told.err
    assert result.mode is Mode.LIST
    assert "measuring; this takes as long as the servers let it" in told.err
    assert "(50 % of two)" in " ".join(told.out.split())
    assert [(c.strategy, c.workers, len(c.samples)) for c in result.cells] == [
        ("serial", 1, 2),
        ("threads", 2, 2),
        ("threads", 3, 2),
    ]
    assert all(s.files == 5 and not s.failed for c in result.cells for s in c.samples)
    assert all(c.memory_bytes is not None for c in result.cells) == can_tell()
    assert "YOUR LIST (5 files" in told.out
    assert "bench.json" in told.err
    assert "Traceback" not in told.err
    assert {one.name for one in workdir.iterdir()} == {"urls.txt", "measured"}
    page = Reader(Path("measured/bench.html").read_bytes())
    assert [row["workers"] for row in page.blocks["Times as fast as serial"]]
    assert {row["strategy"] for row in page.blocks["Files a second"]} == {
        "serial",
        "threads",
    }


def test_failed_downloads_are_a_doubt_and_no_error(capsys, workdir, site):
    urls = f"{site.url}/nowhere\n{site.url}/n/1\n"
    (workdir / "urls.txt").write_text(urls)

    status = main(["bench", "urls.txt", "-s", "serial", "--repeats", "1", "-q"])

    told = capsys.readouterr()
    assert status == 0
    assert "some downloads failed" in told.out
    assert told.err == ""


def test_a_site_that_cannot_start_is_told(capsys, monkeypatch):
    monkeypatch.setattr("downloader.bench.trials.Trials.needed", lambda *_, **__: None)
    silent = [sys.executable, "-c", "import time; time.sleep(60)"]
    monkeypatch.setattr("downloader.site.process.Site._argv", lambda _: silent)
    monkeypatch.setattr("downloader.bench.suite._SITE_SECONDS", 0.0)

    status = main(["bench", "--quick", "--strategies", "serial"])

    error = capsys.readouterr().err
    assert status == 1
    assert "embedded site: did not start within 0 s" in error
    assert "Traceback" not in error


def test_a_full_disk_is_told_with_what_to_do(capsys, monkeypatch, workdir, site):
    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("downloader.bench.suite.spool", refuse)

    status = main(["bench", f"{site.url}/n/1", "-s", "serial"])

    error = capsys.readouterr().err
    assert status == 1
    assert "No space left" in error
    assert "TMPDIR" in error
    assert "internal error" not in error


def test_without_its_libraries_there_is_no_page_and_it_is_said_before(
    capsys, workdir, site, monkeypatch
):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    argv = ["bench", f"{site.url}/n/1", "-s", "serial", "--repeats", "1"]

    status = main(argv)

    error = capsys.readouterr().err
    assert status == 0
    assert error.index("bench.html needs matplotlib") < error.index("measuring")
    assert "downloader-engine[report]" in error
    assert [one.name for one in workdir.iterdir()] == ["bench.json"]


def test_a_page_that_cannot_be_written_leaves_the_result(capsys, workdir, site):
    (workdir / "bench.html").mkdir()
    argv = ["bench", f"{site.url}/n/1", "-s", "serial", "--repeats", "1"]

    status = main(argv)

    assert status == 1
    assert "cannot write" in capsys.readouterr().err
    assert read_json("bench.json").mode is Mode.LIST


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")
@pytest.mark.parametrize(
    ("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_signal_ends_all_and_leaves_nothing(signum, status, tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "downloader",
            "bench",
            "--quick",
            "-o",
            tmp_path / "out",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(scratch)},
        text=True,
    )
    # By then its first child is on its way, or measures already.
    assert "measuring" in process.stderr.readline()
    assert "experiment" in process.stderr.readline()
    process.send_signal(signum)
    out, error = process.communicate(timeout=60)

    assert process.returncode == status
    assert out == ""
    assert "nothing was written" in error
    assert "Traceback" not in error
    assert list(scratch.iterdir()) == []
    assert list((tmp_path / "out").iterdir()) == []
    assert not children_of(process.pid)


def children_of(pid):
    """Processes whose parent it is still said to be."""
    if not Path("/proc").exists():
        return []
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(stat)
    return found


@pytest.mark.parametrize(
    ("mode", "told"),
    [(Mode.QUICK, "ends within a minute"), (Mode.FULL, "ends within ten minutes")],
)
def test_how_long_it_takes_is_a_sentence(mode, told):
    assert promise(mode) == told


def test_one_round_of_one_line_is_singular(capsys, workdir, site):
    status = main(["bench", f"{site.url}/n/1", "-s", "serial", "--repeats", "1"])

    told = capsys.readouterr()
    assert status == 0, told.err
    assert "measuring your list, 1 line by 1 row in 1 round\n" in told.err
    assert "Single values, not medians. Starting the workers" in " ".join(
        told.out.split()
    )

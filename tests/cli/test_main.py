import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from downloader.cli import main
from downloader.strategies.contract import NAMES

pytestmark = pytest.mark.usefixtures("workdir")
ROOT = Path(__file__).parents[2]
SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if hasattr(signal, name)
]
needs_terminals = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGHUP")


@pytest.fixture
def heeds_hangups():
    """As in a terminal: under nohup children inherit that SIGHUP is ignored."""
    if not hasattr(signal, "SIGHUP"):
        yield
        return
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def urls(workdir):
    (workdir / "urls.txt").write_text("http://127.0.0.1:1/never-asked\n")
    return "urls.txt"


def shell(script):
    """A shell's run with `downloader` as "$@"; gives the finished process.

    Buffered, as is usual: otherwise nothing is left that could break at the exit.
    """
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    return subprocess.run(
        ["bash", "-c", script, "bash", sys.executable, "-m", "downloader"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environ,
    )


@pytest.mark.parametrize(
    ("argv", "clues"),
    [
        ([], ["no verb"]),
        (["fetch"], ["no list and no URL given"]),
        (["fetch", "missing.txt"], ["missing.txt"]),
        (["fetch", "."], ["folder"]),
        (["fetch", "urls.txt", "--timeout", "0"], ["--timeout", "0"]),
        (["fetch", "urls.txt", "--timeout", "nan"], ["--timeout", "nan"]),
        (["fetch", "urls.txt", "--timeout", "inf"], ["--timeout", "inf"]),
        (["fetch", "urls.txt", "-j", "0"], ["--workers", "0"]),
        (["fetch", "urls.txt", "-x", "0"], ["--per-host", "0"]),
        (["fetch", "urls.txt", "--retries", "-1"], ["--retries", "-1"]),
        (["fetch", "urls.txt", "-s", "thread"], ["thread", "threads?"]),
        (["fetch", "urls.txt", "--layout", "flad"], ["flad", "flat?"]),
        (["fetch", "urls.txt", "-H", "x"], ["--header"]),
        (["fetch", "urls.txt", "-H", "@missing"], ["--header", "missing"]),
        (["fetch", "urls.txt", "--limit-rate", "fast"], ["--limit-rate", "fast"]),
        (["fetch", "urls.txt", "--proxy", "socks4://p"], ["--proxy", "socks4"]),
        (["fetch", "urls.txt", "--cacert", "missing"], ["--cacert", "missing"]),
        (["fetch", "urls.txt", "-o", "urls.txt"], ["--output", "urls.txt"]),
        (["fetch", "urls.txt", "--report", "no/r.json"], ["--report", "no/r.json"]),
        (["fetch", "urls.txt", "--report", "."], ["--report", "folder"]),
        (["fetch", "urls.txt", "--report", "new", "-o", "new"], ["new", "folder"]),
        (["fetch", "urls.txt", "--report", "new", "-o", "new/a"], ["new", "folder"]),
        (["fetch", "urls.txt", "--config", "missing"], ["missing"]),
        (["demo", "--files", "0"], ["--files", "0"]),
        (["demo", "--latency", "-1"], ["--latency", "-1"]),
        (["demo", "--seed", "x"], ["--seed", "x"]),
    ],
    ids=" ".join,
)
def test_a_usage_error_is_one_line_and_status_2(urls, capsys, argv, clues):
    status = main(argv)
    out, err = capsys.readouterr()

    assert status == 2
    assert out == ""
    assert err.startswith("downloader: error: ")
    assert err.count("\n") == 1
    assert [clue for clue in clues if clue not in err] == []


def test_a_usage_error_comes_before_the_output_folder_is_made(urls, workdir):
    main(["fetch", urls, "--timeout", "0", "-o", "new"])

    assert not (workdir / "new").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="a folder in use stays there")
# `multiprocessing` starts no process without a working folder.
@pytest.mark.parametrize("strategy", [n for n in NAMES if n != "processes"])
def test_a_working_folder_that_is_gone_matters_to_relative_names_alone(
    odd, tmp_path, strategy
):
    out, gone = tmp_path / "out", tmp_path / "gone"
    fetching = f'mkdir {gone}; cd {gone}; rmdir {gone}; "$@" fetch {odd.url("ok/10")}'
    fetching += f" -q -s {strategy}"
    absolute = shell(f"{fetching} -o {out} --report {tmp_path / 'r.json'}")
    relative = shell(f"{fetching} -o out")
    report = shell(f"{fetching} -o {out} --report r.json")

    assert (absolute.returncode, absolute.stderr) == (0, "")
    assert [relative.returncode, report.returncode] == [2, 2]
    assert "output folder out is below the working folder" in relative.stderr
    assert "--report 'r.json': is below the working folder" in report.stderr


def test_a_bad_variable_and_a_bad_config_end_with_2_too(urls, workdir, monkeypatch):
    monkeypatch.setenv("DOWNLOADER_TIMEOUT", "0")
    by_variable = main(["fetch", urls])
    monkeypatch.delenv("DOWNLOADER_TIMEOUT")
    (workdir / "config.toml").write_text("[downloader]\ntimeout = 0")
    by_file = main(["fetch", urls])

    assert (by_variable, by_file) == (2, 2)


def test_a_message_cannot_steer_the_terminal(workdir, capsys):
    (workdir / "config.toml").write_text('[downloader]\n"\\u001b[2J" = 1')
    main(["fetch", "http://127.0.0.1:1/"])

    assert "\x1b" not in capsys.readouterr().err


def test_a_message_hides_the_password_of_a_url(capsys):
    main(["fetch", "ftp://me:s3cret@a.example/x"])

    assert "s3cret" not in capsys.readouterr().err


def test_help_and_version_end_with_0(capsys):
    assert [main([flag]) for flag in ("--help", "-h", "--version")] == [0, 0, 0]


def test_a_fetch_ends_with_a_summary_a_report_and_0(odd, workdir, capsys):
    status = main(["fetch", odd.url("ok/10"), "--report", "r.json"])
    out, err = capsys.readouterr()

    assert (status, out) == (0, "")
    assert "1 file" in err
    assert json.loads((workdir / "r.json").read_text())["results"][0]["bytes"] == 10


def test_a_failed_url_ends_with_1(odd, capsys):
    assert main(["fetch", odd.url("status/404")]) == 1


def test_the_summary_names_the_report_that_has_every_failure(odd, workdir, capsys):
    urls = [odd.url(f"status/404?{number}") for number in range(6)]
    main(["fetch", *urls, "--report", "r.json"])
    named = capsys.readouterr().err
    main(["fetch", *urls, "--report", "-"])

    assert "and 1 more: r.json lists every one" in named
    assert "and 1 more: the report lists every one" in capsys.readouterr().err


def test_the_report_alone_goes_to_standard_output(odd, capfdbinary):
    main(["fetch", odd.url("ok/10"), "--report", "-", "-q"])
    out, err = capfdbinary.readouterr()

    assert json.loads(out)["results"][0]["status"] == "ok"
    assert err == b""


def test_a_report_that_cannot_be_written_at_the_end_is_an_error(odd, capsys):
    status = main(["fetch", odd.url("ok/10"), "--report", "/dev/full"])

    assert status == 1
    assert "cannot write the report /dev/full" in capsys.readouterr().err


def test_insecure_is_announced_even_in_silence(odd, capsys):
    main(["fetch", odd.url("ok/10"), "--insecure", "-q"])

    assert "CERTIFICATES ARE NOT CHECKED" in capsys.readouterr().err


def test_the_log_and_the_handlers_are_as_before_after_a_run(odd, capsys):
    logger = logging.getLogger("downloader")
    before = signal.getsignal(signal.SIGINT), logger.level, logger.handlers[:]
    main(["fetch", odd.url("ok/10"), "-v"])

    assert (signal.getsignal(signal.SIGINT), logger.level, logger.handlers) == before


def test_a_defect_is_one_line_and_status_1(odd, capsys, monkeypatch):
    monkeypatch.setattr("downloader.api.run_list", lambda *_, **__: 1 // 0)
    status = main(["fetch", odd.url("ok/10")])
    err = capsys.readouterr().err

    assert status == 1
    assert err.startswith("downloader: internal error: ZeroDivisionError")
    assert err.count("\n") == 1


def test_verbose_shows_where_a_defect_is(odd, capsys, monkeypatch):
    monkeypatch.setattr("downloader.api.run_list", lambda *_, **__: 1 // 0)
    main(["fetch", odd.url("ok/10"), "-v"])

    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_run_is_loaded_ends_quietly(
    odd, capsys, monkeypatch, signum
):
    monkeypatch.setattr(
        "downloader.api.run_list", lambda *_, **__: signal.raise_signal(signum)
    )

    assert main(["fetch", odd.url("ok/10")]) == 128 + signum
    assert capsys.readouterr().err == ""


def test_an_interrupt_before_anything_else_ends_quietly(capsys, monkeypatch):
    monkeypatch.setattr(
        "downloader.cli.arguments.parse", lambda _: signal.raise_signal(signal.SIGINT)
    )

    assert main(["fetch", "x"]) == 130
    assert capsys.readouterr().err == ""


def test_the_demo_says_where_its_files_went(workdir, capsys, monkeypatch):
    (workdir / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(workdir / "tmp"))
    kept = main(["demo", "--files", "3", "--latency", "0", "-o", "kept"])
    told = capsys.readouterr().err
    gone = main(["demo", "--files", "3", "--latency", "0"])

    assert (kept, gone) == (0, 0)
    assert "are in kept" in told
    assert any(path.is_file() for path in (workdir / "kept").rglob("*"))
    assert "removed" in capsys.readouterr().err
    assert list((workdir / "tmp").iterdir()) == []


@pytest.mark.usefixtures("heeds_hangups")
@pytest.mark.parametrize("signum", SIGNALS)
@pytest.mark.parametrize("times", [1, 2])
def test_an_interrupted_process_reports_and_ends_with_the_signals_status(
    odd, workdir, signum, times
):
    (workdir / "urls.txt").write_text(odd.url("stall-head"))
    command = [sys.executable, "-m", "downloader", "fetch", "urls.txt"]
    child = subprocess.Popen([*command, "--report", "r.json"], stderr=subprocess.PIPE)
    odd.wait_for(lambda server: server.hits["/stall-head"])
    for _ in range(times):
        child.send_signal(signum)
    _, err = child.communicate(timeout=60)

    assert child.returncode == 128 + signum
    assert json.loads((workdir / "r.json").read_text())["summary"]["failed"] == 1
    assert b"Traceback" not in err


@pytest.mark.usefixtures("heeds_hangups")
@needs_terminals
@pytest.mark.parametrize("strategy", NAMES)
def test_the_terminals_end_stops_a_run_in_every_strategy(odd, workdir, strategy):
    """It reaches every process of the group; none writes to that terminal any more."""
    url = odd.url("stall-body/70000")
    command = [sys.executable, "-m", "downloader", "fetch", url, "-s", strategy]
    ours, theirs = os.openpty()
    child = subprocess.Popen(
        [*command, "--report", "r.json"], stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    odd.wait_for(lambda server: server.hits["/stall-body/70000"])
    os.close(ours)
    os.killpg(child.pid, signal.SIGHUP)

    assert child.wait(60) == 128 + signal.SIGHUP
    (row,) = json.loads((workdir / "r.json").read_text())["results"]
    assert row["error"] == "interrupted"


@needs_terminals
def test_a_run_under_nohup_outlives_its_terminal(odd, workdir):
    command = [sys.executable, "-m", "downloader", "fetch", odd.url("slow/1000/1")]
    child = subprocess.Popen(["nohup", *command], stderr=subprocess.PIPE)
    odd.wait_for(lambda server: server.hits["/slow/1000/1"])
    child.send_signal(signal.SIGHUP)
    _, err = child.communicate(timeout=60)

    assert (child.returncode, b"ok 1" in err) == (0, True)


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ('"$@" fetch --help | true; exit ${PIPESTATUS[0]}', 0),
        ('"$@" fetch --help >&-', 0),
        ('"$@" fetch --help >/dev/full', 0),
        ('"$@" fetch 2>&-', 2),
        ('"$@" fetch missing.txt 2>&1 | true; exit ${PIPESTATUS[0]}', 2),
        ('"$@" fetch - <&-', 2),
    ],
)
def test_a_closed_stream_changes_no_status_and_brings_no_traceback(script, status):
    done = shell(script)

    assert done.returncode == status
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_closed_descriptor_is_not_taken_by_a_file_of_the_run(odd, workdir):
    # Whatever is written to standard error must not end in a file of the run.
    script = 'import os, sys; print(os.path.realpath("/proc/self/fd/2"))'
    code = f"from downloader.cli import streams; streams.open_closed_descriptors(); {script}"
    done = subprocess.run(
        ["bash", "-c", '"$@" 2>&-', "bash", sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "/dev/null\n"


@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&- <&-", "| true"])
def test_a_closed_stream_never_ends_a_run(odd, workdir, redirection):
    url = odd.url("ok/10")
    done = shell(f'"$@" fetch {url} --report - {redirection}; exit ${{PIPESTATUS[0]}}')
    saved = [
        path for path in workdir.rglob("*") if path.is_file() and "ok" in path.parts
    ]

    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert [path.stat().st_size for path in saved] == [10]


def test_quiet_is_silent_when_all_is_well_and_names_failures_when_not(
    odd, workdir, capsys
):
    well = main(["fetch", "-q", odd.url("ok/10")])
    said_when_well = capsys.readouterr()
    ill = main(["fetch", "-q", odd.url("status/404")])
    said_when_ill = capsys.readouterr()

    assert (well, said_when_well.out, said_when_well.err) == (0, "", "")
    assert (ill, said_when_ill.out) == (1, "")
    assert "http_404: the server answered 404 Not Found" in said_when_ill.err


def test_a_line_that_is_no_url_has_its_row_beside_the_others(odd, workdir, capsys):
    argv = ["fetch", "ftp://x/y", odd.url("ok/10"), "--report", "r.json"]
    status = main(argv)
    rows = json.loads((workdir / "r.json").read_text())["results"]

    assert status == 1
    assert [row["error"] for row in rows] == ["invalid_url", None]


def test_an_empty_list_is_warned_of_and_is_no_error(workdir, capsys):
    status = main(["fetch", "/dev/null"])
    err = capsys.readouterr().err

    assert status == 0
    assert "warning: nothing was asked for" in err


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs Linux's /proc")
def test_an_output_folder_that_cannot_be_made_ends_with_2(urls, capsys):
    status = main(["fetch", urls, "-o", "/proc/x"])
    err = capsys.readouterr().err

    assert status == 2
    assert "/proc/x" in err
    assert err.count("\n") == 1


def test_a_found_config_may_not_name_a_report(odd, workdir, capsys):
    (workdir / "config.toml").write_text('[downloader]\nreport = "urls.txt"')
    status = main(["fetch", odd.url("ok/10")])

    assert status == 2
    assert "config.toml:2: report may not be set" in capsys.readouterr().err
    assert not (workdir / "urls.txt").exists()


@pytest.mark.parametrize("verb", ["demo", "fetch"])
def test_the_verbs_work_in_the_projects_own_folder(odd, tmp_path, verb):
    what = [odd.url("ok/10")] if verb == "fetch" else ["--files", "3", "--latency", "0"]
    output = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-m", "downloader", verb, *what, "-o", output],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert any(path.is_file() for path in output.rglob("*"))


@pytest.mark.parametrize("line", ["foo@bar", "mailto:me@example.org"])
def test_a_summary_names_a_line_with_an_at_sign_by_its_place(workdir, capsys, line):
    (workdir / "urls.txt").write_text(f"# a comment\n{line}\n")
    status = main(["fetch", "urls.txt"])

    assert status == 1
    assert "urls.txt:2: " in capsys.readouterr().err

"""The page of real runs against the embedded site."""

import os
import signal
import subprocess
import sys
import time
from html import unescape
from pathlib import Path

import pytest
from page_reader import Reader

from downloader import fetch
from downloader.cli import main
from downloader.pages import needs, run
from downloader.pages.run import as_page
from downloader.strategies.contract import NAMES

pytestmark = pytest.mark.usefixtures("workdir")


def read(path="out.html"):
    return Reader(Path(path).read_bytes())


def numbers(table, column):
    return [float(row[column].replace(",", "")) for row in table]


@pytest.mark.parametrize("strategy", NAMES)
def test_a_run_by_any_strategy_has_its_page(site, strategy):
    urls = [f"{site.url}/n/{number}?latency=0.05" for number in range(12)]
    with fetch(urls, strategy=strategy, workers=4, output="out") as report:
        page = Reader(as_page(report))
        spent = report.summary.phase_seconds

    assert page.facts["ok"] == "12"
    (host,) = page.blocks["Latency by host"]
    assert (host["host"], host["files"]) == (site.url.removeprefix("http://"), "12")
    (median,), (slowest,) = (
        numbers([host], f"{one}, ms") for one in ("median", "99 %")
    )
    assert 50 <= median <= slowest
    shares = {row["phase"]: float(row["%"]) for row in page.blocks["The workers' time"]}
    first_byte = 100 * spent["first_byte"] / sum(spent.values())
    assert shares["first byte"] == pytest.approx(first_byte, abs=0.1)
    assert sum(shares.values()) == pytest.approx(100, abs=1)
    assert page.blocks["Files by size"][0]["files"] == "12"
    assert len(page.blocks["The 12 rows whose last attempt took longest"]) == 12
    assert 0 < max(numbers(page.blocks["In flight"], "highest")) < 4.1


def test_failures_are_told_by_kind_with_an_example(odd, site):
    urls = [odd.url("status/404"), odd.url("status/404?again"), "ftp://x/y"]
    assert main(["fetch", *urls, f"{site.url}/n/1", "--report", "out.html", "-q"]) == 1
    page = read()

    gone, invalid = page.blocks["Failures by kind"]
    assert (gone["kind"], gone["rows"]) == ("http_404", "2")
    url, reason = gone["such as"].splitlines()
    assert url == odd.url("status/404")
    assert "404" in reason
    assert (invalid["kind"], invalid["rows"]) == ("invalid_url", "1")
    assert any("1 row without times" in note for note in page.notes)


def test_a_run_that_saved_nothing_has_no_section_without_a_plot(odd):
    main(["fetch", odd.url("status/404"), "--report", "out.html", "-q"])
    text = Path("out.html").read_text()

    assert 'id="latency"' not in text
    assert 'id="time"' in text
    assert "Throughput of saved files" in read().blocks


def test_the_workers_time_is_the_summary_s(odd):
    urls = [odd.url(f"slow/{n}/0.1") for n in range(100, 108)]
    with fetch(urls, strategy="threads", workers=4, per_host=2) as report:
        spent = report.summary.phase_seconds
        page = Reader(as_page(report))

    shares = {row["phase"]: float(row["%"]) for row in page.blocks["The workers' time"]}
    total = sum(spent.values())
    assert spent["politeness"] > 0.3
    assert shares["politeness"] == pytest.approx(
        100 * spent["politeness"] / total, abs=0.1
    )


@pytest.mark.parametrize(("count", "is_said"), [(3, True), (2, False)])
def test_hidden_hosts_are_told_of_where_there_are_any(odd, monkeypatch, count, is_said):
    monkeypatch.setattr(run, "_HOSTS", 2)
    port = odd.url("").split(":")[2]
    hosts = [f"127.0.0.{number}" for number in range(1, 1 + count)]
    with fetch([f"http://{host}:{port}ok/1" for host in hosts], retries=0) as report:
        page = Reader(as_page(report))

    note = "of the hosts the 2 with most rows are shown"
    assert (note in page.notes) is is_said


def test_hidden_hosts_without_a_plot_are_no_matter(site, monkeypatch):
    monkeypatch.setattr(run, "_HOSTS", 0)
    main(["fetch", f"{site.url}/n/1", "-q"])
    main(["fetch", f"{site.url}/n/1", "--report", "out.html", "-q"])

    assert read().notes == []


def test_times_of_a_short_run_are_told_apart(site):
    with fetch([f"{site.url}/n/{number}" for number in range(4)]) as report:
        page = Reader(as_page(report))

    begins = [row["from, s"] for row in page.blocks["In flight"]]
    assert len(set(begins)) == len(begins) == 10


def test_secrets_and_markup_of_a_list_do_not_reach_the_page(odd):
    urls = [
        odd.url("status/404?token=abc123"),
        odd.url("status/404?<b>bold</b>"),
        odd.url("status/404").replace("http://", "http://me:s3cret@"),
    ]
    main(["fetch", *urls, "--report", "out.html", "-q"])
    text = Path("out.html").read_text()

    assert "abc123" not in text
    assert "s3cret" not in text
    assert "<b>bold" not in text
    assert "&lt;b&gt;bold" in text


def test_a_run_of_nothing_has_a_page_too(workdir):
    (workdir / "urls.txt").write_text("# none\n")

    assert main(["fetch", "urls.txt", "--report", "out.html", "-q"]) == 0
    assert read().facts["ok"] == "0"


def test_what_was_there_already_is_no_time(site):
    url = f"{site.url}/n/1"
    main(["fetch", url, "-q"])
    main(["fetch", url, "--report", "out.html", "-q"])
    page = read()

    assert page.facts["skipped"] == "1"
    assert page.plots == 0
    assert page.notes == []


@pytest.mark.parametrize("name", ["out.html", "OUT.HTM"])
def test_the_ending_decides(site, name):
    main(["fetch", f"{site.url}/n/1", "--report", name, "-q"])

    assert Path(name).read_bytes().startswith(b"<!DOCTYPE html>")
    assert sorted(os.listdir()) == sorted([name, "downloads"])


def test_any_other_ending_is_json(site):
    main(["fetch", f"{site.url}/n/1", "--report", "out.xhtml", "-q"])

    assert Path("out.xhtml").read_bytes().startswith(b'{"summary"')


def test_without_a_page_its_libraries_are_not_loaded(site):
    program = (
        "import sys; from downloader.cli import main; main(sys.argv[1:]); "
        "print({'matplotlib', 'jinja2', 'numpy'} & set(sys.modules))"
    )
    argv = ["fetch", f"{site.url}/n/1", "--report", "out.json", "-q"]
    told = subprocess.check_output([sys.executable, "-c", program, *argv], text=True)

    assert told == "set()\n"


@pytest.mark.parametrize("library", ["matplotlib", "jinja2"])
def test_a_missing_library_is_said_before_anything_is_asked_for(
    odd, library, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, library, None)
    status = main(["fetch", odd.url("ok/10"), "--report", "out.html"])

    error = capsys.readouterr().err
    assert status == 2
    assert f"--report out.html needs {library}" in error
    assert "downloader-engine[report]" in error
    assert not odd.hits
    assert os.listdir() == []


def test_a_library_that_breaks_during_a_run_costs_the_page_alone(
    odd, monkeypatch, capsys
):
    monkeypatch.setattr(needs, "require", lambda what: None)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    status = main(["fetch", odd.url("ok/10"), "--report", "out.html"])

    error = capsys.readouterr().err
    assert status == 1
    assert "cannot write the report out.html" in error
    assert "Traceback" not in error
    assert os.listdir() == ["downloads"]
    assert main(["fetch", odd.url("ok/10"), "-q"]) == 0
    assert odd.hits.total() == 1


def test_a_page_that_cannot_be_written_is_an_error(odd, capsys):
    Path("out.html").symlink_to("/dev/full")
    status = main(["fetch", odd.url("ok/10"), "--report", "out.html"])

    assert status == 1
    assert "cannot write the report out.html" in capsys.readouterr().err


def test_an_interrupted_run_has_its_page(odd, workdir):
    argv = ["fetch", odd.url("ok/10"), odd.url("stall-head/10"), "--report", "out.html"]
    with subprocess.Popen(
        [sys.executable, "-m", "downloader", *argv], stderr=subprocess.PIPE, text=True
    ) as process:
        while not odd.hits.get("/stall-head/10"):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "Traceback" not in error
    assert Path("out.html").exists(), error
    assert "the run was interrupted" in read().notes


def test_no_words_of_the_libraries_reach_the_terminal(site, workdir, tmp_path):
    # A fresh cache of fonts, letters that matplotlib's own font lacks, a formula.
    url = f"{site.url}/n/1?\N{CJK UNIFIED IDEOGRAPH-6F22}$x^"
    argv = ["fetch", url, "--report", "out.html", "-q"]
    environment = {**os.environ, "MPLCONFIGDIR": str(tmp_path / "fresh")}
    done = subprocess.run(
        [sys.executable, "-m", "downloader", *argv],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=100,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert "\N{CJK UNIFIED IDEOGRAPH-6F22}$x^" in Path("out.html").read_text()


def test_the_page_says_what_bound_the_run_and_what_auto_kept(odd, tmp_path):
    urls = [odd.url(f"slow/{n}/0.2") for n in range(100, 116)]
    options = {"strategy": "auto", "workers": 4, "per_host": None}
    with fetch(urls, output=str(tmp_path), **options) as report:
        text = as_page(report).decode()
        bound, auto = report.summary.bound, report.summary.auto

    assert f'<p class="finding">{bound.text}</p>' in unescape(text)
    assert f"auto kept {auto.strategy}" in text

"""Where the library may be called from: scripts without a guard, stdin, -c, a running loop."""

import asyncio
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from downloader import Downloader, fetch
from downloader.strategies.contract import NAMES

every_strategy = pytest.mark.parametrize("name", NAMES)

# Deliberately at the top level, without `if __name__ == "__main__"`.
PROGRAM = textwrap.dedent("""
    import sys
    from downloader import fetch

    strategy, output, *urls = sys.argv[1:]
    report = fetch(urls, strategy=strategy, output=output, workers=2)
    print(strategy, [row.error for row in report], report.summary.ok)
""")


def run(argv, cwd, program=None):
    """A fresh interpreter's end; it must not call itself again, for ever."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *argv],
        input=program,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def arguments(odd, tmp_path, name):
    return [name, str(tmp_path / "out"), *(odd.url(f"/ok/{size}") for size in range(4))]


def expected(name):
    return f"{name} [None, None, None, None] 4\n"


@every_strategy
def test_a_script_without_a_guard_works(odd, tmp_path, name):
    script = tmp_path / "script.py"
    script.write_text(PROGRAM)
    output = run([str(script), *arguments(odd, tmp_path, name)], tmp_path)

    assert output == expected(name)
    assert sum(odd.hits.values()) == 4


@every_strategy
def test_a_program_on_stdin_works(odd, tmp_path, name):
    output = run(["-", *arguments(odd, tmp_path, name)], tmp_path, PROGRAM)

    assert output == expected(name)
    assert sum(odd.hits.values()) == 4


@every_strategy
def test_a_program_in_an_argument_works(odd, tmp_path, name):
    output = run(["-c", PROGRAM, *arguments(odd, tmp_path, name)], tmp_path)

    assert output == expected(name)
    assert sum(odd.hits.values()) == 4


@every_strategy
def test_no_worker_takes_modules_from_the_folder_it_runs_in(odd, tmp_path, name):
    for module in ("requests", "aiohttp", "msgspec"):
        (tmp_path / f"{module}.py").write_text("raise SystemExit('planted')")
    script = tmp_path / "elsewhere" / "script.py"
    script.parent.mkdir()
    script.write_text(PROGRAM)
    output = run([str(script), *arguments(odd, tmp_path, name)], tmp_path)

    assert output == expected(name)


@every_strategy
def test_no_helper_process_takes_packages_from_the_current_folder(odd, tmp_path, name):
    marker = tmp_path / "marker"
    package = tmp_path / "here" / "multiprocessing"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(f"open({str(marker)!r}, 'w').close()")
    # The command, for `python -m` itself takes packages from there.
    command = Path(sys.executable).with_name("downloader")
    argv = [str(command), "fetch", "-q", "-s", name, odd.url("/ok/10")]
    run(argv, package.parent)

    assert not marker.exists()
    assert odd.hits == {"/ok/10": 1}


@every_strategy
def test_fetch_works_inside_a_running_event_loop(odd, tmp_path, name):
    async def call():
        return fetch(odd.url("/ok/1000"), strategy=name, output=tmp_path)

    (row,) = asyncio.run(call())

    assert (row.error, row.bytes) == (None, 1000)


@every_strategy
def test_a_stream_works_inside_a_running_event_loop(odd, tmp_path, name):
    async def collect():
        urls = [odd.url(f"/ok/{size}") for size in range(10)]
        with Downloader(strategy=name, output=tmp_path) as downloader:
            return [outcome async for outcome in downloader.astream(urls)]

    assert [o.error for o in asyncio.run(collect())] == [None] * 10


@every_strategy
def test_submitted_urls_become_futures(odd, tmp_path, name):
    with Downloader(strategy=name, output=tmp_path) as downloader:
        futures = [downloader.submit(odd.url(f"/ok/{size}")) for size in range(5)]
        sizes = [future.result(60).bytes for future in futures]

    assert sizes == [0, 1, 2, 3, 4]
    assert downloader.report.summary.ok == 5

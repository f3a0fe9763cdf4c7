"""Every example runs as a reader would run it."""

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from downloader.cli import main
from downloader.strategies.contract import NAMES

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name, *arguments, cwd):
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_the_futures_example_is_done_after_and_not_before(tmp_path):
    lines = run("futures_api.py", cwd=tmp_path)

    assert lines[0] == "done at once? False"
    assert lines[-1] == "done now? True"
    assert sum(line.startswith("ok ") for line in lines) == 10


def test_the_async_example_leaves_the_loop_free(tmp_path):
    lines = run("async_api.py", cwd=tmp_path)

    assert sum(line.startswith("ok ") for line in lines) == 10
    assert int(lines[-1].split()[-2]) > 1


def test_the_comparison_has_a_row_for_every_strategy(tmp_path, site):
    listing = tmp_path / "urls.txt"
    listing.write_text("# some\n\n" + "\n".join(site.urls()[:20]))

    head, *rows = run("compare_strategies.py", listing, cwd=tmp_path)

    assert head.split()[0] == "strategy"
    assert [row.split()[0] for row in rows] == list(NAMES)
    assert all(row.split()[-1] == "0" for row in rows)


@pytest.fixture
def proxy():
    """A proxy that answers for the whole internet, with the URL it was asked for."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            body = self.path.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_example_list_is_a_good_one(proxy, workdir, capsys):
    status = main(["fetch", str(EXAMPLES / "urls.txt"), "--proxy", proxy])

    assert status == 0
    assert "ok 4 · skipped 1" in capsys.readouterr().err
    assert Path("downloads/example.org_80/index~.html").read_text() == (
        "http://example.org/"
    )


def test_no_figure_is_missing_in_the_readme():
    assert "@@" not in (EXAMPLES.parent / "README.md").read_text("utf-8")

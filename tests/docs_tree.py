"""Real input: Debian's nginx on loopback serving a tree of files, and a list made from it.

As a script it fetches a whole tree with one strategy, compares every file with its
source, and prints what it cost:

    python tests/docs_tree.py --strategy threads --root /usr/share --limit 6000
"""

import argparse
import contextlib
import filecmp
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

DOCUMENTATION = "/usr/share/doc"
_START_SECONDS = 30

_CONFIGURATION = """\
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 2048; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000;
    disable_symlinks off;
    default_type application/octet-stream;
    client_body_temp_path {folder}/client;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{ listen 127.0.0.1:{port} backlog=1024; root {root}; }}
}}
"""


def find_nginx():
    """The nginx binary, None if there is none; /usr/sbin is not in everyone's PATH."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    return shutil.which("nginx", path=path)


class Nginx:
    """nginx in the foreground of a child process, serving `root`, from `with` to its end."""

    def __init__(self, root):
        self._root = os.path.abspath(root)
        self._child = None
        self.port = _free_port()
        self.origin = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="nginx-"))
            self._child = subprocess.Popen(self._argv(folder))
            stack.callback(self._stop)
            self._wait(os.path.join(folder, "error.log"))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self._stack.close()

    def _argv(self, folder):
        # Workers of a root's nginx change to a user that may not read a private folder.
        text = _CONFIGURATION.format(
            user="user root;" if os.geteuid() == 0 else "",
            folder=folder,
            port=self.port,
            root=json.dumps(self._root),
        )
        configuration = Path(folder, "nginx.conf")
        configuration.write_text(text)
        log = os.path.join(folder, "error.log")
        where = ["-p", folder, "-c", str(configuration), "-e", log]
        return [find_nginx(), *where, "-g", "daemon off;"]

    def _wait(self, log):
        """Until it accepts; there is no event to wait for, so it is asked again."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._child.poll() is None:
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            time.sleep(0.01)
        said = Path(log).read_text() if os.path.exists(log) else "no log"
        raise RuntimeError(f"nginx did not start: {said}")

    def _stop(self):
        self._child.send_signal(signal.SIGTERM)
        self._child.wait(30)


def _free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def files(root):
    """Every readable regular file below a folder, links to files too, in a fixed order."""
    for folder, subfolders, names in os.walk(root):
        subfolders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            if os.path.isfile(path) and os.access(path, os.R_OK):
                yield path


def url_of(path, root, origin):
    """The URL of a file; its name's bytes are percent-encoded, whatever they are."""
    return f"{origin}/{quote(os.fsencode(os.path.relpath(path, root)))}"


def sources(root, origin, limit=None):
    """URL -> source file, for every file below `root` or `limit` of them evenly spread."""
    paths = list(files(root))
    if limit is not None and limit < len(paths):
        paths = [paths[i * len(paths) // limit] for i in range(limit)]
    return {url_of(path, root, origin): path for path in paths}


def bad_lines():
    """Twenty lines that ask for something which no HTTP client can fetch."""
    return [
        "ftp://127.0.0.1/file",
        "file:///etc/hostname",
        "mailto:someone@example.org",
        "javascript:alert(1)",
        "data:text/plain,hello",
        "gopher://127.0.0.1/",
        "//127.0.0.1/without-scheme",
        "/only/a/path",
        "only words",
        "www.example.org/without-scheme",
        "http://",
        "http:///without-host",
        "https://:443/only-a-port",
        "http://127.0.0.1:99999/port-too-large",
        "http://127.0.0.1:port/port-is-no-number",
        "http://127.0.0.1:-1/port-below-zero",
        "http://127.0.0.1 .example/space-in-host",
        "http://127..0.0.1.example/empty-label",
        "http://[::1/bracket-left-open",
        "http://127.0.0.1\x01.example/control-character-in-host",
    ]


def nasty_names():
    """Names that real trees have and that URLs, lists and file systems trip over."""
    return [
        "with space.txt",
        " leading and trailing ",
        "Grüße.txt",
        "Gru\u0308ße-decomposed.txt",
        "日本語.html",
        "hash#tag.txt",
        "what?.txt",
        "100%.txt",
        "%41-is-no-A.txt",
        "a%2Fb.txt",
        "plus+plus.txt",
        "~tilde",
        ".hidden",
        "..two-dots",
        "trailing-dot.",
        "no-extension",
        "no-extension.d/inside",
        "half.part",
        "semi;colon=1&and.txt",
        "quote'and\"double.txt",
        "back\\slash.txt",
        "colon:star*pipe|.txt",
        "[brackets]{braces}.txt",
        "con.txt",
        "Case.txt",
        "case.txt",
        "tab\there.txt",
        "line\nbreak.txt",
        "l" * 251 + ".txt",
        "ü" * 125 + ".txt",
    ]


def make_tree(root, count):
    """Fill a folder with `count` links to real documentation, and with nasty names."""
    every = list(files(DOCUMENTATION))
    for i in range(min(count, len(every))):
        source = every[i * len(every) // min(count, len(every))]
        link = os.path.join(root, "doc", os.path.relpath(source, DOCUMENTATION))
        os.makedirs(os.path.dirname(link), exist_ok=True)
        os.symlink(source, link)
    for number, name in enumerate(nasty_names()):
        path = Path(root, "nasty", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"{number} {name}\n".encode() * (number + 1))
    Path(root, "nasty", "empty").touch()


def write_list(path, lines):
    """Write a list file, a line each."""
    Path(path).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def differences(report, wanted, output):
    """URLs whose file is missing in the report or differs from its source, in order."""
    paths = {row["url"]: row["path"] for row in report["results"]}
    return [
        url
        for url, source in wanted.items()
        if not paths.get(url)
        or not filecmp.cmp(os.path.join(output, paths[url]), source, shallow=False)
    ]


def fetch_all(folder, strategy, wanted, extra_lines=()):
    """Run the command over the URLs and the extra lines: (exit status, report, output)."""
    from downloader.cli import main

    listing = os.path.join(folder, "urls.txt")
    output = os.path.join(folder, "downloads")
    target = os.path.join(folder, "report.json")
    write_list(listing, [*wanted, *extra_lines])
    options = ["--strategy", strategy, "--output", output, "--report", target]
    status = main(["fetch", listing, *options, "--no-progress"])
    with open(target, encoding="utf-8") as file:
        return status, json.load(file), output


def main(argv=None):
    """Fetch a tree with one strategy and print its figures; 0 if all bytes are equal."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--strategy", default="asyncio")
    parser.add_argument("--root", default=DOCUMENTATION)
    parser.add_argument("--limit", type=int, metavar="N")
    parser.add_argument("--bad-lines", action="store_true", help="add the 20 bad lines")
    parser.add_argument("--keep", metavar="DIR", help="use this folder and leave it")
    arguments = parser.parse_args(argv)
    with contextlib.ExitStack() as stack:
        folder = arguments.keep or stack.enter_context(tempfile.TemporaryDirectory())
        os.makedirs(folder, exist_ok=True)
        nginx = stack.enter_context(Nginx(arguments.root))
        wanted = sources(arguments.root, nginx.origin, arguments.limit)
        bad = bad_lines() if arguments.bad_lines else []
        status, report, output = fetch_all(folder, arguments.strategy, wanted, bad)
        different = differences(report, wanted, output)
    _print_figures(arguments.strategy, status, report, len(wanted), different)
    return 1 if different or status != bool(bad) else 0


def _print_figures(strategy, status, report, count, different):
    summary = report["summary"]
    invalid = sum(row["error"] == "invalid_url" for row in report["results"])
    print(f"{strategy}: exit {status}, {count - len(different)} of {count} files equal")
    print(f"  {invalid} bad lines reported, {len(different)} differ {different[:3]}")
    for key in ("files_per_second", "seconds", "cpu_seconds", "peak_memory_bytes"):
        print(f"  {key}: {summary[key]}")


if __name__ == "__main__":
    sys.exit(main())

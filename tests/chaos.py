"""Kill runs and workers at random, again and again, and count what was lost.

    python tests/chaos.py --kills 300 --seed 1 --strategy all

Each round fetches a list from a server of its own while something is killed: the parent
(SIGKILL), one of its workers (SIGKILL), or the run is stopped (SIGINT, SIGTERM, both
twice). The same command follows, is perhaps killed again, and at last runs undisturbed.

After every kill: each file under a final name is whole. At the end: every URL has one
outcome, and its file; nothing is left over; the server's own counts say what was fetched
twice. Exit status 1 if anything was lost. A round that fails prints how to repeat it.
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer

from downloader.policy.naming import name
from downloader.policy.urls import parse

STRATEGIES = (
    "serial",
    "threads",
    "processes",
    "subprocess",
    "asyncio",
    "curl",
    "multicore",
    "auto",
)
HAS_WORKERS = ("processes", "subprocess", "multicore")
KILLS = ("parent", "parent", "parent", "worker", "worker", "stop", "stop-twice")
CHILD_SECONDS = 20.0


def content(path):
    """What the server has under a path: `/kind/number/size`."""
    size = int(path.rsplit("/", 1)[1])
    block = hashlib.sha256(path.encode()).digest()
    return (block * (size // len(block) + 1))[:size]


class Counts:
    """What the server has sent, by path; safe for its threads."""

    def __init__(self):
        self._lock = threading.Lock()
        self.requests = Counter()
        self.whole = Counter()
        self.bytes = Counter()
        self.cut = set()

    def asked(self, path):
        with self._lock:
            self.requests[path] += 1

    def add(self, path, sent_bytes, *, is_whole):
        with self._lock:
            self.bytes[path] += sent_bytes
            self.whole[path] += is_whole

    def cuts(self, path):
        """True the first time for a path that is cut once."""
        with self._lock:
            is_first = path not in self.cut
            self.cut.add(path)
            return is_first


class Handler(StreamRequestHandler):
    """Plain HTTP/1.1: whole answers and ranges, some slow, some cut, some without length."""

    timeout = 30
    disable_nagle_algorithm = True

    def handle(self):
        with contextlib.suppress(OSError, ValueError):
            while self._answer():
                pass

    def _answer(self):
        line = self.rfile.readline(65537)
        if not line.strip():
            return False
        path = line.split()[1].decode()
        fields = {}
        while (field_line := self.rfile.readline(65537).strip()) != b"":
            key, _, value = field_line.partition(b":")
            fields[key.lower()] = value.strip().decode()
        self.server.counts.asked(path)
        return self._send(path, fields)

    def _send(self, path, fields):
        kind = path.split("/")[1]
        data = content(path)
        etag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        status, head, begin = "200 OK", [], 0
        end = len(data)
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", fields.get(b"range", ""))
        if asked and fields.get(b"if-range") == etag and int(asked[1]) < len(data):
            begin, status = int(asked[1]), "206 Partial Content"
            end = int(asked[2]) + 1 if asked[2] else end
            head.append(f"Content-Range: bytes {begin}-{end - 1}/{len(data)}")
        if kind != "plain":
            head.append(f"ETag: {etag}")
        body = data[begin:end]
        if kind == "chunked":
            head.append("Transfer-Encoding: chunked")
        else:
            head.append(f"Content-Length: {len(body)}")
        self.wfile.write("\r\n".join([f"HTTP/1.1 {status}", *head, "", ""]).encode())
        is_cut = kind == "cut" and self.server.counts.cuts(path)
        sent = 0
        try:
            for piece in self._pieces(kind, body[: len(body) // 2] if is_cut else body):
                self.wfile.write(
                    b"%x\r\n%s\r\n" % (len(piece), piece)
                    if kind == "chunked"
                    else piece
                )
                sent += len(piece)
            if kind == "chunked":
                self.wfile.write(b"0\r\n\r\n")
        finally:
            is_whole = not is_cut and sent == len(data)
            self.server.counts.add(path, sent, is_whole=is_whole)
        return not is_cut

    @staticmethod
    def _pieces(kind, body):
        if kind != "slow":
            if body:
                yield body
            return
        size = max(1, len(body) // 8)
        for begin in range(0, len(body), size):
            yield body[begin : begin + size]
            time.sleep(0.02)


class Server(ThreadingTCPServer):
    """The site, in threads of this process, which is never killed."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.counts = Counts()
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, request, client_address):
        """A client that was killed is no news here."""


@dataclass
class Figures:
    """What came of all rounds of one strategy."""

    rounds: int = 0
    kills: Counter = field(default_factory=Counter)
    lost: int = 0
    wrong: int = 0
    left_over: int = 0
    twice: int = 0
    finished_again: int = 0
    files: int = 0
    longest_child_seconds: float = 0.0
    faults: list = field(default_factory=list)


class Round:
    """One list, fetched by one strategy, with so many kills on the way."""

    def __init__(self, strategy, seed, kills, files, segments=1):
        self.strategy, self.seed, self.segments = strategy, seed, segments
        self.chance = random.Random(f"{strategy}/{seed}")
        self.kills = kills
        self.server = Server()
        self.folder = Path(tempfile.mkdtemp(prefix="downloader-chaos-"))
        self.out = self.folder / "out"
        self.faults = []
        self.killed = Counter()
        self.finished = {}
        self.longest_child_seconds = 0.0
        kinds = ("small", "small", "small", "slow", "chunked", "plain", "cut", "big")
        base = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.paths = [self._path(self.chance.choice(kinds), n) for n in range(files)]
        self.urls = {path: base + path for path in self.paths}
        self.names = {
            path: name(parse(url), "tree", False) for path, url in self.urls.items()
        }
        (self.folder / "list").write_text("\n".join(self.urls.values()) + "\n")

    def _path(self, kind, number):
        largest = {"small": 20_000, "big": 2_000_000}.get(kind, 200_000)
        return f"/{kind}/{number}/{self.chance.randint(0, largest)}"

    def run(self):
        try:
            for _ in range(self.kills):
                self._disturbed()
                self._check_files("after a kill")
            self._last()
        finally:
            self.server.shutdown()
            self.server.server_close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self):
        command = [
            *(sys.executable, "-m", "downloader", "fetch", "list", "-o", "out", "-q"),
            *("--strategy", self.strategy, "--report", "report.json"),
            *("--per-host", "none", "--retries", "5", "--timeout", "20"),
            *("--segments", str(self.segments), "--min-segment-size", "64K"),
        ]
        path = os.pathsep.join(p for p in sys.path if p)
        environ = os.environ | {
            "PYTHONPATH": path,
            "DOWNLOADER_BACKOFF_SECONDS": "0.05",
        }
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=environ,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def _disturbed(self):
        kind = self.chance.choice(KILLS)
        if kind == "worker" and self.strategy not in HAS_WORKERS:
            kind = "parent"
        process = self._start()
        self._wait_for_the_moment(process)
        children = descendants(process.pid)
        self.killed[kind] += 1
        match kind:
            case "parent":
                kill(process.pid, signal.SIGKILL)
            case "worker":
                workers = [child for child in children if is_worker(child)]
                for child in self.chance.sample(workers, min(len(workers), 2)):
                    kill(child, signal.SIGKILL)
            case "stop":
                kill(process.pid, self.chance.choice([signal.SIGINT, signal.SIGTERM]))
            case "stop-twice":
                kill(process.pid, signal.SIGINT)
                time.sleep(self.chance.random() * 0.3)
                kill(process.pid, signal.SIGTERM)
        if kind == "worker":
            self._note_finished()
        self._await_end(process, kind, children)
        self._note_finished()

    def _note_finished(self):
        """What stands under a final name now, and how often it was asked for so far."""
        for path, _ in list(self._final_names()):
            self.finished.setdefault(path, self.server.counts.requests[path])

    def finished_again(self):
        """Files that were in place when something was killed, and asked for after that."""
        requests = self.server.counts.requests
        return sum(requests[path] > before for path, before in self.finished.items())

    def _wait_for_the_moment(self, process):
        """Until a random moment, or one that is known to be a bad one."""
        moment = self.chance.choice(
            ["any", "any", "first-file", "manifest", "early", "late"]
        )
        until = time.monotonic() + {"early": 0.4, "late": 3.0}.get(moment, 1.5) * (
            self.chance.random() if moment in {"any", "early", "late"} else 3
        )
        while time.monotonic() < until and process.poll() is None:
            if moment == "first-file" and any(self._final_names()):
                return
            if (
                moment == "manifest"
                and (self.out / ".downloader/manifest.sqlite").exists()
            ):
                return
            time.sleep(0.002)

    def _await_end(self, process, kind, children):
        try:
            _, said = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self._fault(f"a run did not end after {kind}")
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return
        # Of a killed parent's children Python itself may say how they found that out.
        said = "" if kind == "parent" and "spawn_main" in said else said
        # Nor can a program do anything about a signal before its first line.
        is_ours = "downloader" in said.partition("Traceback")[2]
        if is_ours or "internal error" in said:
            self._fault(f"a traceback after {kind}: {said}")
        began = time.monotonic()
        while alive := [child for child in children if is_alive(child)]:
            if time.monotonic() - began > CHILD_SECONDS:
                self._fault(f"children outlive their parent after {kind}: {alive}")
                for child in alive:
                    kill(child, signal.SIGKILL)
                break
            time.sleep(0.01)
        waited = time.monotonic() - began if kind == "parent" else 0.0
        self.longest_child_seconds = max(self.longest_child_seconds, waited)

    def _final_names(self):
        for path, file in self.names.items():
            if (self.out / file).exists():
                yield path, self.out / file

    def _check_files(self, when):
        for path, file in self._final_names():
            if file.read_bytes() != content(path):
                self._fault(f"wrong bytes under a final name {when}: {path}")

    def _last(self):
        process = self._start()
        self._await_end(process, "nothing", descendants(process.pid))
        self._check_files("at the end")
        try:
            report = json.loads((self.folder / "report.json").read_text())
        except (OSError, ValueError) as error:
            self._fault(f"no report at the end: {error}")
            return
        rows = Counter(row["url"] for row in report["results"])
        for row in report["results"]:
            if row["status"] not in {"ok", "skipped"}:
                self._fault(
                    f"{row['url']}: {row['status']} {row['error']} {row['detail']}"
                )
        for path, url in self.urls.items():
            if rows[url] != 1 or not (self.out / self.names[path]).exists():
                self._fault(f"lost: {path}")
        self._check_nothing_left()

    def _check_nothing_left(self):
        record = self.out / ".downloader"
        wanted = {self.out / file for file in self.names.values()}
        for file in self.out.rglob("*"):
            if file.is_file() and record not in file.parents and file not in wanted:
                self._fault(f"left over: {file.relative_to(self.out)}")
        if list((record / "parts").glob("*")):
            self._fault("left over: records of parts")
        with contextlib.closing(
            sqlite3.connect(record / "manifest.sqlite")
        ) as manifest:
            (verdict,) = manifest.execute("PRAGMA integrity_check").fetchone()
            (intents,) = manifest.execute("SELECT count(*) FROM intents").fetchone()
        if (verdict, intents) != ("ok", 0):
            self._fault(f"the manifest: {verdict}, {intents} intents left")

    def twice(self):
        """Whole deliveries of the server beyond the first of each file."""
        return sum(max(0, count - 1) for count in self.server.counts.whole.values())

    def _fault(self, text):
        self.faults.append(f"{self.strategy} seed {self.seed}: {text}")


def descendants(pid):
    """The processes below one, by number."""
    parents = defaultdict(list)
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            text = entry.read_text()
            parents[int(text.rpartition(")")[2].split()[1])].append(
                int(entry.parent.name)
            )
    found, pending = [], [pid]
    while pending:
        below = parents[pending.pop()]
        found += below
        pending += below
    return found


def is_worker(pid):
    """True for a worker process: one of ours by its command, or a copy of its parent."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        stat = Path(f"/proc/{pid}/stat").read_text()
        parent = stat.rpartition(")")[2].split()[1]
        parents = Path(f"/proc/{parent}/cmdline").read_bytes()
    except OSError:
        return False
    marks = (b"multiprocessing.spawn", b"strategies.child", b"strategies.core")
    return command == parents or any(mark in command for mark in marks)


def is_alive(pid):
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


def kill(pid, number):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def run_rounds(strategy, seed, kills, *, files=120, most_a_round=4, segments=1):
    """So many kills of one strategy, in rounds of a few; the figures of all."""
    figures = Figures()
    chance = random.Random(seed)
    while figures.kills.total() < kills:
        wanted = min(kills - figures.kills.total(), chance.randint(1, most_a_round))
        one = Round(strategy, chance.randrange(10**9), wanted, files, segments)
        one.run()
        figures.rounds += 1
        figures.kills += one.killed
        figures.files += files
        figures.twice += one.twice()
        figures.finished_again += one.finished_again()
        figures.faults += one.faults
        figures.lost += sum(
            "lost:" in fault or "exists" in fault for fault in one.faults
        )
        figures.wrong += sum("wrong bytes" in fault for fault in one.faults)
        figures.left_over += sum("left over" in fault for fault in one.faults)
        figures.longest_child_seconds = max(
            figures.longest_child_seconds, one.longest_child_seconds
        )
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--files", type=int, default=120)
    parser.add_argument("--segments", type=int, default=1)
    parser.add_argument("--strategy", default="all", choices=("all", *STRATEGIES))
    parser.add_argument("--round", type=int, help="repeat the round with this seed")
    given = parser.parse_args()
    chosen = STRATEGIES if given.strategy == "all" else (given.strategy,)
    print(
        "strategy    rounds  kills (parent, worker, stop, twice)  files  lost  wrong  "
        "left over  finished and fetched again  cut off and sent again  longest child s"
    )
    is_bad = False
    for strategy in chosen:
        found = run_rounds(
            strategy,
            given.seed,
            given.kills // len(chosen),
            files=given.files,
            segments=given.segments,
        )
        kinds = [
            found.kills[kind] for kind in ("parent", "worker", "stop", "stop-twice")
        ]
        print(
            f"{strategy:11} {found.rounds:6}  {found.kills.total():5} {kinds!s:29} "
            f"{found.files:6} {found.lost:5} {found.wrong:6} {found.left_over:10} "
            f"{found.finished_again:26}  {found.twice - found.finished_again:22}  {found.longest_child_seconds:10.2f}",
            flush=True,
        )
        for fault in found.faults:
            print("  ", fault)
        is_bad = is_bad or bool(found.faults) or found.finished_again > 0
    sys.exit(is_bad)


if __name__ == "__main__":
    main()

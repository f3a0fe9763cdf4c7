"""Child programs as copies of their parent, and as new processes."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from downloader.strategies import programs

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="copies are made on Linux only"
)

# A process of its own: this one has threads, so that it could not be copied soundly.
COPY = """
import os, signal, subprocess, sys, time
from downloader.strategies import programs

kept = os.open("/dev/null", os.O_RDONLY)
signal.signal(signal.SIGTERM, lambda *_: None)

def serve():
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    line = os.read(0, 100)
    while line == b"wait":
        signal.pause()
    try:
        os.fstat(kept)
        said = b"it has what is not its own"
    except OSError:
        said = line.upper()
    os.write(1, said)

if not programs.can_copy():
    sys.exit("it has threads")
program = programs.copy(serve)
"""


def run(rest):
    done = subprocess.run(
        [sys.executable, "-c", COPY + rest],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_copy_serves_its_pipes_and_keeps_nothing_else_of_its_parents():
    said = run("""
program.stdin.write(b"hello"); program.stdin.flush()
print(program.stdout.read().decode(), program.wait(30))
""")

    assert said == "HELLO 1"


def test_a_copy_ends_by_a_signal_that_its_parent_handles_and_by_force():
    said = run("""
try:
    program.wait(0.05)
except subprocess.TimeoutExpired:
    print("alive")
program.stdin.write(b"wait"); program.stdin.flush()
program.stdin.close()
os.kill(program.pid, signal.SIGTERM)
print(program.wait(30), program.wait())
another = programs.copy(serve)
another.kill()
print(another.wait(30))
another.kill()
""")

    assert said.split("\n") == ["alive", "-15 -15", "-9"]


def test_a_copy_that_is_ended_as_it_begins_does_end():
    said = run("""
before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
program.kill()
fork = os.fork
told, tell = os.pipe()
def fork_and_end():
    pid = fork()
    # Asked to end while it still has its parent's handler.
    if pid:
        os.kill(pid, signal.SIGTERM)
        os.write(tell, b"x")
    else:
        os.read(told, 1)
    return pid
os.fork = fork_and_end
another = programs.copy(serve)
another.stdin.close()
print(another.wait(30), signal.pthread_sigmask(signal.SIG_BLOCK, []) == before)
""")

    assert said == "-15 True"


def test_a_process_with_threads_is_not_copied():
    stays = threading.Event()
    thread = threading.Thread(target=stays.wait)
    thread.start()
    try:
        assert not programs.can_copy()
    finally:
        stays.set()
        thread.join()


def test_the_command_copies_itself_while_it_has_one_thread(odd, tmp_path):
    url = odd.url("steady/512/last")
    command = [sys.executable, "-m", "downloader", "fetch", url, "-s", "multicore"]
    with subprocess.Popen(
        [*command, "-q", "-o", str(tmp_path / "out")], stderr=subprocess.PIPE
    ) as run:
        until = time.monotonic() + 60
        while not odd.hits.total() and time.monotonic() < until:
            time.sleep(0.01)
        own = Path(f"/proc/{run.pid}/cmdline").read_bytes()
        children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children]
        odd.release()
        said = run.communicate(timeout=60)[1]

    assert (run.returncode, said) == (0, b"")
    assert lines
    assert set(lines) == {own}


def test_a_copy_dies_with_its_parent():
    said = subprocess.run(
        [
            sys.executable,
            "-c",
            COPY.replace("os.read(0, 100)", "os.read(0, 100) or os._exit(3)")
            + "print(program.pid, flush=True); os.kill(os.getpid(), 9)",
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    pid = int(said.stdout)

    assert said.returncode == -signal.SIGKILL
    for _ in range(600):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        threading.Event().wait(0.05)
    pytest.fail("it outlived its parent")

"""What the tests of strategies share: a plan, a run in another thread, worker processes."""

import contextlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from downloader.models import AttemptResult, Proxies, Proxy
from downloader.policy.headers import HeaderRules
from downloader.progress import Silent
from downloader.session import Session
from downloader.settings import Settings
from downloader.sources import ReadyFeed, as_requests
from downloader.strategies.contract import NAMES, load
from downloader.transfer.plan import Plan

# What only worker processes have in their command line; the resource tracker has not.
_WORKER_MARKS = ("multiprocessing.spawn", "strategies.child", "strategies.core")

# Those that have worker processes from the first attempt on; `auto` may have some later.
WITH_PROCESSES = [
    name for name in NAMES if load(name).has_worker_processes and name != "auto"
]

# One strategy for each HTTP library, where that alone decides: `serial`, `processes` and
# `subprocess` attempt as `threads` does, `multicore` and `auto` as `curl` does.
ONE_PER_DRIVER = ("threads", "asyncio", "curl")


def make_plan(root, **changes):
    """A plan for workers that write below `root`."""
    rules = HeaderRules(common=(("User-Agent", "downloader/test"),))
    return Plan(root=str(root), headers=rules, **changes)


def named_proxies(**by_scheme):
    """Proxies by scheme, as if the command line had named them."""
    return Proxies({s: Proxy(url, "--proxy") for s, url in by_scheme.items()})


@contextlib.contextmanager
def opened(name, root, workers=2, **changes):
    """A strategy by its name, closed at the end."""
    strategy = load(name)(make_plan(root, **changes), workers)
    try:
        yield strategy
    finally:
        strategy.close(5.0)


def facts_until_results(strategy, count, seconds=60):
    """All facts that a strategy brings until so many attempts have ended."""
    facts = []
    until = time.monotonic() + seconds
    while sum(isinstance(fact, AttemptResult) for fact in facts) < count:
        assert time.monotonic() < until, facts
        facts += strategy.wait(0.1)
    return facts


def side_by_side(check, cases=NAMES):
    """Call `check(case)` for every strategy, or other case, at once: one wait for all."""
    with ThreadPoolExecutor(len(cases)) as pool:
        ended = {case: pool.submit(check, case) for case in cases}
    failures = []
    for case, one in ended.items():
        if failure := one.exception():
            failure.add_note(f"case: {case}")
            failures.append(failure)
    if failures:
        raise ExceptionGroup("some cases failed", failures)


@contextlib.contextmanager
def running(urls, progress=None, **settings):
    """A session in a thread of its own, and the future of its report."""
    feed = ReadyFeed(as_requests(urls))
    session = Session(Settings.make(**settings), feed, progress or Silent())
    with ThreadPoolExecutor(1, thread_name_prefix="test-session") as pool:
        report = pool.submit(session.run)
        try:
            yield session, report
        finally:
            if not report.done():
                session.stop()


def worker_pids(parent=None):
    """The worker processes that this process, or another, has at the moment."""
    pids = []
    parent = parent or os.getpid()
    for task in Path(f"/proc/{parent}/task").iterdir():
        with contextlib.suppress(OSError):
            pids += map(int, (task / "children").read_text().split())
    return [pid for pid in pids if _is_worker(_command(pid), _command(parent))]


def is_alive(pid):
    """True if a process is there and no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def wait_until(condition, seconds=60):
    """Look again and again; it is an error if the time is over."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"not so after {seconds} s"
        time.sleep(0.005)


def files_below(root):
    """The files of an output folder by relative path, without the run's own records."""
    root = Path(root)
    found = (path for path in root.rglob("*") if path.is_file())
    by_name = {path.relative_to(root).as_posix(): path for path in found}
    return {n: p for n, p in by_name.items() if not n.startswith(".downloader/")}


def _is_worker(command, parents):
    """True for one of ours by its command, or for a copy of its parent."""
    return command == parents or any(mark in command for mark in _WORKER_MARKS)


def _command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""

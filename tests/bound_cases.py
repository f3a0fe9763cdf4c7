"""Runs that are made to be bound by one thing each, and what they must be called.

`python tests/bound_cases.py ROUNDS STRATEGY,… SCALE` runs all of them and prints a matrix,
`python tests/bound_cases.py STRATEGY CASE` runs one of them and prints what it is called.
"""

import contextlib
import json
import os
import sys
import tempfile
import time
from collections import Counter
from typing import NamedTuple

from paced_server import PacedServer
from slow_disk import is_to_be_had, slow_disk

from downloader import fetch

# Else a machine that stands still for a second or two is what bounds them.
LONGER = {"rate", "unpacking"}
# How many waves of each: neither start-up nor chance is what is to be measured.
WAVES = 10
WORKERS = {"serial": 1, "processes": 4, "subprocess": 4}
DISK = "disk"


class Case(NamedTuple):
    """Work, the settings it is done with, and the word for what bounds it."""

    name: str
    word: str
    path: str
    files: int
    settings: dict


def cases(strategy, scale=1):
    """Those that can be made for a strategy; `scale` makes them longer."""
    workers = WORKERS.get(strategy, 8)
    free = {"workers": workers, "per_host": None, "backoff_seconds": 0.01}
    waves = WAVES * scale * workers
    made = [
        Case("delays", "IO-bound", "wait/0.2", waves, free),
        Case("unpacking", "CPU-bound", "gzip", 70 * scale, free | {"compressed": True}),
        Case("refusals", "server-bound", "refuse/0", 20 * scale, free),
        Case("pause", "politeness-bound", "once/5", 60, free),
        Case(
            "rate",
            "politeness-bound",
            "size/10000",
            50 * scale,
            free | {"limit_rate": 200_000},
        ),
        Case(DISK, "disk-bound", "size/200", 24 * scale, free | {"durable": True}),
    ]
    if workers == 1:
        return made
    one, half = free | {"per_host": 1}, free | {"per_host": workers // 2}
    return [
        *made,
        Case("queue", "server-bound", "queue/0.04", 80 * scale, free | {"workers": 16}),
        Case("per-host", "politeness-bound", "wait/0.1", 25 * scale, one),
        Case("half-idle", "mixed", "wait/0.2", waves // 2, half),
    ]


def tested(strategy):
    """Those that the tests run; some are longer, where a start would be most of them."""
    if strategy in {"multicore", "processes"}:
        return cases(strategy, scale=2)[:1]
    each = zip(cases(strategy), cases(strategy, scale=3), strict=True)
    return [longer if case.name in LONGER else case for case, longer in each]


def bound(case, strategy, output):
    """What a run of that case is called."""
    with PacedServer() as server:
        urls = server.urls(case.path, case.files)
        report = fetch(urls, output=output, strategy=strategy, **case.settings)
    with report:
        assert report.ok, report.text()
        return report.summary.bound


@contextlib.contextmanager
def slow_fsync(seconds=0.2):
    """What syncs waits: a fault, for where no slow disk is to be had."""
    sync = os.fsync

    def slowly(descriptor):
        time.sleep(seconds)
        sync(descriptor)

    os.fsync = slowly
    try:
        yield
    finally:
        os.fsync = sync


@contextlib.contextmanager
def slowed(case, *, is_real):
    """Have the disk be slow for a case that is to wait for it; where it may write."""
    with contextlib.ExitStack() as stack:
        if case.name == DISK and is_real:
            yield os.path.join(stack.enter_context(slow_disk()), "out")
            return
        if case.name == DISK:
            stack.enter_context(slow_fsync())
        yield stack.enter_context(tempfile.TemporaryDirectory())


def main(rounds, strategies, scale):
    """Run everything, in rounds, and print how often each was called what."""
    found = {}
    for number in range(rounds):
        for strategy in strategies:
            for case in cases(strategy, scale):
                with slowed(case, is_real=is_to_be_had()) as output:
                    bound_by = bound(case, strategy, output)
                word = bound_by.word if bound_by else "nothing"
                row = (strategy, case.name, case.word)
                found.setdefault(row, Counter())[word] += 1
                if word != case.word:
                    print("WRONG", strategy, case.name, bound_by, flush=True)
        print(f"round {number + 1}: load {os.getloadavg()[0]:.1f}", flush=True)
    for (strategy, name, wanted), words in found.items():
        said = ", ".join(f"{word} {count}" for word, count in words.most_common())
        print(f"{strategy:10} {name:10} {wanted:17} {said}")


def run_one(strategy, name):
    """Run a case as the tests do, and print what it is called."""
    (case,) = (case for case in tested(strategy) if case.name == name)
    with slowed(case, is_real=False) as output:
        found = bound(case, strategy, output)
    print(json.dumps({"word": found.word, "text": found.text} if found else None))


if __name__ == "__main__" and len(sys.argv) == 3:
    run_one(*sys.argv[1:])
elif __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2].split(","), int(sys.argv[3]))

"""A child program of the bare mechanism: pieces come in on stdin, what they took goes out."""

from __future__ import annotations

import sys

import msgspec

from downloader.bench.works import Work, perform


def main() -> None:
    """Serve until standard input ends."""
    orders, facts = sys.stdin.buffer, sys.stdout.buffer
    work = msgspec.json.decode(orders.readline(), type=Work)
    facts.write(b"ready\n")
    facts.flush()
    for line in orders:
        done = perform(work, line.decode().rstrip("\n"))
        facts.write(msgspec.json.encode(done) + b"\n")
        facts.flush()


if __name__ == "__main__":
    main()

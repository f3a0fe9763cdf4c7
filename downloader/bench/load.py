"""`python -m downloader.bench.load`: how much the server gives at most, by raw sockets.

Kept connections, one request on each at a time, bodies thrown away as they come: next to
no work for the client, so that what limits is the server. It runs in a process of its own.
"""

from __future__ import annotations

import selectors
import socket
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from downloader.bench.child import serve

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LoadJob", "LoadReport", "generate", "main"]

_MOST_BYTES = 1 << 20


class LoadJob(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask for, on how many connections at once, and for how long."""

    url: str
    connections: int
    seconds: float


class LoadReport(msgspec.Struct, frozen=True, kw_only=True):
    """What came: whole answers and bytes of bodies, by the second."""

    files_per_second: float
    mib_per_second: float


class _Connection:
    """One kept connection that asks again as soon as its answer is whole."""

    def __init__(self, host: str, port: int, request: bytes) -> None:
        self.socket = socket.create_connection((host, port), 10.0)
        self._request = request
        self._head = b""
        self._left = -1
        self.answers = 0
        self.body_bytes = 0

    def ask(self) -> None:
        """Send the request."""
        self._head, self._left = b"", -1
        self.socket.sendall(self._request)

    def take(self, buffer: memoryview) -> bool:
        """Take in what has come; False if the server closed."""
        size = self.socket.recv_into(buffer)
        if not size:
            return False
        if self._left < 0:
            size = self._take_head(bytes(buffer[:size]))
        if self._left >= 0:
            self._left -= size
            self.body_bytes += size
            if self._left <= 0:
                self.answers += 1
                self.ask()
        return True

    def _take_head(self, data: bytes) -> int:
        """Look for the head's end; returns how many bytes of the body came with it."""
        head, end, body = (self._head + data).partition(b"\r\n\r\n")
        if not end:
            self._head += data
            return 0
        lengths = [
            line.partition(b":")[2]
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        ]
        self._left = int(lengths[0])
        return len(body)


def generate(job: LoadJob) -> LoadReport:
    """Load the server for a while; the first fifth of the time only warms it up."""
    parts = urlsplit(job.url)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    request = f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()
    host, port = parts.hostname or "", parts.port or 80
    connections = [_Connection(host, port, request) for _ in range(job.connections)]
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            connection.ask()
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        _pump(selector, job.seconds / 5)
        files, size = _totals(connections)
        began = time.perf_counter()
        _pump(selector, job.seconds * 4 / 5)
        seconds = time.perf_counter() - began
    files_after, size_after = _totals(connections)
    for connection in connections:
        connection.socket.close()
    return LoadReport(
        files_per_second=(files_after - files) / seconds,
        mib_per_second=(size_after - size) / seconds / (1 << 20),
    )


def _totals(connections: list[_Connection]) -> tuple[int, int]:
    return (
        sum(connection.answers for connection in connections),
        sum(connection.body_bytes for connection in connections),
    )


def _pump(selector: selectors.BaseSelector, seconds: float) -> None:
    buffer = memoryview(bytearray(_MOST_BYTES))
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        for key, _ in selector.select(0.1):
            connection: _Connection = key.data
            if not connection.take(buffer):
                selector.unregister(key.fileobj)


def main() -> None:
    """Serve the parent that started this process."""
    serve(_prepare)


def _prepare(line: bytes) -> Callable[[], bytes]:
    job = msgspec.json.decode(line, type=LoadJob)
    return lambda: msgspec.json.encode(generate(job))


if __name__ == "__main__":
    main()

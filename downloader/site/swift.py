"""`python -m downloader.site.swift`: the same files by the fastest server at hand.

For measuring clients: GET alone, no ranges and no conditions, a head parsed no further
than its target. On a bare asyncio protocol, since every layer above it would take time
from the strategies that share its cores. Ends with its standard input.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, unquote

from downloader.site.content import Catalogue, content_type, index_page

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["main"]

_HEAD_END = b"\r\n\r\n"
_MOST_HEAD_BYTES = 64 * 1024
# Up to here a body goes out with its head in one write.
_INLINE_BYTES = 64 * 1024


class _Connection(asyncio.Protocol):
    """One connection: answers requests in turn, the next after the last one's end."""

    def __init__(self, catalogue: Catalogue, latency_seconds: float) -> None:
        self._catalogue = catalogue
        self._latency_seconds = latency_seconds
        self._received = b""
        self._is_busy = False
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._sending: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._sending is not None:
            self._sending.cancel()

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._is_busy:
            self._take()

    def _take(self) -> None:
        """Begin with the next request, if it is all there."""
        head, end, rest = self._received.partition(_HEAD_END)
        if not end:
            if len(head) > _MOST_HEAD_BYTES:
                self._transport.abort()
            return
        self._received, self._is_busy = rest, True
        method, _, line = head.decode("latin-1").partition(" ")
        path, _, query = line.partition(" ")[0].partition("?")
        wishes = parse_qs(query) if query else {}
        try:
            latency = float(wishes.get("latency", [self._latency_seconds])[-1])
            rate = float(wishes.get("rate", [0])[-1])
        except ValueError:
            method, latency, rate = "", 0.0, 0.0
        if method != "GET":
            self._refuse(b"400 Bad Request")
        elif latency > 0:
            loop = asyncio.get_running_loop()
            loop.call_later(latency, self._answer, path, rate)
        else:
            self._answer(path, rate)

    def _answer(self, path: str, rate: float) -> None:
        if self._transport.is_closing():
            return
        if path == "/":
            body = index_page(self._catalogue).encode()
            self._transport.write(_head(len(body), "text/html; charset=utf-8") + body)
            self._over()
            return
        if path not in self._catalogue:
            path = quote(unquote(path))
        try:
            size = self._catalogue.size_bytes(path)
        except KeyError:
            self._refuse(b"404 Not Found")
            return
        head = _head(size, content_type(path), self._catalogue.etag(path))
        if size <= _INLINE_BYTES and not rate:
            self._transport.write(head + self._catalogue.body(path))
            self._over()
            return
        self._transport.write(head)
        chunks = self._catalogue.chunks(path)
        loop = asyncio.get_running_loop()
        self._sending = loop.create_task(self._send(chunks, rate))

    async def _send(self, chunks: Iterator[bytes], rate: float) -> None:
        """A large body, at `rate` bytes a second on average, 0 for any."""
        loop = asyncio.get_running_loop()
        began, sent = loop.time(), 0
        for chunk in chunks:
            sent += len(chunk)
            if rate:
                # Counted from the start, so that late wake-ups do not add up.
                await asyncio.sleep(began + sent / rate - loop.time())
            await self._may_write.wait()
            self._transport.write(chunk)
        self._sending = None
        self._over()

    def _refuse(self, status: bytes) -> None:
        self._transport.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")
        self._over()

    def _over(self) -> None:
        """Ready for the next request, which may have come already."""
        self._is_busy = False
        if self._received:
            self._take()


def _head(size: int, kind: str, etag: str = "") -> bytes:
    validator = f"ETag: {etag}\r\n" if etag else ""
    return (
        f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{validator}"
        f"Content-Length: {size}\r\n\r\n"
    ).encode()


async def _serve(catalogue: Catalogue, latency_seconds: float) -> None:
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(
        lambda: _Connection(catalogue, latency_seconds), "127.0.0.1", 0, backlog=1024
    )
    port = listener.sockets[0].getsockname()[1]
    address = {"url": f"http://127.0.0.1:{port}", "pid": os.getpid()}
    sys.stdout.write(json.dumps(address) + "\n")
    sys.stdout.flush()
    await listener.serve_forever()


def _exit_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os._exit(0)


def main() -> None:
    """Serve until standard input ends; prints one line of JSON with `url` and `pid`."""
    parser = argparse.ArgumentParser(prog="python -m downloader.site.swift")
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--latency", type=float, default=0.0)
    arguments = parser.parse_args()
    # Ctrl-C reaches the whole process group; the site must outlive the run it serves.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    catalogue = Catalogue(arguments.seed, arguments.files)
    asyncio.run(_serve(catalogue, arguments.latency))


if __name__ == "__main__":
    main()

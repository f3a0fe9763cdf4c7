"""The embedded site's server: one catch-all handler on aiohttp's low-level server.

Runs in a process of its own (`process.py` starts it) and ends with its standard input.
What an answer says is decided by `plan`, without network; the rest only sends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import re
import signal
import sys
import threading
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, unquote

from aiohttp import web

from downloader.site.content import Catalogue, content_type, index_page

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

__all__ = ["Plan", "Representation", "main", "plan"]

_NOT_MODIFIED = 304
# Up to here a body is sent in one write with its head; a stream costs several.
_INLINE_BYTES = 256 * 1024
_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Representation:
    """What can be said of a file before its bytes: length and validators."""

    size_bytes: int
    etag: str
    last_modified: datetime
    last_modified_text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """An answer to come: its status, and the part [start, stop) of the body to send."""

    status: int
    start: int = 0
    stop: int = 0
    headers: dict[str, str] = field(default_factory=dict)


def plan(representation: Representation, headers: Mapping[str, str]) -> Plan:
    """The answer to a GET with these request headers (RFC 9110 §13.2.2)."""
    size = representation.size_bytes
    if _is_not_modified(representation, headers):
        return Plan(status=304)
    wanted = headers.get("Range")
    if wanted is None or not _range_holds(representation, headers.get("If-Range")):
        return Plan(status=200, stop=size)
    return _plan_range(_RANGE.fullmatch(wanted.strip()), size)


def _plan_range(found: re.Match[str] | None, size: int) -> Plan:
    # What cannot be read, and several ranges at once, may be ignored (RFC 9110 §14.2).
    if found is None or not any(found.groups()):
        return Plan(status=200, stop=size)
    first, last = found.groups()
    if first and last and int(last) < int(first):
        return Plan(status=200, stop=size)
    start = int(first) if first else max(size - int(last), 0)
    stop = min(int(last) + 1, size) if first and last else size
    if start >= stop:
        return Plan(status=416, headers={"Content-Range": f"bytes */{size}"})
    content_range = f"bytes {start}-{stop - 1}/{size}"
    return Plan(
        status=206, start=start, stop=stop, headers={"Content-Range": content_range}
    )


def _is_not_modified(
    representation: Representation, headers: Mapping[str, str]
) -> bool:
    condition = headers.get("If-None-Match")
    if condition is not None:
        tags = [tag.strip().removeprefix("W/") for tag in condition.split(",")]
        return "*" in tags or representation.etag in tags
    since = _date(headers.get("If-Modified-Since"))
    return since is not None and representation.last_modified <= since


def _range_holds(representation: Representation, condition: str | None) -> bool:
    """If-Range compares strongly, and dates to the letter (RFC 9110 §13.1.5)."""
    return condition in {
        None,
        representation.etag,
        representation.last_modified_text,
    }


def _date(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None


class _Answerer:
    """Answers every request from one catalogue."""

    def __init__(self, catalogue: Catalogue, latency_seconds: float) -> None:
        self._catalogue = catalogue
        self._latency_seconds = latency_seconds

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        target, _, query = request.raw_path.partition("?")
        try:
            latency_seconds = _wish(query, "latency", self._latency_seconds)
            rate = _wish(query, "rate", 0.0)
        except ValueError:
            return web.Response(status=400, text="latency and rate are from 0 on\n")
        if latency_seconds:
            await asyncio.sleep(latency_seconds)
        if request.method not in {"GET", "HEAD"}:
            return web.Response(status=405, headers={"Allow": "GET, HEAD"})
        return await self._answer(request, target, rate)

    async def _answer(
        self, request: web.BaseRequest, target: str, rate: float
    ) -> web.StreamResponse:
        if target == "/":
            return web.Response(
                text=index_page(self._catalogue), content_type="text/html"
            )
        if target == "/urls.txt":
            return web.Response(text=_urls(self._catalogue, request.host))
        path = target if target in self._catalogue else quote(unquote(target))
        if path not in self._catalogue:
            return web.Response(status=404, text="there is no such file here\n")
        return await self._send(request, path, rate)

    async def _send(
        self, request: web.BaseRequest, path: str, rate: float
    ) -> web.StreamResponse:
        representation = _representation(self._catalogue, path)
        planned = plan(representation, _conditions(request))
        headers = _headers(path, representation, planned)
        size = planned.stop - planned.start
        if request.method == "GET" and size <= _INLINE_BYTES and not rate:
            body = b"".join(self._catalogue.chunks(path, planned.start, planned.stop))
            return web.Response(status=planned.status, headers=headers, body=body)
        answer = web.StreamResponse(status=planned.status, headers=headers)
        if planned.status != _NOT_MODIFIED:
            answer.content_length = size
        await answer.prepare(request)
        if request.method == "GET":
            chunks = self._catalogue.chunks(path, planned.start, planned.stop)
            await _write(answer, chunks, rate)
        await answer.write_eof()
        return answer


async def _write(
    answer: web.StreamResponse, chunks: Iterable[bytes], rate: float
) -> None:
    """Send a body, at `rate` bytes a second on average, 0 for as fast as it goes."""
    loop = asyncio.get_running_loop()
    began, sent = loop.time(), 0
    for chunk in chunks:
        sent += len(chunk)
        if rate:
            # Counted from the start, so that late wake-ups do not add up.
            await asyncio.sleep(began + sent / rate - loop.time())
        await answer.write(chunk)


def _wish(query: str, name: str, default: float) -> float:
    """The number that a query gives for a name."""
    if f"{name}=" not in query:
        return default
    return _number(parse_qs(query).get(name, ["0"])[-1])


def _number(text: str) -> float:
    """A finite number from 0 on; anything else raises ValueError."""
    number = float(text)
    if not 0 <= number < math.inf:
        raise ValueError(text)
    return number


def _conditions(request: web.BaseRequest) -> Mapping[str, str]:
    """The request's headers; without Range unless it is a GET (RFC 9110 §14.2)."""
    if request.method == "GET":
        return request.headers
    return {
        name: value
        for name, value in request.headers.items()
        if name in {"If-None-Match", "If-Modified-Since"}
    }


def _representation(catalogue: Catalogue, path: str) -> Representation:
    return Representation(
        size_bytes=catalogue.size_bytes(path),
        etag=catalogue.etag(path),
        last_modified=catalogue.last_modified(path),
        last_modified_text=catalogue.last_modified_text(path),
    )


def _headers(
    path: str, representation: Representation, planned: Plan
) -> dict[str, str]:
    return {
        "Accept-Ranges": "bytes",
        "Content-Type": content_type(path),
        "ETag": representation.etag,
        "Last-Modified": representation.last_modified_text,
        **planned.headers,
    }


def _urls(catalogue: Catalogue, host: str) -> str:
    return "".join(f"http://{host}{path}\n" for path, _ in catalogue)


def _exit_with_parent() -> None:
    """End the process once its standard input does, which is when its parent ended.

    A thread, since an event loop cannot watch a pipe on every system; at once, since
    nothing here needs to be put in order.
    """
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os._exit(0)


async def _serve(catalogue: Catalogue, latency_seconds: float, port: int) -> None:
    server = web.Server(_Answerer(catalogue, latency_seconds), access_log=None)
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(server, "127.0.0.1", port, backlog=1024)
    bound_port = listener.sockets[0].getsockname()[1]
    address = {"url": f"http://127.0.0.1:{bound_port}", "pid": os.getpid()}
    sys.stdout.write(json.dumps(address) + "\n")
    sys.stdout.flush()
    await listener.serve_forever()


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m downloader.site",
        description="serve a deterministic site on 127.0.0.1 until standard input ends",
    )
    parser.add_argument("--files", type=int, default=300, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--latency", type=_number, default=0.0, metavar="SECONDS")
    parser.add_argument("--port", type=int, default=0, metavar="N")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until standard input ends; prints one line of JSON with `url` and `pid`."""
    arguments = _arguments(argv)
    # Ctrl-C reaches the whole process group; the site must outlive the run it serves.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    catalogue = Catalogue(arguments.seed, arguments.files)
    asyncio.run(_serve(catalogue, arguments.latency, arguments.port))

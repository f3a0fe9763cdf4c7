"""One attempt on requests, blocking; for one thread at a time.

requests and urllib3 bring pools, TLS and HTTP/1.1 and keep what they know to themselves,
so this is mostly about taking their own decisions away: no redirect, retry, cookie,
environment, decoding or content-sniffing of theirs takes part. The adapter is used
without the session's `send`, which reads the body of every redirect (1 MB of it can
unfold to 1 GB) and costs a third of the time.

What the libraries leave open is mended here: a response head that ends early (requests
takes it for an empty answer of status 200), interim answers without end, and waits that
their timeouts do not see; see `downloader.transfer.watch`.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import exceptions as urllib3_errors
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.retry import Retry

from downloader.errors import DiskError, InvalidUrl, TransportError
from downloader.models import ErrorKind
from downloader.policy import headers
from downloader.transfer import faults
from downloader.transfer.limits import (
    MOST_HEAD_BYTES,
    MOST_INTERIM_ANSWERS,
    MOST_LINE_BYTES,
)
from downloader.transfer.transfer import CHUNK_BYTES, Transfer
from downloader.transfer.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from urllib3 import PoolManager
    from urllib3.response import HTTPResponse

    from downloader.models import Attempt, AttemptResult, Moved
    from downloader.transfer.engine import Engine
    from downloader.transfer.part_file import Folder
    from downloader.transfer.resolver import Address
    from downloader.transfer.watch import Watchdog

# Hosts whose idle connections one thread keeps.
KEPT_POOLS = 10
# With several addresses left to try, one of them gets no more than its part, nor less
# than this.
LEAST_DIAL_SECONDS = 2.0


class RequestsDriver:
    """Runs attempts one after another on connections of its own.

    Args:
        engine: What the process shares.
        watchdog: Who cuts blocked reads off.
        folder: This thread's view of the output folder.
    """

    def __init__(self, engine: Engine, watchdog: Watchdog, folder: Folder) -> None:
        self._engine = engine
        self._watchdog = watchdog
        self._folder = folder
        self._line = _Line(engine)
        self._adapter = _Adapter(self._line, engine)

    def run(self, attempt: Attempt, tell: Callable[[Moved], None]) -> AttemptResult:
        """Run an attempt to its end."""
        steps = self.steps(attempt, tell)
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                result: AttemptResult = stop.value
                return result

    def steps(
        self, attempt: Attempt, tell: Callable[[Moved], None]
    ) -> Generator[None, None, AttemptResult]:
        """Run an attempt, giving control back after each chunk of its body."""
        transfer = Transfer(
            attempt, self._engine.plan, self._folder, self._engine.take, tell
        )
        watch = Watch(transfer.patience, self._line.cut)
        self._line.begin(watch)
        self._watchdog.live[id(watch)] = watch
        try:
            self._engine.check()
            yield from self._converse(transfer, watch)
        except (TransportError, DiskError, InvalidUrl) as error:
            if watch.failure is None:
                transfer.fail_with(error)
        finally:
            self._watchdog.live.pop(id(watch), None)
            self._line.end()
        if watch.failure is not None and (
            transfer.result is None or transfer.result.failure is not None
        ):
            transfer.fail(watch.failure)
        assert transfer.result is not None
        return transfer.result

    def close(self) -> None:
        """Close every idle connection and the folder."""
        self._adapter.close()
        self._folder.close()

    def _converse(self, transfer: Transfer, watch: Watch) -> Iterator[None]:
        while transfer.result is None and watch.failure is None:
            raw = self._send(transfer)
            is_whole = False
            try:
                if transfer.head(raw.status, headers.fields(raw.headers.items())):
                    yield from self._receive(raw, transfer)
                    is_whole = watch.failure is None
                    if is_whole:
                        transfer.end()
                elif transfer.is_worth_draining():
                    is_whole = _drain(raw, transfer)
            finally:
                if not is_whole:
                    raw.close()

    def _send(self, transfer: Transfer) -> HTTPResponse:
        url = transfer.url
        request = requests.PreparedRequest()
        request.method, request.url = "GET", url.text
        request.headers = CaseInsensitiveDict(transfer.fields())
        proxy = self._engine.proxy_for(url)
        timeout = transfer.patience.timeout_seconds
        transfer.patience.connecting(time.monotonic())
        try:
            response = self._adapter.send(
                request,
                stream=True,
                timeout=(timeout, timeout),
                proxies={url.scheme: proxy} if proxy else {},
            )
        except TransportError as error:
            # From our own dialling, which does not know that it was a proxy's turn.
            if proxy and error.kind == ErrorKind.CONNECT:
                raise faults.proxy() from error
            raise
        except (requests.RequestException, urllib3_errors.HTTPError, OSError) as error:
            raise _translate_head(
                error,
                is_reused=self._line.is_reused,
                complaint=transfer.patience.complaint(),
            ) from error
        raw: HTTPResponse = response.raw
        return raw

    def _receive(self, raw: HTTPResponse, transfer: Transfer) -> Iterator[None]:
        most = self._engine.chunk_bytes(CHUNK_BYTES)
        while data := _read(raw, most, transfer):
            pause_seconds = transfer.chunk(data)
            if pause_seconds:
                self._engine.pause(pause_seconds)
                transfer.waited(pause_seconds)
            yield


def _read(raw: HTTPResponse, most: int, transfer: Transfer) -> bytes:
    """Whatever has come, at most so much; empty at the end."""
    try:
        return raw.read1(most, decode_content=False)
    except urllib3_errors.ReadTimeoutError as error:
        raise faults.timeout(transfer.patience.complaint()) from error
    except (urllib3_errors.HTTPError, http.client.HTTPException, OSError) as error:
        if any(isinstance(one, _BadChunk) for one in _chain(error)):
            raise faults.malformed() from error
        raise faults.body_cut() from error


def _drain(raw: HTTPResponse, transfer: Transfer) -> bool:
    """Read a short body of no interest; False if that failed."""
    try:
        while _read(raw, CHUNK_BYTES, transfer):
            pass
    except TransportError:
        return False
    return True


class _Line:
    """The connection that the attempt under way uses: what has to be cut to end it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._watch: Watch | None = None
        self._socket: socket.socket | None = None
        self._guard: socket.socket | None = None
        self.is_reused = False

    def begin(self, watch: Watch) -> None:
        """A new attempt begins; no connection is in use yet."""
        self._watch, self._socket = watch, None

    def end(self) -> None:
        """The handshake that was guarded is over, or the attempt is."""
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.close()

    def uses(self, connected: socket.socket, *, is_reused: bool) -> None:
        """A connection stands and the request goes out on it."""
        self._socket, self.is_reused = connected, is_reused
        self.end()
        if self._watch is not None:
            self._watch.patience.asking(time.monotonic())

    def dial(self, host: str, port: int, options: Any) -> socket.socket:
        """A new connection, within what is left of the attempt's patience.

        Raises:
            TransportError: No address, or none that answers.
        """
        assert self._watch is not None
        self.is_reused = False
        self._socket = None
        patience = self._watch.patience
        remaining = patience.remaining_seconds(time.monotonic())
        addresses = self._engine.resolver.resolve(host, port, remaining)
        error: OSError | None = None
        for left in range(len(addresses), 0, -1):
            remaining = patience.remaining_seconds(time.monotonic())
            share = min(remaining, max(LEAST_DIAL_SECONDS, remaining / left))
            try:
                return self._dial_one(addresses[-left], share, options)
            except OSError as failed:
                error = failed
            if self._watch.failure is not None:
                break
        if isinstance(error, TimeoutError):
            raise faults.timeout(patience.complaint()) from error
        raise faults.no_connection(faults.reason([error])) from error

    def _dial_one(
        self, address: Address, timeout_seconds: float, options: Any
    ) -> socket.socket:
        made = socket.socket(address.family, socket.SOCK_STREAM)
        try:
            for option in options or ():
                made.setsockopt(*option)
            made.settimeout(timeout_seconds)
            self._socket = made
            made.connect(address.sockaddr)
            assert self._watch is not None
            made.settimeout(self._watch.patience.timeout_seconds)
        except OSError:
            made.close()
            raise
        return made

    def guard_handshake(self, connected: socket.socket) -> None:
        """Keep hold of a connection whose socket object TLS is about to take over."""
        self._socket = self._guard = connected.dup()

    def cut(self) -> None:
        """Shut the connection in use, so that whoever reads from it wakes up."""
        in_use = self._socket
        if in_use is not None:
            with contextlib.suppress(OSError, TypeError):
                # Not SSLSocket.shutdown: that would drop its state under a reader.
                socket.socket.shutdown(in_use, socket.SHUT_RDWR)


# RFC 9112 §7.1, with the blanks that §7.1.1 tells recipients to bear.
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\n]*)?\r?\n")


class _EarlyEnd(http.client.HTTPException):
    """The connection ended inside a response head."""


class _UnusableHead(http.client.HTTPException):
    """A response head that no honest server sends; the text says why."""


class _BadChunk(http.client.HTTPException):
    """A chunk's size is no hexadecimal number."""


class _HeadLines:
    """The lines of a response head, none of them missing and not too many."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._size_bytes = 0

    def readline(self, limit: int = -1) -> bytes:
        line: bytes = self._file.readline(limit)
        if not line and self._size_bytes:
            raise _EarlyEnd("the connection ended inside the response head")
        self._size_bytes += len(line)
        if self._size_bytes > MOST_HEAD_BYTES:
            raise _UnusableHead("the response head is too large")
        return line

    def close(self) -> None:
        self._file.close()


class _Answer(http.client.HTTPResponse):
    """http.client's response with a head that is complete, well-formed and final."""

    def begin(self) -> None:
        file = self.fp
        self.fp = lines = _HeadLines(file)  # type: ignore[assignment] # quacks enough for a head
        try:
            super().begin()
        finally:
            if self.fp is lines:  # type: ignore[comparison-overlap] # as assigned above
                self.fp = file
        unread = self.msg.get_payload()
        if isinstance(unread, str) and unread:
            raise _UnusableHead("the response head has a line without a colon")

    def _read_status(self) -> tuple[str, int, str]:
        for _ in range(MOST_INTERIM_ANSWERS + 1):
            version, status, reason = super()._read_status()  # type: ignore[misc] # private, but the only seam: begin() skips 100 alone
            if not 100 <= status < 200 or status == 101:  # noqa: PLR2004 - RFC 9110 §15.2
                return version, status, reason
            http.client.parse_headers(self.fp)
        raise _UnusableHead("interim answers without end")

    def _read_next_chunk_size(self) -> int:
        """As http.client's, but strict: it would take `-5`, `0x10` and `1_0`."""
        line = self.fp.readline(MOST_LINE_BYTES + 1)
        if not line.endswith(b"\n"):
            raise ValueError("the connection ended inside a chunk's size")
        size = _CHUNK_SIZE.fullmatch(line)
        if size is None:
            raise _BadChunk("a chunk's size is no number")
        return int(size[1], 16)


class _Watched(HTTPConnection):
    """What both kinds of connection have in common: they tell the line."""

    response_class = _Answer
    line: _Line
    _answers = 0

    def _new_conn(self) -> socket.socket:
        self._answers = 0
        return self.line.dial(self._dns_host, self.port, self.socket_options)

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is not None:
            self.line.uses(self.sock, is_reused=self._answers > 0)
        super().request(*args, **kwargs)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override] # as urllib3's own
        response = super().getresponse()
        self._answers += 1
        return response


class _PlainConnection(_Watched):
    def connect(self) -> None:
        super().connect()
        self.line.uses(self.sock, is_reused=False)


class _TlsConnection(_Watched, HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        connected = super()._new_conn()
        self.line.guard_handshake(connected)
        return connected


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection
    line: _Line

    def _new_conn(self) -> Any:
        connection = super()._new_conn()
        connection.line = self.line  # type: ignore[attr-defined] # ours, see ConnectionCls
        return connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection
    line: _Line

    def _new_conn(self) -> Any:
        connection = super()._new_conn()
        connection.line = self.line  # type: ignore[attr-defined] # ours, see ConnectionCls
        return connection

    def _validate_conn(self, conn: Any) -> None:
        # As urllib3's, without its warning: the program has given its own, loudly.
        if conn.is_closed:
            conn.connect()


class _Adapter(HTTPAdapter):
    """requests' adapter with our connections and none of its opinions."""

    def __init__(self, line: _Line, engine: Engine) -> None:
        self._line = line
        self._engine = engine
        super().__init__(
            pool_connections=KEPT_POOLS,
            pool_maxsize=1,
            max_retries=Retry(0, read=False),
        )
        _use_our_pools(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        is_new = proxy not in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **proxy_kwargs)
        if is_new:
            _use_our_pools(manager)
        return manager

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        parts = requests.compat.urlsplit(request.url)
        where = {"scheme": parts.scheme, "host": parts.hostname, "port": parts.port}
        is_tls = parts.scheme == "https"
        return where, {"ssl_context": self._engine.tls} if is_tls else {}

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool = super().get_connection_with_tls_context(*args, **kwargs)
        pool.line = self._line  # type: ignore[attr-defined] # ours, see _use_our_pools
        return pool

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Nothing: the context knows whom to trust; more would be added to it here."""

    def build_response(
        self, req: requests.PreparedRequest, resp: Any
    ) -> requests.Response:
        response = requests.Response()
        response.raw = resp
        response.status_code = resp.status
        response.request = req
        return response


def _use_our_pools(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it wraps: as argument, reason or cause."""
    seen: set[int] = set()
    pending: list[Any] = [error]
    while pending:
        one = pending.pop(0)
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        pending += [*one.args, getattr(one, "reason", None), one.__cause__]


_Classes = tuple[type[BaseException], ...]
_BAD_HEAD: _Classes = (
    _UnusableHead,
    http.client.LineTooLong,
    urllib3_errors.InvalidHeader,
)
_TLS: _Classes = (ssl.SSLError, urllib3_errors.SSLError)
_TIMEOUT: _Classes = (urllib3_errors.TimeoutError, TimeoutError)


def _translate_head(
    error: BaseException, *, is_reused: bool, complaint: str
) -> TransportError:
    """Our word for what requests raised before a response head was there."""
    chain = list(_chain(error))
    for one in chain:
        if isinstance(one, TransportError):
            return one
    # From the most to the least telling; the first class found in the chain decides.
    choices: tuple[tuple[_Classes, TransportError], ...] = (
        ((_EarlyEnd,), faults.head_cut()),
        (_BAD_HEAD, faults.malformed()),
        (_TLS, faults.tls(faults.reason(chain))),
        ((urllib3_errors.ProxyError,), faults.proxy()),
        (_TIMEOUT, faults.timeout(complaint)),
        ((ConnectionError,), faults.lost(is_reused=is_reused)),
        ((http.client.HTTPException,), faults.malformed()),
    )
    for classes, fault in choices:
        if any(isinstance(one, classes) for one in chain):
            return fault
    return faults.no_connection(faults.reason(chain))

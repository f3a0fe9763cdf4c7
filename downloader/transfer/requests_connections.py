"""The connections under the requests driver: ours to dial, to watch and to cut.

requests' adapter keeps its pools and its HTTP/1.1; what it connects with, and what reads a
response head, are subclasses that tell a `Line` what they do and take no head that is cut,
malformed, too large, or preceded by interim answers without end.
"""

from __future__ import annotations

import contextlib
import email.errors
import http.client
import socket
import time
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.retry import Retry

from downloader.policy.chunks import SIZE_LINE
from downloader.policy.headers import MOST_HEAD_BYTES, basic
from downloader.policy.proxies import server
from downloader.transfer import faults, socks
from downloader.transfer.limits import (
    MOST_INTERIM_ANSWERS,
    MOST_LINE_BYTES,
)
from downloader.transfer.watch import Watch

if TYPE_CHECKING:
    from urllib3 import PoolManager
    from urllib3.response import HTTPResponse

    from downloader.models import Proxy
    from downloader.policy.proxies import Server
    from downloader.transfer.engine import Engine
    from downloader.transfer.resolver import Address


# Hosts whose idle connections one thread keeps.
KEPT_POOLS = 10
# With several addresses left to try, one of them gets no more than its part, nor less
# than this.
LEAST_DIAL_SECONDS = 2.0


class Line:
    """The connection that the attempt under way uses: what has to be cut to end it.

    Attributes:
        target: The request target to send, as it stands.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._watch: Watch | None = None
        self._socket: socket.socket | None = None
        self._guard: socket.socket | None = None
        self.is_reused = False
        self.target = "/"
        # The proxy that the adapter knows, and the one that is our own business.
        self.http_proxy: Server | None = None
        self._socks: Proxy | None = None

    def begin(self, watch: Watch) -> None:
        """A new attempt begins; no connection is in use yet."""
        self._watch, self._socket = watch, None

    def go_through(self, proxy: Proxy | None) -> None:
        """Have the next request go through a proxy; None to go straight.

        Raises:
            TransportError: It speaks SOCKS, and what that takes is not installed.
        """
        found = None if proxy is None else server(proxy.url)
        self.http_proxy = found
        self._socks = None
        if proxy is not None and found is not None and found.is_socks:
            socks.require(proxy)
            self.http_proxy, self._socks = None, proxy

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
            self._watch.patience.asking(time.monotonic(), is_reused=is_reused)
        # Whoever cut the attempt off a moment ago had no connection to cut yet. Set first
        # and looked at second on both sides, so that one of the two sees the other.
        if self._is_over():
            self.cut()

    def dial(self, host: str, port: int, options: Any) -> socket.socket:
        """A new connection, within what is left of the attempt's patience.

        Raises:
            TransportError: No address, or none that answers.
        """
        if self._socks is None:
            return self._dial(host, port, options)
        proxy = server(self._socks.url)
        if proxy.scheme == "socks5":
            host = self._look_up(host, port)[0].sockaddr[0]
        connected = self._dial(proxy.host, proxy.port, options)
        try:
            socks.shake_hands(self._socks, connected, host, port)
        except TimeoutError as error:
            assert self._watch is not None
            raise faults.timeout(self._watch.patience.complaint()) from error
        except OSError as error:
            raise faults.proxy(faults.reason([error])) from error
        return connected

    def _look_up(self, host: str, port: int) -> list[Address]:
        assert self._watch is not None
        remaining = self._watch.patience.remaining_seconds(time.monotonic())
        return self._engine.resolver.resolve(host, port, remaining, self._is_over)

    def _dial(self, host: str, port: int, options: Any) -> socket.socket:
        assert self._watch is not None
        self.is_reused = False
        self._socket = None
        patience = self._watch.patience
        found = self._look_up(host, port)
        texts = [address.sockaddr[0] for address in found]
        permitted = set(self._engine.permitted(host, texts))
        addresses = [one for one in found if one.sockaddr[0] in permitted]
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
        why = faults.reason([error])
        is_proxys = self._socks is not None or self.http_proxy is not None
        raise (faults.proxy if is_proxys else faults.no_connection)(why) from error

    def _is_over(self) -> bool:
        return self._watch is None or self._watch.failure is not None

    def _dial_one(
        self, address: Address, timeout_seconds: float, options: Any
    ) -> socket.socket:
        made = socket.socket(address.family, socket.SOCK_STREAM)
        try:
            for option in options or ():
                made.setsockopt(*option)
            made.settimeout(timeout_seconds)
            self._socket = made
            if self._is_over():
                raise ConnectionAbortedError
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

    def secures(self) -> None:
        """TLS begins on a connection that stands."""
        if self._watch is not None:
            self._watch.patience.securing(time.monotonic())

    def cut(self) -> None:
        """Shut the connection in use, so that whoever reads from it wakes up."""
        in_use = self._socket
        if in_use is not None:
            with contextlib.suppress(OSError, TypeError):
                # Not SSLSocket.shutdown: that would drop its state under a reader.
                socket.socket.shutdown(in_use, socket.SHUT_RDWR)


_VERSIONS = frozenset({"HTTP/1.0", "HTTP/1.1"})

# With these http.client leaves a line of the head out and says nothing.
_LOST_LINES = (
    email.errors.InvalidHeaderDefect,
    email.errors.MisplacedEnvelopeHeaderDefect,
)


class EarlyEnd(http.client.HTTPException):
    """The connection ended inside a response head."""


class UnusableHead(http.client.HTTPException):
    """A response head that no honest server sends; the text says why."""


class BadChunk(http.client.HTTPException):
    """A chunk's size is no hexadecimal number."""


_EMPTY_LINES = (b"\r\n", b"\n")


class _HeadLines:
    """The lines of a response head, none of them missing and not too many."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._size_bytes = 0

    def readline(self, limit: int = -1) -> bytes:
        line: bytes = self._file.readline(limit)
        while line in _EMPTY_LINES and not self._size_bytes:
            # Before the status line; others take it as well (RFC 9112 §2.2).
            line = self._file.readline(limit)
        if not line and self._size_bytes:
            raise EarlyEnd("the connection ended inside the response head")
        self._size_bytes += len(line)
        if self._size_bytes > MOST_HEAD_BYTES:
            raise UnusableHead("the response head is too large")
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
            raise UnusableHead("the response head has a line without a colon")
        if any(isinstance(defect, _LOST_LINES) for defect in self.msg.defects):
            raise UnusableHead("the response head has a line that is no field")

    def _read_status(self) -> tuple[str, int, str]:
        for _ in range(MOST_INTERIM_ANSWERS + 1):
            version, status, reason = super()._read_status()  # type: ignore[misc] # private, but the only seam: begin() skips 100 alone
            if version not in _VERSIONS:
                raise UnusableHead("another version than HTTP/1.0 and 1.1")
            if not 100 <= status < 200 or status == 101:  # noqa: PLR2004 - RFC 9110 §15.2
                return version, status, reason
            http.client.parse_headers(self.fp)
        raise UnusableHead("interim answers without end")

    def read1(self, n: int = -1) -> bytes:
        """As http.client's, which drops what follows a body's declared end unseen.

        Nobody has asked for more: that is another answer than the one that was declared.
        """
        data = super().read1(n)
        self._look_behind()
        if self._has_surplus:
            raise BadChunk("the body is longer than declared")
        return data

    _has_surplus = False

    def _close_conn(self) -> None:
        # From Python 3.12.3 on it is called with a body's last byte, before then with the
        # next read; what has come and was not read is lost with it.
        self._look_behind()
        super()._close_conn()  # type: ignore[misc] # private, as below

    def _look_behind(self) -> None:
        if self.length == 0 and not self.chunked and _has_more(self.fp):
            self._has_surplus = True

    def _get_chunk_left(self) -> int | None:
        """As http.client's, which throws away whatever stands where a chunk must end."""
        if not self.chunk_left and self.chunk_left is not None:
            if self._safe_read(2) != b"\r\n":  # type: ignore[attr-defined] # private, as below
                raise BadChunk("a chunk is longer than its size")
            self.chunk_left = None
        left: int | None = super()._get_chunk_left()  # type: ignore[misc] # private, see below
        return left

    def _read_next_chunk_size(self) -> int:
        """As http.client's, but strict: it would take `-5`, `0x10` and `1_0`."""
        line = self.fp.readline(MOST_LINE_BYTES + 1)
        if not line.endswith(b"\n"):
            raise ValueError("the connection ended inside a chunk's size")
        size = SIZE_LINE.fullmatch(line)
        if size is None:
            raise BadChunk("a chunk's size is no number")
        return int(size[1], 16)

    def _read_and_discard_trailer(self) -> None:
        """As http.client's, which takes any end of the connection for the trailer's."""
        size_bytes = 0
        while size_bytes <= MOST_HEAD_BYTES:
            line = self.fp.readline(MOST_LINE_BYTES + 1)
            if not line.endswith(b"\n"):
                raise http.client.IncompleteRead(b"")
            if line in {b"\r\n", b"\n"}:
                return
            if b":" not in line:
                raise BadChunk("the trailer has a line without a colon")
            size_bytes += len(line)
        raise BadChunk("the trailer is too large")


class _TunnelAnswer(_Answer):
    """A proxy's answer to CONNECT."""

    def _read_status(self) -> tuple[str, int, str]:
        version, status, reason = super()._read_status()
        if status != http.HTTPStatus.OK:
            raise faults.tunnel(status)
        return version, status, reason


def _has_more(file: Any) -> bool:
    """True if more has come than was read, without waiting for it."""
    connection = getattr(getattr(file, "raw", None), "_sock", None)
    if connection is None:
        return False
    before = connection.gettimeout()
    try:
        connection.settimeout(0.0)
        return bool(file.peek(1))
    except OSError:
        return False  # nothing to read from, or TLS has nothing yet
    finally:
        with contextlib.suppress(OSError):
            connection.settimeout(before)


class _Watched(HTTPConnection):
    """What both kinds of connection have in common: they tell the line."""

    response_class = _Answer
    line: Line
    _answers = 0

    def _new_conn(self) -> socket.socket:
        self._answers = 0
        return self.line.dial(self._dns_host, self.port, self.socket_options)

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> None:
        if self.sock is not None:
            self.line.uses(self.sock, is_reused=self._answers > 0)
        super().request(method, self.line.target, *args, **kwargs)

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
        if self._tunnel_host is None:
            self.line.secures()
        return connected

    def _tunnel(self) -> None:
        self.response_class = _TunnelAnswer
        try:
            super()._tunnel()
        finally:
            self.response_class = _Answer
        self.line.secures()


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection
    line: Line

    def _new_conn(self) -> Any:
        connection = super()._new_conn()
        connection.line = self.line  # type: ignore[attr-defined] # ours, see ConnectionCls
        return connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection
    line: Line

    def _new_conn(self) -> Any:
        connection = super()._new_conn()
        connection.line = self.line  # type: ignore[attr-defined] # ours, see ConnectionCls
        return connection

    def _validate_conn(self, conn: Any) -> None:
        # As urllib3's, without its warning: the program has given its own, loudly.
        if conn.is_closed:
            conn.connect()


class Adapter(HTTPAdapter):
    """requests' adapter with our connections and none of its opinions."""

    def __init__(
        self, line: Line, engine: Engine, kept_pools: int = KEPT_POOLS
    ) -> None:
        self._line = line
        self._engine = engine
        super().__init__(
            pool_connections=kept_pools,
            pool_maxsize=1,
            max_retries=Retry(0, read=False),
        )
        _use_our_pools(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        is_new = proxy not in self.proxy_manager
        if proxy.startswith("https:"):
            proxy_kwargs["proxy_ssl_context"] = self._engine.tls
        manager = super().proxy_manager_for(proxy, **proxy_kwargs)
        if is_new:
            _use_our_pools(manager)
        return manager

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        """Tell urllib3 whether a proxy forwards; it would rewrite the target itself."""
        return "/" if self._line.target.startswith("/") else "http://forwarded/"

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        used = self._line.http_proxy
        secret = None if used is None else used.credentials
        return {} if secret is None else {"Proxy-Authorization": basic(secret)}

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        parts = requests.compat.urlsplit(request.url)
        where = {"scheme": parts.scheme, "host": parts.hostname, "port": parts.port}
        proxy = self._line.http_proxy
        is_tls = "https" in {parts.scheme, proxy and proxy.scheme}
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

"""The connections under the requests driver: ours to dial, to watch and to cut.

requests' adapter keeps its pools and sends the requests; what it connects with, and what
reads the answers, are subclasses that tell a `Line` what they do and read by our own rules.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.retry import Retry

from downloader.policy.answers import AnswerReader
from downloader.policy.headers import basic
from downloader.policy.proxies import server
from downloader.transfer import faults, socks
from downloader.transfer.idle import has_bytes
from downloader.transfer.watch import Watch

if TYPE_CHECKING:
    from urllib3 import PoolManager
    from urllib3.response import HTTPResponse

    from downloader.models import Proxy
    from downloader.policy.proxies import Server
    from downloader.transfer.engine import Engine
    from downloader.transfer.resolver import Address


# What is read at once before a head is complete.
HEAD_BYTES = 64 << 10
# Hosts whose idle connections one thread keeps.
KEPT_POOLS = 10
# With several addresses left to try, one of them gets no more than its part, nor less
# than this.
LEAST_DIAL_SECONDS = 2.0


class Line:
    """The connection that the attempt under way uses: what has to be cut to end it.

    Attributes:
        target: The request target to send, as it stands.
        is_reused: True if it has served a request before.
        reader: Of the last answer on it.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._watch: Watch | None = None
        self._socket: socket.socket | None = None
        self._guard: socket.socket | None = None
        self.is_reused = self._wants_fresh = False
        self._host_key = ""
        self.target = "/"
        # The proxy that the adapter knows, and the one that is our own business.
        self.http_proxy: Server | None = None
        self._socks: Proxy | None = None
        self.reader: AnswerReader

    def begin(self, watch: Watch, host_key: str, *, wants_fresh: bool = False) -> None:
        """A new attempt begins; no connection is in use yet."""
        self._watch, self._socket = watch, None
        self._host_key, self._wants_fresh = host_key, wants_fresh

    @property
    def wants_fresh(self) -> bool:
        """True if no idle connection may be used."""
        return self._wants_fresh or self._host_key in self._engine.strayed

    def distrust(self) -> None:
        """The server has sent what nobody asked for."""
        self._engine.strayed.add(self._host_key)

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

    def is_mixed_up(self) -> bool:
        """True if another answer followed on a connection that was used before."""
        in_use = self._socket
        if not self.is_reused or in_use is None:
            return False
        return self.reader.body.is_followed or _has_bytes(in_use)

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


def _has_bytes(connected: Any) -> bool:
    """True if bytes of an answer lie on a connection; TLS's own messages do not count."""
    if type(connected) is socket.socket:
        return connected.fileno() != -1 and has_bytes(connected.fileno())
    return isinstance(connected, ssl.SSLSocket) and connected.pending() > 0


class _Answer(http.client.HTTPResponse):
    """http.client's response, read by our own rules instead of its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.reader = AnswerReader()
        self._content: deque[bytes] = deque()
        self._is_torn = False

    def begin(self) -> None:
        """Read the final head.

        Raises:
            TransportError: There is none.
        """
        reader = self.reader
        behind = b""
        while reader.head is None:
            data = self._receive(HEAD_BYTES)
            if not data and reader.has_begun:
                raise faults.head_cut()
            if not data:
                raise http.client.RemoteDisconnected("")
            behind = reader.read_head(data)
        self._content.extend(reader.body.read(behind))
        self.code = self.status = reader.head.status
        self.version, self.reason = 11, ""
        self.headers = self.msg = http.client.HTTPMessage()
        self.chunked, self.length = False, None
        self.will_close = not reader.body.keeps_connection

    def read1(self, n: int = -1) -> bytes:
        """Some of the body; empty at its end.

        Raises:
            TransportError: It is malformed, or breaks off.
        """
        body = self.reader.body
        while not self._content and not body.is_over:
            data = self._receive(n)
            if not data:
                body.end(is_clean=not self._is_torn)
                if not body.is_over:
                    raise faults.body_cut()
            self._content.extend(body.read(data))
        content = self._content.popleft() if self._content else b""
        if body.is_over and not self._content and not self.isclosed():
            self._close_conn()  # type: ignore[attr-defined] # private, but the only seam
        return content

    def _receive(self, most: int) -> bytes:
        """Whatever has come; empty at the connection's end."""
        if self.fp is None:
            return b""
        try:
            return self.fp.read1(most)
        except ssl.SSLEOFError:
            self._is_torn = True
            return b""


class _TunnelAnswer(http.client.HTTPResponse):
    """A proxy's answer to CONNECT."""

    def _read_status(self) -> tuple[str, int, str]:
        version, status, reason = super()._read_status()  # type: ignore[misc] # private, but the only seam
        if status != http.HTTPStatus.OK:
            raise faults.tunnel(status)
        return version, status, reason


class _Watched(HTTPConnection):
    """What both kinds of connection have in common: they tell the line."""

    line: Line
    _answers = 0
    _answer: _Answer | None = None

    def response_class(self, *args: Any, **kwargs: Any) -> _Answer:  # type: ignore[override] # called like a class
        """Make what reads the next answer."""
        self._answer = _Answer(*args, **kwargs)
        return self._answer

    @property
    def is_connected(self) -> bool:
        """True if an idle connection may be used: nothing has come on it since.

        urllib3 looks at the socket; TLS may have taken bytes from there already.
        """
        answer = self._answer
        if self.sock is None or answer is None or not answer.reader.keeps_connection:
            return False
        if _has_bytes(self.sock):
            self.line.distrust()
        return super().is_connected and not self.line.wants_fresh

    def _new_conn(self) -> socket.socket:
        self._answers = 0
        self._answer = None
        return self.line.dial(self._dns_host, self.port, self.socket_options)

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> None:
        if self.sock is not None:
            self.line.uses(self.sock, is_reused=self._answers > 0)
        super().request(method, self.line.target, *args, **kwargs)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override] # as urllib3's own
        response = super().getresponse()
        self._answers += 1
        assert self._answer is not None
        self.line.reader = self._answer.reader
        return response


class _PlainConnection(_Watched):
    def connect(self) -> None:
        super().connect()
        self.line.uses(self.sock, is_reused=False)


class _TlsConnection(_Watched, HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        # Then a connection that is cut differs from one that ends (RFC 8446 §6.1).
        secured: Any = self.sock
        secured.suppress_ragged_eofs = False

    def _new_conn(self) -> socket.socket:
        connected = super()._new_conn()
        self.line.guard_handshake(connected)
        if self._tunnel_host is None:
            self.line.secures()
        return connected

    def _tunnel(self) -> None:
        self.response_class = _TunnelAnswer  # type: ignore[assignment, method-assign]
        try:
            super()._tunnel()
        finally:
            del self.response_class
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

"""One attempt on aiohttp, on the event loop; any number at a time.

As with requests, what the library would decide by itself is switched off: redirects,
cookies, decompression, the environment, its own timeouts (they cost 50 µs a request and
do not see a dripping head) and its silent second GET when a reused connection dies,
which the frontier must count.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohappyeyeballs
import aiohttp
from aiohttp import abc, client_exceptions, client_proto
from aiohttp.http import RawResponseMessage
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from downloader.errors import DiskError, InvalidUrl, TransportError
from downloader.policy.answers import AnswerReader, malformed
from downloader.policy.headers import basic
from downloader.policy.proxies import server
from downloader.transfer import faults, socks
from downloader.transfer.aside import Aside
from downloader.transfer.idle import has_bytes, has_input
from downloader.transfer.transfer import CHUNK_BYTES, SHORT_LEAD_BYTES, Transfer
from downloader.transfer.watch import Watch, sweep_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from downloader.models import Attempt, AttemptResult, Failure, Moved
    from downloader.policy.proxies import Server
    from downloader.transfer.engine import Engine
    from downloader.transfer.folder import Folder


KEPT_IDLE = 100


class AiohttpDriver:
    """Runs attempts on one event loop, as many at once as are asked for.

    Args:
        engine: What the process shares.
        folder: The loop's view of the output folder.
        most_idle: Connections that are kept though nobody uses them now.
    """

    def __init__(
        self, engine: Engine, folder: Folder, most_idle: int = KEPT_IDLE
    ) -> None:
        self._most_idle = most_idle
        self._engine = engine
        self._folder = folder
        self._aside = Aside()
        self._live: dict[int, Watch] = {}
        self._session: aiohttp.ClientSession | None = None
        self._sweeper: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Make the session; must run on the loop."""
        self._session = aiohttp.ClientSession(
            connector=_Connector(self._engine, self._most_idle),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=None, connect=None, sock_connect=None, sock_read=None
            ),
            auto_decompress=False,
            trust_env=False,
            # Not asked to ask again, User-Agent and the like come with each request.
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
            read_bufsize=self._engine.chunk_bytes(CHUNK_BYTES // 4),
        )
        # No public switch; its own test client sets the same attribute.
        self._session._retry_connection = False  # noqa: SLF001
        self._sweep()

    async def run(
        self, attempt: Attempt, tell: Callable[[Moved], None]
    ) -> AttemptResult:
        """Run an attempt to its end; to be awaited by a task that runs nothing else now."""
        transfer = Transfer(
            attempt, self._engine.plan, self._folder, self._engine.take, tell
        )
        task = asyncio.current_task()
        assert task is not None
        key, strayed = transfer.url.host_key, self._engine.strayed
        wants_fresh = attempt.is_fresh or key in strayed
        watch = Watch(transfer.patience, task.cancel, wants_fresh=wants_fresh)
        watch.distrust = partial(strayed.add, key)
        self._live[id(watch)] = watch
        token = _WATCH.set(watch)
        try:
            self._engine.check()
            await self._converse(transfer)
        except (TransportError, DiskError, InvalidUrl) as error:
            transfer.fail_with(error)
        except asyncio.CancelledError:
            if watch.failure is None:
                raise
            task.uncancel()
            # Cut off while a body of no interest was drained, it has its result already.
            if transfer.result is None:
                transfer.fail(watch.failure)
        finally:
            _WATCH.reset(token)
            del self._live[id(watch)]
        assert transfer.result is not None
        return transfer.result

    def abort_all(self, failure: Failure) -> None:
        """Cut off every attempt under way; on the loop's thread."""
        for watch in list(self._live.values()):
            watch.abort(failure)

    async def close(self) -> None:
        """Close every connection and the folder."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._session is not None:
            await self._session.close()
        self._aside.close()
        self._folder.close()

    async def _in_thread(
        self, work: Callable[[], None], *, is_long: bool = False
    ) -> None:
        await asyncio.wrap_future(self._aside.run(work, is_long=is_long))

    def _sweep(self) -> None:
        now = time.monotonic()
        for watch in list(self._live.values()):
            watch.sweep(now)
        pause_seconds = sweep_seconds(self._engine.plan.timeout_seconds)
        loop = asyncio.get_running_loop()
        self._sweeper = loop.call_later(pause_seconds, self._sweep)

    async def _converse(self, transfer: Transfer) -> None:
        while transfer.result is None:
            response = await self._send(transfer)
            try:
                fields: Any = response.raw_headers  # ours, see `_message`
                if transfer.head(response.status, dict(fields)):
                    await self._receive(response, transfer)
                    if transfer.ended():
                        await self._in_thread(
                            transfer.settle, is_long=transfer.waits_for_others
                        )
                    transfer.end()
                elif transfer.is_worth_draining():
                    await _drain(response)
            finally:
                # Back to the pool if its body was read to the end, else closed.
                response.release() if response.content.at_eof() else response.close()

    async def _send(self, transfer: Transfer) -> aiohttp.ClientResponse:
        assert self._session is not None
        url = transfer.url
        now = time.monotonic()
        # A connection that must be made first says so itself, see `_Connector`.
        transfer.patience.asking(now, is_reused=True)
        watch = _WATCH.get()
        watch.is_fresh = False
        proxy = transfer.proxy = self._engine.proxy_for(url)
        through = None if proxy is None else server(proxy.url)
        watch.socks = None
        if proxy is not None and through is not None and through.is_socks:
            socks.require(proxy)
            watch.socks, through = proxy, None  # the connector's business
        is_tls = "https" in {url.scheme, through and through.scheme}
        secret = _proxy_fields(through)
        fields = transfer.fields()
        if secret and url.scheme == "http":  # no CONNECT, which would carry it
            fields = {**fields, **secret}
        try:
            return await self._session.get(
                # As a path, of which nothing is read: an empty query would be dropped.
                URL.build(
                    scheme=url.scheme,
                    authority=url.netloc,
                    path=url.target,
                    encoded=True,
                ),
                headers=fields,
                allow_redirects=False,
                ssl=self._engine.tls if is_tls else True,
                # In a tunnel it would ask for a certificate with the host's dot.
                server_hostname=url.host.removesuffix("."),
                proxy=None if through is None else through.origin,
                proxy_headers=secret,
            )
        except (aiohttp.ClientError, OSError) as error:
            raise _translate_head(error, is_reused=not watch.is_fresh) from error

    async def _receive(
        self, response: aiohttp.ClientResponse, transfer: Transfer
    ) -> None:
        if transfer.lead_bytes > SHORT_LEAD_BYTES:
            await self._in_thread(transfer.catch_up)
        elif transfer.lead_bytes:
            transfer.catch_up()
        content, watch = response.content, _WATCH.get()
        handler: _Handler = watch.handler
        reader = handler.reader
        while True:
            try:
                data = await content.readany()
            except (aiohttp.ClientError, OSError) as error:
                raise faults.body_cut() from error
            if not data:
                if not watch.is_fresh and handler.is_followed(reader):
                    watch.distrust()
                    raise faults.mixed_up()
                return
            pause_seconds = transfer.chunk(data)
            if transfer.has_enough:
                return
            if pause_seconds:
                await asyncio.sleep(pause_seconds)


def _proxy_fields(proxy: Server | None) -> dict[str, str]:
    if proxy is None or proxy.credentials is None:
        return {}
    return {"Proxy-Authorization": basic(proxy.credentials)}


_VERSIONS = {"1.0": aiohttp.HttpVersion10, "1.1": aiohttp.HttpVersion11}
_WATCH: ContextVar[Watch] = ContextVar("watch")


async def _drain(response: aiohttp.ClientResponse) -> None:
    """Read a short body of no interest; a failure only costs the connection."""
    try:
        await response.read()
    except (aiohttp.ClientError, OSError):
        response.close()


class _Resolver(abc.AbstractResolver):
    """aiohttp's view of the process's resolver."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> Any:
        answer = asyncio.wrap_future(self._engine.resolver.ask(host, port))
        # The loop prints a failure that nothing retrieves, as one after the attempt's end.
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        # Shielded: who gives up must not take the answer away from others who ask.
        return [
            {
                "hostname": host,
                "host": address.sockaddr[0],
                "port": port,
                "family": address.family,
                "proto": 0,
                "flags": 0,
            }
            for address in await asyncio.shield(answer)
        ]

    async def close(self) -> None:
        """Nothing: the engine closes the resolver."""


class _NoParser:
    """Stand in for aiohttp's parser, which its protocol calls but is not used here."""

    def pause_reading(self) -> None:
        """Nothing: what has come is handed on at once."""

    def feed_eof(self) -> None:
        """Nothing: the protocol does it."""


class _Handler(client_proto.ResponseHandler):
    """aiohttp's protocol, read by our own rules instead of its own parser's."""

    # Of the answer to the last request.
    reader: AnswerReader
    _is_asked = False
    _has_end = False

    def set_response_params(
        self, *, read_bufsize: int = CHUNK_BYTES // 4, **_: Any
    ) -> None:
        """A request is about to go out."""
        self._read_bufsize = read_bufsize
        self.reader = AnswerReader()
        self._is_asked = True
        watch = _WATCH.get()
        watch.handler, self._distrust = self, watch.distrust
        self._parser = _NoParser()  # type: ignore[assignment] # all that is asked of it
        self._payload = None

    def data_received(self, data: bytes) -> None:
        if not data:
            return  # it reads on after a pause
        if not self._is_asked:
            self.close()
            return
        reader = self.reader
        if reader.head is not None and reader.body.is_over:
            # No request is under way: the connection is not used again.
            reader.body.is_followed = True
            if self.transport is not None and not has_input(
                _descriptor(self.transport)
            ):
                self._distrust()  # it did not end at that
            self.close()
            return
        try:
            if reader.head is None:
                data = reader.read_head(data)
            if reader.head is not None:
                self._take_body(reader, data)
        except TransportError as error:
            self._fail(error)

    def _take_body(self, reader: AnswerReader, data: bytes) -> None:
        payload, body = self._payload, reader.body
        if payload is None:
            payload = aiohttp.EMPTY_PAYLOAD
            if not body.is_over:
                payload = aiohttp.StreamReader(
                    self, self._read_bufsize, loop=self._loop
                )
        for piece in body.read(data):
            payload.feed_data(piece)
        if body.is_over:
            self._should_close |= not body.keeps_connection
            payload.feed_eof()
        if self._payload is None:
            self._payload = payload
            self.feed_data((_message(reader), payload))

    def is_followed(self, reader: AnswerReader) -> bool:
        """True if more came behind an answer before another request went out."""
        if reader.body.is_followed:
            return True
        if reader is not self.reader or self.transport is None:
            return False
        if self.transport.get_extra_info("ssl_object") is not None:
            return False  # its own messages come there as well
        return has_bytes(_descriptor(self.transport))

    def _fail(self, error: TransportError) -> None:
        """End the answer: who waits for its head, or reads its body, is told."""
        self._should_close = True
        if self._payload is None:
            self.set_exception(error)
        else:
            self._payload.set_exception(error)
        if self.transport is not None:
            self.transport.close()

    def eof_received(self) -> None:
        # A connection that is cut without TLS's own end comes here as well.
        if self.transport is not None:  # not closed by us
            secured = self.transport.get_extra_info("ssl_object")
            self._has_end = secured is None or _has_ended(secured)
        super().eof_received()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._is_asked:
            self._end(self.reader, is_clean=exc is None and self._has_end)
        super().connection_lost(exc)

    def _end(self, reader: AnswerReader, *, is_clean: bool) -> None:
        payload = self._payload
        if reader.head is None:
            if reader.has_begun and self.exception() is None:
                self.set_exception(faults.head_cut())
        elif not reader.body.is_over and payload is not None:
            reader.body.end(is_clean=is_clean)
            if reader.body.is_over:
                payload.feed_eof()
            elif payload.exception() is None:
                payload.set_exception(faults.body_cut())


def _has_ended(secured: ssl.SSLObject) -> bool:
    """True if TLS has said that nothing more will come (RFC 8446 §6.1)."""
    try:
        return not secured.read(1)
    except ssl.SSLError:
        return False


def _descriptor(transport: Any) -> int:
    """Return the number of a transport's socket."""
    number: int = transport.get_extra_info("socket").fileno()
    return number


_NO_FIELDS: CIMultiDictProxy[str] = CIMultiDictProxy(CIMultiDict())


def _message(reader: AnswerReader) -> Any:
    """A head in aiohttp's form; the fields stand where those as they came would."""
    assert reader.head is not None
    version, status, fields = reader.head
    return RawResponseMessage(
        _VERSIONS[version],
        status,
        "",
        _NO_FIELDS,
        tuple(fields.items()),  # type: ignore[arg-type] # texts, for bytes
        not reader.body.keeps_connection,
        None,
        upgrade=False,
        chunked=False,
    )


class _Connector(aiohttp.TCPConnector):
    """aiohttp's connector without a bound of its own, which tells when it connects."""

    def __init__(self, engine: Engine, most_idle: int) -> None:
        self._most_idle = most_idle
        super().__init__(
            limit=0, resolver=_Resolver(engine), use_dns_cache=False, ttl_dns_cache=0
        )
        self._engine = engine
        self._factory = self._make_handler  # type: ignore[assignment] # a subclass's

    async def _resolve_host(self, host: str, port: int, traces: Any = None) -> Any:
        """As aiohttp's, which asks its resolver for names alone; what it says is dialled."""
        proxy = _WATCH.get().socks
        if proxy is not None:
            host, port = server(proxy.url).host, server(proxy.url).port
        found = await super()._resolve_host(host, port, traces)
        permitted = set(self._engine.permitted(host, [one["host"] for one in found]))
        return [one for one in found if one["host"] in permitted]

    async def _wrap_create_connection(self, *args: Any, **kwargs: Any) -> Any:
        """Connect like aiohttp, through a SOCKS proxy if there is one."""
        proxy = _WATCH.get().socks
        if proxy is None:
            return await super()._wrap_create_connection(*args, **kwargs)
        req = kwargs["req"]
        host, port = req.url.raw_host, req.port
        if server(proxy.url).scheme == "socks5":
            (first, *_) = await super()._resolve_host(host, port)
            host = first["host"]
        try:
            connected = await aiohappyeyeballs.start_connection(
                kwargs.pop("addr_infos"), loop=self._loop
            )
            await socks.shake_hands_on_loop(proxy, connected, host, port)
        except OSError as error:
            raise faults.proxy(faults.reason([error])) from error
        return await self._wrap_existing_connection(*args, sock=connected, **kwargs)

    async def _get(self, key: Any, traces: Any) -> Any:
        """Return an idle connection, unless the attempt must have a fresh one.

        What has come on an idle one and was not read yet counts as well.
        """
        watch = _WATCH.get()
        if watch.wants_fresh:
            return None
        while (idle := await super()._get(key, traces)) is not None:
            descriptor = _descriptor(idle.transport)
            if not has_input(descriptor):
                return idle
            if not key.is_ssl and has_bytes(descriptor):
                watch.distrust()
            idle.close()
        return None

    async def _create_connection(self, req: Any, *args: Any, **kwargs: Any) -> Any:
        self._let_idle_go()
        watch = _WATCH.get()
        watch.is_fresh = True
        watch.shakes_hands = req.is_ssl() and req.proxy is None
        watch.patience.connecting(time.monotonic())
        connection = await super()._create_connection(req, *args, **kwargs)
        watch.patience.asking(time.monotonic())
        return connection

    def _make_handler(self) -> _Handler:
        """Called once the socket is connected, and before TLS begins on it."""
        watch = _WATCH.get()
        if watch.shakes_hands:
            watch.patience.securing(time.monotonic())
        return _Handler(loop=self._loop)

    async def _start_tls_connection(self, *args: Any, **kwargs: Any) -> Any:
        """As aiohttp's: TLS through a proxy's tunnel."""
        _WATCH.get().patience.securing(time.monotonic())
        return await super()._start_tls_connection(*args, **kwargs)

    def _let_idle_go(self) -> None:
        """Close idle connections beyond what may be kept, the oldest hosts' first."""
        idle = sum(map(len, self._conns.values()))
        for key in list(self._conns) if idle > self._most_idle else ():
            for protocol, _ in self._conns.pop(key):
                protocol.close()
                idle -= 1
            if idle <= self._most_idle // 2:
                return


def _translate_head(error: Exception, *, is_reused: bool) -> TransportError:
    """Our word for what aiohttp raised before a response head was there."""
    why = faults.reason((error.__cause__, getattr(error, "os_error", None), error))
    if isinstance(error, (client_exceptions.ClientSSLError, ssl.SSLError)):
        return faults.tls(why)
    if isinstance(error, client_exceptions.ClientHttpProxyError):
        return faults.tunnel(error.status)
    if isinstance(error, client_exceptions.ClientProxyConnectionError):
        return faults.proxy(why)
    if isinstance(error, client_exceptions.ServerDisconnectedError):
        return faults.lost(is_reused=is_reused)
    if isinstance(error, client_exceptions.ClientConnectorError):
        return faults.no_connection(why)
    is_lost = isinstance(error, OSError)
    return faults.lost(is_reused=is_reused) if is_lost else malformed()

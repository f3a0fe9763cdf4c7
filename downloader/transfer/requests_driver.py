"""One attempt on requests, blocking; for one thread at a time.

requests and urllib3 bring pools, TLS and HTTP/1.1 and keep what they know to themselves,
so this is mostly about taking their own decisions away: no redirect, retry, cookie,
environment, decoding or content-sniffing of theirs takes part. The adapter is used
without the session's `send`, which reads the body of every redirect (1 MB of it can
unfold to 1 GB) and costs a third of the time.

Answers are read by our own rules, see `downloader.policy.answers`; waits that the
libraries' timeouts do not see are watched, see `downloader.transfer.watch`.
"""

from __future__ import annotations

import http.client
import ssl
import time
from typing import TYPE_CHECKING, Any

import requests
from requests.structures import CaseInsensitiveDict
from urllib3 import exceptions as urllib3_errors

from downloader.errors import DiskError, InvalidUrl, TransportError
from downloader.policy.answers import malformed
from downloader.transfer import faults
from downloader.transfer.requests_connections import (
    KEPT_POOLS,
    Adapter,
    Line,
)
from downloader.transfer.transfer import CHUNK_BYTES, Transfer
from downloader.transfer.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from urllib3.response import HTTPResponse

    from downloader.models import Attempt, AttemptResult, Moved
    from downloader.transfer.engine import Engine
    from downloader.transfer.folder import Folder
    from downloader.transfer.watch import Watchdog


class RequestsDriver:
    """Runs attempts one after another on connections of its own.

    Args:
        engine: What the process shares.
        watchdog: Who cuts blocked reads off.
        folder: This thread's view of the output folder.
        most_idle: Hosts whose idle connections it keeps.
    """

    def __init__(
        self,
        engine: Engine,
        watchdog: Watchdog,
        folder: Folder,
        most_idle: int = KEPT_POOLS,
    ) -> None:
        self._engine = engine
        self._watchdog = watchdog
        self._folder = folder
        self._line = Line(engine)
        self._adapter = Adapter(self._line, engine, min(most_idle, KEPT_POOLS))

    def steps(
        self, attempt: Attempt, tell: Callable[[Moved], None]
    ) -> Generator[None, None, AttemptResult]:
        """Run an attempt, giving control back after each chunk of its body."""
        transfer = Transfer(
            attempt, self._engine.plan, self._folder, self._engine.take, tell
        )

        def cut() -> None:
            transfer.interrupt()
            self._line.cut()

        watch = Watch(transfer.patience, cut)
        self._line.begin(watch, transfer.url.host_key, wants_fresh=attempt.is_fresh)
        self._watchdog.live[id(watch)] = watch
        try:
            self._engine.check()
            yield from self._converse(transfer, watch)
        except (TransportError, DiskError, InvalidUrl) as error:
            if watch.failure is None:
                transfer.fail_with(error)
            else:
                transfer.fail(watch.failure)
        finally:
            self._watchdog.live.pop(id(watch), None)
            self._line.end()
        if transfer.result is None and watch.failure is not None:
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
                head = self._line.reader.head
                assert head is not None
                if transfer.head(head.status, head.fields):
                    yield from self._receive(raw, transfer)
                    is_whole = not transfer.has_enough and watch.failure is None
                    if watch.failure is None:
                        if transfer.ended():
                            transfer.settle()
                        if watch.failure is None:  # it may be cut off as it waits
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
        proxy = transfer.proxy = self._engine.proxy_for(url)
        self._line.target = url.request_target(None if proxy is None else proxy.url)
        self._line.go_through(proxy)
        http_proxy = self._line.http_proxy
        timeout = transfer.patience.timeout_seconds
        transfer.patience.connecting(time.monotonic())
        try:
            response = self._adapter.send(
                request,
                stream=True,
                timeout=(timeout, timeout),
                proxies={url.scheme: http_proxy.origin} if http_proxy else {},
            )
        except (requests.RequestException, urllib3_errors.HTTPError, OSError) as error:
            raise _translate_head(
                error,
                is_reused=self._line.is_reused,
                complaint=transfer.patience.complaint(),
            ) from error
        raw: HTTPResponse = response.raw
        return raw

    def _receive(self, raw: HTTPResponse, transfer: Transfer) -> Iterator[None]:
        if transfer.lead_bytes:
            transfer.catch_up()
        most = self._engine.chunk_bytes(CHUNK_BYTES)
        while data := _read(raw, most, transfer):
            pause_seconds = transfer.chunk(data)
            if transfer.has_enough:
                return
            if pause_seconds:
                self._engine.pause(pause_seconds)
            yield
        if self._line.is_mixed_up():
            self._line.distrust()
            raise faults.mixed_up()


def _read(raw: HTTPResponse, most: int, transfer: Transfer) -> bytes:
    """Whatever has come, at most so much; empty at the end."""
    try:
        return raw.read1(most, decode_content=False)
    except urllib3_errors.ReadTimeoutError as error:
        raise faults.timeout(transfer.patience.complaint()) from error
    except (urllib3_errors.HTTPError, http.client.HTTPException, OSError) as error:
        raise faults.body_cut() from error


def _drain(raw: HTTPResponse, transfer: Transfer) -> bool:
    """Read a short body of no interest; False if that failed."""
    try:
        while _read(raw, CHUNK_BYTES, transfer):
            pass
    except TransportError:
        return False
    return True


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
    if is_reused and any(isinstance(one, ConnectionError) for one in chain):
        # A proxy's too: it had the right to close a connection that stood idle.
        return faults.lost(is_reused=True)
    # From the most to the least telling; the first class found in the chain decides.
    choices: tuple[tuple[_Classes, TransportError], ...] = (
        (_TLS, faults.tls(faults.reason(chain))),
        ((urllib3_errors.ProxyError,), faults.proxy()),
        (_TIMEOUT, faults.timeout(complaint)),
        ((ConnectionError,), faults.lost(is_reused=is_reused)),
        ((http.client.HTTPException,), malformed()),
    )
    for classes, fault in choices:
        if any(isinstance(one, classes) for one in chain):
            return fault
    return faults.no_connection(faults.reason(chain))

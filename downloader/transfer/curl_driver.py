"""Attempts on libcurl's multi interface: an event loop in C, any number at a time.

The loop and what it hands out are here; how one handle serves one attempt is in
`downloader.transfer.curl_call`.
"""

from __future__ import annotations

import os
import time
from collections import deque
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, TypeVar

import pycurl

from downloader.transfer import faults
from downloader.transfer.aside import Aside
from downloader.transfer.curl_call import Call
from downloader.transfer.environment import hidden_variables
from downloader.transfer.sockets import Sockets
from downloader.transfer.transfer import Transfer
from downloader.transfer.watch import sweep_seconds

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from downloader.models import Attempt, AttemptResult, Failure, Moved
    from downloader.policy.proxies import Server
    from downloader.policy.urls import Url
    from downloader.transfer.engine import Engine
    from downloader.transfer.folder import Folder

_IPV4_PARTS = 4
# A bound on memory.
MOST_NAMES = 10_000
T = TypeVar("T")


class CurlDriver:
    """Runs attempts in the thread that calls `turn`.

    Args:
        engine: What the process shares.
        folder: The loop's view of the output folder.
        most_idle: Connections that are kept though nobody uses them now.
        broken: Makes the result of an attempt that met a fault of this program.
    """

    def __init__(
        self,
        engine: Engine,
        folder: Folder,
        most_idle: int,
        broken: Callable[[Attempt, Exception], AttemptResult],
    ) -> None:
        self.engine = engine
        self.folder = folder
        self.broken = broken
        with hidden_variables():  # the first of a process initializes libcurl
            self.multi = pycurl.CurlMulti()
        self.multi.setopt(pycurl.M_MAXCONNECTS, most_idle)
        if engine.plan.http_version > 1:
            self.multi.setopt(pycurl.M_PIPELINING, pycurl.PIPE_MULTIPLEX)
            # libcurl reads it with each QUIC connection; no option turns that off.
            os.environ.pop("QLOGDIR", None)
        self.sockets = Sockets(self.multi, self._take_ended)
        self.trust = _Trust(engine)
        self.results: list[AttemptResult] = []
        self.dirty: list[Call] = []
        self._by_handle: dict[pycurl.Curl, Call] = {}
        self._free: list[Call] = []
        self._live: dict[int, Call] = {}
        self._names: dict[str, bool] = {}
        # Set by other threads, read by the loop.
        self._ready: deque[tuple[Call, int, Callable[[], None]]] = deque()
        self._timers: list[tuple[float, int, Call, int, Callable[[], None]]] = []
        self._serial = count()
        self._aside = Aside()
        self._sweep_seconds = sweep_seconds(engine.plan.timeout_seconds)
        self._swept_at = time.monotonic()
        self._aborted: Failure | None = None
        self.wake = self.sockets.wake

    def begin(self, attempt: Attempt, tell: Callable[[Moved], None]) -> None:
        """Take an attempt up; its result comes out of a later `turn`."""
        transfer = Transfer(
            attempt, self.engine.plan, self.folder, self.engine.take, tell
        )
        if self._free:
            call = self._free.pop()
        else:
            call = Call(self)
            self._by_handle[call.easy] = call
        self._live[id(call)] = call
        call.begin(attempt, transfer)

    def turn(self, timeout_seconds: float) -> list[AttemptResult]:
        """Move bytes for a while.

        Returns:
            What has ended; maybe nothing, if the time was over or `wake` was called.
        """
        until = time.monotonic() + timeout_seconds
        while not self.results:
            now = time.monotonic()
            self._run_timers(now)
            waits = min(until, self._swept_at + self._sweep_seconds)
            if self._timers:
                waits = min(waits, self._timers[0][0])
            is_woken = self.sockets.turn(waits - now)
            self._flush()
            while self._ready:
                self._follow_up(*self._ready.popleft())
            now = time.monotonic()
            if self._aborted is not None or now > self._swept_at + self._sweep_seconds:
                self._sweep(now)
            if is_woken or now >= until:
                break
        results, self.results = self.results, []
        return results

    def abort_all(self, failure: Failure) -> None:
        """Cut off every attempt under way, with the next `turn`; from any thread."""
        self._aborted = failure
        self.wake()

    def close(self) -> None:
        """Close every connection and the folder."""
        for call in self._live.values():
            call.transfer.interrupt()  # no thread shall wait on for others
            call.leave()
        self._live.clear()
        self.multi.close()
        for easy in self._by_handle:
            easy.close()
        self.sockets.close()
        self._aside.close()
        self.folder.close()

    # For calls

    def finished(self, call: Call, result: AttemptResult) -> None:
        """A call has its result and may serve another attempt."""
        del self._live[id(call)]
        self._free.append(call)
        self.results.append(result)

    def look_up(self, url: Url, proxy: Server | None) -> Future[list[str]] | None:
        """The addresses to connect to; None if literal ones are written there already.

        Raises:
            TransportError: It is an address that may not be connected to.
        """
        places = [(url.host, url.port)]
        if proxy is not None:
            own = (proxy.host, proxy.port)
            places = [own, *places] if proxy.scheme == "socks5" else [own]
        names = [place for place in places if self._is_name(place[0])]
        if names:
            return self.engine.addresses(names)
        self.engine.permitted(places[0][0], [places[0][0]])
        return None

    def _is_name(self, host: str) -> bool:
        is_name = self._names.get(host)
        if is_name is None:
            is_name = not _is_address(host)
            if len(self._names) > MOST_NAMES:
                self._names.clear()
            self._names[host] = is_name
        return is_name

    def later(self, call: Call, seconds: float, then: Callable[[], None]) -> None:
        """Have something done for a call after so many seconds."""
        due = time.monotonic() + seconds
        heappush(self._timers, (due, next(self._serial), call, call.generation, then))

    def follow(
        self,
        call: Call,
        future: Future[T],
        then: Callable[[Future[T]], None],
    ) -> None:
        """Go on with a call in the loop once something is done elsewhere.

        Unless its attempt has ended by then: the call may serve another one.
        """
        generation = call.generation

        def go_on(done: Future[T]) -> None:
            self._ready.append((call, generation, lambda: then(done)))
            self.wake()

        future.add_done_callback(go_on)

    def in_thread(
        self,
        call: Call,
        work: Callable[[], None],
        then: Callable[[Future[None]], None],
        *,
        is_long: bool = False,
    ) -> None:
        """Wait elsewhere, and go on with `then` in the loop; see `Aside.run`."""
        self.follow(call, self._aside.run(work, is_long=is_long), then)

    # The loop's parts

    def _flush(self) -> None:
        """Hand on what came in this turn; larger pieces cost less than many small ones."""
        if self.dirty:
            dirty, self.dirty = self.dirty, []
            for call in dirty:
                call.flush()

    def _take_ended(self) -> None:
        while True:
            left, ended, failed = self.multi.info_read()
            for easy in ended:
                self._by_handle[easy].ended(0)
            for easy, code, _ in failed:
                self._by_handle[easy].ended(code)
            if not left:
                return

    def _follow_up(self, call: Call, generation: int, then: Callable[[], None]) -> None:
        if call.generation == generation:
            then()

    def _run_timers(self, now: float) -> None:
        while self._timers and self._timers[0][0] <= now:
            _, _, call, generation, then = heappop(self._timers)
            self._follow_up(call, generation, then)

    def _sweep(self, now: float) -> None:
        self._swept_at = now
        for call in list(self._live.values()):
            call.look()
            if self._aborted is not None:
                call.watch.abort(self._aborted)
            else:
                call.watch.sweep(now)
            call.end_if_cut()
        self._aborted = None


class _Trust:
    """Whose certificates are believed; found out at the first https request."""

    def __init__(self, engine: Engine) -> None:
        self._plan = engine.plan
        self._found: tuple[str | None, str | None] | None = None
        # By server: whether its certificate has a name for it where one has to be.
        self._is_named: dict[str, bool] = {}

    def is_curious(self, host_key: str) -> bool:
        """True if what libcurl says of a server's certificate should be listened to."""
        return self._plan.verifies_tls and not self._is_named.get(host_key)

    def listen(self, host_key: str, said: bytes, *, may_learn: bool) -> None:
        """Take in a line that libcurl says during a handshake.

        It takes a common name where there is no subjectAltName, and has no option
        against that; nothing else tells of it before the request goes out.

        Args:
            host_key: The server.
            said: The line.
            may_learn: False if it may be about a proxy's certificate.
        """
        if b"common name:" in said and b"(matched)" in said:
            self._is_named[host_key] = False
        elif may_learn and b"subjectAltName:" in said and b"matche" in said:
            if len(self._is_named) > MOST_NAMES:
                self._is_named.clear()
            self._is_named.setdefault(host_key, True)

    def check(self, host_key: str) -> None:
        """Refuse a server whose certificate has but a common name.

        Raises:
            TransportError: So it is.
        """
        if self._is_named.get(host_key) is False:
            raise faults.unnamed()

    def apply(self, easy: pycurl.Curl) -> None:
        """Set it on a handle, for servers and for proxies."""
        if self._found is None:
            # Never libcurl's own: its OpenSSL reads the host's settings.
            from downloader.transfer.tls import trusted

            self._found = trusted(self._plan.cacert)
        file, folder = self._found
        for option, value in (
            (pycurl.CAINFO, file),
            (pycurl.PROXY_CAINFO, file),
            (pycurl.CAPATH, folder),
            (pycurl.PROXY_CAPATH, folder),
        ):
            if value is None:
                easy.unsetopt(option)
            else:
                easy.setopt(option, value)
        if not self._plan.verifies_tls:
            easy.setopt(pycurl.SSL_VERIFYPEER, 0)
            easy.setopt(pycurl.SSL_VERIFYHOST, 0)
            easy.setopt(pycurl.PROXY_SSL_VERIFYPEER, 0)
            easy.setopt(pycurl.PROXY_SSL_VERIFYHOST, 0)


def _is_address(host: str) -> bool:
    """True of an address as a URL has it; a proxy's may look otherwise, and is looked up."""
    if ":" in host:
        return True
    parts = host.split(".")
    return len(parts) == _IPV4_PARTS and all(
        part.isascii() and part.isdigit() and str(int(part[:4])) == part
        for part in parts
    )

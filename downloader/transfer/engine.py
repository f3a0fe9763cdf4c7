"""What the drivers of one process share: names, trust, rate, and who cuts off whom."""

from __future__ import annotations

import threading
import time
from functools import cached_property
from typing import TYPE_CHECKING

from downloader.errors import TransportError
from downloader.models import ErrorKind
from downloader.policy.rate import TokenBucket
from downloader.transfer import faults

if TYPE_CHECKING:
    import ssl
    from concurrent.futures import Future

    from downloader.models import Failure, Proxy
    from downloader.policy.urls import Url
    from downloader.transfer.plan import Plan
    from downloader.transfer.resolver import Address, Resolver

PAUSE_SLICE_SECONDS = 0.2


class Engine:
    """The parts of a process that all its attempts use.

    Args:
        plan: The run as this process sees it.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        # Set once, to the failure that every attempt shall end with.
        self.stop: Failure | None = None
        # Servers, by host and port, that have sent what nobody asked for. None of their
        # connections serves two requests: the answers may be shifted by one.
        self.strayed: set[str] = set()
        self._bucket = TokenBucket(plan.bytes_per_second)
        self._bucket_lock = threading.Lock()

    @cached_property
    def resolver(self) -> Resolver:
        """Who looks names up, made with the first; `socket` alone takes 3 ms to import."""
        from downloader.transfer.resolver import Resolver

        # Two threads may come here at once, and must get the same.
        made: Resolver = self.__dict__.setdefault("resolver", Resolver())
        return made

    @cached_property
    def tls(self) -> ssl.SSLContext:
        """The TLS context, made at the first https request: it costs 10 to 20 ms."""
        from downloader.transfer.tls import make_context

        return make_context(self.plan.cacert, verifies=self.plan.verifies_tls)

    def permitted(self, host: str, addresses: list[str]) -> list[str]:
        """Those of a host's addresses that may be connected to.

        Raises:
            TransportError: There are some, but none of them may be.
        """
        if not self.plan.blocks_private:
            return addresses
        public = [address for address in addresses if _is_elsewhere(address)]
        if addresses and not public:
            raise faults.private(host, addresses[0])
        return public

    def addresses(self, places: list[tuple[str, int]]) -> Future[list[str]]:
        """A future of where to connect to, as libcurl's RESOLVE wants it.

        It fails with `TransportError`: there is no address, or none that may be used.

        Args:
            places: Names with their ports, which are looked up one after another.
        """
        from concurrent.futures import Future  # 11 ms, which no literal address needs

        told: Future[list[str]] = Future()
        texts: list[str] = []

        def ask() -> None:
            self.resolver.ask(*places[len(texts)]).add_done_callback(translate)

        def translate(answer: Future[list[Address]]) -> None:
            host, port = places[len(texts)]
            try:
                found = [address.sockaddr[0] for address in answer.result()]
                permitted = dict.fromkeys(self.permitted(host, found))
            except TransportError as error:
                told.set_exception(error)
                return
            texts.append(f"+{host}:{port}:{','.join(permitted)}")
            if len(texts) < len(places):
                ask()
            else:
                told.set_result(texts)

        ask()
        return told

    def proxy_for(self, url: Url) -> Proxy | None:
        """The proxy that a request goes through; None to go straight.

        Raises:
            TransportError: It cannot be used, or not together with `--block-private`.
        """
        if not self.plan.proxies.by_scheme:
            return None
        from downloader.policy import proxies

        proxy = proxies.proxy_for(url, self.plan.proxies)
        if proxy is None:
            return None
        if proxy.fault is not None:
            raise TransportError(ErrorKind.BLOCKED, proxy.fault)
        if self.plan.blocks_private:
            raise faults.unseen_address(proxies.shown(proxy))
        return proxy

    def chunk_bytes(self, largest: int) -> int:
        """How much one read may bring: less where a rate is kept, so that it is smooth."""
        rate = self._bucket.bytes_per_second
        return largest if rate is None else max(1024, min(largest, int(rate / 8)))

    def take(self, size_bytes: int, now: float) -> float:
        """The seconds to wait after so many bytes came, for the rate's sake."""
        if self._bucket.bytes_per_second is None:
            return 0.0
        with self._bucket_lock:
            return self._bucket.take(size_bytes, now)

    def limit(self, bytes_per_second: float | None) -> None:
        """Go on at another rate."""
        self._bucket.change(bytes_per_second)

    def pause(self, seconds: float) -> None:
        """Wait, but no longer than until `stop` is set."""
        # In slices, without an event: a signal handler that set one could deadlock.
        until = time.monotonic() + seconds
        while self.stop is None and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, PAUSE_SLICE_SECONDS))

    def check(self) -> None:
        """Refuse to begin once `stop` is set.

        Raises:
            TransportError: It is, with the failure it holds.
        """
        if self.stop is not None:
            raise TransportError(self.stop.kind, self.stop.detail)

    def close(self) -> None:
        """Let go of the threads."""
        if "resolver" in self.__dict__:
            self.resolver.close()


def _is_elsewhere(text: str) -> bool:
    """True if an address is a public one, and none of this machine."""
    from downloader.policy.addresses import is_public, meant

    return is_public(text) and not _is_own(str(meant(text)))


def _is_own(address: str) -> bool:
    """True if an interface of this machine has the address: only such can be bound to.

    Where the system lets any be bound to (`net.ipv4.ip_nonlocal_bind`), and where this
    cannot be found out, all count as its own.
    """
    import errno
    import socket

    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError as error:
        return error.errno not in {
            errno.EADDRNOTAVAIL,
            getattr(errno, "WSAEADDRNOTAVAIL", errno.EADDRNOTAVAIL),
        }
    return True

"""Choose the proxy of a request, and name it in messages."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from downloader.models import ErrorKind, http_kind
from downloader.tuples import NamedTuple

if TYPE_CHECKING:
    from downloader.models import Failure, Proxies, Proxy
    from downloader.policy.urls import Url

_DEFAULT_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_UNAUTHENTICATED = http_kind(407)


class Server(NamedTuple):
    """A proxy's URL, taken apart.

    Attributes:
        scheme: `http`, `https`, `socks5`, or `socks5h`, which looks names up at the proxy.
        host: Its name or address, without brackets.
        port: Always set, the scheme's default included.
        username: Percent-decoded; None if the URL has none.
        password: Percent-decoded; empty if there is but a user name.
    """

    scheme: str
    host: str
    port: int
    username: str | None
    password: str

    @property
    def is_socks(self) -> bool:
        """True if it speaks SOCKS and not HTTP."""
        return self.scheme.startswith("socks")

    @property
    def is_tls(self) -> bool:
        """True if the connection to it is encrypted."""
        return self.scheme == "https"

    @property
    def place(self) -> str:
        """Host and port as a URL has them."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return f"{name}:{self.port}"

    @property
    def origin(self) -> str:
        """The URL without user name and password."""
        return f"{self.scheme}://{self.place}"

    @property
    def credentials(self) -> str | None:
        """`user:password`; None if the URL has none."""
        return None if self.username is None else f"{self.username}:{self.password}"


@lru_cache(maxsize=8)
def server(url: str) -> Server:
    """Read a proxy's URL, which has been checked before."""
    from urllib.parse import unquote, urlsplit  # for proxies only

    parts = urlsplit(url)
    username, password = (
        text and unquote(text, errors="surrogateescape")
        for text in (parts.username, parts.password)
    )
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    return Server(
        parts.scheme, parts.hostname or "", port, username or None, password or ""
    )


def proxy_for(url: Url, proxies: Proxies) -> Proxy | None:
    """The proxy for a request; None to go straight.

    Args:
        url: Where the request goes.
        proxies: Those of the run. Exceptions are read the way curl reads NO_PROXY: names,
            domains (with or without a leading dot), addresses, networks, each with an
            optional port, or `*`.
    """
    by_scheme = proxies.by_scheme
    proxy = by_scheme.get(url.scheme) or by_scheme.get("all")
    if proxy is None or _is_exempt(url, proxies.exceptions):
        return None
    return proxy


def shown(proxy: Proxy) -> str:
    """A usable proxy for messages, without its user name and password."""
    return f"proxy {server(proxy.url).place} (from {proxy.source})"


# Proxies give these answers for reasons of their own, and do not say so.
_MAYBE_ITS_OWN = frozenset(map(http_kind, (401, 403, 502, 503, 504)))
# They come before any answer of the host's own.
_BEFORE_ANSWER = frozenset({ErrorKind.CONNECT, ErrorKind.DNS, _UNAUTHENTICATED})


def name_failure(failure: Failure, proxy: Proxy, http_status: int | None) -> Failure:
    """The failure, its text naming the proxy if it may be the proxy's.

    Args:
        failure: What went wrong.
        proxy: The proxy that the request went through.
        http_status: The last status seen, None if there was none.
    """
    if failure.kind in _MAYBE_ITS_OWN:
        said = f"{failure.detail}, through {shown(proxy)}"
        return msgspec.structs.replace(failure, detail=said)
    is_silence = failure.kind == ErrorKind.TIMEOUT and http_status is None
    if failure.kind not in _BEFORE_ANSWER and not is_silence:
        return failure
    said = failure.detail
    if failure.kind == _UNAUTHENTICATED:
        has_one = server(proxy.url).username is not None
        said = "refused the user name or password" if has_one else _ASKS
    return msgspec.structs.replace(failure, detail=f"{shown(proxy)}: {said}")


_ASKS = (
    "wants a user name and password; put them into its URL: http://user:password@..."
)


def _is_exempt(url: Url, exceptions: str) -> bool:
    return any(
        _matches(url, entry) for entry in exceptions.replace(",", " ").lower().split()
    )


def _matches(url: Url, entry: str) -> bool:
    if entry == "*":
        return True
    name, colon, port = entry.rpartition(":")
    if colon and port.isdecimal() and (name.endswith("]") or ":" not in name):
        if int(port) != url.port:
            return False
        entry = name
    entry = entry.strip("[]").lstrip(".")
    if url.host == entry or url.host.endswith("." + entry):
        return bool(entry)
    return _in_network(url.host, entry)


def _in_network(host: str, entry: str) -> bool:
    from ipaddress import ip_address, ip_network  # 1.3 ms, for proxies only

    try:
        return ip_address(host) in ip_network(entry, strict=False)
    except ValueError:
        return False

"""SOCKS for the drivers on requests and aiohttp, by python-socks; libcurl has its own."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from downloader.errors import TransportError
from downloader.models import ErrorKind
from downloader.policy.proxies import server, shown
from downloader.transfer import faults

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from contextlib import contextmanager

    from downloader.models import Proxies, Proxy
else:
    from contextlib import contextmanager

# The attempts' own watch ends what takes too long.
_LONG_SECONDS = 1e6


def is_served(proxies: Proxies) -> bool:
    """True unless there is a SOCKS proxy, and python-socks is missing."""
    urls = [proxy.url.lower() for proxy in proxies.by_scheme.values()]
    has_one = any(url.startswith("socks") for url in urls)
    return not has_one or find_spec("python_socks") is not None


def require(proxy: Proxy) -> None:
    """Refuse to go on without python-socks.

    Raises:
        TransportError: It is not installed.
    """
    try:
        import python_socks  # noqa: F401 - whether it is there
    except ImportError as error:
        text = (
            f"{shown(proxy)}: SOCKS needs python-socks here: "
            "pip install 'downloader-engine[socks]', or use the strategy curl"
        )
        raise TransportError(ErrorKind.BLOCKED, text) from error


def shake_hands(proxy: Proxy, connected: socket.socket, host: str, port: int) -> None:
    """Have a proxy connect to a host, over a connection to the proxy.

    Args:
        proxy: Which it is.
        connected: The connection; closed if this fails.
        host: A name, which the proxy then looks up, or an address.
        port: The host's.

    Raises:
        TransportError: The proxy refuses.
        OSError: The connection is lost, or silent for too long.
    """
    from python_socks.sync import Proxy as Client

    given = _arguments(proxy)

    class Ready(Client):
        def connect(self, *_: object, **__: object) -> socket.socket:
            return connected

    with _translated():
        Client(**given, forward=Ready(**given)).connect(host, port)


async def shake_hands_on_loop(
    proxy: Proxy, connected: socket.socket, host: str, port: int
) -> None:
    """Do the handshake of `shake_hands` on the running event loop."""
    from python_socks.async_.asyncio import Proxy as Client

    given = _arguments(proxy)

    class Ready(Client):
        async def connect(self, *_: object, **__: object) -> socket.socket:
            return connected

    with _translated():
        client = Client(**given, forward=Ready(**given))
        await client.connect(host, port, _LONG_SECONDS)


def _arguments(proxy: Proxy) -> dict[str, Any]:
    from python_socks import ProxyType

    found = server(proxy.url)
    return {
        "proxy_type": ProxyType.SOCKS5,
        "host": found.host,
        "port": found.port,
        "username": found.username,
        "password": found.password,
        # What the proxy shall not look up is an address by then.
        "rdns": True,
    }


@contextmanager
def _translated() -> Iterator[None]:
    from python_socks import ProxyError

    try:
        yield
    except ProxyError as error:
        raise faults.socks(error.error_code, str(error)) from error
    except ValueError as error:
        why = "its user name or password cannot be sent: too long, or beyond ASCII"
        raise faults.proxy(why) from error

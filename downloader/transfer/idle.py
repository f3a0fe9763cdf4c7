"""Connections between two requests: nothing may come on them (RFC 9112 §9.3)."""

from __future__ import annotations

import contextlib
import select


def has_input(descriptor: int) -> bool:
    """True if there is anything to read on a connection: bytes, its end, or an error."""
    if not hasattr(select, "poll"):
        return bool(select.select([descriptor], [], [], 0)[0])
    poller = select.poll()  # takes any descriptor; `select` none from 1,024 on
    poller.register(descriptor, select.POLLIN)
    return bool(poller.poll(0))


def has_bytes(descriptor: int) -> bool:
    """True if bytes lie on a connection that the other side has not closed.

    Never where the system does not tell bytes from an end.
    """
    if not hasattr(select, "POLLRDHUP"):
        return False
    poller = select.poll()
    poller.register(descriptor, select.POLLIN | select.POLLRDHUP)
    return any(event == select.POLLIN for _, event in poller.poll(0))


def shut_down(descriptor: int) -> None:
    """End a connection that another has opened, and will close."""
    import socket  # 3 ms, for odd servers only

    connected = socket.socket(fileno=descriptor)
    with contextlib.suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)
    connected.detach()

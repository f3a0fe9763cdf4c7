"""libcurl's sockets and timer on an event queue of the system.

`socket_action` over the system's own queue serves ten thousand connections as well as
ten; `select`, which the library would use by itself, cannot see descriptors from 1,024 on.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import time
from typing import TYPE_CHECKING, Any

import pycurl

from downloader.transfer.idle import has_input

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import RawIOBase

_EVENTS = {
    pycurl.POLL_IN: selectors.EVENT_READ,
    pycurl.POLL_OUT: selectors.EVENT_WRITE,
    pycurl.POLL_INOUT: selectors.EVENT_READ | selectors.EVENT_WRITE,
}
_FLAGS = {
    selectors.EVENT_READ: pycurl.CSELECT_IN,
    selectors.EVENT_WRITE: pycurl.CSELECT_OUT,
    selectors.EVENT_READ | selectors.EVENT_WRITE: pycurl.CSELECT_IN
    | pycurl.CSELECT_OUT,
}


# Both ends of a connection, as libcurl names them: address and port, theirs and ours.
Ends = tuple[str, str, int, int]


class Sockets:
    """Turns a multi handle: waits for its sockets, and tells it which are ready.

    Args:
        multi: The handle; its callbacks are set here.
        look: Called after each step of the library's, before it does anything else.
    """

    def __init__(self, multi: pycurl.CurlMulti, look: Callable[[], None]) -> None:
        self._multi = multi
        self._look = look
        self._selector = selectors.DefaultSelector()
        self._wanted: dict[int, int] = {}
        self._registered: dict[int, int] = {}
        self._watched: dict[Ends, int] = {}
        self._users: dict[Ends, object] = {}
        self._ends: dict[int, Ends] = {}
        self._due: float | None = None
        self._alarm, self._bell = _bell()
        self._selector.register(self._alarm, selectors.EVENT_READ)
        multi.setopt(pycurl.M_SOCKETFUNCTION, self._want)
        multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)

    def wake(self) -> None:
        """End a `turn` that waits; from any thread and from a signal handler."""
        # A full pipe wakes as well; once closed there is nobody to wake.
        with contextlib.suppress(OSError, ValueError):
            self._bell.write(b"\0")

    def turn(self, timeout_seconds: float) -> bool:
        """Wait for something to happen, at most so long, and have libcurl act upon it.

        Returns:
            True if it was woken.
        """
        if self._due is not None:
            timeout_seconds = min(timeout_seconds, self._due - time.monotonic())
        is_woken = False
        for key, mask in self._selector.select(max(0.0, timeout_seconds)):
            descriptor = key.fd
            if descriptor in self._wanted:
                # None of them on a hangup: libcurl looks for itself.
                self._multi.socket_action(descriptor, _FLAGS.get(mask, 0))
                self._look()
            elif key.fileobj is self._alarm:
                is_woken = True
                self._alarm.read(4096)
            else:
                self._forget(descriptor)
        if self._due is not None and self._due <= time.monotonic():
            self._due = None
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
            self._look()
        return is_woken

    def close(self) -> None:
        """Let go of the queue, after the multi handle has been closed."""
        self._selector.close()
        self._alarm.close()
        self._bell.close()

    def _want(self, what: int, descriptor: int, _multi: Any, _data: Any) -> None:
        if what == pycurl.POLL_REMOVE:
            # It stays registered: the next request on this connection saves two calls.
            self._wanted.pop(descriptor, None)
            return
        events = _EVENTS[what]
        self._wanted[descriptor] = events
        registered = self._registered.get(descriptor)
        if registered == events:
            return
        try:
            if registered is None:
                self._selector.register(descriptor, events)
            else:
                self._selector.modify(descriptor, events)
        except (OSError, KeyError, ValueError):
            self._forget(descriptor)
            self._selector.register(descriptor, events)
        self._registered[descriptor] = events

    def forget(self, descriptor: int) -> None:
        """A new socket has this number, which a closed one may have had before."""
        self._wanted.pop(descriptor, None)
        ends = self._ends.pop(descriptor, None)
        if ends is not None and self._watched.get(ends) == descriptor:
            del self._watched[ends], self._users[ends]
        self._forget(descriptor)

    def watch(self, ends: Ends, descriptor: int, user: object) -> None:
        """An HTTP/1 answer came on a connection: between answers nothing may come.

        On other connections it may: HTTP/2 and 3 have frames that nobody asked for.
        """
        self._watched[ends], self._ends[descriptor] = descriptor, ends
        self._users[ends] = user

    def take(self, ends: Ends, user: object) -> int | None:
        """Use a connection; its socket if it has received anything, if only its end."""
        descriptor = self._watched.get(ends)
        if descriptor is None:
            return None
        self._users[ends] = user
        return descriptor if has_input(descriptor) else None

    def has(self, ends: Ends, user: object) -> bool:
        """True if nobody else has used the connection meanwhile."""
        return self._users.get(ends) is user

    def _forget(self, descriptor: int) -> None:
        self._registered.pop(descriptor, None)
        with contextlib.suppress(KeyError, ValueError, OSError):
            self._selector.unregister(descriptor)

    def _set_timer(self, milliseconds: int) -> None:
        self._due = None if milliseconds < 0 else time.monotonic() + milliseconds / 1000


def _bell() -> tuple[RawIOBase, RawIOBase]:
    """Two ends of a pipe, to read from and to write to; neither ever blocks."""
    if os.name == "posix":
        ends = os.pipe()
        for end in ends:
            os.set_blocking(end, False)
        return open(ends[0], "rb", buffering=0), open(ends[1], "wb", buffering=0)
    import socket  # 3 ms; elsewhere no pipe can be waited for

    alarm, bell = socket.socketpair()
    for one in (alarm, bell):
        one.settimeout(0.0)
    return alarm.makefile("rb", buffering=0), bell.makefile("wb", buffering=0)

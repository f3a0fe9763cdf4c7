"""Host names to addresses, within a deadline and once for all who ask.

`socket.getaddrinfo` cannot be interrupted, knows no deadline and answers nobody else who
asks the same meanwhile. Here it runs on a few daemon threads; who asks waits on a future
for as long as it likes, and an answer serves everyone for a minute.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from typing import TYPE_CHECKING

from downloader.errors import TransportError
from downloader.models import ErrorKind
from downloader.tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

# No shorter than what browsers keep (Firefox: 60 s), no longer than most records live.
KEPT_SECONDS = 60.0
# How long a wait goes on before it looks whether it is still wanted.
SLICE_SECONDS = 0.2
# Names looked up at once. Look-ups wait, they do not compute.
THREADS = 16


class Address(NamedTuple):
    """One address that a name stands for, as `socket.socket` and `connect` take it."""

    family: int
    sockaddr: tuple[str, int] | tuple[str, int, int, int]


class Resolver:
    """Look-ups with a memory; may be used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: dict[tuple[str, int], tuple[float, Future[list[Address]]]] = {}
        self._questions: queue.SimpleQueue[
            tuple[str, int, Future[list[Address]]] | None
        ] = queue.SimpleQueue()
        self._threads = 0
        # Questions without an answer yet, waiting and under way.
        self._unanswered = 0

    def ask(self, host: str, port: int) -> Future[list[Address]]:
        """A future of a name's addresses; fails with `TransportError` of kind `dns`."""
        from concurrent.futures import Future  # 11 ms, for names only

        literal = _literal(host, port)
        if literal is not None:
            answer: Future[list[Address]] = Future()
            answer.set_result([literal])
            return answer
        with self._lock:
            return self._ask_locked((host, port))

    def resolve(
        self,
        host: str,
        port: int,
        timeout_seconds: float,
        is_over: Callable[[], bool] = lambda: False,
    ) -> list[Address]:
        """A name's addresses, waited for.

        Args:
            host: The name.
            port: The port that the addresses are for.
            timeout_seconds: How long to wait.
            is_over: Asked several times a second; True ends the wait.

        Raises:
            TransportError: There is none (`dns`), or no answer came in time (`timeout`).
        """
        answer = self.ask(host, port)
        until = time.monotonic() + timeout_seconds
        while (left := until - time.monotonic()) > 0 and not is_over():
            with contextlib.suppress(TimeoutError):
                return answer.result(min(left, SLICE_SECONDS))
        raise TransportError(
            ErrorKind.TIMEOUT, f"no address for {host} within {timeout_seconds:g} s"
        )

    def close(self) -> None:
        """Let the threads end; one that hangs in a look-up is a daemon and left behind."""
        for _ in range(self._threads):
            self._questions.put(None)

    def _ask_locked(self, key: tuple[str, int]) -> Future[list[Address]]:
        from concurrent.futures import Future

        kept = self._answers.get(key)
        if kept is not None and _is_usable(kept):
            return kept[1]
        if len(self._answers) > 10_000:  # noqa: PLR2004 - a bound on memory, not a setting
            self._answers.clear()
        answer: Future[list[Address]] = Future()
        self._answers[key] = (time.monotonic() + KEPT_SECONDS, answer)
        self._unanswered += 1
        # Counting idle threads would not do: one may look idle to many who ask at once.
        if self._threads < min(self._unanswered, THREADS):
            self._threads += 1
            threading.Thread(
                target=self._run, name="downloader-resolver", daemon=True
            ).start()
        self._questions.put((*key, answer))
        return answer

    def _run(self) -> None:
        while True:
            question = self._questions.get()
            if question is None:
                return
            host, port, answer = question
            try:
                answer.set_result(_look_up(host, port))
            except TransportError as error:
                answer.set_exception(error)
            with self._lock:
                self._unanswered -= 1


def _is_usable(kept: tuple[float, Future[list[Address]]]) -> bool:
    """A pending answer or a fresh good one; a failure is asked again by the next try."""
    until, answer = kept
    if not answer.done():
        return True
    return answer.exception() is None and time.monotonic() < until


def _literal(host: str, port: int) -> Address | None:
    import ipaddress

    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET  # noqa: PLR2004
    return Address(family, (host, port))


def _look_up(host: str, port: int) -> list[Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise TransportError(ErrorKind.DNS, f"{host}: {reason}") from error
    return [Address(family, sockaddr) for family, _, _, _, sockaddr in found]  # type: ignore[arg-type] # typeshed allows a third form, of systems without IPv6 names

"""The digest of a file as it is written; of a large one, in a thread beside the writer."""

from __future__ import annotations

import queue
import threading
from functools import cache
from typing import TYPE_CHECKING, Protocol

from downloader import quick_hash
from downloader.errors import UsageError
from downloader.policy import digests

if TYPE_CHECKING:
    from collections.abc import Callable

# A body of at least this much is hashed beside: OpenSSL lets go of the interpreter's lock
# meanwhile, so that a GiB takes 1.2 s instead of 1.7 on two cores (measured 2026-11).
HASHED_BESIDE_BYTES = 1 << 20
# The first small files of a process are not worth loading OpenSSL for.
_FIRST_FILES = iter(range(16))
# Chunks that may wait for it, a quarter to one MiB each.
_MOST_WAITING = 16
# Of a process: more have no core to run on, and each holds what waits for it.
_MOST_THREADS = 8
_THREAD_NAME = "downloader-hash"


class Hash(Protocol):
    """What all hash functions have in common."""

    def update(self, data: bytes, /) -> object:
        """Take some bytes in."""

    def hexdigest(self) -> str:
        """The digest of all bytes so far, in hexadecimal."""


class _NoHash:
    """For whoever wants none."""

    def update(self, data: bytes, /) -> None:
        """Nothing."""

    def hexdigest(self) -> str:
        """Nothing."""
        return ""


@cache
def _sha256() -> Callable[..., Hash]:
    import hashlib  # with OpenSSL, 4 ms

    return hashlib.sha256


def new_hash(algorithm: str) -> Hash:
    """A hash function of its own, by name.

    Raises:
        UsageError: Its package is not installed, or this system does not have it.
    """
    try:
        match algorithm:
            case digests.SHA256:
                return _sha256()()
            case digests.BLAKE3:
                from blake3 import blake3

                return blake3()
            case digests.XXH3:
                from xxhash import xxh3_128

                return xxh3_128()
            case digests.NONE:
                return _NoHash()
            case _:
                import hashlib

                # Not for security: systems that allow no md5 for that allow it for this.
                return hashlib.new(algorithm, usedforsecurity=False)
    except (ImportError, ValueError):
        pass
    raise UsageError(
        f"the digest {algorithm} cannot be computed here: its package is not installed; "
        "pip install 'downloader-engine[hash]', or take sha256"
    )


def digest_of(algorithm: str, body: bytes) -> str:
    """The digest of a whole body, as it is recorded."""
    if algorithm == digests.SHA256:
        is_first = next(_FIRST_FILES, None) is not None
        function = quick_hash.sha256 if is_first else _sha256()
        return function(body).hexdigest()
    running = new_hash(algorithm)
    running.update(body)
    return digests.spell(algorithm, running.hexdigest())


class Digest:
    """A running digest; used by one thread at a time.

    Args:
        algorithm: One of those of `policy.digests`.
        is_large: Whether to hash beside.
    """

    __slots__ = ("_hash", "_room", "_thread", "_waiting", "algorithm")

    def __init__(
        self, algorithm: str = digests.SHA256, *, is_large: bool = False
    ) -> None:
        self.algorithm = algorithm
        self._hash = new_hash(algorithm)
        self._thread: threading.Thread | None = None
        if is_large and algorithm != digests.NONE:
            # This kind of queue may be put into from `__del__`, wherever that is called.
            self._waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
            self._room = threading.Semaphore(_MOST_WAITING)
            self._thread = _hash_beside(self._hash, self._waiting, self._room)

    def __del__(self) -> None:
        # Whoever dropped it without an end wants no digest, but its thread waits on.
        if getattr(self, "_thread", None) is not None:
            self._waiting.put(None)

    @property
    def is_beside(self) -> bool:
        """True while a thread hashes."""
        return self._thread is not None

    def update(self, chunk: bytes) -> None:
        """Take some more bytes in; waits if too many have not been hashed yet."""
        if self._thread is None:
            self._hash.update(chunk)
        else:
            self._room.acquire()
            self._waiting.put(chunk)

    def text(self) -> str:
        """The digest of all bytes so far, of which no more may come, as it is recorded."""
        self.end()
        return digests.spell(self.algorithm, self._hash.hexdigest())

    def end(self) -> None:
        """Let the thread end with what it has; called again it does nothing."""
        if self._thread is not None:
            thread, self._thread = self._thread, None
            self._waiting.put(None)
            thread.join()


def _hash_beside(
    digest: Hash, waiting: queue.SimpleQueue[bytes | None], room: threading.Semaphore
) -> threading.Thread | None:
    """A thread that hashes; None if there are enough, or no more are to be had."""
    others = sum(one.name == _THREAD_NAME for one in threading.enumerate())
    if others >= _MOST_THREADS:
        return None
    thread = threading.Thread(
        target=_hash_all, args=(digest, waiting, room), name=_THREAD_NAME, daemon=True
    )
    try:
        thread.start()
    except RuntimeError:  # as many as the system allows
        return None
    return thread


def _hash_all(
    digest: Hash, waiting: queue.SimpleQueue[bytes | None], room: threading.Semaphore
) -> None:
    while (chunk := waiting.get()) is not None:
        digest.update(chunk)
        room.release()

"""Work that waits for a disk, or for others, in threads beside an event loop."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future, ThreadPoolExecutor

# Disks do not get faster by more waiting for them.
_HELPERS = 4


class Aside:
    """Threads of a loop's own; made when they are needed."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None

    def run(self, work: Callable[[], None], *, is_long: bool = False) -> Future[None]:
        """Have something done.

        Args:
            work: What to do.
            is_long: Whether it waits for others, who may need the helpers meanwhile; it
                gets a thread of its own then, if the system has one.
        """
        if is_long:
            future = _run_alone(work)
            if future is not None:
                return future
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor  # 11 ms

            self._pool = ThreadPoolExecutor(_HELPERS, "downloader-disk")
        return self._pool.submit(work)

    def close(self) -> None:
        """Begin nothing more; what is under way ends by itself."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


def _run_alone(work: Callable[[], None]) -> Future[None] | None:
    from concurrent.futures import Future

    future: Future[None] = Future()
    thread = threading.Thread(
        target=_run, args=(future, work), name="downloader-rest", daemon=True
    )
    try:
        thread.start()
    except RuntimeError:  # as many as the system allows
        return None
    return future


def _run(future: Future[None], work: Callable[[], None]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        work()
    except BaseException as error:  # noqa: BLE001 - told to whoever waits
        future.set_exception(error)
    else:
        future.set_result(None)

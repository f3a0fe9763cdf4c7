"""The worker's side of the `processes` strategy; imported by its processes alone."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from downloader.models import AttemptResult, ErrorKind, Failure
from downloader.strategies import frames
from downloader.strategies.blocking import BlockingWorker
from downloader.strategies.board import Board
from downloader.strategies.guard import Guard, end_with_parent, ignore_interrupts
from downloader.strategies.results import own_usage
from downloader.transfer.engine import Engine
from downloader.transfer.plan import Plan
from downloader.transfer.watch import Watchdog

if TYPE_CHECKING:
    from downloader.models import Moved


class PooledWorker:
    """What a process of the `processes` strategy keeps between batches."""

    # A batch hands the rest of its attempts back after so long, so that one slow file
    # does not hold up those behind it.
    BATCH_SECONDS = 0.5

    def __init__(self, plan: Plan, board: Board) -> None:
        self._engine = Engine(plan)
        self._board = board
        self._watchdog = Watchdog(plan.timeout_seconds)
        self._worker = BlockingWorker(self._engine, self._watchdog)
        self._seat: int | None = None
        Guard(self._parent_is_gone)
        self._started = time.process_time()

    def run_batch(self, body: bytes, seat: int) -> bytes:
        """Run attempts one after another.

        Args:
            body: The attempts, encoded.
            seat: The place on the board where progress goes.
        """
        self._seat = seat
        self._board.beat(seat)
        results: list[AttemptResult] = []
        returned: list[int] = []
        until = time.monotonic() + self.BATCH_SECONDS
        for packed in frames.decode(frames.batch_decoder, body):
            self._obey()
            if results and time.monotonic() > until:
                returned.append(packed.attempt_id)
                continue
            attempt = frames.unpack(packed)
            if isinstance(attempt, AttemptResult):
                results.append(attempt)
                continue
            results.append(
                self._worker.run(attempt, lambda moved: self._tell(seat, moved))
            )
        self._seat = None
        usage = own_usage(self._started)
        return frames.encode(frames.Facts(results, [], returned, usage))

    def _tell(self, seat: int, moved: Moved) -> None:
        self._board.tell(seat, moved)
        self._obey()

    def _obey(self) -> None:
        self._engine.limit(self._board.bytes_per_second)

    def _parent_is_gone(self) -> bool:
        """Also the moment to look whether everything is to stop, and to tell of itself."""
        from multiprocessing.connection import wait
        from multiprocessing.process import parent_process

        parent = parent_process()
        assert parent is not None
        if wait([parent.sentinel], timeout=0.2):
            return True
        if (seat := self._seat) is not None:
            self._board.beat(seat)
        if self._board.is_stopped and self._engine.stop is None:
            self._engine.stop = Failure(ErrorKind.INTERRUPTED, "the run was stopped")
            self._watchdog.abort_all(self._engine.stop)
        return False


# One worker a process; `ProcessPoolExecutor` offers no other place to keep it.
_worker: PooledWorker | None = None


def begin(plan: bytes, cells: Any) -> None:
    """The pool's initializer: make this process's worker."""
    global _worker  # noqa: PLW0603 - see above
    end_with_parent()
    ignore_interrupts()
    _worker = PooledWorker(frames.decode(frames.plan_decoder, plan), Board(cells))


def run_batch(body: bytes, seat: int) -> bytes:
    """The pool's call: run a batch in this process's worker."""
    assert _worker is not None
    return _worker.run_batch(body, seat)

"""The `curl` strategy: libcurl's event loop, turned in the session's own thread."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, ClassVar

from downloader.errors import StrategyUnavailable
from downloader.strategies.results import internal_failure
from downloader.transfer import descriptors
from downloader.transfer.engine import Engine
from downloader.transfer.environment import hidden_variables
from downloader.transfer.folder import Folder

try:
    with hidden_variables():
        from downloader.transfer.curl_driver import CurlDriver
except ImportError as error:
    raise StrategyUnavailable(
        "the curl strategy needs pycurl: pip install 'downloader-engine[curl]'"
    ) from error

if TYPE_CHECKING:
    from downloader.models import Attempt, Fact, Failure, Moved, WorkerUsage
    from downloader.transfer.plan import Plan


class Curl:
    """As many attempts at once as there are workers, all in one thread."""

    name: ClassVar[str] = "curl"
    has_worker_processes: ClassVar[bool] = False
    wakes_within_a_transfer: ClassVar[bool] = True
    batch = 1

    def __init__(self, plan: Plan, workers: int) -> None:
        self._engine = Engine(plan)
        share = descriptors.share(workers)
        folder = Folder(plan.root, share.folders)
        self._driver = CurlDriver(
            self._engine,
            folder,
            workers + share.idle,
            lambda attempt, error: internal_failure(attempt, error, 0.0),
        )
        self._free = workers
        self._queue: deque[Attempt] = deque()
        self._moved: list[Fact] = []
        self._broken: list[Fact] = []
        self.wake = self._driver.wake

    @property
    def capacity(self) -> int:
        return self._free

    def start(self, attempts: list[Attempt]) -> None:
        self._queue.extend(attempts)
        self._free -= len(attempts)

    def wait(self, timeout_seconds: float) -> list[Fact]:
        while self._queue:
            attempt = self._queue.popleft()
            try:
                self._driver.begin(attempt, self._tell)
            except Exception as error:  # noqa: BLE001 - one URL must not end the run
                self._broken.append(internal_failure(attempt, error, 0.0))
        facts: list[Fact] = [*self._driver.turn(timeout_seconds), *self._broken]
        self._free += len(facts)
        self._broken = []
        if self._moved:
            facts += self._moved
            self._moved = []
        return facts

    def cancel(self, failure: Failure) -> None:
        self._engine.stop = failure
        self._driver.abort_all(failure)

    def limit(self, bytes_per_second: float | None) -> None:
        """Go on at another rate; from any thread."""
        self._engine.limit(bytes_per_second)

    def usage(self) -> list[WorkerUsage]:
        return []

    def close(self, grace_seconds: float) -> None:
        self._driver.close()
        self._engine.close()

    def _tell(self, moved: Moved) -> None:
        self._moved.append(moved)

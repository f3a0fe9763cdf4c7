"""A blocking driver as one thread's worker: whatever goes wrong becomes a result."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from downloader.strategies.results import internal_failure
from downloader.transfer import descriptors
from downloader.transfer.folder import Folder
from downloader.transfer.requests_driver import RequestsDriver

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from downloader.models import Attempt, AttemptResult, Moved
    from downloader.transfer.engine import Engine
    from downloader.transfer.watch import Watchdog


class BlockingWorker:
    """One thread's driver, with the folder and the connections that belong to it."""

    def __init__(
        self, engine: Engine, watchdog: Watchdog, share: descriptors.Share | None = None
    ) -> None:
        share = share or descriptors.share(1)
        folder = Folder(engine.plan.root, share.folders)
        self._driver = RequestsDriver(engine, watchdog, folder, share.idle)

    def steps(
        self, attempt: Attempt, tell: Callable[[Moved], None]
    ) -> Generator[None, None, AttemptResult]:
        """Run an attempt, giving control back after each chunk of its body."""
        started_at = time.perf_counter()
        try:
            return (yield from self._driver.steps(attempt, tell))
        except Exception as error:  # noqa: BLE001 - a worker must not die of one URL
            return internal_failure(attempt, error, time.perf_counter() - started_at)

    def run(self, attempt: Attempt, tell: Callable[[Moved], None]) -> AttemptResult:
        """Run an attempt to its end."""
        steps = self.steps(attempt, tell)
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                result: AttemptResult = stop.value
                return result

    def close(self) -> None:
        """Close the connections."""
        self._driver.close()

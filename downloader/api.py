"""The package's face: `fetch` for a list, `Downloader` for futures and streams.

A session has one owner thread. `fetch` lends it the caller's, unless an event loop runs
there; a `Downloader` has a thread of its own, to which `submit`, `stream` and `astream`
talk through queues, so that a slow consumer never stops a transfer.
"""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Self

from downloader import progress as displays
from downloader.errors import DownloaderError, InvalidSettings, UsageError
from downloader.log import Log
from downloader.models import Outcome, Request
from downloader.session import Session
from downloader.settings import Settings
from downloader.sources import ReadyFeed, ThreadedFeed, as_requests, open_lists

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
    from concurrent.futures import Future
    from types import TracebackType

    from downloader.report import Report
    from downloader.sources import Feed, Sink

logger = Log(__name__)

# Requests of a stream that are under way or not collected yet: enough to keep a hundred
# workers busy, few enough to wait for when a stream is left early.
STREAM_AHEAD = 256


def fetch(urls: Iterable[str | Request] | str | Request, **settings: object) -> Report:
    """Fetch URLs into files and return the report.

    Args:
        urls: What to fetch: texts or `Request` values, any iterable of them, or one.
        **settings: Any of the fields of `Settings` but `report`, `strategy="threads"`
            say; `Report.write_json` writes a report.

    Raises:
        UsageError: A setting cannot be used.
        DownloaderError: The run as a whole could not go on. A single URL's failure is
            no exception but a row of the report.
    """
    if isinstance(urls, str | Request):
        urls = [urls]
    is_ready = isinstance(urls, list | tuple | set | frozenset)
    chosen = _settings(settings)  # before anything is taken from a generator
    requests = as_requests(urls)
    feed = ReadyFeed(requests) if is_ready else ThreadedFeed(requests)
    return _run(feed, chosen, displays.Silent())


def _settings(keywords: Mapping[str, object]) -> Settings:
    settings = Settings.make(**keywords)
    if settings.report is not None:
        # The command writes it, at the end and beside its summary.
        raise InvalidSettings(
            f"report {settings.report!r}: only the command writes one by itself; call "
            "write_json(path) of the report that you get"
        )
    return settings


def run_list(
    sources: tuple[str, ...],
    settings: Settings,
    display: displays.Progress,
    on_session: Callable[[Session], None] | None = None,
) -> Report:
    """Fetch what command-line arguments name.

    Args:
        sources: URLs, list files, and `-` for stdin.
        settings: The run's settings.
        display: Who is told how it goes.
        on_session: Told the session before it starts, so that it can be stopped.

    Raises:
        DownloaderError: As for `fetch`.
    """
    return _run(open_lists(sources), settings, display, on_session)


def _run(
    feed: Feed,
    settings: Settings,
    display: displays.Progress,
    on_session: Callable[[Session], None] | None = None,
) -> Report:
    try:
        session = Session(settings, feed, display)
    except BaseException:
        feed.close()
        raise
    if isinstance(feed, ThreadedFeed):
        feed.wake = session.wake
    if on_session is not None:
        on_session(session)
    if not _loop_is_running():
        return session.run()
    return _run_elsewhere(session)


def _loop_is_running() -> bool:
    """True in a notebook's cell or a coroutine, where no second loop may run."""
    if "asyncio" not in sys.modules:
        return False
    try:
        sys.modules["asyncio"].get_running_loop()
    except RuntimeError:
        return False
    return True


def _run_elsewhere(session: Session) -> Report:
    """Run a session in a thread of its own, and wait for it here."""
    from concurrent.futures import Future

    done: Future[Report] = Future()
    threading.Thread(
        target=_deliver, args=(session, done), name="downloader-session", daemon=True
    ).start()
    try:
        return done.result()
    except KeyboardInterrupt:
        session.stop()
        done.exception(10.0)
        raise


def _deliver(session: Session, done: Future[Report]) -> None:
    try:
        done.set_result(session.run())
    except BaseException as error:  # noqa: BLE001 - it is raised again where it is awaited
        done.set_exception(error)


class _PushFeed:
    """A feed that callers push into."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[tuple[Request, Sink | None]] = (
            queue.SimpleQueue()
        )
        self._is_closed = False
        self.wake: Callable[[], None] = lambda: None

    @property
    def is_done(self) -> bool:
        return self._is_closed and self._queue.empty()

    @property
    def is_ready(self) -> bool:
        return not self._queue.empty()

    def push(self, request: Request, sink: Sink) -> None:
        """Add a request; the session sees it at once."""
        self._queue.put((request, sink))
        self.wake()

    def take(self, most: int) -> list[tuple[Request, Sink | None]]:
        taken: list[tuple[Request, Sink | None]] = []
        while len(taken) < most:
            try:
                taken.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return taken

    def close(self) -> None:
        self._is_closed = True


class Downloader:
    """A downloader that stays open: submit URLs, get futures.

        with Downloader(strategy="threads") as downloader:
            future = downloader.submit("https://example.org/a.pdf")
            print(future.done(), future.result().path)

    Leaving the block waits for all that was submitted; an exception in it stops the rest.
    In async code use `async with`, which waits without blocking the event loop.
    The report of everything is `report` afterwards. Its methods may be called from any
    thread.

    Args:
        settings: The settings, or None to make them from keywords.
        **keywords: Fields of `Settings` but `report`, if `settings` is None.

    Raises:
        UsageError: A setting cannot be used.
    """

    def __init__(self, settings: Settings | None = None, **keywords: object) -> None:
        from concurrent.futures import Future

        if settings is not None and keywords:
            raise UsageError("give Downloader a Settings value or keywords, not both")
        self._feed = _PushFeed()
        self._session = Session(
            settings or _settings(keywords), self._feed, displays.Silent()
        )
        self._feed.wake = self._session.wake
        self._done: Future[Report] = Future()
        self._is_closed = False
        self._futures: set[Future[Outcome]] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(
            target=self._run, name="downloader-session", daemon=True
        )
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self.stop()
        import asyncio  # a program that awaits has it already

        try:
            await asyncio.to_thread(self.close)
        except BaseException:  # cancelled, say: nobody waits for the rest any more
            self.stop()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self.stop()
        self.close()

    @property
    def report(self) -> Report:
        """The report of all that was submitted; waits for the end if need be.

        Raises:
            UsageError: A callback asks while the run that calls it is on.
        """
        if self._is_within and not self._done.done():
            raise UsageError(
                "a callback cannot wait for the report of the run that calls it; "
                "ask for it in another thread"
            )
        self.close()
        return self._done.result()

    def submit(self, url: str | Request) -> Future[Outcome]:
        """Ask for a URL; never blocks.

        Returns:
            A future of its outcome, for `concurrent.futures.wait` and `as_completed`
            too. A failed download is an outcome, not an exception. It counts as running
            at once, so that it cannot be cancelled; `stop` ends everything.

        Raises:
            UsageError: The downloader is closed.
        """
        from concurrent.futures import Future

        (request,) = as_requests([url])
        future: Future[Outcome] = Future()
        future.set_running_or_notify_cancel()
        # Pushed under the lock: what was taken before `close` is never left behind.
        with self._lock:
            if self._is_closed:
                raise UsageError("this Downloader is closed; make another")
            self._futures.add(future)
            self._feed.push(request, lambda outcome: self._resolve(future, outcome))
        return future

    def stream(self, urls: Iterable[str | Request]) -> Iterator[Outcome]:
        """Outcomes as they come about, in no special order; one for each URL.

        The URLs may come from a generator of any length: it is read only some way ahead
        of what has been collected.
        """
        box = _Box(self, urls)
        try:
            while (batch := box.get()) is not None:
                yield from batch
        finally:
            box.abandon()

    async def astream(self, urls: Iterable[str | Request]) -> AsyncIterator[Outcome]:
        """`stream` for async code; the event loop is never blocked."""
        import asyncio

        loop = asyncio.get_running_loop()
        there_is_news = asyncio.Event()

        def tell() -> None:
            # Whoever left the stream early may have closed the loop as well.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(there_is_news.set)

        box = _Box(self, urls, tell)
        try:
            batch: list[Outcome] | None = []
            while batch is not None:
                for outcome in batch:
                    yield outcome
                await there_is_news.wait()
                there_is_news.clear()
                batch = box.get_nowait()
        finally:
            box.abandon()

    def stop(self) -> None:
        """End early: what is under way becomes `interrupted`, what waits `not_tried`."""
        self._session.stop()

    def close(self) -> None:
        """Wait for all that was submitted, then end. Called again it does nothing.

        In a future's callback it does not wait: what runs that is what would be waited for.
        """
        with self._lock:
            self._is_closed = True
        self._feed.close()
        self._session.wake()
        if self._is_within:
            return
        try:
            self._thread.join()
        except BaseException:  # Ctrl-C: nobody waits for the rest any more
            self.stop()
            raise

    @property
    def _is_within(self) -> bool:
        """True in the run's own thread, where callbacks are called."""
        return threading.current_thread() is self._thread

    def _run(self) -> None:
        _deliver(self._session, self._done)
        error = self._done.exception()
        with self._lock:
            self._is_closed = True
            orphans, self._futures = self._futures, set()
        for future in orphans:
            with _contained():
                future.set_exception(error or DownloaderError("the run has ended"))

    def _resolve(self, future: Future[Outcome], outcome: Outcome) -> None:
        with self._lock:
            self._futures.discard(future)
        with _contained():
            future.set_result(outcome)


@contextlib.contextmanager
def _contained() -> Iterator[None]:
    """Around callbacks: a future keeps ordinary exceptions from here, but no `SystemExit`."""
    try:
        yield
    except BaseException as error:  # noqa: BLE001 - one callback must not end all others' run
        logger.error("a callback raised %r, which ends nothing but it", error)  # noqa: TRY400 - no traceback, as ever


class _Box:
    """Outcomes of a stream on their way to its consumer, and the thread that feeds it.

    Args:
        downloader: Where the URLs go.
        urls: What to fetch.
        tell: Called, from another thread, when something has arrived.
    """

    def __init__(
        self,
        downloader: Downloader,
        urls: Iterable[str | Request],
        tell: Callable[[], object] = lambda: None,
    ) -> None:
        self._downloader = downloader
        self._urls = urls
        self._tell = tell
        self._arrived: deque[Outcome] = deque()
        self._condition = threading.Condition()
        self._outstanding = 0
        self._is_fed = False
        self._is_abandoned = False
        self._error: BaseException | None = None
        threading.Thread(
            target=self._feed, name="downloader-stream", daemon=True
        ).start()

    def abandon(self) -> None:
        """Nobody collects any more: ask for nothing further."""
        with self._condition:
            self._is_abandoned = True
            self._condition.notify_all()

    def get(self) -> list[Outcome] | None:
        """What has arrived, waited for; None at the end."""
        with self._condition:
            self._condition.wait_for(lambda: self._arrived or self._is_over)
            return self._collect()

    def get_nowait(self) -> list[Outcome] | None:
        """What has arrived, perhaps nothing; None at the end."""
        with self._condition:
            return self._collect()

    @property
    def _is_over(self) -> bool:
        return self._is_fed and not self._outstanding

    def _collect(self) -> list[Outcome] | None:
        if not self._arrived and self._is_over:
            if self._error is not None:
                raise self._error
            return None
        batch = list(self._arrived)
        self._arrived.clear()
        self._outstanding -= len(batch)
        self._condition.notify_all()
        if self._is_over:
            self._tell()
        return batch

    def _feed(self) -> None:
        try:
            for request in as_requests(self._urls):
                self._wait_for_room()
                if self._is_abandoned:
                    break
                self._submit(request)
        except BaseException as error:  # noqa: BLE001 - raised again for the consumer
            self._error = error
        with self._condition:
            self._is_fed = True
            self._condition.notify_all()
        self._tell()

    def _wait_for_room(self) -> None:
        with self._condition:
            self._condition.wait_for(
                lambda: self._is_abandoned or self._outstanding < STREAM_AHEAD
            )

    def _submit(self, request: Request) -> None:
        future = self._downloader.submit(request)
        with self._condition:
            self._outstanding += 1
        future.add_done_callback(self._arrive)

    def _arrive(self, future: Future[Outcome]) -> None:
        error = future.exception()
        with self._condition:
            if error is None:
                self._arrived.append(future.result())
            else:
                self._error = error
                self._outstanding -= 1
            self._condition.notify_all()
        self._tell()

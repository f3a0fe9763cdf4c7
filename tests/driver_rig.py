"""Either driver behind one call, and a server that answers with the bytes it is given."""

import asyncio
import contextlib
import socket
import threading

from strategy_rig import make_plan

from downloader.models import Attempt
from downloader.transfer.aiohttp_driver import AiohttpDriver
from downloader.transfer.engine import Engine
from downloader.transfer.folder import Folder
from downloader.transfer.requests_driver import RequestsDriver
from downloader.transfer.watch import Watchdog

DRIVERS = ("requests", "aiohttp")


def run(driver, urls, root, **plan):
    """Run an attempt for each URL, one after another in one driver: the results."""
    attempts = [Attempt(n, url, f"file-{n}") for n, url in enumerate(urls)]
    return run_attempts(driver, attempts, root, **plan)


def run_attempts(driver, attempts, root, **plan):
    """As `run`, for attempts made by the caller."""
    engine = Engine(make_plan(root, **plan))
    try:
        if driver == "aiohttp":
            return asyncio.run(_run_aiohttp(engine, attempts))
        return _run_requests(engine, attempts)
    finally:
        engine.close()


@contextlib.contextmanager
def requests_driver(engine):
    """A driver on requests and the watchdog that guards it."""
    watchdog = Watchdog(engine.plan.timeout_seconds)
    driver = RequestsDriver(engine, watchdog, Folder(engine.plan.root))
    try:
        yield driver, watchdog
    finally:
        driver.close()
        watchdog.close()


@contextlib.asynccontextmanager
async def aiohttp_driver(engine):
    """A driver on aiohttp, open on the running loop."""
    driver = AiohttpDriver(engine, Folder(engine.plan.root))
    await driver.open()
    try:
        yield driver
    finally:
        await driver.close()


def nobody(moved):
    """Whom progress is told."""


def _run_requests(engine, attempts):
    with requests_driver(engine) as (driver, _):
        return [to_its_end(driver, attempt) for attempt in attempts]


def to_its_end(driver, attempt):
    """The result of an attempt that a driver in steps makes."""
    steps = driver.steps(attempt, nobody)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


async def _run_aiohttp(engine, attempts):
    async with aiohttp_driver(engine) as driver:
        return [await driver.run(attempt, nobody) for attempt in attempts]


class Script:
    """A server that sends the same bytes to every connection, after its request's head.

    With `then_silence` it sends no end behind them, and waits until the client closes.
    """

    def __init__(self, answer, *, then_silence=False):
        self._answer = answer
        self._then_silence = then_silence
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/file"
        self.connections = 0
        self._is_closing = False
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._is_closing = True
        with contextlib.suppress(OSError):
            socket.create_connection(self._listener.getsockname()).close()
        self._thread.join(10)
        self._listener.close()

    def _serve(self):
        while True:
            connection, _ = self._listener.accept()
            with connection, contextlib.suppress(OSError):
                if self._is_closing:
                    return
                self.connections += 1
                received = b""
                while b"\r\n\r\n" not in received:
                    received += connection.recv(65536)
                connection.sendall(self._answer)
                while self._then_silence and connection.recv(65536):
                    pass

import asyncio
import contextlib
import ssl

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from driver_rig import aiohttp_driver, nobody
from odd_server import body
from strategy_rig import make_plan

from downloader.models import Attempt, Failure
from downloader.transfer.aiohttp_driver import _translate_head
from downloader.transfer.engine import Engine

STOPPED = Failure("interrupted", "the run was stopped")


@pytest.fixture
def engine(tmp_path):
    engine = Engine(make_plan(tmp_path))
    yield engine
    engine.close()


def attempts(odd, *paths):
    return [Attempt(n, odd.url(path), f"file-{n}") for n, path in enumerate(paths)]


async def seen(odd, count):
    """Wait on the loop until the server is answering so many requests."""
    await asyncio.to_thread(odd.wait_for, lambda counts: counts.in_flight >= count)


async def start(driver, some):
    return [asyncio.create_task(driver.run(one, nobody)) for one in some]


def test_any_number_of_attempts_run_at_once_on_one_loop(odd, engine, tmp_path):
    async def call():
        async with aiohttp_driver(engine) as driver:
            paths = [f"/stall-head/{size}" for size in range(30)]
            tasks = await start(driver, attempts(odd, *paths))
            await seen(odd, 30)
            odd.release()
            return await asyncio.gather(*tasks)

    results = asyncio.run(call())

    assert [result.failure for result in results] == [None] * 30
    assert odd.peak_in_flight == 30
    assert (tmp_path / "file-29").read_bytes() == body("/stall-head/29", 29)


def test_abort_ends_all_that_is_under_way_with_its_failure(odd, engine):
    async def call():
        async with aiohttp_driver(engine) as driver:
            paths = ("/stall-head", "/stall-body/100", "/head-drip")
            tasks = await start(driver, attempts(odd, *paths))
            await seen(odd, 3)
            driver.abort_all(STOPPED)
            return await asyncio.gather(*tasks)

    assert [result.failure for result in asyncio.run(call())] == [STOPPED] * 3


def test_a_worker_task_survives_the_abort_of_its_attempt(odd, engine):
    async def work(driver):
        first, second = attempts(odd, "/stall-head", "/ok/10")
        return [await driver.run(first, nobody), await driver.run(second, nobody)]

    async def call():
        async with aiohttp_driver(engine) as driver:
            task = asyncio.create_task(work(driver))
            await seen(odd, 1)
            driver.abort_all(STOPPED)
            return await task, task.cancelling()

    (first, second), cancelling = asyncio.run(call())

    assert first.failure == STOPPED
    assert second.failure is None
    assert cancelling == 0


def test_a_cancellation_from_outside_is_not_swallowed(odd, engine):
    async def call():
        async with aiohttp_driver(engine) as driver:
            (task,) = await start(driver, attempts(odd, "/stall-body/100"))
            await seen(odd, 1)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            return task.cancelled()

    assert asyncio.run(call())


def test_a_stopped_engine_begins_nothing(odd, engine):
    engine.stop = STOPPED

    async def call():
        async with aiohttp_driver(engine) as driver:
            return await driver.run(*attempts(odd, "/ok/1"), nobody)

    assert asyncio.run(call()).failure == STOPPED
    assert not odd.hits


def test_one_slow_attempt_does_not_hold_up_the_others(odd, engine):
    async def call():
        async with aiohttp_driver(engine) as driver:
            slow, *quick = attempts(odd, "/stall-head", "/ok/1", "/ok/2", "/ok/3")
            (task,) = await start(driver, [slow])
            await seen(odd, 1)
            results = [await driver.run(one, nobody) for one in quick]
            odd.release()
            return task.done(), [*results, await task]

    was_done, results = asyncio.run(call())

    assert not was_done
    assert [result.failure for result in results] == [None] * 4


def test_a_connection_is_used_again_on_the_loop(odd, engine):
    async def call():
        async with aiohttp_driver(engine) as driver:
            for one in attempts(odd, "/ok/1", "/chunked/10", "/status/404", "/ok/2"):
                await driver.run(one, nobody)

    asyncio.run(call())

    assert odd.peak_connections == 1


def key():
    """What aiohttp's errors name a connection by."""
    return ConnectionKey("files.test", 443, True, True, None, None, None)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (aiohttp.ClientConnectorError(key(), OSError(111, "refused")), "connect"),
        (aiohttp.ClientConnectorDNSError(key(), OSError(-2, "no name")), "connect"),
        (aiohttp.ClientProxyConnectionError(key(), OSError(111, "no")), "connect"),
        (aiohttp.ClientConnectorSSLError(key(), ssl.SSLError(1, "bad")), "tls"),
        (
            aiohttp.ClientConnectorCertificateError(
                key(), ssl.SSLCertVerificationError("x")
            ),
            "tls",
        ),
        (ssl.SSLError(1, "bad"), "tls"),
        (aiohttp.ServerDisconnectedError(), "connect"),
        (aiohttp.ClientOSError(104, "reset"), "connect"),
        (ConnectionResetError(104, "reset"), "connect"),
        (aiohttp.ClientPayloadError("bad"), "protocol"),
        (aiohttp.ClientResponseError(None, (), status=400, message="bad"), "protocol"),
        (aiohttp.InvalidURL("http://"), "protocol"),
    ],
)
def test_every_error_before_a_head_has_its_word(error, kind):
    assert _translate_head(error, is_reused=False).kind == kind


def test_only_a_reused_connection_can_be_stale():
    error = aiohttp.ServerDisconnectedError()

    assert _translate_head(error, is_reused=True).stale
    assert not _translate_head(error, is_reused=False).stale

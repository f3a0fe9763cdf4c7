import gc
import http.client
import os
import socket
import ssl
import threading

import pytest
import requests
import responses
from driver_rig import nobody, requests_driver, to_its_end
from odd_server import body
from strategy_rig import make_plan
from urllib3 import exceptions as urllib3_errors

from downloader.models import Attempt, Failure
from downloader.policy.patience import Patience
from downloader.transfer.engine import Engine
from downloader.transfer.requests_connections import Line
from downloader.transfer.watch import Watch

URL = "http://files.test/a"
STOPPED = Failure("interrupted", "the run was stopped")


@pytest.fixture
def mocked():
    with responses.RequestsMock() as mock:
        yield mock


@pytest.fixture
def engine(tmp_path):
    engine = Engine(make_plan(tmp_path, max_redirects=3))
    yield engine
    engine.close()


@pytest.fixture
def driver(engine):
    with requests_driver(engine) as (driver, _):
        yield driver


def run(driver, url=URL, **more):
    return to_its_end(driver, Attempt(0, url, "file", **more))


def exhausted(reason):
    """As requests wraps what urllib3 gave up on."""
    return requests.ConnectionError(
        urllib3_errors.MaxRetryError(None, "/a", reason)  # type: ignore[arg-type]
    )


TIMEOUT = urllib3_errors.ReadTimeoutError(None, "/a", "timed out")
GONE = http.client.RemoteDisconnected("gone")
REASONS = [
    (ssl.SSLCertVerificationError("certificate"), "tls"),
    (urllib3_errors.SSLError("certificate"), "tls"),
    (TIMEOUT, "timeout"),
    (urllib3_errors.ConnectTimeoutError("timed out"), "timeout"),
    (TimeoutError("timed out"), "timeout"),
    (urllib3_errors.ProtocolError("aborted", GONE), "connect"),
    (
        urllib3_errors.ProtocolError("aborted", ConnectionResetError(104, "reset")),
        "connect",
    ),
    (urllib3_errors.ProtocolError("bad", http.client.BadStatusLine("x")), "protocol"),
    (
        urllib3_errors.ProtocolError("long", http.client.LineTooLong("header")),
        "protocol",
    ),
    (urllib3_errors.ProxyError("refused", OSError("no")), "connect"),
    (OSError(101, "Network is unreachable"), "connect"),
]


@pytest.mark.parametrize(("reason", "kind"), REASONS)
def test_every_error_before_a_head_has_its_word(driver, mocked, reason, kind):
    mocked.get(URL, body=exhausted(reason))
    result = run(driver)

    assert result.failure.kind == kind
    assert result.http_status is None


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (requests.ConnectionError("no"), "connect"),
        (requests.exceptions.InvalidSchema("no"), "connect"),
        (requests.Timeout(TIMEOUT), "timeout"),
        (requests.exceptions.SSLError(urllib3_errors.SSLError("no")), "tls"),
        (
            requests.exceptions.ProxyError(urllib3_errors.ProxyError("no", GONE)),
            "connect",
        ),
        (ConnectionRefusedError(111, "Connection refused"), "connect"),
    ],
)
def test_errors_of_requests_itself_have_their_word_too(driver, mocked, error, kind):
    mocked.get(URL, body=error)

    assert run(driver).failure.kind == kind


def test_an_error_of_this_program_is_not_taken_for_the_networks(driver, mocked):
    mocked.get(URL, body=ZeroDivisionError("ours"))

    with pytest.raises(ZeroDivisionError):
        run(driver)


def test_no_message_shows_a_secret_of_the_url(driver, mocked):
    url = "http://files.test/a?token=s3cret"
    mocked.get(url, body=exhausted(OSError(101, "Network is unreachable")))

    assert "s3cret" not in run(driver, url).failure.detail


def test_control_comes_back_after_each_chunk(driver, odd):
    steps = driver.steps(Attempt(0, odd.url("/slow/300000/0.3"), "file"), nobody)

    assert next(steps) is None
    assert sum(1 for _ in steps) >= 1


def test_a_stopped_engine_begins_nothing(driver, engine, odd):
    engine.stop = STOPPED
    result = run(driver, odd.url("/ok/1"))

    assert result.failure == STOPPED
    assert not odd.hits


@pytest.mark.parametrize("path", ["/stall-head", "/stall-body/100", "/head-drip"])
def test_a_blocked_read_is_cut_off_from_another_thread(engine, odd, path):
    results = []
    with requests_driver(engine) as (driver, watchdog):
        attempt = Attempt(0, odd.url(path), "file")
        thread = threading.Thread(
            target=lambda: results.append(to_its_end(driver, attempt))
        )
        thread.start()
        odd.wait_for(lambda counts: counts.in_flight == 1)
        watchdog.abort_all(STOPPED)
        thread.join(20)

        assert not watchdog.live
    assert [result.failure for result in results] == [STOPPED]


def test_a_blocked_tls_read_is_cut_off_too(tmp_path, odd_tls):
    engine = Engine(make_plan(tmp_path, verifies_tls=False))
    results = []
    with requests_driver(engine) as (driver, watchdog):
        attempt = Attempt(0, odd_tls.url("/stall-body/100"), "file")
        thread = threading.Thread(
            target=lambda: results.append(to_its_end(driver, attempt))
        )
        thread.start()
        odd_tls.wait_for(lambda counts: counts.in_flight == 1)
        watchdog.abort_all(STOPPED)
        thread.join(20)
    engine.close()

    assert [result.failure for result in results] == [STOPPED]


def test_a_driver_goes_on_after_an_attempt_that_was_cut_off(engine, odd, tmp_path):
    with requests_driver(engine) as (driver, watchdog):
        timer = threading.Thread(
            target=lambda: (
                odd.wait_for(lambda counts: counts.in_flight == 1),
                watchdog.abort_all(STOPPED),
            )
        )
        timer.start()
        first = run(driver, odd.url("/stall-head"))
        timer.join()
        second = run(driver, odd.url("/ok/1000"))

    assert first.failure == STOPPED
    assert second.failure is None
    assert (tmp_path / "file").read_bytes() == body("/ok/1000", 1000)


@pytest.mark.parametrize("path", ["/ok/10", "/close/10", "/truncated/1000", "/reset"])
def test_no_descriptor_is_left_of_tls(tmp_path, odd_tls, path):
    before = set(os.listdir("/proc/self/fd"))
    engine = Engine(make_plan(tmp_path, verifies_tls=False))
    with requests_driver(engine) as (driver, _):
        run(driver, odd_tls.url(path))
    engine.close()
    odd_tls.close()
    gc.collect()

    assert set(os.listdir("/proc/self/fd")) <= before


def test_a_connection_made_just_after_the_cut_is_cut_too():
    line = Line(engine=None)
    watch = Watch(Patience(30.0, 0.0), line.cut)
    line.begin(watch, URL)
    watch.abort(Failure("interrupted", "the run was stopped"))
    ours, theirs = socket.socketpair()

    with ours, theirs:
        line.uses(ours, is_reused=False)

        assert theirs.recv(1) == b""

"""Fixtures for all tests: a clean environment, the embedded site, the odd server."""

import contextlib
import gc
import os
import signal
import threading
import time

import hypothesis
import pytest
from odd_server import OddServer

from downloader.site.process import Site
from downloader.strategies.contract import usable_cores

# An example that takes long, because the machine stands still, is no fault.
hypothesis.settings.register_profile(
    "without a clock",
    parent=hypothesis.settings(),
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("without a clock")

_FOREIGN_PREFIXES = ("DOWNLOADER_", "SSL_CERT_", "XDG_")
_FOREIGN_SUFFIXES = ("_PROXY", "_CA_BUNDLE")


def _is_foreign(name):
    upper = name.upper()
    return (
        upper.startswith(_FOREIGN_PREFIXES)
        or upper.endswith(_FOREIGN_SUFFIXES)
        or upper in {"NETRC", "REQUEST_METHOD"}
    )


def pytest_xdist_auto_num_workers(config):
    """Give `-n auto` one worker more than there are cores: tests wait half of their time."""
    return usable_cores() + 1


@pytest.fixture(scope="session", autouse=True)
def clean_environment(tmp_path_factory):
    """No proxy, certificate, configuration or home of the machine reaches a test.

    For the whole session, so that session-wide servers start in it too; a test that
    needs a variable sets it with `monkeypatch`. Gives what coverage has set for programs
    that are started, which is taken out as well.
    """
    coverage = {n: v for n, v in os.environ.items() if n.startswith("COVERAGE_")}
    with pytest.MonkeyPatch.context() as patch:
        for name in coverage:
            patch.delenv(name)
        # Else each program that is started compiles all of the package, 0.3 s long.
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        for name in filter(_is_foreign, list(os.environ)):
            patch.delenv(name)
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        yield coverage


@pytest.fixture(scope="session", autouse=True)
def default_signals():
    """Signals do here what they do in a terminal.

    A shell starts its background jobs with Ctrl-C ignored, and whoever they start
    inherits that.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def measured(clean_environment):
    """A context in which programs that are started count for the coverage as well.

    Elsewhere they do not: it makes each of them slower to start, and one that is ended in
    the middle of coverage's own work waits for its lock for ever.
    """

    @contextlib.contextmanager
    def context():
        with pytest.MonkeyPatch.context() as patch:
            for name, value in clean_environment.items():
                patch.setenv(name, value)
            yield

    return context


@pytest.fixture
def counted(measured):
    """Programs that the test starts count for the coverage."""
    with measured():
        yield


# Threads that end with what they serve; a leak of them has no other sign than that the
# next files are hashed in line.
_PASSING = ("downloader-hash", "downloader-front", "downloader-watchdog")


def _passing_threads():
    return {one for one in threading.enumerate() if one.name in _PASSING}


@pytest.fixture(autouse=True)
def no_threads_left():
    """Each test leaves none of the threads that end with a file or a run."""
    before = _passing_threads()
    yield
    deadline = time.monotonic() + 10
    while (left := _passing_threads() - before) and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)
    assert not left


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """The test runs in an empty folder, where no config.toml lies; gives its path."""
    folder = tmp_path / "workdir"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="session")
def site():
    """The embedded site with 100 files, one process for the whole session."""
    with Site(files=100, seed=1) as site:
        yield site


@pytest.fixture
def odd():
    """A fresh misbehaving server with its own counts."""
    with OddServer() as server:
        yield server


@pytest.fixture
def odd_tls():
    """As `odd`, over TLS; `ca_pem` is the certificate to trust."""
    with OddServer(tls=True) as server:
        yield server


def _missing(config):
    """The tests that were skipped although this run must leave none out."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("CI") or reporter is None:
        return []
    return reporter.stats.get("skipped", [])


# pytest's own end with 5. A status of its own, since a run of the failed tests alone would
# not show what was skipped.
_SKIPPED = 6


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    """Where CI is set a skipped test fails the run: what it needs must be there."""
    if exitstatus <= pytest.ExitCode.TESTS_FAILED and _missing(session.config):
        session.exitstatus = _SKIPPED


def pytest_terminal_summary(terminalreporter, config):
    """List what was missing for the skipped tests, where they fail the run."""
    skipped = _missing(config)
    if not skipped:
        return
    terminalreporter.section("skipped, so this run fails (CI is set)", red=True)
    for report in skipped:
        reason = report.longrepr[2] if report.longrepr else ""
        terminalreporter.line(f"{report.nodeid}: {reason}", red=True)

"""Bounds on a run: failures, time, hosts that are down, addresses."""

import errno
import os
import shutil
import socket
import subprocess
import sys
from concurrent.futures import Future

import pytest
from odd_server import OddServer
from strategy_rig import running, side_by_side, wait_until

from downloader import InvalidSettings, fetch
from downloader.cli import main
from downloader.policy import addresses, breaker
from downloader.strategies.contract import NAMES
from downloader.transfer import engine

pytestmark = pytest.mark.usefixtures("workdir")
every_strategy = pytest.mark.parametrize("strategy", NAMES)


def errors(report):
    return [row.error for row in report]


@every_strategy
def test_a_run_ends_with_so_many_failures(odd, strategy):
    urls = [odd.url(f"status/404?{number}") for number in range(300)]
    report = fetch(urls, strategy=strategy, max_failures=5, workers=1)

    assert report.exit_code == 1
    assert report.summary.stopped_because.startswith(
        ("5 failures", "6 failures", "7 f")
    )
    assert errors(report).count("http_404") < 60
    assert report.summary.errors["not_tried"] > 200
    assert "stopped: " in report.text()


def test_a_share_counts_from_a_hundred_on(odd):
    urls = [odd.url(f"status/404?{number}") for number in range(50)]
    report = fetch(urls, max_failures="10%")

    assert errors(report) == ["http_404"] * 50
    assert report.summary.stopped_because is None


def test_a_run_ends_at_its_deadline(odd):
    urls = [odd.url("stall-head/1"), odd.url("stall-head/2"), odd.url("ok/1")]

    # Long enough for every strategy to have begun by then.
    def check(strategy):
        options = {"strategy": strategy, "output": strategy, "workers": 1}
        report = fetch(urls, deadline="5s", **options)

        assert "interrupted" in errors(report)
        assert report.summary.stopped_because == "the deadline of 5.0 s was reached"
        assert (report.exit_code, report.interrupted_by) == (1, None)

    side_by_side(check)


def test_the_command_has_these_bounds_too(odd, capsys):
    urls = [odd.url(f"status/404?{number}") for number in range(40)]

    assert main(["fetch", *urls, "--max-failures", "3", "-j", "1"]) == 1
    assert "--max-failures 3" in capsys.readouterr().err
    assert main(["fetch", odd.url("stall-head/1"), "--deadline", "0.5"]) == 1
    assert "stopped: the deadline of 0.50 s" in capsys.readouterr().err
    for bad in ("0", "-1", "101%", "many"):
        assert main(["fetch", urls[0], "--max-failures", bad]) == 2
        assert main(["fetch", urls[0], "--deadline", "x" + bad]) == 2


@every_strategy
def test_a_host_that_is_down_ends_all_that_waits_for_it(odd, monkeypatch, strategy):
    monkeypatch.setattr(breaker, "COOL_DOWN_SECONDS", 0.3)
    odd.close()
    urls = [odd.url(f"ok/{number}") for number in range(2000)]
    report = fetch(urls, strategy=strategy, backoff_seconds=0.01)

    assert set(errors(report)) == {"connect"}
    assert report.summary.attempts < 300
    assert "times in a row" in list(report)[-1].detail


@every_strategy
def test_a_pause_beyond_the_bound_ends_all_of_its_host(odd, caplog, strategy):
    there = odd.url("ok/1").replace("127.0.0.1", "localhost")
    urls = [there, *(odd.url(f"status/429/3600?{n}") for n in range(200))]
    report = fetch(urls, strategy=strategy)
    host = f"127.0.0.1:{odd.port}"
    said = (
        f"{host} asks for a pause of 3600 s (Retry-After), longer than --max-retry-wait"
    )

    assert errors(report) == [None, *["http_429"] * 200]
    assert sum(odd.hits.values()) <= 1 + 16
    assert all(said in row.detail for row in list(report)[1:])
    assert said in caplog.text


# One strategy for each loop, and one for each way to give out batches.
@pytest.mark.parametrize(
    "strategy", ["threads", "asyncio", "curl", "processes", "multicore"]
)
def test_all_files_of_a_host_that_limits_its_rate_arrive(odd, strategy):
    urls = [odd.url(f"limited/{n}") for n in range(40)]
    report = fetch(urls, strategy=strategy, backoff_seconds=0.15, retries=1)

    assert errors(report) == [None] * 40
    assert report.summary.attempts < 120


@pytest.mark.parametrize("strategy", ["threads", "asyncio", "curl"])
def test_a_server_that_restarts_costs_no_file(odd, caplog, strategy):
    caplog.set_level("INFO")
    urls = [odd.url("ok/1"), *(odd.url(f"stall-head/{n}") for n in range(2, 12))]
    settings = {"workers": 4, "backoff_seconds": 0.02}
    with running(urls, strategy=strategy, **settings) as (_, report):
        # A fifth request goes out when a first one has been answered.
        odd.wait_for(lambda counts: sum(counts.hits.values()) == 5)
        odd.close()
        wait_until(lambda: caplog.text.count("is not reached") >= 5)
        with OddServer(port=odd.port) as again:
            again.release()

            assert errors(report.result(60)) == [None] * 11


@every_strategy
def test_only_public_addresses_are_connected_to(odd, strategy):
    names = ("127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]")
    urls = [f"http://{name}:{odd.port}/ok/1" for name in (*names, "2130706433")]
    report = fetch(urls, strategy=strategy, block_private=True)

    assert set(errors(report)) == {"blocked"}
    assert not odd.hits


def test_the_address_that_curl_has_connected_to_is_looked_at_too(odd, monkeypatch):
    """Its own look-up, after it has forgotten ours, may have found another one."""

    def rebound(engine, places):
        ((host, port),) = places
        told = Future()
        told.set_result([f"+{host}:{port}:127.0.0.1"])
        return told

    monkeypatch.setattr(engine.Engine, "addresses", rebound)
    url = odd.url("/ok/10").replace("127.0.0.1", "rebound.test")
    (row,) = fetch([url], strategy="curl", block_private=True)

    assert row.error == "blocked"
    assert not odd.hits


@pytest.mark.parametrize("strategy", ["serial", "threads", "asyncio"])
def test_a_redirect_leads_to_no_other_address_either(odd, monkeypatch, strategy):
    monkeypatch.setattr(addresses, "is_public", lambda address: address != "127.0.0.2")
    monkeypatch.setattr(engine, "_is_own", lambda _address: False)
    target = f"http%3A%2F%2F127.0.0.2%3A{odd.port}%2Fok%2F1"
    report = fetch(
        [odd.url(f"redirect-to/{target}")], strategy=strategy, block_private=True
    )

    assert errors(report) == ["blocked"]
    assert "/ok/1" not in odd.hits


# A machine of its own, as far as addresses go: nothing leaves it, and it ends with its child.
OWN_MACHINE = """
ip link set lo up
ip addr add 93.184.216.34/32 dev lo && ip addr add 93.184.216.35/32 dev lo
ip addr add 2606:2800:220:1::1/128 dev lo nodad
echo '93.184.216.35 own.test' > hosts && mount --bind hosts /etc/hosts
exec "$0" -c "$1"
"""
ON_IT = """
import socket
from downloader import fetch

server = socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
hosts = ("93.184.216.34", "93.184.216.35", "own.test", "[2606:2800:220:1::1]")
urls = [f"http://{host}:{server.getsockname()[1]}/" for host in (*hosts, "[::ffff:5db8:d822]")]
for strategy in ("threads", "asyncio", "curl"):
    rows = fetch(urls, strategy=strategy, block_private=True, output=strategy, timeout=3)
    print(*{(row.error, row.attempts) for row in rows})
server.settimeout(0)
try:
    print("reached from", server.accept()[1])
except BlockingIOError:
    pass
"""


@pytest.mark.skipif(
    os.name != "posix"
    or os.geteuid() != 0
    or None in {shutil.which("unshare"), shutil.which("ip")},
    reason="needs root, unshare and ip, to give itself public addresses",
)
def test_public_addresses_of_this_machine_are_not_connected_to(workdir):
    done = subprocess.run(
        ["unshare", "-n", "-m", "sh", "-ec", OWN_MACHINE, sys.executable, ON_IT],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.stdout.splitlines() == ["('blocked', 1)"] * 3, done.stderr


@pytest.mark.parametrize(
    ("address", "is_own"),
    [("127.0.0.1", True), ("::1", True), ("93.184.216.34", False), ("2606::1", False)],
)
def test_an_address_is_told_to_be_this_machines_own(address, is_own):
    assert engine._is_own(address) is is_own


def test_an_address_counts_as_own_where_it_cannot_be_found_out(monkeypatch):
    def refuse(*_):
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(socket, "socket", refuse)

    assert engine._is_own("93.184.216.34")


def test_a_proxy_cannot_keep_to_addresses():
    with pytest.raises(InvalidSettings, match="block_private: a proxy connects for us"):
        fetch(["http://a.test/"], block_private=True, proxy="http://proxy.test:3128")


def test_what_a_variables_proxy_would_serve_is_blocked(monkeypatch):
    monkeypatch.setenv("https_proxy", "socks5h://proxy.test:3128")
    report = fetch(["https://a.test/", "http://127.0.0.1/"], block_private=True)
    through, direct = report

    assert errors(report) == ["blocked", "blocked"]
    assert "proxy proxy.test:3128 (from https_proxy)" in through.detail
    assert "no public address" in direct.detail


def test_a_try_has_an_end(odd):
    def check(strategy):
        options = {"strategy": strategy, "output": strategy, "retries": 0}
        report = fetch([odd.url("drip/1000")], max_time=0.5, **options)

        assert errors(report) == ["timeout"]
        assert next(iter(report)).detail == "not finished within 0.5 s"

    side_by_side(check)

"""microsocks between every strategy and its servers."""

import sys

import peers
import pytest
from odd_exchange import body

from downloader import fetch
from downloader.strategies.contract import NAMES

pytestmark = [
    *peers.needs("microsocks", "microsocks"),
    pytest.mark.usefixtures("workdir"),
]
every_strategy = pytest.mark.parametrize("strategy", NAMES)
WITHOUT_LIBCURL = [n for n in NAMES if n not in {"curl", "multicore", "auto"}]


@pytest.fixture
def proxy(tmp_path):
    with peers.microsocks(tmp_path, "-u", "user", "-P", "hunter2") as proxy:
        yield proxy


def through(proxy, scheme="socks5h", credentials="user:hunter2@"):
    return f"{scheme}://{credentials}127.0.0.1:{proxy.port}"


def saved(row):
    with open(f"downloads/{row.path}", "rb") as stream:
        return stream.read()


def asked_for(proxy):
    """The hosts that the proxy was asked to connect to."""
    said = (proxy.folder / "said").read_text()
    return [line.split("connected to ")[1] for line in said.splitlines()]


@every_strategy
@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_requests_go_through_it(
    odd, odd_tls, proxy, workdir, monkeypatch, strategy, scheme
):
    (workdir / "ca.pem").write_bytes(odd_tls.ca_pem)
    monkeypatch.setenv("all_proxy", through(proxy, scheme))
    urls = [odd.url("/redirect/1"), odd_tls.url("/ok/10")]
    named = [url.replace("127.0.0.1", "localhost") for url in urls]
    report = fetch(named, strategy=strategy, cacert="ca.pem", retries=0)
    plain, secure = report

    assert (plain.error, secure.error) == (None, None), (plain.detail, secure.detail)
    assert saved(plain) == body("/redirect/0", 1000)
    assert saved(secure) == body("/ok/10", 10)
    wanted = "localhost" if scheme == "socks5h" else "127.0.0.1"
    assert {line.rpartition(":")[0] for line in asked_for(proxy)} == {wanted}


@every_strategy
def test_what_it_refuses_names_it(odd, proxy, strategy):
    refused = f"http://127.0.0.1:{peers.free_port()}/"
    (row,) = fetch([refused], strategy=strategy, proxy=through(proxy), retries=0)
    (wrong,) = fetch(
        [odd.url("/ok/10")],
        strategy=strategy,
        proxy=through(proxy, credentials="user:wrong@"),
        retries=0,
    )

    name = f"proxy 127.0.0.1:{proxy.port} (from proxy): "
    assert (row.error, wrong.error) == ("connect", "connect")
    assert row.detail.startswith(name + "refused: connection refused by the host")
    assert wrong.detail.startswith(name)
    assert "wrong" not in wrong.detail
    assert not odd.hits


@every_strategy
def test_one_that_is_not_used_refuses_nothing(odd, monkeypatch, strategy):
    monkeypatch.setenv("ALL_PROXY", "socks4://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:9")
    urls = [odd.url("/ok/10"), odd.url("/ok/10").replace("127.0.0.1", "localhost")]
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    direct, through_it = fetch(urls, strategy=strategy, retries=0)

    assert direct.error is None
    assert (through_it.error, through_it.attempts) == ("blocked", 1)
    assert "ALL_PROXY 'socks4://127.0.0.1:9'" in through_it.detail
    assert "socks5h://" in through_it.detail


@pytest.mark.parametrize("strategy", ["threads", "asyncio"])
def test_without_the_extra_nothing_goes_direct(odd, monkeypatch, strategy):
    monkeypatch.setitem(sys.modules, "python_socks", None)
    (row,) = fetch([odd.url("/ok/10")], strategy=strategy, proxy="socks5://127.0.0.1:9")

    assert (row.error, row.attempts) == ("blocked", 1)
    assert "pip install 'downloader-engine[socks]'" in row.detail
    assert not odd.hits


@pytest.mark.parametrize("strategy", ["threads", "asyncio", "curl"])
def test_silence_of_it_ends_by_the_timeout(odd, strategy):
    with peers.silent() as port:
        (row,) = fetch(
            [odd.url("/ok/10")],
            strategy=strategy,
            proxy=f"socks5h://127.0.0.1:{port}",
            timeout=0.5,
            retries=0,
        )

    assert row.error == "timeout"
    assert f"proxy 127.0.0.1:{port}" in row.detail

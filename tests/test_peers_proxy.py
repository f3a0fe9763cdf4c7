"""tinyproxy between every driver and its servers."""

import json

import peers
import pytest
from odd_exchange import body
from strategy_rig import ONE_PER_DRIVER

from downloader import fetch
from downloader.strategies.contract import NAMES

pytestmark = [
    *peers.needs("tinyproxy", "tinyproxy"),
    pytest.mark.usefixtures("workdir"),
]
every_driver = pytest.mark.parametrize("strategy", ONE_PER_DRIVER)


@pytest.fixture
def proxy(tmp_path):
    folder = tmp_path / "proxy"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    with peers.tinyproxy(folder, "BasicAuth user hunter2") as proxy:
        yield proxy


def through(proxy, credentials="user:hunter2@"):
    return proxy.origin.replace("//", f"//{credentials}")


@pytest.mark.parametrize("strategy", NAMES)
def test_plain_requests_go_through_it(odd, proxy, strategy):
    paths = ["ok/10", "chunked/70000", "redirect/2", "echo"]
    rows = list(
        fetch(map(odd.url, paths), strategy=strategy, proxy=through(proxy), retries=0)
    )

    assert [row.status for row in rows] == ["ok"] * 4, [row.detail for row in rows]
    assert all("via" in headers for _, headers in odd.requests)
    with open(f"downloads/{rows[3].path}") as stream:
        assert "hunter2" not in stream.read()
        assert not any("proxy-authorization" in h for _, h in odd.requests)


@every_driver
def test_tls_goes_through_its_tunnel(odd_tls, proxy, workdir, strategy):
    (workdir / "ca.pem").write_bytes(odd_tls.ca_pem)
    (row,) = fetch(
        [odd_tls.url("ok/10")],
        strategy=strategy,
        proxy=through(proxy),
        cacert="ca.pem",
        retries=0,
    )

    assert row.status == "ok", row.detail
    with open(f"downloads/{row.path}", "rb") as stream:
        assert stream.read() == body("/ok/10", 10)
    ((_, headers),) = odd_tls.requests
    assert "proxy-authorization" not in headers


@every_driver
@pytest.mark.parametrize("credentials", ["", "user:wrong@"])
def test_without_the_password_nothing_goes_through(odd, proxy, strategy, credentials):
    (row,) = fetch(
        [odd.url("ok/10")],
        strategy=strategy,
        proxy=through(proxy, credentials),
        retries=0,
    )

    assert row.status == "failed"
    assert row.error in {"http_401", "http_407"}
    assert f"proxy 127.0.0.1:{proxy.port} (from proxy)" in row.detail
    assert not odd.hits


@every_driver
def test_the_proxys_password_is_written_nowhere(odd, proxy, workdir, strategy):
    report = fetch([odd.url("ok/10")], strategy=strategy, proxy=through(proxy))
    report.write_json("report.json")

    assert json.loads((workdir / "report.json").read_text())["summary"]["ok"] == 1
    files = [path for path in workdir.rglob("*") if path.is_file()]
    assert not any(b"hunter2" in path.read_bytes() for path in files)


@pytest.mark.parametrize("strategy", ["threads", "asyncio", "curl"])
def test_what_keeps_it_from_making_a_tunnel_names_it(
    odd_tls, proxy, monkeypatch, strategy
):
    place = f"127.0.0.1:{peers.free_port()}"
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:p\xe4ssword@{place}")
    (refused,) = fetch([odd_tls.url("ok/10")], strategy=strategy, retries=0)
    monkeypatch.setenv("HTTPS_PROXY", through(proxy, ""))
    (unauthorized,) = fetch([odd_tls.url("ok/10")], strategy=strategy, retries=0)
    monkeypatch.setenv("HTTPS_PROXY", "http://nowhere.invalid:1")
    (unknown,) = fetch([odd_tls.url("ok/10")], strategy=strategy, retries=0)

    assert refused.error == "connect"
    assert refused.detail == f"proxy {place} (from HTTPS_PROXY): connection refused"
    assert unauthorized.error == "http_407"
    name = f"proxy 127.0.0.1:{proxy.port} (from HTTPS_PROXY): wants a user name"
    assert unauthorized.detail.startswith(name)
    assert unknown.error == "dns"
    assert unknown.detail.startswith("proxy nowhere.invalid:1 (from HTTPS_PROXY): ")

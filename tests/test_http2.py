"""HTTP/2 from nginx, for the strategies that speak it."""

import os

import peers
import pytest
import trustme

from downloader import fetch
from downloader.cli import main
from downloader.strategies.contract import NAMES

pytestmark = [*peers.needs("nginx", "nginx"), pytest.mark.usefixtures("workdir")]
SPEAKERS = ("curl", "multicore", "auto")
SIZES = (0, 1, 4_096, 300_000, 3_000_000)


@pytest.fixture
def server(tmp_path):
    """nginx with TLS and HTTP/2; its log tells the protocol of each request."""
    root = tmp_path / "www"
    root.mkdir()
    for size in SIZES:
        (root / f"{size}.bin").write_bytes(os.urandom(size))
    for number in range(200):
        (root / f"small{number}").write_bytes(b"%d" % number)
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with peers.nginx_http2(tmp_path / "nginx", root, tmp_path / "server.pem") as server:
        yield server


def options(tmp_path, strategy):
    return {
        "strategy": strategy,
        "cacert": str(tmp_path / "ca.pem"),
        "http2": True,
        "retries": 0,
    }


@pytest.mark.parametrize("strategy", SPEAKERS)
def test_files_come_whole_over_few_connections(server, tmp_path, strategy):
    names = [f"{size}.bin" for size in SIZES] + [f"small{n}" for n in range(200)]
    urls = [f"{server.origin}/{name}" for name in names]
    rows = list(fetch(urls, per_host=None, workers=50, **options(tmp_path, strategy)))

    assert {row.error for row in rows} == {None}, [row.detail for row in rows]
    for name, row in zip(names, rows, strict=True):
        with open(f"downloads/{row.path}", "rb") as stream:
            assert stream.read() == (tmp_path / "www" / name).read_bytes()
    log = (tmp_path / "nginx" / "access.log").read_text().split("\n")[:-1]
    assert {line.split()[0] for line in log} == {"HTTP/2.0"}
    assert len({line.split()[1] for line in log}) <= 4


@pytest.mark.parametrize("strategy", SPEAKERS)
def test_a_missing_file_is_missing_there_too(server, tmp_path, strategy):
    (row,) = fetch([f"{server.origin}/none"], **options(tmp_path, strategy))

    assert (row.error, row.http_status) == ("http_404", 404)


@pytest.mark.parametrize("flag", ["--http2", "--http3"])
@pytest.mark.parametrize("strategy", sorted(set(NAMES) - set(SPEAKERS)))
def test_the_others_say_that_they_do_not(capsys, strategy, flag):
    assert main(["fetch", "http://a.test/", flag, "-s", strategy]) == 2
    assert f"the strategy {strategy} does not speak it" in capsys.readouterr().err

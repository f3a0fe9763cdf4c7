"""HTTP/3 for the strategies that speak it, and what they do where a server does not."""

import json
import os

import peers
import pycurl
import pytest
import trustme

from downloader import fetch
from downloader.cli import main
from downloader.strategies.contract import KINDS

pytestmark = [
    pytest.mark.skipif(
        not pycurl.version_info()[4] & pycurl.VERSION_HTTP3,
        reason="needs a libcurl with HTTP/3 (the wheels of pycurl 7.46 and later)",
    ),
    pytest.mark.usefixtures("workdir"),
]
SIZES = (0, 1, 4_096, 300_000, 3_000_000)
without_quic = peers.needs("caddy", "caddy")[-1]
speakers = pytest.mark.parametrize(
    "strategy", [name for name, kind in KINDS.items() if kind.has_newer_http]
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The served files; beside them what a server needs to prove who it is."""
    folder = tmp_path_factory.mktemp("http3")
    root = folder / "www"
    root.mkdir()
    for size in SIZES:
        (root / f"{size}.bin").write_bytes(os.urandom(size))
    for number in range(100):
        (root / f"small{number}").write_bytes(b"%d" % number)
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
    (folder / "chain.pem").write_bytes(chain)
    authority.cert_pem.write_to_path(folder / "ca.pem")
    return root


@pytest.fixture(scope="module")
def server(root):
    """A server of all versions; its folder tells that of each request."""
    chain, key = root.parent / "chain.pem", root.parent / "key.pem"
    with peers.hypercorn(root, chain, key) as server:
        yield server


def fetched(server, root, names, **options):
    urls = [f"{server.origin}/{name}" for name in names]
    ca_file = str(root.parent / "ca.pem")
    return list(fetch(urls, cacert=ca_file, http3=True, retries=0, **options))


@speakers
def test_files_come_whole(server, root, strategy):
    names = [f"{size}.bin" for size in SIZES] + [f"small{n}" for n in range(100)]
    (root / "versions").write_text("")
    rows = fetched(server, root, names, strategy=strategy)

    assert {row.error for row in rows} == {None}, [row.detail for row in rows]
    for name, row in zip(names, rows, strict=True):
        with open(f"downloads/{row.path}", "rb") as stream:
            assert stream.read() == (root / name).read_bytes()
    # On a busy machine libcurl's own clock may let HTTP/2 win a connection.
    assert "3" in (root / "versions").read_text().split()


@speakers
def test_a_large_file_comes_over_several(server, root, strategy):
    (row,) = fetched(
        server,
        root,
        ["3000000.bin"],
        strategy=strategy,
        segments=4,
        min_segment_size="256K",
    )

    assert row.error is None, row.detail
    with open(f"downloads/{row.path}", "rb") as stream:
        assert stream.read() == (root / "3000000.bin").read_bytes()


@speakers
def test_a_missing_file_is_missing_there_too(server, root, strategy):
    (row,) = fetched(server, root, ["none"], strategy=strategy)

    assert (row.error, row.http_status) == ("http_404", 404)


@speakers
@without_quic
def test_an_older_version_does_where_quic_fails(tmp_path, root, strategy):
    chain, key = root.parent / "chain.pem", root.parent / "key.pem"
    with peers.caddy_https(tmp_path / "caddy", root, chain, key) as server:
        (row,) = fetched(server, root, ["4096.bin"], strategy=strategy)
        log = [json.loads(line) for line in server.log.splitlines()]

    assert row.error is None, row.detail
    assert {line["request"]["proto"] for line in log} == {"HTTP/2.0"}


def test_a_libcurl_without_it_says_so(monkeypatch, capsys):
    found = pycurl.version_info()
    without = (*found[:4], found[4] & ~pycurl.VERSION_HTTP3, *found[5:])
    monkeypatch.setattr(pycurl, "version_info", lambda: without)

    assert main(["fetch", "http://a.test/", "--http3", "-s", "curl"]) == 2
    assert "was built without it here" in capsys.readouterr().err

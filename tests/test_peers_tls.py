"""OpenSSL's own server, with every kind of certificate that is not to be trusted."""

import datetime as dt

import peers
import pytest
import trustme
from strategy_rig import ONE_PER_DRIVER

from downloader import fetch
from downloader.cli import main

pytestmark = [*peers.needs("openssl", "openssl"), pytest.mark.usefixtures("workdir")]
every_driver = pytest.mark.parametrize("strategy", ONE_PER_DRIVER)
NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def cacert(authority, tmp_path_factory):
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


def issued(folder, authority, *names, **more):
    certificate = authority.issue_cert(*names, **more)
    paths = folder / "cert.pem", folder / "key.pem"
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(paths[0], append=True)
    certificate.private_key_pem.write_to_path(paths[1])
    return paths


CASES = {
    "expired": (
        ("127.0.0.1",),
        {"not_before": NOW - 9 * DAY, "not_after": NOW - DAY},
        (),
    ),
    "not yet valid": (("127.0.0.1",), {"not_before": NOW + DAY}, ()),
    "another host": (("other.test",), {}, ()),
    "unknown authority": (None, {}, ()),
    "old protocol": (("127.0.0.1",), {}, ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0")),
    "wants a certificate": (
        ("127.0.0.1",),
        {},
        ("-Verify", "1", "-verify_return_error"),
    ),
}


@pytest.fixture(params=CASES)
def untrusted(request, authority, tmp_path):
    names, more, options = CASES[request.param]
    issuer = authority if names else trustme.CA()
    paths = issued(tmp_path, issuer, *(names or ("127.0.0.1",)), **more)
    with peers.openssl(tmp_path, *paths, *options) as peer:
        yield request.param, peer


@pytest.fixture
def good(authority, tmp_path):
    with peers.openssl(tmp_path, *issued(tmp_path, authority, "127.0.0.1")) as peer:
        yield peer


@every_driver
def test_a_good_certificate_is_trusted_through_its_authority(good, cacert, strategy):
    (row,) = fetch([f"{good.origin}/"], strategy=strategy, cacert=cacert)

    assert (row.status, row.http_status) == ("ok", 200), row.detail


@every_driver
def test_the_systems_authorities_do_not_know_it(good, strategy):
    (row,) = fetch([f"{good.origin}/"], strategy=strategy)

    assert (row.error, row.attempts) == ("tls", 1)


@every_driver
def test_what_is_not_to_be_trusted_is_refused_once(untrusted, cacert, strategy):
    case, peer = untrusted
    (row,) = fetch(
        [f"{peer.origin}/"], strategy=strategy, cacert=cacert, backoff_seconds=0.01
    )

    assert row.status == "failed"
    if case == "wants a certificate":
        # TLS 1.3 refuses only after the handshake: the connection ends with an alert.
        assert row.error in {"tls", "connect"}, row.detail
    else:
        assert (row.error, row.attempts) == ("tls", 1), row.detail


def test_insecure_takes_any_certificate_and_says_so(untrusted, capsys):
    case, peer = untrusted
    status = main(["fetch", f"{peer.origin}/", "--insecure"])
    said = capsys.readouterr().err

    assert "CERTIFICATES ARE NOT CHECKED" in said
    assert status == (1 if case in {"old protocol", "wants a certificate"} else 0)

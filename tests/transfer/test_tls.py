import socket
import ssl

import pytest

from downloader.transfer.tls import make_context


def shake_hands(server, context, name="localhost"):
    """The negotiated TLS version after a handshake with a server."""
    with (
        socket.create_connection(("127.0.0.1", server.port), 60) as connection,
        context.wrap_socket(connection, server_hostname=name) as secured,
    ):
        return secured.version()


@pytest.fixture
def ca_file(odd_tls, tmp_path):
    path = tmp_path / "ca.pem"
    path.write_bytes(odd_tls.ca_pem)
    return str(path)


def test_certificates_and_names_are_checked_by_default():
    context = make_context(None, verifies=True)

    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_a_given_authority_is_trusted(odd_tls, ca_file):
    context = make_context(ca_file, verifies=True)

    assert shake_hands(odd_tls, context) in {"TLSv1.2", "TLSv1.3"}


def test_an_unknown_authority_is_refused(odd_tls):
    context = make_context(None, verifies=True)

    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(odd_tls, context)


def test_a_name_that_the_certificate_lacks_is_refused(odd_tls, ca_file):
    context = make_context(ca_file, verifies=True)

    with pytest.raises(ssl.SSLCertVerificationError, match=r"[Hh]ostname"):
        shake_hands(odd_tls, context, "elsewhere.test")


def test_a_given_authority_replaces_the_systems(ca_file):
    context = make_context(ca_file, verifies=True)

    assert context.cert_store_stats()["x509_ca"] == 1


def test_an_empty_folder_of_authorities_trusts_nobody(odd_tls, tmp_path):
    folder = tmp_path / "authorities"
    folder.mkdir()

    context = make_context(str(folder), verifies=True)

    assert context.cert_store_stats()["x509_ca"] == 0
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(odd_tls, context)


def test_without_verification_any_certificate_and_name_will_do(odd_tls):
    context = make_context(None, verifies=False)

    assert shake_hands(odd_tls, context, "elsewhere.test")


def test_a_file_without_certificates_is_an_error(tmp_path):
    path = tmp_path / "ca.pem"
    path.write_text("nothing here")

    with pytest.raises(ssl.SSLError):
        make_context(str(path), verifies=True)


def test_old_versions_of_tls_are_refused():
    context = make_context(None, verifies=True)

    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2

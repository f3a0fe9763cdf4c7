"""The one TLS context of a worker; every driver gets the same, so trust is alike.

Nothing here reads the environment: the settings have read what of it counts.
"""

from __future__ import annotations

import os
import ssl
import sys


def make_context(cacert: str | None, *, verifies: bool) -> ssl.SSLContext:
    """A client context.

    Args:
        cacert: A file or folder of certificates to trust instead of the system's.
        verifies: False to take any certificate, for any name.
    """
    # Not ssl.create_default_context, which writes keys to the file that SSLKEYLOGFILE
    # names and trusts what SSL_CERT_FILE names. It has the same flags.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if sys.version_info >= (3, 13):
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
    context.hostname_checks_common_name = False  # RFC 9110 §4.3.4: subjectAltName alone
    if cacert is None and os.name == "nt":
        context.load_default_certs()  # Windows keeps them in no file
    else:
        context.load_verify_locations(*trusted(cacert))
    # Python sets it: a connection that is cut would look like one that ends.
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    if not verifies:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def trusted(cacert: str | None) -> tuple[str | None, str | None]:
    """The file and the folder of certificates to trust, for a library of its own TLS.

    Args:
        cacert: As for `make_context`.
    """
    if cacert is not None:
        return (None, cacert) if os.path.isdir(cacert) else (cacert, None)
    paths = ssl.get_default_verify_paths()
    file, folder = paths.openssl_cafile, paths.openssl_capath
    has_file = os.path.isfile(file)
    has_folder = os.path.isdir(folder) and bool(os.listdir(folder))
    if has_file or has_folder:
        return file if has_file else None, folder if has_folder else None
    # Some builds for macOS and Windows bring none; certifi's serve, as in requests.
    import certifi

    return certifi.where(), None

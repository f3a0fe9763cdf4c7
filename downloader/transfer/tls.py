"""The one TLS context of a worker; every driver gets the same, so trust is alike."""

from __future__ import annotations

import os
import ssl


def make_context(cacert: str | None, *, verifies: bool) -> ssl.SSLContext:
    """A client context.

    Args:
        cacert: A file or folder of certificates to trust instead of the system's.
        verifies: False to take any certificate, for any name.
    """
    if cacert is not None:
        is_folder = os.path.isdir(cacert)
        context = ssl.create_default_context(
            cafile=None if is_folder else cacert, capath=cacert if is_folder else None
        )
    elif _system_has_certificates():
        context = ssl.create_default_context()
    else:
        # Some builds for macOS bring none; certifi's then serve, as they do in requests.
        import certifi

        context = ssl.create_default_context(cafile=certifi.where())
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
    if _system_has_certificates() and os.name != "nt":
        paths = ssl.get_default_verify_paths()
        return paths.cafile, paths.capath
    import certifi

    return certifi.where(), None


def _system_has_certificates() -> bool:
    if os.name == "nt":
        return True
    paths = ssl.get_default_verify_paths()
    return paths.cafile is not None or bool(paths.capath and os.listdir(paths.capath))

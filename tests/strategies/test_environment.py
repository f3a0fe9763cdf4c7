"""What the libraries under the drivers read from their environment has no effect."""

import os
import subprocess
import sys

import pytest
from tunnel import Tunnel

from downloader.strategies.contract import NAMES

# The variables that libcurl, OpenSSL, Python's ssl, requests, urllib3 and aiohttp read.
PROXIES = [f"{scheme}_proxy" for scheme in ("http", "https", "all")]


def poison(folder, proxy):
    """An environment of which each variable would show if anything heeded it."""
    home = folder / "home"
    home.mkdir()
    (folder / "qlog").mkdir()
    (folder / "garbage.pem").write_text("no certificate\n")
    for name in (".netrc", "_netrc", "netrc"):
        (home / name).write_text("machine 127.0.0.1 login ada password s3cret\n")
        (home / name).chmod(0o600)
    (home / ".curlrc").write_text(f'proxy = "{proxy}"\nheader = "X-Curlrc: read"\n')
    names = [*PROXIES, *(name.upper() for name in PROXIES)]
    return {
        **os.environ,
        **dict.fromkeys(names, proxy),
        **dict.fromkeys(("no_proxy", "NO_PROXY"), "*"),
        **dict.fromkeys(("HOME", "CURL_HOME", "XDG_CONFIG_HOME"), str(home)),
        "NETRC": str(home / "netrc"),
        "SSLKEYLOGFILE": str(folder / "keys.log"),
        "QLOGDIR": str(folder / "qlog"),
        "CURL_SSL_BACKEND": "gnutls",
        "SSL_CERT_FILE": str(folder / "garbage.pem"),
        "SSL_CERT_DIR": str(folder / "missing"),
        "REQUESTS_CA_BUNDLE": str(folder / "missing.pem"),
        "CURL_CA_BUNDLE": str(folder / "missing.pem"),
        "PYTHONHTTPSVERIFY": "0",
    }


@pytest.mark.parametrize("name", NAMES)
def test_no_variable_that_a_library_reads_has_an_effect(odd_tls, tmp_path, name):
    (tmp_path / "ca.pem").write_bytes(odd_tls.ca_pem)
    with Tunnel() as asked_for, Tunnel() as poisoned:
        environment = poison(tmp_path, poisoned.url)
        options = ["-s", name, "-o", "out", "--cacert", "ca.pem", "--no-progress"]
        command = [sys.executable, "-m", "downloader", "fetch", odd_tls.url("/ok/10")]
        done = subprocess.run(
            [*command, *options, "--proxy", asked_for.url],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            check=False,
            timeout=60,
        )
    ((_, fields),) = odd_tls.requests

    assert done.returncode == 0, done.stderr
    assert (asked_for.tunnels, poisoned.tunnels) == (1, 0)
    assert not {"authorization", "x-curlrc"} & fields.keys()
    assert not (tmp_path / "keys.log").exists()
    assert not any((tmp_path / "qlog").iterdir())

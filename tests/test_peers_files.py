"""Nginx, Apache and Caddy, each against every driver."""

import hashlib
import random
import tempfile
import time
from pathlib import Path

import peers
import pytest
from strategy_rig import ONE_PER_DRIVER, running

from downloader import fetch
from downloader.strategies.contract import NAMES

SERVERS = {"nginx": "nginx", "apache2": "apache2", "caddy": "caddy"}
MAKERS = {"nginx": peers.nginx, "apache2": peers.apache, "caddy": peers.caddy}
BIG = 3_000_000
PATHS = {
    "plain.txt": "plain.txt",
    "empty": "empty",
    "a%20blank%20and%20%25.txt": "a blank and %.txt",
    "gr%C3%B6%C3%9Fe.txt": "größe.txt",
    "folder/inside.html": "folder/inside.html",
    "big.bin": "big.bin",
}

every_driver = pytest.mark.parametrize("strategy", ONE_PER_DRIVER)
pytestmark = pytest.mark.usefixtures("workdir")


@pytest.fixture(scope="session")
def root():
    """The folder that all of them serve; Apache's workers are not root."""
    with tempfile.TemporaryDirectory(prefix="served-") as folder:
        Path(folder).chmod(0o755)
        fill(Path(folder))
        yield Path(folder)


def fill(root):
    chance = random.Random(1)
    for file in PATHS.values():
        path = root / file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(
            b"text " * 300 if "text" in file or "plain" in file else b"x" * 9
        )
    (root / "empty").write_bytes(b"")
    (root / "big.bin").write_bytes(chance.randbytes(BIG))
    for number in range(60):
        (root / f"small-{number}.txt").write_bytes(chance.randbytes(100 * number))


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=peers.needs(name, package))
        for name, package in SERVERS.items()
    ],
)
def peer(request, root, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    folder.chmod(0o777)
    with MAKERS[request.param](folder, root) as peer:
        yield peer


def all_urls(peer, root):
    """URL -> file, of everything that is served."""
    small = {path.name: path.name for path in root.glob("small-*")}
    paths = PATHS | small
    return {f"{peer.origin}/{path}": root / file for path, file in paths.items()}


@every_driver
def test_files_come_as_they_are_and_are_known_afterwards(peer, root, strategy):
    wanted = all_urls(peer, root)
    first = list(fetch(wanted, strategy=strategy))
    again = list(fetch(wanted, strategy=strategy))
    refreshed = list(fetch(wanted, strategy=strategy, refresh=True))

    digests = [
        hashlib.sha256(file.read_bytes()).hexdigest() for file in wanted.values()
    ]
    assert [row.sha256 for row in first] == digests, [row.detail for row in first]
    assert {row.status for row in again} == {"skipped"}
    assert {row.status for row in refreshed} == {"unchanged"}


@every_driver
def test_redirects_refusals_and_what_is_missing(peer, root, strategy):
    paths = ("moved/x", "forbidden/x", "missing")
    moved, forbidden, missing = fetch(
        [f"{peer.origin}/{path}" for path in paths], strategy=strategy
    )

    assert moved.sha256 == hashlib.sha256((root / "big.bin").read_bytes()).hexdigest()
    assert (forbidden.error, missing.error) == ("http_403", "http_404")
    assert (forbidden.attempts, missing.attempts) == (1, 1)


@every_driver
def test_a_stopped_transfer_goes_on_with_a_range(peer, root, workdir, strategy):
    url = f"{peer.origin}/big.bin"
    slow = {"strategy": strategy, "limit_rate": "500K", "output": f"out-{strategy}"}
    part = workdir / f"out-{strategy}/127.0.0.1_{peer.port}/big.bin.part"
    with running([url], **slow) as (session, report):
        while not (part.exists() and part.stat().st_size > BIG // 100):
            assert not report.done()
            time.sleep(0.01)
        session.stop()
        assert [row.error for row in report.result()] == ["interrupted"]
    had = part.stat().st_size
    (row,) = again = fetch([url], **slow | {"limit_rate": None})

    assert (row.status, row.http_status) == ("ok", 206)
    assert row.sha256 == hashlib.sha256((root / "big.bin").read_bytes()).hexdigest()
    assert again.summary.received_bytes == BIG - had


@every_driver
def test_compressed_answers_are_unpacked(peer, root, strategy):
    (row,) = report = fetch(
        [f"{peer.origin}/plain.txt"],
        strategy=strategy,
        compressed=True,
        output=f"out-{strategy}",
    )

    data = (root / "plain.txt").read_bytes()
    assert row.sha256 == hashlib.sha256(data).hexdigest()
    assert report.summary.received_bytes < len(data) / 2


@pytest.mark.parametrize("strategy", NAMES)
@pytest.mark.parametrize(
    "peer", [pytest.param("nginx", marks=peers.needs("nginx", "nginx"))], indirect=True
)
def test_a_server_that_says_too_many_gets_fewer_and_gives_all(peer, root, strategy):
    urls = [f"{peer.origin}/busy/small-{number}.txt" for number in range(60)]
    report = fetch(
        urls,
        strategy=strategy,
        retries=20,
        backoff_seconds=0.05,
        output=f"o-{strategy}",
    )

    assert report.summary.ok == 60, report.summary.errors

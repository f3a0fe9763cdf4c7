"""Files beyond what other tests bother with."""

import pytest

from downloader import fetch
from downloader.policy import exchange

pytestmark = pytest.mark.usefixtures("workdir")


def test_a_file_of_more_than_a_gib_comes_whole(site, workdir):
    size_bytes = (1 << 30) + (8 << 20)
    try:
        (row,) = fetch([f"{site.url}/s/{size_bytes}"], hash="none")
        stored_bytes = (workdir / "downloads" / row.path).stat().st_size
    finally:
        for path in (workdir / "downloads").rglob("*"):
            if path.is_file():
                path.unlink()

    assert row.error is None, row.detail
    assert (row.bytes, stored_bytes) == (size_bytes, size_bytes)


@pytest.mark.parametrize("strategy", ["threads", "asyncio", "curl"])
@pytest.mark.parametrize("path", ["ok/3000000", "chunked/3000000"])
def test_what_is_not_unfolded_is_no_bomb(odd, monkeypatch, strategy, path):
    monkeypatch.setattr(exchange, "BOMB_BYTES", 1 << 16)
    monkeypatch.setattr(exchange, "BOMB_RATIO", 1)
    (row,) = fetch([odd.url(path)], strategy=strategy)

    assert row.error is None, row.detail
    assert row.bytes == 3_000_000

import pytest

from downloader.gauge import _dearer_hash
from downloader.settings import Settings


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({}, "sha256"),
        ({"hash": "xxh3"}, "xxh3"),
        ({"hash": "none"}, None),
        ({"checksums": "SHA256SUMS"}, None),
    ],
)
def test_a_digest_that_could_be_another_is_told_of(settings, found):
    assert _dearer_hash(Settings(**settings)) == found

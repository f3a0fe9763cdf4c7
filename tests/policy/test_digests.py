import pytest

from downloader.policy.digests import algorithm, spell


@pytest.mark.parametrize(
    ("name", "hexadecimal", "text"),
    [
        ("sha256", "ab" * 32, "ab" * 32),
        ("blake3", "cd" * 32, "blake3:" + "cd" * 32),
        ("xxh3", "ef" * 16, "xxh3:" + "ef" * 16),
        ("none", "", ""),
    ],
)
def test_a_recorded_digest_tells_what_made_it(name, hexadecimal, text):
    assert spell(name, hexadecimal) == text
    assert algorithm(text) == name

import pytest

from downloader.policy.digests import algorithm, is_digest, is_sha256, spell


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
    assert is_digest(text)


@pytest.mark.parametrize(
    "text", ["ab", "AB" * 32, "ab" * 32 + "\n", "x:", "a/b:" + "ab" * 32]
)
def test_other_texts_are_no_digests(text):
    assert not is_digest(text)


@pytest.mark.parametrize(
    ("digest", "is_one"), [("ab" * 32, True), ("xxh3:ef", False), ("", False)]
)
def test_a_sha256_is_told_from_others_and_from_none(digest, is_one):
    assert is_sha256(digest) is is_one

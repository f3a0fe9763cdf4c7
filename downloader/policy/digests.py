"""How a file's digest is written down: bare for sha256, else behind its algorithm's name.

9f86d081…          sha256
blake3:af1349b9…   another one
(nothing)          the file was not hashed
"""

from __future__ import annotations

SHA256, BLAKE3, XXH3, NONE = "sha256", "blake3", "xxh3", "none"


def spell(algorithm: str, hexadecimal: str) -> str:
    """A digest as it is recorded."""
    return hexadecimal if algorithm in {SHA256, NONE} else f"{algorithm}:{hexadecimal}"


def is_sha256(digest: str) -> bool:
    """True if a recorded digest is a sha256."""
    return bool(digest) and ":" not in digest


def algorithm(digest: str) -> str:
    """What made a recorded digest."""
    name, colon, _ = digest.partition(":")
    if colon:
        return name
    return SHA256 if digest else NONE

"""How a file's digest is written down: bare for sha256, else behind its algorithm's name.

9f86d081…          sha256
blake3:af1349b9…   another one
(nothing)          the file was not hashed
"""

from __future__ import annotations

from downloader.patterns import lazy

# No algorithm's own length: what names none of ours is never compared.
_DIGEST = lazy(r"(?:[0-9a-f]{64}|[a-z0-9]{1,16}:[0-9a-f]{16,128})?")
SHA256, BLAKE3, XXH3, NONE = "sha256", "blake3", "xxh3", "none"
SHA512, SHA384, SHA1, MD5 = "sha512", "sha384", "sha1", "md5"

# Those take no time worth counting beside a network.
QUICK = frozenset({BLAKE3, XXH3, NONE})
# Hexadecimal digits of the digests that a checksum may be, strongest first. sha256 stands
# before blake3, which is as strong but needs a package.
DIGITS = {SHA512: 128, SHA384: 96, SHA256: 64, BLAKE3: 64, SHA1: 40, MD5: 32}


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


def algorithm_for(checksum: str | None, otherwise: str) -> str:
    """Return the algorithm to hash a file with: its checksum's, if it must have one."""
    return otherwise if checksum is None else algorithm(checksum)


def hexadecimal(digest: str) -> str:
    """The digits of a recorded digest, without its algorithm's name."""
    return digest.rpartition(":")[2]


def is_digest(text: str) -> bool:
    """True if a text is a digest as it is recorded."""
    return _DIGEST.fullmatch(text) is not None

"""What the embedded site holds: names, sizes and bytes, all made from a seed.

Pure: no network, no files, no clock. The server sends what a `Catalogue` says, and
whoever fetched it asks an equal `Catalogue` whether the bytes are right.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BLOCK_BYTES", "NUMBERED_BYTES", "Catalogue", "content_type", "index_page"]

BLOCK_BYTES = 64 * 1024
"""Bodies are made in blocks of this size; each begins with a stamp of its place."""

NUMBERED_BYTES = 200
"""The size of every file below `/n/`."""

_STAMP_BYTES = 16
_POOL_BYTES = 1024 * 1024
# Prime, so that following blocks begin all over the pool before they repeat.
_POOL_STEP = 40_961
_FOLDER_FILES = 20
_NUMBERED = re.compile(r"/n/\d+(/.*)?", re.DOTALL)
# At most some terabytes: a length that no client can take is nobody's file.
_SIZED = re.compile(r"/s/(\d{1,12})(/.*)?", re.DOTALL)
_EPOCH = datetime(2024, 1, 1, tzinfo=UTC)
_YEAR_SECONDS = 365 * 24 * 3600

_KINDS = (
    ("docs", "report", ".txt"),
    ("images", "photo", ".jpg"),
    ("docs", "annual report", ".html"),
    ("data", "table", ".csv"),
    ("images", "Grüße aus Köln", ".png"),
    ("docs", "paper", ".pdf"),
    ("data", "record", ".json"),
    ("licences", "LICENCE", ""),
)
_MEDIUM_KIND = ("images", "scan", ".png")
_LARGE_KIND = ("archives", "backup", ".tar.gz")

_CONTENT_TYPES = {
    ".csv": "text/csv; charset=utf-8",
    ".gz": "application/gzip",
    ".html": "text/html; charset=utf-8",
    ".jpg": "image/jpeg",
    ".json": "application/json",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".txt": "text/plain; charset=utf-8",
}


def content_type(path: str) -> str:
    """The media type that the extension of `path` stands for."""
    extension = path[path.rfind(".") :] if "." in path else ""
    return _CONTENT_TYPES.get(extension, "application/octet-stream")


class Catalogue:
    """The files of one site; equal seeds and counts make equal catalogues.

    Iterating gives (path, size in bytes) pairs. Paths are percent-encoded and absolute,
    as they stand in a URL. Besides these, any path `/n/<int>` or `/n/<int>/<anything>`
    names a small file, so that there are as many URLs as a list may need, and
    `/s/<bytes>` or `/s/<bytes>/<anything>` one of that size.

    Args:
        seed: Decides sizes and bytes.
        files: How many paths the iteration gives; the first ones do not depend on it.
    """

    def __init__(self, seed: int, files: int) -> None:
        self._seed = seed
        self._pool = _pool(seed)
        self._sizes = dict(_entry(seed, number) for number in range(files))

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return iter(self._sizes.items())

    def __len__(self) -> int:
        return len(self._sizes)

    def __contains__(self, path: str) -> bool:
        return path in self._sizes or _made_size(path) is not None

    def size_bytes(self, path: str) -> int:
        """The length of the body; a path that is not there raises KeyError."""
        size = self._sizes.get(path)
        if size is None:
            size = _made_size(path)
        if size is None:
            raise KeyError(path)
        return size

    def body(self, path: str) -> bytes:
        """The whole body at once."""
        return b"".join(self.chunks(path))

    def chunks(
        self, path: str, start: int = 0, stop: int | None = None
    ) -> Iterator[bytes]:
        """The bytes from `start` up to `stop` (None: the end), a block at a time."""
        size = self.size_bytes(path)
        stop = size if stop is None else min(stop, size)
        digest = self._digest(path)
        for number in range(start // BLOCK_BYTES, -(-stop // BLOCK_BYTES)):
            first = number * BLOCK_BYTES
            block = self._block(digest, number, min(BLOCK_BYTES, size - first))
            yield block[max(start - first, 0) : stop - first]

    def sha256(self, path: str) -> str:
        """The SHA-256 of the body in hexadecimal."""
        digest = hashlib.sha256()
        for chunk in self.chunks(path):
            digest.update(chunk)
        return digest.hexdigest()

    def etag(self, path: str) -> str:
        """A strong validator, quoted as a header carries it."""
        return f'"{self._digest(path).hex()}"'

    def last_modified(self, path: str) -> datetime:
        """A moment in 2024, in whole seconds."""
        seconds = int.from_bytes(self._digest(path)) % _YEAR_SECONDS
        return _EPOCH + timedelta(seconds=seconds)

    def last_modified_text(self, path: str) -> str:
        """`last_modified` in the form of RFC 9110 §5.6.7."""
        return format_datetime(self.last_modified(path), usegmt=True)

    def _digest(self, path: str) -> bytes:
        return hashlib.blake2b(f"{self._seed} {path}".encode(), digest_size=8).digest()

    def _block(self, digest: bytes, number: int, size: int) -> bytes:
        """A block cut from the pool behind a stamp of file and place.

        Hashing each body costs more than sending it; slices run at memory speed, and
        with the stamp a block at the wrong place never passes for the right one.
        """
        offset = (int.from_bytes(digest) + number * _POOL_STEP) % _POOL_BYTES
        stamp = digest + number.to_bytes(_STAMP_BYTES - len(digest))
        filler = self._pool[offset : offset + max(size - _STAMP_BYTES, 0)]
        return (stamp + filler)[:size]


def index_page(catalogue: Catalogue) -> str:
    """A page in HTML that links to every file."""
    rows = "\n".join(
        f'<li><a href="{escape(path)}">{escape(unquote(path))}</a> {size} B</li>'
        for path, size in catalogue
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{len(catalogue)} files</title></head>\n"
        f"<body><ul>\n{rows}\n</ul></body></html>\n"
    )


def _made_size(path: str) -> int | None:
    """The size of a file that is there by its name's form alone, else None."""
    if _NUMBERED.fullmatch(path):
        return NUMBERED_BYTES
    sized = _SIZED.fullmatch(path)
    return int(sized[1]) if sized else None


def _pool(seed: int) -> bytes:
    return hashlib.shake_128(f"pool {seed}".encode()).digest(_POOL_BYTES + BLOCK_BYTES)


def _entry(seed: int, number: int) -> tuple[str, int]:
    """Path and size of a file: by its number mostly small, some medium, a few large."""
    draw = hashlib.blake2b(f"{seed} size {number}".encode(), digest_size=8).digest()
    chance = int.from_bytes(draw)
    if number % 75 == 37:  # noqa: PLR2004 - four among the demo's 300
        return _path(_LARGE_KIND, number), (2 << 20) + chance % (6 << 20)
    if number % 12 == 5:  # noqa: PLR2004 - a twelfth
        return _path(_MEDIUM_KIND, number), 256 * 1024
    # A range of powers of two: most real files are far smaller than the mean.
    ceiling = 2048 << (chance >> 8) % 6
    kind = _KINDS[number % len(_KINDS)]
    return _path(kind, number), 1024 + chance % (ceiling - 1023)


def _path(kind: tuple[str, str, str], number: int) -> str:
    folder, stem, extension = kind
    name = f"{stem}-{number:04}{extension}"
    return quote(f"/{folder}/{number // _FOLDER_FILES:04}/{name}")

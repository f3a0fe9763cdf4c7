"""The sha256 that a file must have: behind a URL in a list, or in a file of `sha256sum`.

https://example.org/a.iso sha256=9f86d0…            a line of a list
9f86d0…  images/a.iso                               sha256sum
9f86d0… *images/a.iso                               sha256sum --binary
SHA256 (images/a.iso) = 9f86d0…                     sha256sum --tag, and the BSDs
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from downloader.errors import InvalidUrl
from downloader.patterns import lazy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from downloader.policy.urls import Url

_HEX = r"[0-9a-fA-F]{64}"
_BEHIND = lazy(r"(.*?)[ \t]+sha256=(\S*)", re.DOTALL | re.IGNORECASE)
_LINE = lazy(rf"(?P<hex>{_HEX})[ \t][ \t*]?(?P<name>.+)")
_TAGGED = lazy(rf"SHA256 \((?P<name>.+)\) = (?P<hex>{_HEX})", re.IGNORECASE)


def split(line: str) -> tuple[str, str | None]:
    """A line of a list as its URL and the sha256 behind it, None if there is none.

    Raises:
        InvalidUrl: What stands behind `sha256=` is none.
    """
    if " " not in line and "\t" not in line:
        return line, None
    match = _BEHIND.fullmatch(line)
    if match is None:
        return line, None
    return match[1], digest(match[2])


def digest(text: str) -> str:
    """A sha256 in lower case.

    Raises:
        InvalidUrl: It is none.
    """
    if not re.fullmatch(_HEX, text):
        raise InvalidUrl(
            f"sha256={text[:80]} is no SHA-256: 64 hexadecimal digits, behind the URL"
        )
    return text.lower()


class Sums:
    """The sums of a file, found by the end of a URL's path.

    `images/a.iso` stands for every URL whose path ends in `/images/a.iso`; of several
    such names the longest counts.

    Args:
        lines: The file's lines.

    Attributes:
        has_matched: True once a URL has been found among them.

    Raises:
        ValueError: A line is no sum, or a name has two; the text says which line.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self.has_matched = False
        self._sums: dict[tuple[str, ...], str] = {}
        for number, line in enumerate(lines, 1):
            text = line.strip()
            if text and not text.startswith("#"):
                self._add(text, number)

    def __len__(self) -> int:
        return len(self._sums)

    def find(self, url: Url) -> str | None:
        """The sha256 that a URL's file must have, None if the file does not say."""
        if not self._sums:
            return None
        from urllib.parse import unquote  # 3 ms

        path = url.target.partition("?")[0]
        components = [unquote(component) for component in path.split("/")[1:]]
        for first in range(len(components)):
            found = self._sums.get(tuple(components[first:]))
            if found is not None:
                self.has_matched = True
                return found
        return None

    def _add(self, text: str, number: int) -> None:
        # A backslash first says that those in the name are doubled (coreutils).
        match = _TAGGED.fullmatch(text) or _LINE.fullmatch(text.removeprefix("\\"))
        if match is None:
            raise ValueError(
                f"line {number}: {text[:80]!r} is no line of sha256sum, such as "
                "'9f86d081…  name'"
            )
        name = match["name"].strip()
        components = name.replace("\\\\", "\\").split("/")
        # Where the sums were made does not matter: `./a`, `../a` and `x//a` are names too.
        key = tuple(one for one in components if one not in {"", ".", ".."})
        sha256 = match["hex"].lower()
        if self._sums.setdefault(key, sha256) != sha256:
            raise ValueError(f"line {number}: {name!r} has another sum further up")

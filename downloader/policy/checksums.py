"""The digest that a file must have: as a text, or found in a file of checksums.

sha512=9f86d0…   sha-512:9f86d0…   sha512 = 9f86d0…      a text, as behind a list's URL
9f86d0…  images/a.iso                                    sha256sum, md5sum, b3sum …
9f86d0… *images/a.iso                                    sha256sum --binary
SHA256 (images/a.iso) = 9f86d0…                          sha256sum --tag, and the BSDs

A checksum is kept as a digest is recorded; see `policy.digests`. A file of checksums may be
a clear-signed OpenPGP message (RFC 9580 §7). Its signature is not checked here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from downloader.patterns import lazy
from downloader.policy import digests
from downloader.policy.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from downloader.policy.urls import Url

FORMS = f"ALGORITHM=HEX, the algorithm one of {', '.join(digests.DIGITS)}"

_TEXT = lazy(r"([A-Za-z0-9_-]+)\s*[=:]\s*(\S*)")
_HEX = r"[0-9A-Fa-f]+"
_LINE = lazy(rf"(?P<hex>{_HEX})[ \t][ \t*]?(?P<name>.+)")
_TAGGED = lazy(rf"(?P<algorithm>[A-Za-z0-9-]+) ?\((?P<name>.+)\) ?= ?(?P<hex>{_HEX})")
_ESCAPED = lazy(r"\\([\\nr])")
_UNESCAPED = {"\\": "\\", "n": "\n", "r": "\r"}
# Their digests have the lengths of SHA-256's and SHA-512's: only the file's name tells.
_BLAKE_FILE = lazy(
    r"(?:.*[._-])?(?:b|blake)([23])[bs]?(?:sums?(?:[._-].*)?|(?:\.txt|\.asc)?)"
)
_SIGNED = "-----BEGIN PGP SIGNED MESSAGE-----"
_SIGNATURE = "-----BEGIN PGP SIGNATURE-----"
_SIGNATURE_END = "-----END PGP SIGNATURE-----"


def read(text: str) -> str | None:
    """The checksum that a text gives; None if it has none of the known forms.

    Raises:
        ValueError: The algorithm is known and the digest is none of its own.
    """
    match = _TEXT.fullmatch(text)
    if match is None:
        return None
    algorithm = _algorithm(match[1])
    return None if algorithm is None else _checked(algorithm, match[2])


def read_any(text: str) -> str:
    """Read a checksum like `read`; 64 digits alone are a sha256.

    Raises:
        ValueError: It is no checksum.
    """
    if len(text) == digests.DIGITS[digests.SHA256] and ":" not in text:
        return _checked(digests.SHA256, text)
    checksum = read(text)
    if checksum is None:
        raise ValueError(f"needs a checksum of the form {FORMS}")
    return checksum


def _algorithm(name: str) -> str | None:
    """An algorithm's name as recorded: `SHA-256` is sha256; None if it is not known."""
    # OpenSSL 3 writes SHA2-256.
    plain = name.lower().replace("sha2-", "sha").replace("-", "").replace("_", "")
    return plain if plain in digests.DIGITS else None


def _checked(algorithm: str, digits: str) -> str:
    count = digests.DIGITS[algorithm]
    if len(digits) != count or not re.fullmatch(_HEX, digits):
        raise ValueError(f"needs {count} hexadecimal digits for its {algorithm}")
    return digests.spell(algorithm, digits.lower())


class Sums:
    """The checksums of a file, found by the end of a URL's path.

    `images/a.iso` stands for every URL whose path ends in `/images/a.iso`; of several
    such names the longest counts, and of several checksums of a name the strongest.

    Args:
        lines: The file's lines.
        file_name: The file's own name: that of a file by `b3sum` says so.

    Attributes:
        has_matched: True once a URL has been found among them.
        is_signed: True if they carry an OpenPGP signature, which is not checked.

    Raises:
        ValueError: A line is no checksum, or a name has two by one algorithm; the text
            says which line.
    """

    def __init__(self, lines: Iterable[str], file_name: str = "") -> None:
        self.has_matched = self.is_signed = False
        self._sums: dict[tuple[str, ...], str] = {}
        # By name and algorithm, to find contradictions.
        self._given: dict[tuple[tuple[str, ...], str], str] = {}
        self._by_length = _algorithms_by_length(file_name.lower())
        for number, text in self._content(lines):
            if text and not text.startswith("#"):
                self._add(text, number)

    def __len__(self) -> int:
        return len(self._sums)

    def find(self, url: Url) -> str | None:
        """The checksum that a URL's file must have, None if the file does not say."""
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

    def _content(self, lines: Iterable[str]) -> Iterator[tuple[int, str]]:
        """The numbered lines without what belongs to an OpenPGP signature."""
        is_header = is_signature = is_message = False
        for number, line in enumerate(lines, 1):
            text = line.strip()
            if text in {_SIGNED, _SIGNATURE}:
                self.is_signed = True
                is_header = is_message = text == _SIGNED
                is_signature = text == _SIGNATURE
            elif text == _SIGNATURE_END:
                is_signature = False
            elif is_header:
                is_header = bool(text)  # an empty line ends it
            elif not is_signature:
                yield number, text.removeprefix("- ") if is_message else text

    def _add(self, text: str, number: int) -> None:
        # A backslash first says that some in the name are escapes (coreutils).
        plain = text.removeprefix("\\")
        match = _TAGGED.fullmatch(plain) or _LINE.fullmatch(plain)
        checksum = None if match is None else self._checksum(match)
        if match is None or checksum is None:
            raise ValueError(
                f"line {number}: {redact(text)[:80]!r} is no line of sha256sum, such as "
                "'9f86d081…  name'; sha512sum, sha384sum, sha1sum, md5sum and b3sum "
                "will do too"
            )
        name = match["name"].strip()
        if plain != text:
            name = _ESCAPED.sub(lambda escape: _UNESCAPED[escape[1]], name)
        # Where the sums were made does not matter: `./a`, `../a` and `x//a` are names too.
        key = tuple(one for one in name.split("/") if one not in {"", ".", ".."})
        algorithm = digests.algorithm(checksum)
        if self._given.setdefault((key, algorithm), checksum) != checksum:
            raise ValueError(
                f"line {number}: {name!r} has another {algorithm} further up"
            )
        self._sums[key] = min(self._sums.get(key, checksum), checksum, key=_rank)

    def _checksum(self, match: re.Match[str]) -> str | None:
        digits = match["hex"]
        if "algorithm" not in match.re.groupindex:
            algorithm = self._by_length.get(len(digits))
        else:
            algorithm = _algorithm(match["algorithm"])
        if algorithm is None or len(digits) != digests.DIGITS[algorithm]:
            return None
        return _checked(algorithm, digits)


def _rank(checksum: str) -> int:
    return list(digests.DIGITS).index(digests.algorithm(checksum))


def _algorithms_by_length(file_name: str) -> dict[int, str]:
    """Map digest lengths to algorithms, for a file of this name."""
    match = _BLAKE_FILE.fullmatch(file_name)
    if match is not None and match[1] == "2":
        return {}
    kind = digests.SHA256 if match is None else digests.BLAKE3
    by_length = {digits: name for name, digits in digests.DIGITS.items()}
    return by_length | {digests.DIGITS[kind]: kind}

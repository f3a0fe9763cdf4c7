"""A line of a URL list: the URL in it, and the checksum behind it.

    https://example.org/a.iso sha512=9f86d0…      # a comment
    https://example.org/a.iso#sha256=9f86d0…
    - <https://example.org/a.iso>
    "https://example.org/a.iso",

Marks that other programs put around a URL are taken off where only one URL can be meant.
Any other line is refused whole, with what is odd about it: no part of a line is dropped,
and no two parts become one URL. Whether the URL itself is sound, `policy.urls` decides.
"""

# ruff: noqa: RUF001 - quotation marks of many languages are its subject

from __future__ import annotations

import re

from downloader.patterns import lazy
from downloader.policy import checksums
from downloader.policy.urls import refusal

# All that `str.strip` takes off, and characters that show nothing: joiners, marks of the
# writing direction, a byte order mark amid a list. Within a URL a joiner may belong to a
# word (U+200C and U+200D do in Persian and in emoji).
_BLANKS = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006"
    "\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
_JOINERS = "\u200c\u200d"
_HIDDEN = (
    "\xad\u061c\u180e\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2062"
    "\u2063\u2064\u2066\u2067\u2068\u2069\ufeff"
)
_EDGES = _BLANKS + _HIDDEN + _JOINERS
_HIDDEN_WITHIN = lazy(f"[{_HIDDEN}]")
# Most lines: nothing in them that could be anything but a URL's own.
_PLAIN = lazy(r"https?://[!$-&(-+\--:=?-Z\[-_a-z{}~]+", re.IGNORECASE)
_COMMENT = lazy(r"\s#.*", re.DOTALL)
_BULLET = lazy(r"(?:[-*+•·–—]|[0-9]{1,9}[.)])\s+(?=\S)")
_WRAPPERS = {
    '"': '"',
    "'": "'",
    "`": "`",
    "<": ">",
    "(": ")",
    "“": "”",
    "”": "”",
    "„": "“",
    "‘": "’",
    "’": "’",
    "‚": "‘",
    "«": "»",
    "»": "«",
    "‹": "›",
    "›": "‹",
}
_MOST_WRAPPERS = 3
# The others may stand in a URL as they are (RFC 3986 §2.2).
_NO_PART_OF_A_URL = frozenset([*_WRAPPERS, *_WRAPPERS.values()]) - frozenset("'()")
_URL = lazy(r"[A-Za-z][A-Za-z0-9+.-]*://")
_SCHEME = lazy(r"[A-Za-z][A-Za-z0-9+.-]*:\S")
_HTTP = lazy(r"https?://", re.IGNORECASE)
_SECOND_URL = lazy(r"[,;|\s][\"'`<]?https?://", re.IGNORECASE)
_JSON = lazy(r"""[\[{]\s*(?:["'\[{]|\Z)|[\]}]+,?\Z|"[^"]*"\s*:|'[^']*'\s*:""")
_MARKUP = lazy(r"<(?![A-Za-z][A-Za-z0-9+.-]*:)[!?/A-Za-z]")
_MARKUP_WITHIN = lazy(r"[\"']>|</")
# Of the manual's section "Input File" those that lists have.
_ARIA2 = lazy(
    r"(?:all-proxy|allow-overwrite|auto-file-renaming|check-integrity|checksum"
    r"|conditional-get|continue|dir|dry-run|ftp-(?:user|passwd)|gid|header"
    r"|http-(?:user|passwd|proxy)|https-proxy|max-[a-z-]+|min-split-size|no-proxy|out"
    r"|parameterized-uri|pause|piece-length|referer|remote-time|reuse-uri|select-file"
    r"|split|timeout|user-agent)="
)

_ONE_URL = "give one URL a line, and nothing behind it but a checksum"
_TWO_URLS = "has two URLs: give each a line of its own"
_CSV = f"looks like CSV: {_ONE_URL}"
_TSV = f"looks like TSV: {_ONE_URL}"
_OPTION = f"looks like an aria2 option: {_ONE_URL}"


def trim(line: str) -> str:
    """The line without blanks and invisible characters at its ends."""
    return line.strip(_EDGES)


def read(line: str) -> tuple[str, str | None]:
    """The URL in a trimmed line, and the checksum behind it; None if there is none.

    Raises:
        InvalidUrl: It is no line of a URL list; the message is free of secrets.
    """
    if _PLAIN.fullmatch(line):
        return line, None
    try:
        return _read(line)
    except ValueError as fault:
        raise refusal(line, str(fault)) from None


def _read(line: str) -> tuple[str, str | None]:
    text = trim(trim(_COMMENT.sub("", line)).removesuffix(","))
    _check_markup(text)
    text = _unwrapped(text)
    if not _URL.match(text):
        _check_shape(text)
        # The parser says that it is no URL, and why.
        return text if text in line else line, None
    url, *rest = text.split(maxsplit=1)
    behind = trim(rest[0]) if rest else ""
    if _SECOND_URL.search(text):
        raise ValueError(_TWO_URLS)
    url = trim(url)
    if not behind:
        url = _checked(url)
        return url, _in_fragment(url)
    url = _checked(url.removesuffix(","))
    checksum = checksums.read(behind)
    if checksum is None:
        raise ValueError(_fault_of_words(text, behind))
    if _in_fragment(url) not in {None, checksum}:
        raise ValueError("has two checksums: give one")
    return url, checksum


def _in_fragment(url: str) -> str | None:
    """The checksum in a URL's fragment, as package indexes write it (PEP 503)."""
    return checksums.read(url.partition("#")[2])


def _check_markup(text: str) -> None:
    if _JSON.match(text):
        raise ValueError(f"looks like JSON: {_ONE_URL}")
    if _MARKUP.match(text):
        raise ValueError(f"looks like HTML or XML: {_ONE_URL}")


def _unwrapped(text: str) -> str:
    """The text without a list's bullet and without quotes or brackets around a URL."""
    bullet = _BULLET.match(text)
    if bullet is not None:
        text = text[bullet.end() :]
    for _ in range(_MOST_WRAPPERS):
        closer = _WRAPPERS.get(text[:1])
        if closer is None:
            break
        end = text.rfind(closer)
        if end < 1:
            raise ValueError(f"begins with {text[0]}, which nothing closes")
        behind = trim(text[end + 1 :]).lstrip(",;")
        text = trim(f"{trim(text[1:end])} {behind}")
    return text


def _check_shape(text: str) -> None:
    """Refuse what does not begin with a URL, if more is to be said of it than that."""
    if _ARIA2.match(text):
        raise ValueError(_OPTION)
    if _SCHEME.match(text):
        return
    if "\t" in text:
        raise ValueError(_TSV)
    if "," in text and ("://" in text or "/" not in text):
        raise ValueError(_CSV)
    if _HTTP.search(text):
        raise ValueError(f"has something in front of its URL: {_ONE_URL}")


def _fault_of_words(text: str, behind: str) -> str:
    if _ARIA2.match(behind):
        return _OPTION
    if "\t" in text:
        return _TSV
    if "," in text and ('"' in behind or text.split(maxsplit=1)[0].endswith(",")):
        return _CSV
    return (
        f"has something behind its URL that is no checksum: write {checksums.FORMS}; "
        "a blank in a URL is written %20"
    )


def _checked(url: str) -> str:
    """The URL, if nothing shows that other texts have got into it."""
    if _HIDDEN_WITHIN.search(url):
        raise ValueError(
            "has an invisible character in its URL: remove it, or write it with %"
        )
    if '",' in url or ',"' in url:
        raise ValueError(_CSV)
    if _MARKUP_WITHIN.search(url):
        raise ValueError(f"looks like HTML or XML: {_ONE_URL}")
    if url[-1] in _NO_PART_OF_A_URL and _NO_PART_OF_A_URL.isdisjoint(url[:-1]):
        raise ValueError(
            f"ends in {url[-1]}, which nothing opens: remove it, or write it with %"
        )
    return url

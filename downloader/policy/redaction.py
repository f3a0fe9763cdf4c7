"""Texts made fit to be shown, logged and stored: no password, no secret, no control character.

For any text, not only for valid URLs.
"""

from __future__ import annotations

import re

from downloader.patterns import lazy

__all__ = ["printable", "redact", "redact_query", "redact_secrets"]

# What ends a user name and password, and what stands between the two: as they are,
# percent-encoded, and in the wide forms that UTS 46 maps to them.
_MARK = lazy(r"@|%(?:25)*+40|[\uff20\ufe6b]")
_COLON = lazy(r":|%(?:25)*+3[Aa]|[\uff1a\ufe55]")
# A URL whose parts are beyond doubt, up to its path. With a bare "/", "?" or "#" in a
# password none matches: what stands before it then is no port. Lists may hold lines of
# megabytes: each of these takes linear time.
_URL = lazy(
    r"""
    ( \s*+ [A-Za-z][A-Za-z0-9+.-]*+ :// )
    (?: ( [^/?\#\\]* ) @ )?
    ( (?: \[ [0-9A-Fa-f:.]++ \]
        | (?: [^\s/?\#\\@:\[\]%\uff20\ufe6b] | %(?!(?:25)*+40) )++ )
      (?: : ([0-9]{1,5}) )? )
    (?= [/?\#] | \s*+\Z )
    """,
    re.VERBOSE,
)
_MAX_PORT = 65_535
# As in options of other programs and in headers, which get into lists by mistake.
_NAMED_SECRET = lazy(
    r"((?:passw(?:or)?d|token|secret|authorization|cookie|api[-_]?key)[\"']?\s*[=:]).+",
    re.DOTALL | re.IGNORECASE,
)
_LONGEST_BEGINNING = len("https://") + 1
_WORD = lazy(r"\S+")
_OPENING = "\"'`(<[{"
# A colon before one of these is a port's, or belongs to an IPv6 address.
_NO_PORT = r"(?![0-9]{0,5}(?:[/?#]|\Z))"
_NO_IPV6 = r"(?!\[[0-9A-Fa-f:.]*\](?::[0-9]*)?(?:[/?#]|\Z))"
_INNER_PASSWORD = lazy(rf"(://{_NO_IPV6}[^/?#:]*+:)(?:[^/?#]*@|{_NO_PORT}.*@)")
_LATER_PASSWORD = lazy(r"(?<=\s)[^\s:]*+:.*", re.DOTALL)
_SECRET_QUERY = lazy(
    r"""
    ( (?: [?&;\#] | %3F | %26 )
      (?: [^?&;\#=%\s]*
          (?: token|secret|passw(?:or)?d|signature|credential|api[-_.]?key|jwt
            | access[-_]?key(?:[-_]?id)?|session(?:[-_]?id)? )
        | (?: [^?&;\#=%\s]*[-_.] )? (?: key|sig|pwd|pass|auth|code|sid ) )
      (?: = | %3D ) )
    # Up to the parameter's end, but for marks of the sentence that it stands in.
    (?: (?!%26) [^&\#\s] )*? (?= ['"),.:;>\]]{0,3} (?: [&\#\s] | %26 | \Z ) )
    """,
    re.VERBOSE | re.IGNORECASE,
)


def redact(line: str) -> str:
    """A line, a URL or a proxy without its password; the user name stays.

    Fails closed: in a text that is no URL beyond doubt, all up to its last "@" is hidden,
    and all behind a word such as `password=`.
    """
    end = 0
    for mark in _MARK.finditer(line):
        end = mark.end()
    shown = _without_password(line, end) if end else line
    # A URL keeps its query; words behind it may be another program's options.
    word = _WORD.search(shown) if "://" in shown[:_LONGEST_BEGINNING] else None
    url_end = word.end() if word else 0
    return shown[:url_end] + _NAMED_SECRET.sub(r"\1***", shown[url_end:])


def _without_password(line: str, end: int) -> str:
    """The line without what stands before its last "@", which ends at `end`."""
    url = _URL.match(line)
    if url is None or int(url[4] or 0) > _MAX_PORT:
        return f"***@{line[end:]}"
    begin, userinfo, host, _ = url.groups()
    rest = _redacted_rest(line[url.end() : end]) + line[max(end, url.end()) :]
    return f"{begin}{_shown_user(userinfo)}{host}{rest}"


def _shown_user(userinfo: str | None) -> str:
    if userinfo is None:
        return ""
    colon = _COLON.search(userinfo)
    return f"{userinfo[: colon.start()]}:***@" if colon else f"{userinfo}@"


def _redacted_rest(text: str) -> str:
    """Redact the text behind a URL's host, up to the last "@"; it may hold further URLs."""
    inner = _WORD.sub(_without_inner_passwords, text)
    return _LATER_PASSWORD.sub("***@", inner)


def _without_inner_passwords(match: re.Match[str]) -> str:
    word = match.group()
    # Nothing behind the last "@" can be a password, and a search there could not end
    # early.
    end = word.rfind("@") + 1
    return _INNER_PASSWORD.sub(r"\1***@", word[:end]) + word[end:]


def redact_secrets(text: str) -> str:
    """A sentence for messages and logs, without passwords and secrets in its URLs.

    What it quotes goes through `redact` before: here a password ends with its word. A
    parameter counts as secret by its name: tokens, keys, signatures, passwords,
    sessions, codes.
    """
    shown = _WORD.sub(_redacted_word, text) if "@" in text else text
    return _without_secret_values(shown)


def _redacted_word(match: re.Match[str]) -> str:
    word = match.group()
    # Without a colon, as in `me@example.org`, there is no password.
    if _COLON.search(word, 0, word.rfind("@") + 1) is None:
        return word
    quoted = word.lstrip(_OPENING)
    return word.removesuffix(quoted) + redact(quoted)


def redact_query(query: str) -> str:
    """A URL's query without the secrets in it, for a file name: it must not change."""
    return _without_secret_values(_WORD.sub(_without_inner_passwords, query))


def _without_secret_values(text: str) -> str:
    if "=" not in text and "%3" not in text:
        return text
    return _SECRET_QUERY.sub(r"\1***", text)


def printable(text: str) -> str:
    r"""The text safe for a terminal: what is not printable appears as `\x1b` or `\u202e`.

    Covers control characters, bidirectional controls, odd spaces and lone surrogates,
    so that text from servers and lists can neither move the cursor nor forge a line.
    """
    if text.isprintable():
        return text
    return "".join(mark if mark.isprintable() else _escaped(mark) for mark in text)


def _escaped(character: str) -> str:
    if character.isascii():
        return f"\\x{ord(character):02x}"
    return character.encode("ascii", "backslashreplace").decode("ascii")

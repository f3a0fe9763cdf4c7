"""Texts made fit to be shown, logged and stored: no password, no secret, no control character.

For any text, not only for valid URLs.
"""

from __future__ import annotations

import re

from downloader.patterns import lazy

__all__ = ["printable", "redact", "redact_secrets"]

# A colon before one of these is a port's, or belongs to an IPv6 address.
_NO_PORT = r"(?![0-9]{0,5}(?:[/?#]|\Z))"
_NO_IPV6 = r"(?!\[[0-9A-Fa-f:.]*\](?::[0-9]*)?(?:[/?#]|\Z))"
# The second alternative finds passwords with a bare "/", "?" or "#" in them, which make
# a URL invalid but are secrets all the same. Lists may hold lines of megabytes: each of
# these takes linear time.
_LINE_PASSWORD = lazy(
    rf"^(\s*+(?:(?i:https?|ftp):?|[A-Za-z][A-Za-z0-9+.-]*:(?=//))?[/\\]*+{_NO_IPV6}[^/?#:]*+:)"
    rf"(?:[^/?#]*@|{_NO_PORT}.*@)",
    re.DOTALL,
)
_WORD = lazy(r"\S+")
_WORD_PASSWORD = lazy(
    rf"(://{_NO_IPV6}[^/?#:]*+:)(?:[^/?#]*@|{_NO_PORT}.*@)",
)
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
    """The line with a password before an "@" replaced by `***`; the user name stays.

    For texts that may be no valid URL at all: rather too much is hidden than too little.
    """
    if "@" not in line:
        return line
    return _WORD.sub(_redacted_word, _LINE_PASSWORD.sub(r"\1***@", line))


def _redacted_word(match: re.Match[str]) -> str:
    word = match.group()
    # Nothing behind the last "@" can be a password, and a search there could not end
    # early.
    end = word.rfind("@") + 1
    return _WORD_PASSWORD.sub(r"\1***@", word[:end]) + word[end:]


def redact_secrets(text: str) -> str:
    """A sentence for messages and logs, without passwords and secrets in its URLs.

    A parameter counts as secret by its name: tokens, keys, signatures, passwords,
    sessions, codes.
    """
    # Not as `redact` does it for a raw line: in a sentence, "urls.txt:2: a@b" would look
    # like a user and a password.
    shown = _WORD.sub(_redacted_word, text) if "@" in text else text
    if "=" not in shown and "%3" not in shown:
        return shown
    return _SECRET_QUERY.sub(r"\1***", shown)


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

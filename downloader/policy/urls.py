"""URLs as texts: read, repaired for sending, compared, joined, and made fit to be shown.

Two forms matter. The target that is *sent* keeps every printable ASCII character as it
stands, as curl does, so that signed URLs survive. What is *compared* (`identity`) is
the normal form of RFC 3986 §6.2.2. Nothing here resolves a name or opens a connection.
"""

from __future__ import annotations

import re
from functools import lru_cache

from downloader.errors import InvalidUrl
from downloader.patterns import lazy
from downloader.policy.redaction import printable, redact, redact_secrets
from downloader.tuples import NamedTuple

__all__ = [
    "MAX_LENGTH",
    "Url",
    "identity",
    "join",
    "parse",
    "refusal",
]

MAX_LENGTH = 16_384
"""Longest text that is read as a URL; servers refuse far shorter ones with a 414."""

_SHOWN_LENGTH = 200  # characters of a bad URL that a message quotes
_MAX_NAME_LENGTH = 253  # RFC 1035 §3.1, written with dots
_MAX_PORT = 65_535
_IPV4_BYTES = 4
_DEFAULT_PORTS = {"http": 80, "https": 443}
_SURROUNDING = " \t\r\n\f"

# RFC 3986 §3.3 and §3.4, as the inside of a character class: pchar, "/" and "?".
_PCHAR = r"A-Za-z0-9\-._~!$&'()*+,;=:@/"
_LABEL = r"[a-z0-9_-]{1,63}"
_BYTE = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"

# A URL that needs no repair, in two parts. The last label of its host starts with a
# letter, for a number there makes the whole host an IPv4 address.
_CLEAN_SERVER = lazy(
    rf"""
    (https?)://
    ( (?:{_LABEL}\.)*[a-z][a-z0-9_-]{{0,62}}\.? | (?:{_BYTE}\.){{3}}{_BYTE} )
    (?: :([1-9][0-9]{{0,4}}) )?
    """,
    re.VERBOSE,
).fullmatch
_CLEAN_TARGET = lazy(r'(/[!"$-~]*+)(?:#[!-~]*)?').fullmatch
# Behind `https://`, where a server's name begins.
_LONGEST_SCHEME = 8
_LONGEST_SERVER = 300
_SCHEME = lazy(r"([A-Za-z][A-Za-z0-9+.-]*):")
_HTTP_URL = lazy(r"(https?)://([^/?#]*)([^?#]*)(\?[^#]*)?", re.IGNORECASE | re.DOTALL)
_SCHEMELESS_PORT = lazy(r"[^/?#:]+:[0-9]+(?:[/?#]|\Z)")
_PORT = lazy(r"0*([0-9]{1,5})")
# Surrogates that no undecodable byte stands behind (PEP 383).
_FORBIDDEN = lazy(r"[\ud800-\udc7f\udd00-\udfff]")
# Blanks, control characters and all that is not ASCII. RFC 3986 has no place for
# `"<>[]\^`{|}` and a bare `%` either; curl sends them, and servers take them.
_UNSENDABLE = lazy(r"[^!-~]")
_NORMAL_TARGET = lazy(rf"[{_PCHAR}?]*+")
_NOT_NORMAL = lazy(rf"%[0-9A-Fa-f]{{2}}|[^{_PCHAR}?]")
_UNRESERVED_ENCODED = lazy(
    r"%(?:2[DE]|3[0-9]|[46][1-9A-F]|5[0-9AF]|7[0-9AE])"  # RFC 3986 §2.3
)
_HOST_NAME = lazy(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_NOT_IN_HOST_NAME = lazy(r"[^a-z0-9._-]")
_NUMERIC_HOST = lazy(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?")
_ZERO_RUN = lazy(r"\b0(?::0)+\b")


class Url(NamedTuple):
    """An http or https URL, fit for sending; made by `parse` and `join`.

    Attributes:
        scheme: `http` or `https`.
        host: A lower-case ASCII name, an IPv4 address, or an IPv6 address without
            brackets.
        port: Always set, the scheme's default included.
        target: Path and query as they are sent (RFC 9112 §3.2.1); begins with "/".
        credentials: `user:password`, percent-decoded; None if the URL has none.
    """

    scheme: str
    host: str
    port: int
    target: str
    credentials: str | None = None

    def __repr__(self) -> str:
        # A value's repr ends up in logs and tracebacks; the password must not.
        secret = "" if self.credentials is None else ", credentials='***'"
        return f"Url({self.text!r}{secret})"

    def request_target(self, proxy: str | None) -> str:
        """The target of a request: the whole URL for a proxy that forwards it.

        See RFC 9112 §3.2.2. Through SOCKS, and to https, a proxy forwards bytes alone.
        """
        is_forwarded = (
            proxy is not None
            and self.scheme == "http"
            and not proxy.lower().startswith("socks")
        )
        return self.text if is_forwarded else self.target

    @property
    def text(self) -> str:
        """The URL without user, password, default port and fragment."""
        return _place(self.scheme, self.host, self.port)[3] + self.target

    @property
    def netloc(self) -> str:
        """Host and port as the Host header wants them: a default port is left out."""
        return _place(self.scheme, self.host, self.port)[0]

    @property
    def host_key(self) -> str:
        """Host and port, `example.org:443` say: the unit of politeness."""
        return _place(self.scheme, self.host, self.port)[1]

    @property
    def origin(self) -> str:
        """Scheme, host and port, the port always written (RFC 6454 §4)."""
        return _place(self.scheme, self.host, self.port)[2]


# A list names few hosts and each of them often.
@lru_cache(maxsize=1_024)
def _place(scheme: str, host: str, port: int) -> tuple[str, str, str, str]:
    """What a server is called: netloc, host key, origin, and what stands before a target."""
    name = f"[{host}]" if ":" in host else host
    host_key = f"{name}:{port}"
    netloc = name if port == _DEFAULT_PORTS[scheme] else host_key
    return netloc, host_key, f"{scheme}://{host_key}", f"{scheme}://{netloc}"


# Once as a line is taken in and once as it is sent, a few hundred lines later.
@lru_cache(maxsize=2_048)
def parse(text: str) -> Url:
    """The URL that a text stands for.

    White space around the text, a fragment and dot segments are dropped. What a request
    target cannot hold is percent-encoded, all else stays. Bytes that were not UTF-8 may
    come as surrogate escapes.

    Raises:
        InvalidUrl: It is no http or https URL; the message is free of secrets.
    """
    return _parse_clean(text) or _parse_any(text)


def _parse_clean(text: str) -> Url | None:
    """What `_parse_any` would say of a text that needs no repair, in a tenth of its time."""
    begins_at = text.find("/", _LONGEST_SCHEME)
    place = text if begins_at < 0 else text[:begins_at]
    if len(place) > _LONGEST_SERVER or len(text) > MAX_LENGTH:
        return None
    server = _clean_server(place)
    if server is None or begins_at < 0:
        return None if server is None else Url(*server, "/")
    match = _CLEAN_TARGET(text, begins_at)
    if match is None or _may_have_dot_segments(match[1]):
        return None
    return Url(*server, match[1])


# A list names few hosts and each of them often.
@lru_cache(maxsize=1_024)
def _clean_server(text: str) -> tuple[str, str, int] | None:
    match = _CLEAN_SERVER(text)
    if match is None:
        return None
    scheme, host, port_digits = match.groups("")
    port = int(port_digits) if port_digits else _DEFAULT_PORTS[scheme]
    is_sound = port <= _MAX_PORT and len(host) <= _MAX_NAME_LENGTH
    return (scheme, host, port) if is_sound else None


def _parse_any(text: str) -> Url:
    trimmed = text.strip(_SURROUNDING)
    _check_characters(trimmed)
    # White space before a fragment is no more part of the URL than that is.
    match = _HTTP_URL.match(trimmed.partition("#")[0].rstrip(_SURROUNDING))
    if match is None:
        raise refusal(trimmed, _scheme_fault(trimmed))
    scheme, authority, path, query = match.groups("")
    scheme = scheme.lower()
    userinfo, _, place = authority.rpartition("@")
    try:
        _check_backslash(authority)
        host, port_text = _split_port(place)
        port = _port(port_text, scheme)
        url = Url(scheme, host, port, _target(path, query), _credentials(userinfo))
        return _checked_length(url)
    except ValueError as fault:
        raise refusal(trimmed, str(fault)) from None


def _checked_length(url: Url) -> Url:
    """The URL, if what is sent is no longer than what may be read: repair lengthens."""
    length = len(url.text)
    if length > MAX_LENGTH:
        raise ValueError(
            f"is {length} characters long as it is sent, {MAX_LENGTH} are the most"
        )
    return url


def refusal(text: str, fault: str) -> InvalidUrl:
    """The error for a text that is no URL: it quotes the text without its secrets."""
    # As a line and as a sentence, which find different things; before it is cut, since
    # the "@" may stand far behind.
    shown = redact_secrets(redact(text))
    if len(shown) > _SHOWN_LENGTH:
        shown = shown[:_SHOWN_LENGTH] + "…"
    return InvalidUrl(f"'{printable(shown)}' {fault}")


def _check_characters(text: str) -> None:
    if len(text) > MAX_LENGTH:
        raise refusal(
            text, f"is {len(text)} characters long, {MAX_LENGTH} are the most"
        )
    match = _FORBIDDEN.search(text)
    if match:
        shown = printable(match.group())
        raise refusal(text, f"has the character {shown}, which cannot be sent")


def _scheme_fault(text: str) -> str:
    match = _SCHEME.match(text)
    scheme = match.group(1).lower() if match else ""
    if scheme in _DEFAULT_PORTS:
        return f"has no // after {scheme}: and needs {scheme}:// before its host"
    if match is None or _SCHEMELESS_PORT.match(text):
        return "has no scheme: it needs http:// or https:// in front"
    return "has another scheme: only http:// and https:// can be fetched"


def _check_backslash(authority: str) -> None:
    # Browsers take it for "/", RFC 3986 for a part of the name: two different hosts.
    if "\\" in authority:
        raise ValueError(r"has a \ in its host")


def _split_port(place: str) -> tuple[str, str]:
    if place.startswith("["):
        address, bracket, rest = place[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError("has brackets around its host that do not match")
        return _ipv6(address), rest[1:]
    host, _, port_text = place.partition(":")
    return _host(host), port_text


def _port(text: str, scheme: str) -> int:
    if not text:
        return _DEFAULT_PORTS[scheme]
    match = _PORT.fullmatch(text)
    if match is None or not 1 <= int(match.group(1)) <= _MAX_PORT:
        # The port is not quoted: with a bare "/" in a password it is the password.
        raise ValueError("has a port that is no number from 1 to 65535")
    return int(match.group(1))


def _host(text: str) -> str:
    host = text
    if "%" in host:
        from urllib.parse import unquote_to_bytes  # 3 ms

        host = unquote_to_bytes(_utf8(host)).decode("utf-8", "surrogateescape")
    host = host.lower() if host.isascii() else _idna(host)
    if not _HOST_NAME.fullmatch(host):
        raise ValueError(_name_fault(host))
    if _NUMERIC_HOST.fullmatch(host):
        return _ipv4(host)
    if len(host.removesuffix(".")) > _MAX_NAME_LENGTH:
        raise ValueError(f"has a host longer than {_MAX_NAME_LENGTH} characters")
    return host


def _name_fault(host: str) -> str:
    if not host:
        return "has no host"
    match = _NOT_IN_HOST_NAME.search(host)
    if match:
        return f"has the character '{printable(match.group())}' in its host"
    if host.startswith(".") or ".." in host:
        return "has an empty label in its host"
    return "has a label of more than 63 characters in its host"


def _idna(host: str) -> str:
    """The A-labels of an international name, after UTS 46 as in browsers.

    Not IDNA 2008: it refuses emoji and other letters of names that are registered.
    """
    import idna  # half a megabyte of tables that few runs need

    try:
        labels = idna.uts46_remap(host, std3_rules=False).split(".")
    except UnicodeError as error:
        reason = printable(str(error))
        raise ValueError(
            f"has a host that is no international name: {reason}"
        ) from None
    return ".".join(map(_a_label, labels))


def _a_label(label: str) -> str:
    if label.isascii():
        return label
    return "xn--" + label.encode("punycode").decode("ascii")


def _ipv4(host: str) -> str:
    """The dotted form of an address that may be short, octal or hexadecimal.

    inet_aton of every C library reads those too, so each spelling must be one host
    here (WHATWG URL §3.5, "IPv4 parser").
    """
    fault = f"has the host '{host}', which is no IPv4 address"
    try:
        *high, low = [_ipv4_number(part) for part in host.removesuffix(".").split(".")]
    except ValueError:
        raise ValueError(fault) from None
    missing = _IPV4_BYTES - len(high)  # the last number fills all bytes that are left
    if missing < 1 or any(byte >> 8 for byte in high) or low >> 8 * missing:
        raise ValueError(fault)
    value = low + sum(byte << 24 - 8 * place for place, byte in enumerate(high))
    return ".".join(str(value >> shift & 255) for shift in (24, 16, 8, 0))


def _ipv4_number(part: str) -> int:
    if part.startswith("0x"):
        return int(part[2:] or "0", 16)
    return int(part, 8 if part.startswith("0") else 10)


def _ipv6(text: str) -> str:
    """The form of RFC 5952 §4, but with no part in dotted decimal.

    `ipaddress` writes that part in decimal from Python 3.13 on, so it must not choose.
    """
    from ipaddress import IPv6Address

    if "%" in text:
        raise ValueError("has an IPv6 address with a zone, which no URL can carry")
    try:
        value = int(IPv6Address(text))
    except ValueError:
        raise ValueError("has a host in brackets that is no IPv6 address") from None
    long_form = ":".join(
        f"{value >> shift & 0xFFFF:x}" for shift in range(112, -1, -16)
    )
    run = max(
        _ZERO_RUN.finditer(long_form), key=lambda m: m.end() - m.start(), default=None
    )
    if run is None:
        return long_form
    head, tail = long_form[: run.start()], long_form[run.end() :]
    return f"{head.rstrip(':')}::{tail.lstrip(':')}"


def _credentials(userinfo: str) -> str | None:
    user, _, password = userinfo.partition(":")
    if not (user or password):
        return None
    return f"{_decoded(user)}:{_decoded(password)}"


def _decoded(text: str) -> str:
    from urllib.parse import unquote_to_bytes  # 3 ms

    raw = unquote_to_bytes(_utf8(text))
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")  # RFC 7617 §2 leaves the charset open


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _target(path: str, query: str) -> str:
    """The request target of a raw path and a raw query with its question mark."""
    return _without_dot_segments(_sendable(path)) + _sendable(query)


def _sendable(text: str) -> str:
    return _UNSENDABLE.sub(_percent_encoded, text)


def _percent_encoded(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in _utf8(match.group()))


def _may_have_dot_segments(path: str) -> bool:
    return "/." in path or "%2E" in path or "%2e" in path


def _without_dot_segments(path: str) -> str:
    """The path after RFC 3986 §5.2.4; an encoded dot counts as one (WHATWG URL §4.3)."""
    if not _may_have_dot_segments(path):
        return path or "/"
    kept: list[str] = []
    dots = ""
    for segment in path.split("/")[1:]:
        dots = segment.replace("%2E", ".").replace("%2e", ".")
        match dots:
            case ".":
                pass
            case "..":
                del kept[-1:]
            case _:
                kept.append(segment)
    if dots in {".", ".."}:
        kept.append("")
    return "/" + "/".join(kept)


def identity(url: Url) -> str:
    """The normal form of RFC 3986 §6.2.2: one text for every spelling of one resource.

    `%7Euser` and `~user` are the same, so are `%2f` and `%2F`, and `|` and `%7C`; `%2F`
    and `/` are not, nor are `a` and `a?`. Holds no credentials, and may differ from what
    has to be sent.
    """
    return _place(url.scheme, url.host, url.port)[3] + _normal(url.target)


def _normal(target: str) -> str:
    if _NORMAL_TARGET.fullmatch(target):
        return target
    encoded = _NOT_NORMAL.sub(_normal_piece, target)
    return _UNRESERVED_ENCODED.sub(_unreserved_character, encoded)


def _normal_piece(match: re.Match[str]) -> str:
    return match.group().upper() if len(match.group()) > 1 else _percent_encoded(match)


def _unreserved_character(match: re.Match[str]) -> str:
    return chr(int(match.group()[1:], 16))


def join(base: Url, location: str) -> Url:
    """The URL that a redirect's Location means (RFC 3986 §5, RFC 9110 §10.2.2).

    A relative one keeps the credentials of `base`; one with a host of its own has only
    those that it brings.

    Args:
        base: The URL that was asked for.
        location: The field's bytes, read as Latin-1; those that are no UTF-8 are sent
            percent-encoded as they came.

    Raises:
        InvalidUrl: The result is no http or https URL.
    """
    location = location.encode("latin-1").decode("utf-8", "surrogateescape")
    location = location.strip(_SURROUNDING)
    if _SCHEME.match(location):
        return parse(location)
    if location.startswith("//"):
        return parse(f"{base.scheme}:{location}")
    _check_characters(location)
    target = _joined_target(base.target, location.partition("#")[0])
    try:
        return _checked_length(base._replace(target=target))
    except ValueError as fault:
        raise refusal(location, str(fault)) from None


def _joined_target(target: str, reference: str) -> str:
    base_path = target.partition("?")[0]
    path, mark, query = reference.partition("?")
    if not reference:
        return target
    if not path:
        return base_path + _sendable(mark + query)
    if not path.startswith("/"):
        path = base_path[: base_path.rindex("/") + 1] + path
    return _target(path, mark + query)

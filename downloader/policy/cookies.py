"""The cookies of one chain of redirects (RFC 6265): kept within it, and forgotten at its end.

What no browser would keep is refused, and the reason kept for the message of a chain that
loops for want of it. There is no list of public suffixes here, so that a cookie may be
set for `co.uk`; it goes no further than the chain.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from downloader.models import Chain, Cookie
from downloader.policy import headers
from downloader.policy.redaction import redact_secrets
from downloader.tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from downloader.policy.urls import Url

# RFC 6265 §6.1 asks for at least these.
MOST_COOKIES = 50
MOST_COOKIE_BYTES = 4096
_SHOWN_CHARACTERS = 200


class _Refused(ValueError):
    """A cookie that is not kept; the text says why."""


class _Parsed(NamedTuple):
    name: str
    value: str
    attributes: dict[str, str]


def follow(
    chain: Chain | None, url: Url, answer: Mapping[str, str], now: datetime
) -> Chain:
    """The chain after one more redirect.

    Args:
        chain: What it had before; None at its first answer.
        url: Where the answer came from.
        answer: Its fields; several Set-Cookie are lines of one.
        now: The wall clock.
    """
    chain = chain or Chain()
    kept, refusal = list(chain.cookies), chain.refusal
    for line in answer.get("set-cookie", "").split("\n"):
        try:
            _take(kept, line, url, now)
        except _Refused as error:
            refusal = str(error)
    return Chain(tuple(kept), refusal, (*chain.seen, _mark(url)))


def loop_fault(chain: Chain, target: Url) -> str:
    """The end of a message on a chain that is too long; empty if it is no loop."""
    if _mark(target) not in chain.seen:
        return ""
    where = redact_secrets(target.text[:_SHOWN_CHARACTERS])
    fault = f": they lead back to {where}"
    if chain.refusal is None:
        return fault
    return f"{fault}; a cookie on the way was refused: {chain.refusal}"


def field(chain: Chain | None, url: Url, own: str) -> str:
    """The value of a Cookie field; empty to send none.

    Args:
        chain: The chain so far.
        url: Where the request goes.
        own: What the user sends there; it goes before a cookie of the same name.
    """
    fitting = [one for one in chain.cookies if _fits(one, url)] if chain else []
    names = {pair.partition("=")[0].strip() for pair in own.split(";")}
    # RFC 6265 §5.4: longer paths first; among equals the order stays.
    fitting.sort(key=lambda one: -len(one.path))
    pairs = [f"{one.name}={one.value}" for one in fitting if one.name not in names]
    return "; ".join([own, *pairs] if own else pairs)


def _mark(url: Url) -> int:
    return zlib.crc32(url.text.encode("utf-8", "surrogateescape"))


def _take(kept: list[Cookie], line: str, url: Url, now: datetime) -> None:
    """Keep the cookie of a Set-Cookie line (RFC 6265 §5.3).

    Raises:
        _Refused: No browser would.
    """
    parsed = _parse(line)
    if parsed is None:
        return
    cookie = _cookie(parsed, url)
    places = [n for n, one in enumerate(kept) if _key(one) == _key(cookie)]
    if _is_over(parsed.attributes, now):
        for place in places:
            del kept[place]
    elif places:
        kept[places[0]] = cookie
    elif len(kept) >= MOST_COOKIES:
        raise _Refused(f"there are {MOST_COOKIES} already")
    else:
        kept.append(cookie)


def _parse(line: str) -> _Parsed | None:
    """A Set-Cookie line taken apart (RFC 6265 §5.2); None if it sets nothing."""
    pair, *rest = line.split(";")
    name, equals, value = pair.partition("=")
    name, value = name.strip(" \t"), value.strip(" \t")
    if not equals or not name:
        return None
    attributes = {}
    for piece in rest:
        key, _, text = piece.partition("=")
        attributes[key.strip(" \t").lower()] = text.strip(" \t")
    return _Parsed(name, value, attributes)


def _cookie(parsed: _Parsed, url: Url) -> Cookie:
    name, value, attributes = parsed
    if len(name) + len(value) > MOST_COOKIE_BYTES:
        raise _Refused(f"it has more than {MOST_COOKIE_BYTES:,} bytes")
    if not (name.isascii() and value.isascii() and (name + value).isprintable()):
        raise _Refused("it has bytes that no cookie may have")
    path = attributes.get("path", "")
    if not path.startswith("/"):
        path = url.target.partition("?")[0].rpartition("/")[0] or "/"
    domain = _domain(attributes.get("domain", ""), url)
    is_secure = "secure" in attributes
    if is_secure and url.scheme != "https":
        raise _Refused("it is for https, and came over http")
    cookie = Cookie(name, value, domain or url.host, path, not domain, is_secure)
    _check_prefix(cookie)
    return cookie


def _domain(text: str, url: Url) -> str:
    """The domain that a cookie is for; empty for the one host that sets it.

    Raises:
        _Refused: The host is not in it.
    """
    domain = text.removeprefix(".").lower()
    is_divisible = "." in domain.strip(".") and not _is_address(url.host)
    if domain in {"", url.host}:
        return domain if is_divisible else ""
    if not (is_divisible and url.host.endswith("." + domain)):
        raise _Refused("it is for another domain")
    return domain


def _is_address(host: str) -> bool:
    return ":" in host or host.rpartition(".")[2].isdigit()


def _check_prefix(cookie: Cookie) -> None:
    """Hold a cookie to what its name promises (RFC 6265bis §4.1.3).

    Raises:
        _Refused: It is not so.
    """
    prefix = cookie.name.lower()
    is_secure = cookie.is_secure or not prefix.startswith(("__secure-", "__host-"))
    is_own = cookie.is_host_only and cookie.path == "/"
    if not is_secure or (prefix.startswith("__host-") and not is_own):
        raise _Refused("it is not what its name promises")


def _is_over(attributes: dict[str, str], now: datetime) -> bool:
    """True if the cookie is to be deleted; Max-Age goes before Expires."""
    age = attributes.get("max-age", "")
    if age.isascii() and age.removeprefix("-").isdigit():
        return age.startswith("-") or not age.strip("0")
    moment = headers.date(attributes.get("expires"))
    return moment is not None and moment <= now


def _key(cookie: Cookie) -> tuple[str, str, str]:
    return cookie.name, cookie.domain, cookie.path


def _fits(cookie: Cookie, url: Url) -> bool:
    """True if a cookie goes to a URL (RFC 6265 §5.4)."""
    if cookie.is_secure and url.scheme != "https":
        return False
    is_below = not cookie.is_host_only and url.host.endswith("." + cookie.domain)
    return (url.host == cookie.domain or is_below) and _is_within(url, cookie.path)


def _is_within(url: Url, folder: str) -> bool:
    """RFC 6265 §5.1.4."""
    path = url.target.partition("?")[0]
    is_below = folder.endswith("/") or path[len(folder) :].startswith("/")
    return path == folder or (path.startswith(folder) and is_below)

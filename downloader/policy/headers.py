"""What request headers go to which hop, and how response fields are read."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec

from downloader.errors import TransportError
from downloader.models import ErrorKind
from downloader.patterns import lazy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from downloader.models import Known
    from downloader.policy.urls import Url

# Fields that may open a door or mislead a virtual host: they go to one origin only.
SENSITIVE = frozenset({"authorization", "cookie", "proxy-authorization", "host"})

# By their names these open a door, whichever server reads them: X-Api-Key, PRIVATE-TOKEN.
_SECRET = lazy(
    r"auth|cookie|credential|key|passw|secret|session|signature|token", re.IGNORECASE
)
# Longer numbers overflow what files can hold: 18 digits are 888 PiB.
_MOST_DIGITS = 18
# RFC 9110 §8.8.2.2 asks for "well after"; a minute leaves room for clocks that disagree.
_STRONG_DATE_SECONDS = 60
_ETAG = lazy(r'(?:W/)?"[\x21\x23-\x7e]*"')
_STRONG_ETAG = lazy(r'"[\x21\x23-\x7e]*"')

Pairs = tuple[tuple[str, str], ...]


class HeaderRules(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What the run sends, and to whom; fixed for the run, known to every worker.

    Attributes:
        common: Fields for every request; they replace the defaults of the same name.
        sensitive: Fields that only `sensitive_origin` gets.
        sensitive_origin: The origin of the list's first URL.
        by_host: Fields for one host, by name or by name and port.
        allow_http: The names in `by_host` whose secret fields may go out unencrypted.
        netrc: `user:password` by host name, from the user's netrc file.
    """

    common: Pairs = ()
    sensitive: Pairs = ()
    sensitive_origin: str | None = None
    by_host: dict[str, Pairs] = {}
    allow_http: frozenset[str] = frozenset()
    netrc: dict[str, str] = {}


def split(pairs: Pairs) -> tuple[Pairs, Pairs]:
    """The given fields as (common, sensitive)."""
    common = tuple(pair for pair in pairs if pair[0].lower() not in SENSITIVE)
    sensitive = tuple(pair for pair in pairs if pair[0].lower() in SENSITIVE)
    return common, sensitive


def for_hop(
    rules: HeaderRules, url: Url, *, home: str, hops: int, credentials: str | None
) -> Mapping[str, str]:
    """The request's fields for one hop; the same object for hops that get the same.

    Args:
        rules: The run's rules.
        url: Where this hop goes.
        home: The origin of the list's own URL; its credentials go nowhere else.
        hops: Redirects followed so far; a netrc entry is not used after one.
        credentials: `user:password` from the list's URL.
    """
    secret = credentials if credentials is not None and url.origin == home else None
    if secret is None and hops == 0:
        secret = rules.netrc.get(url.host)
    # Whoever sits on the way must not be handed what was meant for an encrypted one.
    is_exposed = hops > 0 and home.startswith("https:") and url.scheme != "https"
    server = (url.origin, url.host, url.host_key, url.netloc)
    return _for_server(rules, server, secret, is_exposed=is_exposed)


# Made for a server once; `rules` counts by its identity, and there is one in a run.
@lru_cache(maxsize=256)
def _for_server(
    rules: HeaderRules,
    server: tuple[str, str, str, str],
    secret: str | None,
    *,
    is_exposed: bool,
) -> Mapping[str, str]:
    origin, host, host_key, netloc = server
    fields = {
        # Libraries would leave out the dot that a host may end in.
        "host": ("Host", netloc),
        "accept": ("Accept", "*/*"),
        "accept-encoding": ("Accept-Encoding", "identity"),
    }
    if secret is not None:
        fields["authorization"] = ("Authorization", basic(secret))
    _add(fields, rules.common)
    if origin == rules.sensitive_origin:
        _add(fields, rules.sensitive)
    if rules.by_host:
        for name in (host, host_key):
            own = rules.by_host.get(name, ())
            if not _may_be_secret(rules, name, origin):
                own = tuple(pair for pair in own if not _SECRET.search(pair[0]))
            _add(fields, split(own)[0] if is_exposed else own)
    return MappingProxyType(sendable(dict(fields.values())))


# RFC 9110 §5.5: all controls but the tab are none of a value's characters.
_CONTROL = lazy(r"[\x00-\x08\x0a-\x1f\x7f]")


def sendable(fields: dict[str, str]) -> dict[str, str]:
    """Request fields as they are, whoever gave their values.

    Raises:
        TransportError: A value holds a control character, with which a library would
            send a request of its author's choice.
    """
    for name, value in fields.items():
        if not value.isprintable() and _CONTROL.search(value):
            raise TransportError(
                ErrorKind.BLOCKED, f"a control character stands in the field {name}"
            )
    return fields


def is_validator(text: str) -> bool:
    """True if a text is what `strong_validator` gives: a strong ETag or a date."""
    return _STRONG_ETAG.fullmatch(text) is not None or (
        date(text) is not None and text == text.strip()
    )


def _may_be_secret(rules: HeaderRules, name: str, origin: str) -> bool:
    """True if the secret fields of a host's table may be sent to this origin."""
    return origin.startswith("https:") or name in rules.allow_http


def withheld(rules: HeaderRules, url: Url) -> str | None:
    """A note on the fields that a host's table has and that this URL's request lacks."""
    names = [
        field
        for name in (url.host, url.host_key)
        if not _may_be_secret(rules, name, url.origin)
        for field, _ in rules.by_host.get(name, ())
        if _SECRET.search(field)
    ]
    if not names:
        return None
    return (
        "headers of the host's table not sent over http: "
        f"{', '.join(dict.fromkeys(names))}; use https, or set allow_http = true in the table"
    )


def basic(credentials: str) -> str:
    """The Basic credentials for `user:password` (RFC 7617 §2, in UTF-8)."""
    import base64  # rarely needed

    return "Basic " + base64.b64encode(
        credentials.encode("utf-8", "surrogateescape")
    ).decode("ascii")


def conditions(known: Known) -> dict[str, str]:
    """The fields that ask for a file only if it differs from the one at hand.

    Both of them where both are known: who understands If-None-Match heeds that alone
    (RFC 9110 §13.1.2, §13.1.3).
    """
    fields = {}
    if known.etag is not None and _ETAG.fullmatch(known.etag):
        fields["If-None-Match"] = known.etag
    if known.last_modified is not None and date(known.last_modified) is not None:
        fields["If-Modified-Since"] = known.last_modified.strip()
    return fields


# What servers send as Content-Encoding though it changes no byte: S3's framing of uploads,
# character sets, and MIME's transfer encodings.
_NO_CODINGS = frozenset(
    {"", "identity", "none", "aws-chunked", "utf-8", "utf8", "binary", "7bit", "8bit"}
)


def codings(answer: dict[str, str]) -> list[str]:
    """The codings of a body in the order they were applied (RFC 9110 §8.4)."""
    field = answer.get("content-encoding")
    if field is None:
        return []
    names = [name.strip().lower() for name in field.split(",")]
    return [name for name in names if name not in _NO_CODINGS]


def is_coded(answer: dict[str, str]) -> bool:
    """True if the body is a coded form of the file (RFC 9110 §8.4)."""
    return bool(codings(answer))


def _add(fields: dict[str, tuple[str, str]], pairs: Pairs) -> None:
    """Put pairs over what is there; a name given twice makes a list (RFC 9110 §5.3)."""
    fresh: dict[str, tuple[str, str]] = {}
    for name, value in pairs:
        key = name.lower()
        separator = "; " if key == "cookie" else ", "
        before = f"{fresh[key][1]}{separator}" if key in fresh else ""
        fresh[key] = (name, before + value)
    fields.update(fresh)


# RFC 9110 §5.6.2, and §5.5: a NUL, CR or LF in a value is dangerous.
_TOKEN = lazy(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_DANGEROUS = lazy(r"[\0\r\n]")


@lru_cache(maxsize=1_024)
def _key(name: str) -> str:
    """A field's name in lower case; the same few come again and again."""
    if not _TOKEN.fullmatch(name):
        raise ValueError(name)
    return name.lower()


def fields(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Response fields by lower-case name; repeated ones joined (RFC 9110 §5.3).

    Raises:
        ValueError: A name is no token, or a value holds a NUL or a line break;
            libraries differ in what they let through.
    """
    joined: dict[str, str] = {}
    for name, value in pairs:
        key = _key(name)
        if not value.isprintable() and _DANGEROUS.search(value):
            raise ValueError(name)
        # A comma stands within a Set-Cookie; a line break stands in no value.
        separator = "\n" if key == "set-cookie" else ", "
        joined[key] = f"{joined[key]}{separator}{value}" if key in joined else value
    return joined


# RFC 9112 §4; the reason may be missing with its blank. HTTP/2 and 3 have but a number.
_STATUS_LINE = lazy(rb"HTTP/(1\.[01]|[23]) ([0-9]{3})(?: [^\r\n]*)?\r?\n")


@lru_cache(maxsize=64)
def status_line(line: bytes) -> tuple[str, int]:
    """The version, `1.1` say, and the code in a status line.

    Raises:
        ValueError: It is none.
    """
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise ValueError(line)
    return match[1].decode("ascii"), int(match[2])


def parse(lines: list[bytes]) -> dict[str, str]:
    """As `fields`, from a head's lines without the first; read as Latin-1.

    Raises:
        ValueError: As for `fields`, or one of them has no colon.
    """
    return _plain_fields(lines) or fields(_pairs(lines))


def _plain_fields(lines: list[bytes]) -> dict[str, str] | None:
    """What `fields` would say of a head as it mostly is; None to have each piece checked."""
    text = b"".join(lines).decode("latin-1")
    number = len(lines)
    # Then no line break, and no part of one, stands within a value.
    is_plain = text.count("\r") == text.count("\n") == text.count("\r\n") == number
    if not is_plain or "\0" in text:
        return None
    plain = {}
    for line in text.split("\r\n"):
        name, colon, value = line.partition(":")
        if colon:
            plain[_key(name)] = value.strip(" \t")
    return plain if len(plain) == number else None


def _pairs(lines: list[bytes]) -> Iterator[tuple[str, str]]:
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon:
            raise ValueError(name)
        yield name, value.strip(" \t\r\n")


_CONTENT_RANGE = lazy(
    r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(?:(\d{1,18})|\*)", re.ASCII | re.IGNORECASE
)


class ContentRange(msgspec.Struct, frozen=True):
    """A parsed Content-Range (RFC 9110 §14.4); `first` is None in a 416's form."""

    first: int | None
    last: int | None
    total_bytes: int | None


def content_range(value: str | None) -> ContentRange | None:
    """The range that an answer says it carries; None if missing or malformed."""
    match = _CONTENT_RANGE.fullmatch((value or "").strip())
    if match is None:
        return None
    first, last, total = (
        None if group is None else int(group) for group in match.groups()
    )
    if first is not None and last is not None and last < first:
        return None
    if last is not None and total is not None and total <= last:
        return None
    return ContentRange(first, last, total)


def content_length(value: str | None) -> int | None:
    """The declared length; None if absent.

    The same length several times counts as one (RFC 9110 §8.6).

    Raises:
        ValueError: It is no plain decimal number, or several lengths differ: a proxy in
            between may have read another one.
    """
    if value is None:
        return None
    if "," not in value:
        return _length(value.strip())
    lengths = {_length(text.strip()) for text in value.split(",")}
    if len(lengths) > 1:
        raise ValueError(value)
    return lengths.pop()


def _length(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise ValueError(text)
    return int(text)


_MONTHS = (
    "Jan",
    "Feb",
    "Mar",
    "Apr",
    "May",
    "Jun",
    "Jul",
    "Aug",
    "Sep",
    "Oct",
    "Nov",
    "Dec",
)
# As servers write it (RFC 9110 §5.6.7); its older forms are rare.
_FIXED_DATE = lazy(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), ([0-9]{2}) ([A-Z][a-z]{2}) ([1-9][0-9]{3}) "
    r"([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT"
)


def date(value: str | None) -> datetime | None:
    """An HTTP date (RFC 9110 §5.6.7) as an aware UTC time; None if absent or malformed."""
    text = (value or "").strip()
    if not text or not text.isascii() or not text.isprintable():
        return None
    try:
        match = _FIXED_DATE.fullmatch(text)
        if match is not None:
            return _fixed_date(*match.groups())
        from email.utils import parsedate_to_datetime  # 4 ms, with what it imports

        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            return moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC)
    except (ValueError, IndexError, TypeError, OverflowError):
        return None


def _fixed_date(day: str, month: str, year: str, *time_of_day: str) -> datetime:
    hour, minute, second = map(int, time_of_day)
    number = _MONTHS.index(month) + 1
    return datetime(int(year), number, int(day), hour, minute, second, tzinfo=UTC)


def retry_after_seconds(value: str | None, now: datetime) -> float | None:
    """The wait that a server asks for (RFC 9110 §10.2.3), as seconds or a date; None if none."""
    if not value:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    moment = date(text)
    return None if moment is None else max(0.0, (moment - now).total_seconds())


def strong_validator(answer: dict[str, str]) -> str | None:
    """What If-Range may carry: a strong ETag, else a Last-Modified that counts as strong.

    A Last-Modified is strong only if the answer's own Date is well after it (RFC 9110
    §8.8.2.2).
    """
    etag = answer.get("etag", "").strip()
    if _STRONG_ETAG.fullmatch(etag):
        return etag
    modified, sent = date(answer.get("last-modified")), date(answer.get("date"))
    if etag or modified is None or sent is None:
        return None
    is_strong = (sent - modified).total_seconds() >= _STRONG_DATE_SECONDS
    return answer["last-modified"].strip() if is_strong else None

"""The rule that each option's value must meet, whatever source it comes from.

Values come in as text or as a configuration file has them, and leave in their final type.
"""

from __future__ import annotations

import math
import os
import re

from downloader.options import Option, closest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from downloader.options import Headers

__all__ = ["BadValue", "check", "from_text", "read_headers"]

# What poll() takes is a signed 32-bit count of milliseconds: 24.8 days.
_MAX_SECONDS = 1_000_000.0


class BadValue(ValueError):
    """A value that its option cannot take; the text says what it must be."""


_SWITCHES = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}


def from_text(option: Option, text: str) -> object:
    """The value that a flag's or variable's text stands for, as a file would hold it.

    A text that stands for nothing comes back as it is: `check` refuses it.
    """
    match option.kind:
        case "count":
            return int(text) if re.fullmatch(r"[+-]?[0-9]{1,18}", text) else text
        case "seconds" | "pause":
            return _number(text)
        case "bool":
            return _SWITCHES.get(text.strip().lower(), text)
        case "headers":
            return _lines(text)
        case _:
            return text


def _number(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return text


def _lines(text: str) -> list[str]:
    lines = (line.rstrip("\r") for line in text.split("\n"))
    return [line for line in lines if line.strip()]


def check(option: Option, value: object) -> object:
    """The final value of an option, of the type that `Settings` gives its field.

    Raises:
        BadValue: The value cannot be used; the text never repeats a secret.
    """
    word = value.lower() if isinstance(value, str) else None
    if value is None and option.words:
        word = option.words[0]
    if word in option.words:
        return option.default if word == "auto" else None
    if option.kind == "count":
        return _check_count(option, value)
    if option.kind == "choice":
        return _check_choice(option, value)
    if option.kind == "size":
        return _check_size(option, value)
    return _CHECKS[option.kind](value)


def _check_count(option: Option, value: object) -> int:
    smallest, largest = option.minimum, option.maximum
    # True and False are ints to Python, and a slip here.
    count = None if isinstance(value, bool) or not isinstance(value, int) else value
    if count is not None and smallest <= count <= largest:
        return count
    words = "".join(f", or {word}" for word in option.words)
    raise BadValue(f"must be a whole number from {smallest} to {largest}{words}")


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    # The comparison comes first: math.isfinite raises for an int beyond all floats.
    fits = -_MAX_SECONDS <= value <= _MAX_SECONDS and math.isfinite(value)
    return float(value) if fits else None


def _check_seconds(value: object) -> float:
    seconds = _seconds(value)
    if seconds is None or seconds <= 0:
        raise BadValue(
            f"must be a number of seconds above 0, at most {_MAX_SECONDS:.0f}"
        )
    return seconds


def _check_pause(value: object) -> float:
    seconds = _seconds(value)
    if seconds is None or seconds < 0:
        raise BadValue(
            f"must be a number of seconds from 0 to {_MAX_SECONDS:.0f}",
        )
    return seconds


def _check_bool(value: object) -> bool:
    if not isinstance(value, bool):
        raise BadValue("must be true or false")
    return value


def _check_choice(option: Option, value: object) -> str:
    if isinstance(value, str) and value in option.choices:
        return value
    near = closest(value.lower(), option.choices) if isinstance(value, str) else ""
    raise BadValue(f"must be one of {', '.join(option.choices)}{near}")


_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def _bytes(value: object) -> int | None:
    if isinstance(value, str):
        shape = r"([0-9]{1,15}(?:\.[0-9]{1,15})?) ?([KMGT]?)(?:i?B)?"
        found = re.fullmatch(shape, value.strip(), re.IGNORECASE)
        return int(float(found[1]) * _UNITS[found[2].upper()]) if found else None
    return None if isinstance(value, bool) or not isinstance(value, int) else value


def _check_rate(value: object) -> int:
    rate = _bytes(value)
    if rate is None or rate < 1:
        raise BadValue(
            "must be a number of bytes a second above 0, such as 500K, 2M or 1.5MiB "
            "(K is 1024)"
        )
    return rate


def _check_size(option: Option, value: object) -> int:
    size = _bytes(value)
    if size is None or size < option.minimum:
        raise BadValue(
            f"must be a number of bytes, {option.minimum} at least, such as 500K, 2M or "
            "1.5MiB (K is 1024)"
        )
    return size


def _check_text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise BadValue("must be a text that is not empty")
    return _header_value(value)


def _header_value(value: str) -> str:
    """The value without surrounding blanks; RFC 9110 §5.5 says what may be in it."""
    value = value.strip(" \t")
    if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
        raise BadValue("has a line break or another control character in it")
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        raise BadValue(
            "has a character beyond Latin-1 in it, which no header can carry"
        ) from None
    return value


def read_headers(value: object) -> Headers:
    """The header lines of a list, pairs or a mapping, checked.

    Args:
        value: `Name: value` lines, `@FILE` among them for the lines of a file,
            `(name, value)` pairs, or a mapping from name to value.

    Raises:
        BadValue: A line that is no header, or one that belongs to the program. The
            text names the header and never its value.
    """
    if hasattr(value, "items"):
        value = list(value.items())
    if not isinstance(value, (list, tuple)):
        raise BadValue("must be a list of 'Name: value' lines")
    return tuple(pair for line in value for pair in _header_pairs(line))


def _header_pairs(line: object) -> Iterator[tuple[str, str]]:
    match line:
        case str() if line.startswith("@"):
            for inner in _header_file(line[1:]):
                yield _header(*_split_header(inner))
        case str():
            yield _header(*_split_header(line))
        case (str(name), str(value)):
            yield _header(name, value)
        case _:
            raise BadValue("must hold only 'Name: value' lines")


def _header_file(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            lines = _lines(file.read())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise BadValue(f"cannot read the header file {path!r}: {reason}") from error
    return [line for line in lines if not line.lstrip().startswith("#")]


def _split_header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon:
        # What stands there may be a bare secret, so it is not repeated.
        raise BadValue("has a line without a colon; a header looks like 'Name: value'")
    return name, value


# Patterns stay texts: compiling them here would add to the time that --help takes.
# RFC 9110 §5.6.2: a header's name is a token.
_HEADER_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# The engine frames its messages, resumes and decides on connections by itself; a
# second hand in these would break it (RFC 9110 §7.6.1, §14; RFC 9112 §6).
_RESERVED = (
    "connection|content-length|expect|host|if-range|keep-alive|proxy-connection|range|"
    "te|trailer|transfer-encoding|upgrade"
)


def _header(name: str, value: str) -> tuple[str, str]:
    if not re.fullmatch(_HEADER_NAME, name):
        # A name with blanks in it may be a secret whose colon stands elsewhere.
        shown = repr(name) if re.fullmatch(r"[\w .-]{1,40}", name) else "a line"
        raise BadValue(f"{shown} is no header; one looks like 'Name: value'")
    if re.fullmatch(_RESERVED, name.lower()):
        raise BadValue(f"the header {name} is set by the program itself; leave it out")
    if name.lower() == "user-agent":
        raise BadValue(f"the header {name} has its own option; use --user-agent")
    try:
        return name, _header_value(value)
    except BadValue as error:
        raise BadValue(f"the header {name} {error}") from None


def _check_proxy(value: object) -> str:
    """The proxy's URL; empty for `none`, which not even the environment overrides."""
    from urllib.parse import urlsplit

    wish = "must be a URL such as http://proxy.example:3128"
    if not isinstance(value, str):
        raise BadValue(wish)
    if value.lower() == "none":
        return ""
    try:
        parts = urlsplit(value.strip())
        is_whole = bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise BadValue(wish) from None
    if parts.scheme not in ("http", "https", "socks5", "socks5h"):
        raise BadValue(
            f"{wish}; only http://, https://, socks5:// and socks5h:// proxies are "
            "supported"
        )
    if not is_whole or re.search(r"[\x00-\x20\x7f]", value.strip()):
        raise BadValue(wish)
    if not str(parts.hostname).isascii():
        raise BadValue(f"{wish}; write its name in ASCII (xn--...)")
    return value.strip()


def _path(value: object) -> str:
    try:
        path = os.fspath(value)  # type: ignore[call-overload] # refused below
    except TypeError:
        path = None
    if not isinstance(path, str) or not path or "\0" in path:
        raise BadValue("must be a path")
    return path


def _check_folder(value: object) -> str:
    path = standing = _path(value)
    while standing and not os.path.lexists(standing):
        standing = os.path.dirname(standing)
    if standing and not os.path.isdir(standing):
        raise BadValue(f"{standing!r} is not a folder; choose another path")
    return path


def _check_report(value: object) -> str:
    path = _path(value)
    if path == "-":
        return path
    try:
        target = os.path.realpath(path)
    except OSError:
        raise BadValue(
            "is below the working folder, which is gone; name it by its whole path"
        ) from None
    # It appears where a link points to, not in the link's place.
    folder = os.path.dirname(target if os.path.islink(path) else path) or "."
    if os.path.isdir(path):
        raise BadValue("is a folder; name a file in it")
    if not os.path.isdir(folder):
        raise BadValue(f"the folder {folder!r} does not exist; create it first")
    # A device or a pipe is written to where it stands; a file is made beside its name.
    is_device = os.path.exists(path) and not os.path.isfile(path)
    if not os.access(path if is_device else folder, os.W_OK):
        raise BadValue("cannot be written; change its folder's permissions")
    return path


def _check_checksums(value: object) -> str:
    path = _path(value)
    if not os.path.isfile(path):
        raise BadValue("is no file; name one as sha256sum or its like writes it")
    if not os.access(path, os.R_OK):
        raise BadValue("cannot be read; change its permissions")
    return path


def _check_authorities(value: object) -> str:
    path = _path(value)
    if not (os.path.isfile(path) or os.path.isdir(path)):
        raise BadValue("is no file or folder; name one with certificates in PEM form")
    if not os.access(path, os.R_OK):
        raise BadValue("cannot be read; change its permissions or name another")
    return path


_DURATIONS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def _check_duration(value: object) -> float:
    match = re.fullmatch(
        r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ?([smhd]?)", str(value).lower()
    )
    seconds = float(match[1]) * _DURATIONS[match[2]] if match else 0.0
    if not 0 < seconds <= _MAX_SECONDS or isinstance(value, bool):
        raise BadValue("must be a time such as 90, 90s, 30m, 2h or 1d")
    return seconds


def _check_failures(value: object) -> str:
    match = re.fullmatch(r"([0-9]{1,9})(%?)", str(value).strip())
    count = int(match[1]) if match else 0
    if isinstance(value, bool) or count < 1 or (match and match[2] and count > 100):  # noqa: PLR2004 - per cent
        raise BadValue("must be a whole number from 1 up, or a share such as 5%")
    return str(value).strip()


def _check_statuses(value: object) -> str:
    given = value if isinstance(value, (list, tuple)) else str(value).split(",")
    words = [str(one).strip().lower() for one in given]
    if not words or not all(re.fullmatch(r"202|[45](?:[0-9]{2}|xx)", w) for w in words):
        raise BadValue(
            "must be statuses from 400 to 599, 202, 4xx or 5xx, such as 403,404,5xx"
        )
    return ",".join(words)


_CHECKS: dict[str, Callable[[object], object]] = {
    "authorities": _check_authorities,
    "bool": _check_bool,
    "checksums": _check_checksums,
    "duration": _check_duration,
    "failures": _check_failures,
    "folder": _check_folder,
    "headers": read_headers,
    "pause": _check_pause,
    "proxy": _check_proxy,
    "rate": _check_rate,
    "report": _check_report,
    "seconds": _check_seconds,
    "statuses": _check_statuses,
    "text": _check_text,
}

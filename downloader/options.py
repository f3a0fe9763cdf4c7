"""One table of every option, and the rule that each option's value must meet.

The command line, the variables, the configuration files and the fields of `Settings`
all derive from `OPTIONS`. Nothing here reads a source or knows a precedence (that is
`downloader.settings`), and nothing here may be slow to import: `--help` loads this.
"""

from __future__ import annotations

import math
import os
import re
import sys

from downloader.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Headers = tuple[tuple[str, str], ...]

__all__ = [
    "BY_NAME",
    "CONFIG",
    "OPTIONS",
    "BadValue",
    "Option",
    "check",
    "closest",
    "from_text",
    "hide_password",
    "read_headers",
]

_HOME_PAGE = "https://pypi.org/project/downloader-engine/"

# What poll() takes is a signed 32-bit count of milliseconds: 24.8 days.
_MAX_SECONDS = 1_000_000.0
_MAX_COUNT = 1_000_000
# Each of them is a thread, a process or a socket; more is a slip of the finger.
_MAX_WORKERS = 10_000


class BadValue(ValueError):
    """A value that its option cannot take; the text says what it must be."""


class Option:
    """One option: where it can be set, what it may be, and what it is for.

    Attributes:
        name: The field of `Settings`, the key in a file, `DOWNLOADER_NAME`'s name.
        kind: Which rule checks its value; see `check`.
        default: The final value when no source sets it.
        purpose: The help: one imperative sentence without its default.
        flags: As on the command line, the long one last; empty if it has none.
        aliases: Flags that work and are not advertised.
        group: The heading under which the help lists it.
        metavar: The unit of its value.
        choices: The words it may be, for the kind `choice`.
        words: Accepted in place of a value: `auto` stands for the default, `none`
            for None. The first is what a None means and what a file shows.
        maximum: The largest count.
        minimum: The smallest count.
        is_trusted_only: True if a `config.toml` that merely lies in the current folder
            may not set it.
    """

    __slots__ = (
        "aliases",
        "choices",
        "default",
        "flags",
        "group",
        "is_trusted_only",
        "kind",
        "maximum",
        "metavar",
        "minimum",
        "name",
        "purpose",
        "words",
    )

    def __init__(
        self,
        name: str,
        kind: str,
        *,
        default: object,
        purpose: str,
        flags: tuple[str, ...] = (),
        aliases: tuple[str, ...] = (),
        group: str = "how",
        metavar: str = "",
        choices: tuple[str, ...] = (),
        words: tuple[str, ...] = (),
        minimum: int = 0,
        maximum: int = _MAX_COUNT,
        is_trusted_only: bool = False,
    ) -> None:
        self.name = name
        self.kind = kind
        self.default = default
        self.purpose = purpose
        self.flags = flags
        self.aliases = aliases
        self.group = group
        self.metavar = metavar
        self.choices = choices
        self.words = words
        self.minimum = minimum
        self.maximum = maximum
        self.is_trusted_only = is_trusted_only

    @property
    def flag(self) -> str:
        """The long flag, empty if the option has none."""
        return self.flags[-1] if self.flags else ""

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"DOWNLOADER_{self.name.upper()}"

    @property
    def file_default(self) -> object:
        """The default as a configuration file writes it."""
        if self.words and ("auto" in self.words or self.default is None):
            return self.words[0]
        return list(self.default) if isinstance(self.default, tuple) else self.default

    @property
    def help(self) -> str:
        """The purpose with its default, for a reader."""
        has_no_default = self.default in ((), None) and not self.words
        if self.kind == "bool" or has_no_default:
            return self.purpose
        if self.kind == "seconds":
            return f"{self.purpose} (default: {self.default:g})"
        shown = self.words[0] if self.default is None else self.default
        return f"{self.purpose} (default: {shown})"


OPTIONS: tuple[Option, ...] = (
    Option(
        "headers",
        "headers",
        default=(),
        purpose="send this header, 'Name: value', with each request; may be repeated; @FILE "
        "reads lines from a file; a secret one (Authorization, Cookie) goes only to the "
        "first URL's origin",
        flags=("-H", "--header"),
        group="what",
        metavar="LINE",
        is_trusted_only=True,
    ),
    Option(
        "user_agent",
        "text",
        default=f"downloader/{__version__} (+{_HOME_PAGE})",
        purpose="introduce yourself as TEXT; its first word is the name looked up in robots.txt",
        flags=("-U", "--user-agent"),
        group="what",
        metavar="TEXT",
        words=("auto",),
    ),
    Option(
        "netrc",
        "bool",
        default=False,
        purpose="take user names and passwords from ~/.netrc or the file that NETRC names",
        flags=("--netrc",),
        group="what",
        is_trusted_only=True,
    ),
    Option(
        "output",
        "folder",
        default="downloads",
        purpose="save the files below DIR",
        flags=("-o", "--output"),
        aliases=("-d", "-P"),
        group="where",
        metavar="DIR",
    ),
    Option(
        "layout",
        "choice",
        default="tree",
        purpose="name files DIR/host/path (tree) or put all of them into DIR itself (flat)",
        flags=("--layout",),
        group="where",
        metavar="NAME",
        choices=("tree", "flat"),
    ),
    Option(
        "portable_names",
        "bool",
        default=sys.platform in ("darwin", "win32"),
        purpose="keep names apart that differ only in letter case or Unicode form (default: on "
        "for macOS and Windows, where --no-portable-names turns it off)",
        flags=("--portable-names",),
        group="where",
        words=("auto",),
    ),
    Option(
        "strategy",
        "choice",
        default="asyncio",
        purpose="run the downloads by NAME: serial, threads, processes, subprocess or asyncio",
        flags=("-s", "--strategy"),
        metavar="NAME",
        choices=("serial", "threads", "processes", "subprocess", "asyncio"),
    ),
    Option(
        "workers",
        "count",
        default=None,
        purpose="run N downloads at once; auto leaves the number to the strategy",
        flags=("-j", "--workers"),
        metavar="N",
        words=("auto",),
        minimum=1,
        maximum=_MAX_WORKERS,
    ),
    Option(
        "per_host",
        "count",
        default=8,
        purpose="run at most N of them against one host; none lifts the limit",
        flags=("-x", "--per-host"),
        metavar="N",
        words=("none",),
        minimum=1,
    ),
    Option(
        "timeout",
        "seconds",
        default=30.0,
        purpose="give up on connecting, on an answer's head and on each silence in its body "
        "after SECONDS",
        flags=("--timeout",),
        metavar="SECONDS",
    ),
    Option(
        "retries",
        "count",
        default=3,
        purpose="send N further requests after a failure that may pass",
        flags=("--retries",),
        metavar="N",
    ),
    Option(
        "limit_rate",
        "rate",
        default=None,
        purpose="receive at most BYTES a second in all, such as 500K or 2M",
        flags=("--limit-rate",),
        metavar="BYTES",
        words=("none",),
    ),
    Option(
        "proxy",
        "proxy",
        default=None,
        purpose="send everything through the proxy at URL; auto heeds http_proxy, https_proxy "
        "and no_proxy, none heeds nothing",
        flags=("--proxy",),
        metavar="URL",
        words=("auto",),
        is_trusted_only=True,
    ),
    Option(
        "cacert",
        "authorities",
        default=None,
        purpose="trust the certificate authorities in FILE (or in a folder); auto heeds "
        "SSL_CERT_FILE, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE and SSL_CERT_DIR",
        flags=("--cacert",),
        metavar="FILE",
        words=("auto",),
        is_trusted_only=True,
    ),
    Option(
        "insecure",
        "bool",
        default=False,
        purpose="accept any certificate; whoever sits on the way can then read and change all",
        flags=("--insecure",),
        is_trusted_only=True,
    ),
    Option(
        "backoff_seconds",
        "pause",
        default=0.5,
        purpose="bound the random pause before the first retry; it doubles with each",
        metavar="SECONDS",
    ),
    Option(
        "backoff_max_seconds",
        "pause",
        default=30.0,
        purpose="bound the random pause before any retry",
        metavar="SECONDS",
    ),
    Option(
        "retry_after_max_seconds",
        "pause",
        default=120.0,
        purpose="wait no longer than this when a server asks for a pause (Retry-After)",
        metavar="SECONDS",
    ),
    Option(
        "max_redirects",
        "count",
        default=20,
        purpose="follow at most N redirects for one URL",
        metavar="N",
    ),
    Option(
        "worker_losses",
        "count",
        default=5,
        purpose="give up on a URL after it has lost its worker process N times",
        metavar="N",
        minimum=1,
    ),
    Option(
        "report",
        "report",
        default=None,
        purpose="write a report in JSON to FILE.json at the end; - is standard output",
        flags=("--report",),
        group="output",
        metavar="FILE.json",
        words=("none",),
    ),
    Option(
        "quiet",
        "bool",
        default=False,
        purpose="print errors only",
        flags=("-q", "--quiet"),
        group="output",
    ),
    Option(
        "verbose",
        "bool",
        default=False,
        purpose="print retries and what else happens on the way",
        flags=("-v", "--verbose"),
        group="output",
    ),
    Option(
        "no_progress",
        "bool",
        default=False,
        purpose="turn the progress display off",
        flags=("--no-progress",),
        group="output",
    ),
)

BY_NAME = {option.name: option for option in OPTIONS}

# Not a setting: it says where settings come from. Its variable is DOWNLOADER_CONFIG.
CONFIG = Option(
    "config",
    "text",
    default=None,
    purpose="read settings from FILE instead of ./config.toml",
    flags=("--config",),
    metavar="FILE",
)


def closest(wrong: str, known: Iterable[str]) -> str:
    """A clause that suggests the nearest known word, empty if none is near."""
    from difflib import get_close_matches

    near = get_close_matches(wrong, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


def hide_password(url: str) -> str:
    """The URL of a proxy with user name and password replaced, fit for any eye."""
    return re.sub(
        r"^([a-z][a-z0-9+.-]*://)?.*@", r"\1***@", url, flags=re.IGNORECASE | re.DOTALL
    )


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


def _check_rate(value: object) -> int:
    if isinstance(value, str):
        shape = r"([0-9]{1,15}(?:\.[0-9]{1,15})?) ?([KMGT]?)(?:i?B)?"
        found = re.fullmatch(shape, value.strip(), re.IGNORECASE)
        value = int(float(found[1]) * _UNITS[found[2].upper()]) if found else None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadValue(
            "must be a number of bytes a second above 0, such as 500K, 2M or 1.5MiB "
            "(K is 1024)"
        )
    return value


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
    if parts.scheme not in ("http", "https"):
        raise BadValue(f"{wish}; only http:// and https:// proxies are supported")
    if not is_whole or re.search(r"[\x00-\x20\x7f]", value.strip()):
        raise BadValue(wish)
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
    folder = os.path.dirname(path) or "."
    if os.path.isdir(path):
        raise BadValue("is a folder; name a file in it")
    if not os.path.isdir(folder):
        raise BadValue(f"the folder {folder!r} does not exist; create it first")
    # A device or a pipe is written to where it stands; a file is made beside its name.
    is_device = os.path.exists(path) and not os.path.isfile(path)
    if not os.access(path if is_device else folder, os.W_OK):
        raise BadValue("cannot be written; change its folder's permissions")
    return path


def _check_authorities(value: object) -> str:
    path = _path(value)
    if not (os.path.isfile(path) or os.path.isdir(path)):
        raise BadValue("is no file or folder; name one with certificates in PEM form")
    if not os.access(path, os.R_OK):
        raise BadValue("cannot be read; change its permissions or name another")
    return path


_CHECKS: dict[str, Callable[[object], object]] = {
    "authorities": _check_authorities,
    "bool": _check_bool,
    "folder": _check_folder,
    "headers": read_headers,
    "pause": _check_pause,
    "proxy": _check_proxy,
    "rate": _check_rate,
    "report": _check_report,
    "seconds": _check_seconds,
    "text": _check_text,
}

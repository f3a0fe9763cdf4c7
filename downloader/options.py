"""One table of every option.

The command line, the variables, the configuration files and the fields of `Settings`
all derive from `OPTIONS`. What a value must be is in `downloader.option_values`, where it
comes from in `downloader.settings`. Nothing here may be slow to import: `--help` loads it.
"""

from __future__ import annotations

import sys

from downloader.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    Headers = tuple[tuple[str, str], ...]

__all__ = [
    "BY_NAME",
    "CONFIG",
    "OPTIONS",
    "Option",
    "closest",
]

_HOME_PAGE = "https://pypi.org/project/downloader-engine/"


# Each worker is a thread, a process or a socket; more is a slip of the finger.
_MAX_WORKERS = 10_000
_MAX_COUNT = 1_000_000


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
        minimum: The smallest count, or size in bytes.
        is_trusted_only: True if a `config.toml` that merely lies in the current folder
            may not set it.
        is_guard: True if such a file may not change what the user's own one says of it.
    """

    __slots__ = (
        "aliases",
        "choices",
        "default",
        "flags",
        "group",
        "is_guard",
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
        is_guard: bool = False,
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
        self.is_guard = is_guard

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
        if isinstance(self.default, float):
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
        purpose="introduce yourself as TEXT",
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
        "refresh",
        "bool",
        default=False,
        purpose="ask whether files that are there are still the newest, and fetch those "
        "that are not",
        flags=("-N", "--refresh"),
        group="where",
    ),
    Option(
        "verify",
        "bool",
        default=False,
        purpose="read files that are there, and fetch those whose digest is not the recorded",
        flags=("--verify",),
        group="where",
        is_guard=True,
    ),
    Option(
        "overwrite",
        "bool",
        default=False,
        purpose="replace files that were not fetched into DIR by this program",
        flags=("--overwrite",),
        group="where",
        is_guard=True,
    ),
    Option(
        "checksums",
        "checksums",
        default=None,
        purpose="fail files whose checksum differs from the one in FILE, as sha256sum, "
        "sha512sum, sha384sum, sha1sum, md5sum or b3sum writes it; a signature in FILE is "
        "not checked",
        flags=("--checksums",),
        group="where",
        metavar="FILE",
        words=("none",),
        is_trusted_only=True,
    ),
    Option(
        "hash",
        "choice",
        default="sha256",
        purpose="hash files with NAME: sha256, blake3, xxh3 or none; a file with a required "
        "checksum is always hashed with the checksum's algorithm",
        flags=("--hash",),
        metavar="NAME",
        choices=("sha256", "blake3", "xxh3", "none"),
        group="where",
    ),
    Option(
        "durable",
        "bool",
        default=False,
        purpose="have each file on the disk before it counts, so that a power cut loses "
        "nothing either",
        flags=("--durable",),
        group="where",
    ),
    Option(
        "strategy",
        "choice",
        default="default",
        purpose="run the downloads by NAME: serial, threads, processes, subprocess, asyncio, "
        "curl, multicore, or auto, which finds out on the way; the default is curl where it "
        "is installed, else asyncio",
        flags=("-s", "--strategy"),
        metavar="NAME",
        choices=(
            "default",
            "serial",
            "threads",
            "processes",
            "subprocess",
            "asyncio",
            "curl",
            "multicore",
            "auto",
        ),
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
        "segments",
        "count",
        default=1,
        purpose="fetch a large file over up to N connections at once, within --per-host",
        flags=("--segments",),
        metavar="N",
        minimum=1,
        maximum=64,
    ),
    Option(
        "min_segment_size",
        "size",
        default=4 << 20,
        purpose="with --segments: let no connection begin with less than BYTES of a file",
        flags=("--min-segment-size",),
        metavar="BYTES",
        minimum=1 << 16,
    ),
    Option(
        "http2",
        "bool",
        default=False,
        purpose="speak HTTP/2 with https servers that do (curl, multicore and auto only)",
        flags=("--http2",),
    ),
    Option(
        "http3",
        "bool",
        default=False,
        purpose="try HTTP/3 over QUIC with https servers, HTTP/2 and 1.1 where it fails "
        "(curl, multicore and auto only)",
        flags=("--http3",),
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
        "max_time",
        "seconds",
        default=None,
        purpose="give up on a try that is not finished SECONDS after it began",
        flags=("-m", "--max-time"),
        metavar="SECONDS",
        words=("none",),
    ),
    Option(
        "max_file_size",
        "size",
        default=None,
        purpose="refuse a file of more than BYTES, such as 500K or 2G",
        flags=("--max-file-size",),
        aliases=("--max-filesize",),
        is_guard=True,
        metavar="BYTES",
        words=("none",),
        minimum=1,
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
        "retry_on",
        "statuses",
        default=None,
        purpose="also retry answers with a status in LIST, such as 403,404,5xx",
        flags=("--retry-on",),
        metavar="LIST",
        words=("none",),
    ),
    Option(
        "max_retry_wait",
        "pause",
        default=120.0,
        purpose="give a host up at once if it asks for a longer pause (Retry-After) than "
        "SECONDS",
        flags=("--max-retry-wait",),
        metavar="SECONDS",
    ),
    Option(
        "retry_max_time",
        "seconds",
        default=600.0,
        purpose="start no retry later than SECONDS after the first attempt; give up a host "
        "that has refused every request, or was not reached, for that long",
        flags=("--retry-max-time",),
        metavar="SECONDS",
    ),
    Option(
        "max_host_failures",
        "count",
        default=20,
        purpose="pause a host that was never reached after N consecutive failures, then "
        "give it up (none: never)",
        flags=("--max-host-failures",),
        metavar="N",
        words=("none",),
        minimum=1,
    ),
    Option(
        "max_failures",
        "failures",
        default=None,
        purpose="end the run once N files have failed, or N% of at least 100",
        flags=("--max-failures",),
        metavar="N|N%",
        words=("none",),
    ),
    Option(
        "deadline",
        "duration",
        default=None,
        purpose="end the run after TIME, such as 90, 30m or 2h",
        flags=("--deadline",),
        metavar="TIME",
        words=("none",),
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
        purpose="send everything through the proxy at URL (http, https, socks5, socks5h); "
        "auto heeds http_proxy, https_proxy, all_proxy and no_proxy, none heeds nothing",
        flags=("--proxy",),
        metavar="URL",
        words=("auto",),
        is_trusted_only=True,
    ),
    Option(
        "compressed",
        "bool",
        default=False,
        purpose="ask for compressed answers (gzip, deflate, brotli) and save them unpacked",
        flags=("--compressed",),
    ),
    Option(
        "block_private",
        "bool",
        default=False,
        purpose="connect to public addresses of other machines only, also after a redirect: "
        "never to this machine, by any of its addresses, or its network",
        flags=("--block-private",),
        is_guard=True,
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
        purpose="write a report to FILE at the end: a page with plots if it ends in .html, "
        "else JSON; - is standard output",
        flags=("--report",),
        group="output",
        metavar="FILE",
        words=("none",),
        is_trusted_only=True,
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


def closest(wrong: str, known: Iterable[str], prefix: str = "") -> str:
    """A clause that suggests the nearest known word, empty if none is near.

    Args:
        wrong: What was given.
        known: What it may be.
        prefix: What stands before all of them, and before the one that is suggested.
    """
    from difflib import get_close_matches

    near = get_close_matches(wrong, list(known), n=1, cutoff=0.6)
    return f"; did you mean {prefix}{near[0]}?" if near else ""

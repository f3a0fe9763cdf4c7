"""Configuration files: found, read, and held to the names that there are.

A file that was only found, not named by its user, may have been planted: it must not
choose whom to trust, what to send, or where files go outside the current folder.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from downloader.errors import InvalidSettings
from downloader.option_values import BadValue, read_headers
from downloader.options import BY_NAME, Option, closest
from downloader.patterns import lazy
from downloader.tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

Headers = tuple[tuple[str, str], ...]


class Given(NamedTuple):
    """A value not yet checked, and the words that name its source."""

    value: object
    where: str


def expand(option: Option, value: object) -> object:
    """A leading `~` resolved, as a shell does it for flags."""
    if option.kind in ("folder", "report", "authorities") and isinstance(value, str):
        return os.path.expanduser(value)
    return value


class HostTable(NamedTuple):
    """One host's table in a configuration file.

    Attributes:
        headers: Further headers for it.
        allows_http: True if secret ones may be sent unencrypted.
    """

    headers: Headers
    allows_http: bool


class File(NamedTuple):
    """What one configuration file sets, not yet checked but for the host tables."""

    given: dict[str, Given]
    hosts: dict[str, HostTable]


_NOTHING = File({}, {})
_TABLE_LINE = lazy(rb"^[ \t]*\[[ \t]*[\"']?downloader[\"']?[ \t]*[\].]", re.MULTILINE)


def read_user_file() -> File:
    """The user's own file; nothing if there is none, or no home to look in."""
    path = os.path.join(_user_folder(), "config.toml")
    # Without a home the path is relative, and would name a file that anyone put here.
    if not os.path.isabs(path) or not os.path.isfile(path):
        return _NOTHING
    return read_named_file(path)


def _user_folder() -> str:
    """Where the user keeps configurations of this program."""
    if sys.platform == "linux" and "ANDROID_DATA" not in os.environ:
        # What platformdirs would say, which takes 9 ms to load.
        given = os.environ.get("XDG_CONFIG_HOME", "")
        home = given if os.path.isabs(given) else os.path.expanduser("~/.config")
        return os.path.join(home, "downloader")
    from platformdirs import user_config_path

    return os.fspath(user_config_path("downloader"))


def read_named_file(path: str) -> File:
    """A file that the user has chosen, so that it may set everything."""
    content = _content(path)
    return _interpret(_parsed(path, content), path, content)


def read_found_file(cwd: str | None) -> File:
    """`./config.toml`, if it is meant for this program; it is not trusted.

    Another program's file of this common name is passed over in silence, readable or
    not, whole or broken.
    """
    if cwd is None:
        return _NOTHING
    path = os.path.join(cwd, "config.toml")
    if not os.path.isfile(path) or not os.access(path, os.R_OK):
        return _NOTHING
    where = "./config.toml"
    content = _content(path)
    try:
        document = _parsed(where, content)
    except InvalidSettings:
        if _TABLE_LINE.search(content):
            raise
        return _NOTHING
    if not isinstance(document.get("downloader"), dict):
        return _NOTHING
    # First of all: to read a host table is to read the files that its headers name.
    if "host" in document:
        raise InvalidSettings(f"{where}: [host] {_UNTRUSTED}")
    found = _interpret(document, where, content)
    return _without_untrusted(found, cwd)


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InvalidSettings(
            f"cannot read the configuration {path!r}: {reason}"
        ) from error


def _parsed(path: str, content: bytes) -> dict[str, object]:
    import tomllib  # 2 ms, and most have no such file

    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except ValueError as error:
        raise InvalidSettings(f"{path}: is not valid TOML: {error}") from None


def _interpret(document: Mapping[str, object], path: str, content: bytes) -> File:
    for name in document:
        if name not in ("downloader", "host"):
            raise InvalidSettings(_unknown_table(document, name, path))
    table = document.get("downloader", {})
    if not isinstance(table, dict):
        raise InvalidSettings(f"{path}: downloader must be a table: [downloader]")
    lines = content.decode("utf-8-sig").splitlines()
    return File(_keys(table, path, lines), _host_tables(document, path))


def _unknown_table(document: Mapping[str, object], name: str, path: str) -> str:
    if name.replace("-", "_") in BY_NAME and not isinstance(document[name], dict):
        return f"{path}: {name} stands outside of a table; put it below [downloader]"
    near = closest(name, ("downloader", "host"))
    return f'{path}: {name}: only [downloader] and [host."name"] have a meaning{near}'


def _keys(table: Mapping[str, object], path: str, lines: list[str]) -> dict[str, Given]:
    given: dict[str, Given] = {}
    for key, value in table.items():
        where = f"{path}{_line_of(key, lines)}: {key}"
        name = key.replace("-", "_")
        option = BY_NAME.get(name)
        if option is None:
            raise InvalidSettings(
                f"{where}: no setting has this key{closest(name, BY_NAME)}"
            )
        if name in given:
            raise InvalidSettings(f"{where}: is set twice; remove one of the two")
        given[name] = Given(expand(option, value), where)
    return given


def _line_of(key: str, lines: list[str]) -> str:
    """`:12`, where the key is set; empty if the file spells it in an unusual way."""
    shape = re.compile(rf"\s*(?:downloader\s*\.\s*)?[\"']?{re.escape(key)}[\"']?\s*=")
    for number, line in enumerate(lines, start=1):
        if shape.match(line):
            return f":{number}"
    return ""


_UNTRUSTED = (
    "may not be set by a file that merely lies in the current folder; pass "
    "--config config.toml if you trust it"
)


def _without_untrusted(found: File, cwd: str) -> File:
    """The file without what it may not set, which must set nothing.

    So a copy of the full list of keys is welcome, and overrides nothing of the user's.
    """
    given = {}
    for name, (value, where) in found.given.items():
        option = BY_NAME[name]
        if option.is_trusted_only:
            if value != option.file_default:
                raise InvalidSettings(f"{where} {_UNTRUSTED}")
            continue
        if option.kind in ("folder", "report") and not _is_inside(value, cwd):
            raise InvalidSettings(
                f"{where} {value!r}: a path that leads out of the current folder "
                f"{_UNTRUSTED}"
            )
        given[name] = found.given[name]
    return found._replace(given=given)


def _is_inside(value: object, cwd: str) -> bool:
    """True if the path stays below `cwd`, links on the way resolved."""
    if not isinstance(value, str):
        return True  # The type check has the better message.
    if os.path.isabs(value) or os.path.splitdrive(value)[0]:
        return False
    if ".." in re.split(r"[\\/]", value) or "\0" in value:
        return False
    home = os.path.realpath(cwd)
    target = os.path.realpath(os.path.join(home, value))
    return os.path.commonpath((home, target)) == home


_HOST = lazy(
    r"(?:\[[0-9a-f:.]+\]|[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_.])?)(?::([0-9]{1,5}))?"
)


def _host_tables(document: Mapping[str, object], path: str) -> dict[str, HostTable]:
    """A file's `[host."name"]` tables, by host."""
    tables = document.get("host", {})
    if not isinstance(tables, dict):
        raise InvalidSettings(f'{path}: host must be tables: [host."example.org"]')
    checked = {
        host: _checked_table(table, f'{path}: [host."{host}"]')
        for host, table in tables.items()
    }
    lines = {host: table.get("headers", []) for host, table in checked.items()}
    allow_http = [host for host, table in checked.items() if table.get("allow_http")]
    return check_tables(lines, allow_http, f"{path}: host")


_HOST_KEYS = ("headers", "allow_http")


def _checked_table(table: object, where: str) -> dict[str, object]:
    if not isinstance(table, dict):
        raise InvalidSettings(
            f"{where}: must be a table with headers, and allow_http if wanted"
        )
    for key in table:
        if key not in _HOST_KEYS:
            near = closest(key, _HOST_KEYS)
            raise InvalidSettings(
                f"{where}: {key}: only headers and allow_http can be set here{near}"
            )
    if not isinstance(table.get("allow_http", False), bool):
        raise InvalidSettings(f"{where}: allow_http: must be true or false")
    return table


def check_tables(
    headers: object, allow_http: object, where: str
) -> dict[str, HostTable]:
    """Headers by host and the hosts that may have secret ones over http, checked."""
    if isinstance(allow_http, str) or not isinstance(allow_http, Iterable):
        raise InvalidSettings("allow_http: must be a list of hosts")
    if not hasattr(headers, "items"):
        raise InvalidSettings(f"{where}: must be a mapping from host to headers")
    allowed = {_host(host, "allow_http") for host in allow_http}
    by_host = {
        _host(host, where): _headers_of(lines, f"{where} {host!r}")
        for host, lines in headers.items()
    }
    if strange := allowed - by_host.keys():
        raise InvalidSettings(f"allow_http: {min(strange)!r} has no headers of its own")
    return {host: HostTable(lines, host in allowed) for host, lines in by_host.items()}


def _host(host: object, where: str) -> str:
    found = _HOST.fullmatch(str(host).lower())
    if not found or not 0 < int(found[1] or 1) <= 65535:  # noqa: PLR2004 - the last port
        raise InvalidSettings(
            f"{where} {host!r}: must be a host's ASCII name, or its name:port"
        )
    if found[1] is not None:
        return found[0]
    # Without a port hosts are known by the bare address, which has brackets in a URL only.
    return found[0].strip("[]")


def _headers_of(value: object, where: str) -> Headers:
    try:
        return read_headers(value)
    except BadValue as error:
        raise InvalidSettings(f"{where}: {error}") from None

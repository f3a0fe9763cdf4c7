"""What a run is to do: `Settings`, and the sources from which it comes.

Precedence: flags, then `DOWNLOADER_*` variables, then `--config FILE` or
`./config.toml`, then the user's own `config.toml`, then the defaults. Which options
there are and what each may be stands in `downloader.options`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import msgspec

from downloader.config_files import (
    Given,
    Headers,
    HostTable,
    check_tables,
    expand,
    read_found_file,
    read_named_file,
    read_user_file,
)
from downloader.errors import InvalidSettings
from downloader.models import Proxies, Proxy
from downloader.option_values import (
    BadValue,
    check,
    from_text,
)
from downloader.options import BY_NAME, CONFIG, OPTIONS, Option, closest
from downloader.policy.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Settings", "load"]


def _default(name: str) -> Any:
    return BY_NAME[name].default


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that shapes a run, checked and final; safe to share and to pickle.

    `Settings(...)` trusts its values; `Settings.make(...)` checks friendly ones.

    Attributes:
        strategy: A strategy's name, or `default`.
        workers: Downloads at once; None leaves it to the strategy.
        per_host: Downloads at once against one host; None lifts the limit.
        max_time: Seconds that one try may take; None for any.
        max_file_size: Bytes that a file may have; None for any.
        retries: Requests after the first for one URL.
        retry_on: Further statuses to retry, as `403,404,5xx`; None for no others.
        headers: Sent with each request, secret ones to the first URL's origin only.
        limit_rate: Bytes a second in all; None for no limit.
        proxy: The proxy for everything that was asked for; None leaves it to the
            environment, or stands for none at all.
        proxies: What comes of that.
        checksums: A file as `sha256sum` and its like write it; None to take any content.
        cacert: A file or folder of authorities; None for the usual ones.
        max_failures: A count, or a share with a per cent sign; None to go on.
        deadline: Seconds that the run may take; None for any.
        report: A path, `-` for standard output, or None for no report.
        worker_losses: How often an attempt may lose its worker before it fails.
        host_headers: Further headers by lower-case `name` or `name:port`; secret ones go
            out over https only.
        allow_http: The names in `host_headers` whose secret ones go over http too.
    """

    output: str = _default("output")
    strategy: str = _default("strategy")
    workers: int | None = _default("workers")
    per_host: int | None = _default("per_host")
    segments: int = _default("segments")
    min_segment_size: int = _default("min_segment_size")
    http2: bool = _default("http2")
    http3: bool = _default("http3")
    timeout: float = _default("timeout")
    max_time: float | None = _default("max_time")
    max_file_size: int | None = _default("max_file_size")
    retries: int = _default("retries")
    retry_on: str | None = _default("retry_on")
    headers: Headers = _default("headers")
    user_agent: str = _default("user_agent")
    layout: str = _default("layout")
    portable_names: bool = _default("portable_names")
    refresh: bool = _default("refresh")
    verify: bool = _default("verify")
    overwrite: bool = _default("overwrite")
    checksums: str | None = _default("checksums")
    hash: str = _default("hash")
    durable: bool = _default("durable")
    limit_rate: int | None = _default("limit_rate")
    proxy: str | None = _default("proxy")
    netrc: bool = _default("netrc")
    compressed: bool = _default("compressed")
    block_private: bool = _default("block_private")
    cacert: str | None = _default("cacert")
    insecure: bool = _default("insecure")
    report: str | None = _default("report")
    quiet: bool = _default("quiet")
    verbose: bool = _default("verbose")
    no_progress: bool = _default("no_progress")
    backoff_seconds: float = _default("backoff_seconds")
    backoff_max_seconds: float = _default("backoff_max_seconds")
    max_retry_wait: float = _default("max_retry_wait")
    retry_max_time: float = _default("retry_max_time")
    max_host_failures: int | None = _default("max_host_failures")
    max_failures: str | None = _default("max_failures")
    deadline: float | None = _default("deadline")
    max_redirects: int = _default("max_redirects")
    worker_losses: int = _default("worker_losses")
    host_headers: dict[str, Headers] = {}
    allow_http: frozenset[str] = frozenset()
    proxies: Proxies = Proxies()

    @classmethod
    def make(
        cls, environ: Mapping[str, str] | None = None, /, **values: object
    ) -> Settings:
        """Settings from friendly values: `limit_rate="500K"`, `per_host="none"`, paths.

        Neither files nor `DOWNLOADER_*` variables are read; the variables that every
        program heeds (`https_proxy`, `SSL_CERT_FILE` and their kin) are.

        Args:
            environ: Those variables; the process's own if None.

        Raises:
            InvalidSettings: A value cannot be used, or a name is unknown.
        """
        hosts = check_tables(
            values.pop("host_headers", {}), values.pop("allow_http", ()), "host_headers"
        )
        for name in values:
            if name not in BY_NAME:
                near = closest(name, BY_NAME)
                raise InvalidSettings(f"{name}: no setting has this name{near}")
        given = {name: Given(value, name) for name, value in values.items()}
        environ = os.environ if environ is None else environ
        return _finish(_checked(given), hosts, environ, "proxy")

    @property
    def progress(self) -> bool:
        """True unless the progress display is turned off."""
        return not self.no_progress

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={text}" for name, text in _shown_fields(self))
        return f"Settings({shown})"


def _shown_fields(settings: Settings) -> Iterator[tuple[str, str]]:
    """The fields with nothing secret in them: names of headers, no values."""
    for name in settings.__struct_fields__:
        value = getattr(settings, name)
        match name:
            case "headers":
                yield name, _masked(value)
            case "host_headers":
                hosts = (f"{host!r}: {_masked(lines)}" for host, lines in value.items())
                yield name, "{" + ", ".join(hosts) + "}"
            case "proxy":
                yield name, repr(value and redact(value))
            case "proxies":
                proxies = value.by_scheme.items()
                yield name, repr({key: redact(one.url) for key, one in proxies})
            case _:
                yield name, repr(value)


def _masked(headers: Headers) -> str:
    return repr(tuple((name, "***") for name, _ in headers))


def load(
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    cwd: str | os.PathLike[str] | None,
    config_path: str | None = None,
) -> Settings:
    """The settings of a run, from all sources.

    An invalid value is an error wherever it stands, even if another source overrides it.

    Args:
        flags: Those given on the command line, by option name; texts as typed.
        environ: The environment variables.
        cwd: The folder whose `config.toml` is looked at; None if there is none.
        config_path: `--config`; None leaves it to `DOWNLOADER_CONFIG`.

    Raises:
        InvalidSettings: A value cannot be used, a name is unknown, a file is broken.
    """
    named = config_path or environ.get(CONFIG.variable)
    user = read_user_file()
    found = None if cwd is None else os.fspath(cwd)
    project = read_named_file(named) if named else read_found_file(found)
    given: dict[str, object] = {}
    proxy_source = ""
    for source in (user.given, project.given, _variables(environ), _flags(flags)):
        if "proxy" in source:
            proxy_source = source["proxy"].where
        checked = _checked(source)
        if source is project.given and not named:
            checked = _without_guards(checked, user.given)
        given.update(checked)
    hosts = {**user.hosts, **project.hosts}
    return _finish(given, hosts, environ, proxy_source)


def _without_guards(
    found: dict[str, object], own: Mapping[str, Given]
) -> dict[str, object]:
    """What a file that merely lies there may say of what the user's own file sets."""
    return {
        name: value
        for name, value in found.items()
        if not (BY_NAME[name].is_guard and name in own)
    }


def _checked(given: Mapping[str, Given]) -> dict[str, object]:
    return {
        name: _check(BY_NAME[name], value, where)
        for name, (value, where) in given.items()
    }


def _check(option: Option, value: object, where: str) -> object:
    try:
        return check(option, value)
    except BadValue as error:
        shown = _shown(option, value)
        raise InvalidSettings(f"{where}{shown}: {error}") from None


_SHOWN_LENGTH = 80


def _shown(option: Option, value: object) -> str:
    """The value after a blank, fit for a message; nothing of a header's."""
    if option.kind == "headers":
        return ""
    if option.kind == "proxy" and isinstance(value, str):
        value = redact(value)
    text = repr(value)
    return f" {text}" if len(text) <= _SHOWN_LENGTH else f" {text[:_SHOWN_LENGTH]}..."


def _finish(
    given: dict[str, object],
    hosts: dict[str, HostTable],
    environ: Mapping[str, str],
    proxy_source: str,
) -> Settings:
    if given.get("quiet") and given.get("verbose"):
        raise InvalidSettings("quiet and verbose exclude each other: set one of them")
    if given.get("cacert") is None:
        given["cacert"] = _environment_authorities(environ)
    proxies = _proxies(given.get("proxy"), proxy_source, environ)
    # One of a variable may serve none of the URLs: those that it serves fail.
    if given.get("block_private") and given.get("proxy"):
        raise InvalidSettings(
            "block_private: a proxy connects for us, and to whatever it likes, so this "
            "cannot be kept; pass --proxy none to go direct, or leave it out"
        )
    # An empty one has done its work: nothing, not even the environment, names a proxy.
    given["proxy"] = given.get("proxy") or None
    # Every value has been checked against its option, which has its field's type.
    values: dict[str, Any] = {**given, "proxies": proxies}
    return Settings(
        **values,
        host_headers={host: table.headers for host, table in hosts.items()},
        allow_http=frozenset(host for host in hosts if hosts[host].allows_http),
    )


def _proxies(proxy: object, source: str, environ: Mapping[str, str]) -> Proxies:
    if proxy is None:
        return _environment_proxies(environ)
    return Proxies({"all": Proxy(str(proxy), source)} if proxy else {})


def _flags(flags: Mapping[str, object]) -> dict[str, Given]:
    given = {}
    for option in OPTIONS:
        if option.name in flags:
            value = flags[option.name]
            text = from_text(option, value) if isinstance(value, str) else value
            given[option.name] = Given(text, option.flag)
    return given


_PREFIX = "DOWNLOADER_"


def _variables(environ: Mapping[str, str]) -> dict[str, Given]:
    known = {option.variable: option for option in OPTIONS}
    given = {}
    for variable, text in environ.items():
        if not variable.startswith(_PREFIX) or variable == CONFIG.variable:
            continue
        if variable not in known:
            # Without what all have in common, which would make any two seem near.
            names = [one.name.upper() for one in OPTIONS]
            near = closest(variable.removeprefix(_PREFIX), names, _PREFIX)
            raise InvalidSettings(f"{variable}: no setting has this variable{near}")
        # Set and empty is how shells and compose files spell "not set".
        if text:
            option = known[variable]
            value = expand(option, from_text(option, text))
            given[option.name] = Given(value, variable)
    return given


_CA_FILES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def _environment_authorities(environ: Mapping[str, str]) -> str | None:
    for variable in _CA_FILES:
        if environ.get(variable):
            path = _check(BY_NAME["cacert"], environ[variable], variable)
            return str(path)
    # OpenSSL takes a list of folders here; both HTTP libraries take one.
    folders = environ.get("SSL_CERT_DIR", "")
    if not folders:
        return None
    for folder in folders.split(os.pathsep):
        if os.path.isdir(folder):
            return folder
    raise InvalidSettings(
        f"SSL_CERT_DIR {folders!r}: is no folder; unset it or mend it"
    )


def _environment_proxies(environ: Mapping[str, str]) -> Proxies:
    by_scheme = {}
    for scheme in ("http", "https", "all"):
        variable = _proxy_variable(environ, scheme)
        if variable:
            by_scheme[scheme] = _environment_proxy(variable, environ[variable])
    variable = _proxy_variable(environ, "no")
    return Proxies(by_scheme, environ[variable] if by_scheme and variable else "")


def _proxy_variable(environ: Mapping[str, str], key: str) -> str | None:
    """The variable that holds, None if none does; the lower-case one goes first."""
    lower = f"{key}_proxy"
    if lower in environ:
        return lower if environ[lower] else None
    # A CGI server turns a request's `Proxy:` header into HTTP_PROXY (CVE-2016-5385).
    if key == "http" and "REQUEST_METHOD" in environ:
        return None
    return lower.upper() if environ.get(lower.upper()) else None


def _environment_proxy(variable: str, url: str) -> Proxy:
    """The proxy of a variable; a bad one is a fault only of the URLs that it serves."""
    # `proxy:3128` is common in these variables; curl takes it for http too.
    url = url if "://" in url else f"http://{url}"
    try:
        return Proxy(str(check(BY_NAME["proxy"], url)), variable)
    except BadValue as error:
        shown = redact(url)
        fault = f"{variable} {shown!r}: {error}; unset it, or pass --proxy none to go direct"
        return Proxy(shown, variable, fault)

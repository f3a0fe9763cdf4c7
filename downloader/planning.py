"""Settings turned into what the rooms below want to know."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from downloader.credentials import read_netrc
from downloader.errors import UsageError
from downloader.log import Log
from downloader.policy import digests, headers, urls
from downloader.policy.checksums import Sums
from downloader.policy.frontier import Limits
from downloader.policy.redaction import printable
from downloader.policy.retry import RetryRules, read_statuses
from downloader.policy.standing import Wishes
from downloader.strategies.contract import KINDS, chosen, default_workers
from downloader.transfer import descriptors
from downloader.transfer.coding import known_codings
from downloader.transfer.digest import new_hash
from downloader.transfer.environment import hidden_variables
from downloader.transfer.plan import Plan

if TYPE_CHECKING:
    from downloader.models import Entry
    from downloader.settings import Settings

logger = Log(__name__)


def choose_strategy(settings: Settings) -> str:
    """The name of the run's strategy.

    Raises:
        UsageError: It cannot do what else is asked for.
    """
    name = chosen(settings.strategy)
    flag = "--http3" if settings.http3 else "--http2" if settings.http2 else None
    if flag is not None and not _has_newer_http(name):
        raise UsageError(
            f"{flag}: the strategy {name} does not speak it; use curl or multicore "
            "(pip install 'downloader-engine[curl]')"
        )
    if settings.http3:
        _require_http3()
    return name


def _has_newer_http(name: str) -> bool:
    kind = KINDS.get(name)
    return kind is not None and kind.has_newer_http and chosen("default") == "curl"


def _require_http3() -> None:
    with hidden_variables():
        import pycurl

    if not pycurl.version_info()[4] & pycurl.VERSION_HTTP3:
        raise UsageError(
            f"--http3: libcurl {pycurl.version_info()[1]} was built without it here; "
            "--http2 is the next best"
        )


def count_workers(settings: Settings, name: str) -> int:
    """The workers of a run; `serial` has one, whatever was asked for.

    Fewer than wanted where not so many files may be open at once, which is said.
    """
    if KINDS[name].workers == 1:
        return 1
    wanted = settings.workers or default_workers(name)
    room = descriptors.most_workers(descriptors.A_TRANSFER)
    if room < wanted:
        logger.warning(
            "only %s files may be open at once (ulimit -n): running %s downloads at a time",
            f"{descriptors.limit():,}",
            f"{room:,}",
        )
    return min(wanted, room)


def make_limits(settings: Settings) -> Limits:
    """The frontier's bounds."""
    return Limits(
        per_host=settings.per_host,
        host_failures=settings.max_host_failures,
        segments=settings.segments,
        retry=RetryRules(
            retries=settings.retries,
            backoff_seconds=settings.backoff_seconds,
            backoff_max_seconds=settings.backoff_max_seconds,
            retry_after_max_seconds=settings.max_retry_wait,
            total_seconds=settings.retry_max_time,
            worker_losses=settings.worker_losses,
            statuses=read_statuses(settings.retry_on or ""),
        ),
    )


def make_wishes(settings: Settings) -> Wishes:
    """What is to be done about files that are there already."""
    return Wishes(
        refreshes=settings.refresh,
        verifies=settings.verify,
        overwrites=settings.overwrite,
    )


def make_plan(settings: Settings, root: str, first: Entry) -> Plan:
    """What every worker must know.

    Args:
        settings: The run's settings.
        root: The output folder's absolute path.
        first: The first request of all: its origin alone gets the secret headers.

    Raises:
        UsageError: The netrc file, if it is asked for, cannot be read; what `hash` names
            is not installed.
    """
    if settings.hash != digests.SHA256:
        new_hash(settings.hash)  # in vain, but for the fault that it may find
    common, sensitive = headers.split(settings.headers)
    agent = ("User-Agent", settings.user_agent)
    return Plan(
        root=root,
        headers=headers.HeaderRules(
            common=(agent, *common),
            sensitive=sensitive,
            sensitive_origin=urls.parse(first.url).origin,
            by_host=settings.host_headers,
            allow_http=settings.allow_http,
            netrc=read_netrc() if settings.netrc else {},
        ),
        timeout_seconds=settings.timeout,
        max_redirects=settings.max_redirects,
        bytes_per_second=settings.limit_rate,
        proxies=settings.proxies,
        cacert=settings.cacert,
        verifies_tls=not settings.insecure,
        max_seconds=settings.max_time,
        max_bytes=settings.max_file_size,
        codings=known_codings() if settings.compressed else (),
        blocks_private=settings.block_private,
        http_version=3 if settings.http3 else 2 if settings.http2 else 1,
        segments=settings.segments,
        min_segment_bytes=settings.min_segment_size,
        hash=settings.hash,
        is_durable=settings.durable,
    )


def read_sums(path: str | None) -> Sums | None:
    """The checksums of a file as `sha256sum` and its like write it; None without one.

    Raises:
        UsageError: It cannot be read, has no sums, or a line is none of its lines.
    """
    if path is None:
        return None
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape") as stream:
            sums = Sums(stream, os.path.basename(path))
    except OSError as error:
        raise UsageError(
            f"cannot read the checksums {path}: {error.strerror or error}"
        ) from error
    except ValueError as error:
        raise UsageError(f"--checksums {path}, {printable(str(error))}") from error
    if not len(sums):
        raise UsageError(
            f"--checksums {path} has no checksum in it, as sha256sum writes them"
        )
    if sums.is_signed:
        logger.warning(
            "--checksums %s: its OpenPGP signature is not checked; check it with gpg "
            "--verify",
            path,
        )
    return sums


def prepare_output(output: str) -> str:
    """The output folder's absolute path; it is made if missing.

    Raises:
        UsageError: It is a file, or cannot be made.
    """
    try:
        path = os.path.abspath(output)
    except OSError as error:  # nobody knows where that is
        raise UsageError(
            f"the output folder {output} is below the working folder, which is gone; "
            "name one by its whole path"
        ) from error
    try:
        os.makedirs(path, exist_ok=True)
    except FileExistsError as error:
        raise UsageError(
            f"the output folder {output} is a file; name another"
        ) from error
    except OSError as error:
        raise UsageError(
            f"cannot create the output folder {output}: {error.strerror or error}"
        ) from error
    return path

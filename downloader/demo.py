"""The main job on a machine without internet: fetch the embedded site, then check it."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from downloader.models import Proxies
from downloader.site.process import Site, SiteError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from downloader.models import Outcome
    from downloader.progress import Progress
    from downloader.report import Report
    from downloader.session import Session
    from downloader.settings import Settings

__all__ = ["run_demo", "wrong_files"]


def run_demo(
    settings: Settings,
    display: Progress,
    files: int = 300,
    latency_seconds: float = 0.02,
    seed: int = 1,
    on_session: Callable[[Session], None] | None = None,
) -> Report:
    """Fetch all of a fresh embedded site and hold each saved file against its source.

    Proxies are left out: the site is on this machine, a proxy's loopback is another.

    Returns:
        The run's report; failed downloads stand in it as in any other.

    Raises:
        SiteError: The site did not start, or a saved file has other bytes than it.
    """
    # Only the parent of a demo pays for the engine; the site itself never loads it.
    from downloader.api import run_list

    settings = msgspec.structs.replace(settings, proxy=None, proxies=Proxies())
    with (
        Site(files=files, seed=seed, latency_seconds=latency_seconds) as site,
        tempfile.TemporaryDirectory(prefix="downloader-demo-") as folder,
    ):
        listing = Path(folder, "urls.txt")
        listing.write_text("\n".join([*site.urls(), ""]), encoding="utf-8")
        report = run_list((str(listing),), settings, display, on_session)
        _check(report, site, settings.output)
    return report


def _check(report: Report, site: Site, output: str) -> None:
    rows = len(report)
    if rows != site.files and report.interrupted_by is None:
        raise SiteError(f"the report has {rows} rows for {site.files} files")
    wrong = wrong_files(report, site, output)
    if wrong:
        raise SiteError(
            f"{len(wrong)} of {rows} files differ from what it sent: {wrong[0]}"
        )


def wrong_files(
    outcomes: Iterable[Outcome], site: Site, output: str | os.PathLike[str]
) -> list[str]:
    """The paths below `output` whose bytes are not those of the site's catalogue."""
    return [
        outcome.path
        for outcome in outcomes
        if outcome.path is not None
        and _sha256(os.path.join(output, outcome.path)) != site.sha256(outcome.url)
    ]


def _sha256(path: str) -> str | None:
    """The file's digest, None if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None

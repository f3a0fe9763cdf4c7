"""Fetch many URLs at once, with strategies that can be exchanged and compared.

    from downloader import fetch
    report = fetch(["https://example.org/a.pdf"], output="papers")

Names are loaded when first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from downloader.api import Downloader, fetch
    from downloader.errors import DownloaderError, InvalidSettings, UsageError
    from downloader.models import Outcome, Request, Status
    from downloader.report import Report
    from downloader.settings import Settings
    from downloader.version import __version__

__all__ = [
    "Downloader",
    "DownloaderError",
    "InvalidSettings",
    "Outcome",
    "Report",
    "Request",
    "Settings",
    "Status",
    "UsageError",
    "__version__",
    "fetch",
]

_HOMES = {
    "Downloader": "downloader.api",
    "DownloaderError": "downloader.errors",
    "InvalidSettings": "downloader.errors",
    "Outcome": "downloader.models",
    "Report": "downloader.report",
    "Request": "downloader.models",
    "Settings": "downloader.settings",
    "Status": "downloader.models",
    "UsageError": "downloader.errors",
    "__version__": "downloader.version",
    "fetch": "downloader.api",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    # importlib.import_module costs an import of its own; the statement does not.
    module = __import__(home, fromlist=[name])
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)

"""Whether pages can be made here, told without loading what makes them."""

from __future__ import annotations

import os
from importlib.util import find_spec

from downloader.errors import PagesUnavailable

__all__ = ["is_page", "require"]

_LIBRARIES = ("matplotlib", "jinja2")
_ENDINGS = (".html", ".htm")


def is_page(path: str) -> bool:
    """True if a report of that name is to be a page; everything else is JSON."""
    return os.path.splitext(path)[1].lower() in _ENDINGS


def require(what: str) -> None:
    """Refuse, before any work is done, what needs libraries that are not installed.

    Args:
        what: The option or file that is asked for.

    Raises:
        PagesUnavailable: One of them is missing.
    """
    missing = [name for name in _LIBRARIES if not _is_there(name)]
    if missing:
        raise PagesUnavailable(
            f"{what} needs {' and '.join(missing)}: "
            "pip install 'downloader-engine[report]'"
        )


def _is_there(library: str) -> bool:
    try:
        return find_spec(library) is not None
    except ValueError:  # someone has set its place in sys.modules to None
        return False

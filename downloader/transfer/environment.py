"""The variables that libraries read by themselves as they begin."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# libcurl and aiohttp open the file that the first names, and write the keys of each
# connection to it; no option turns that off later.
_READ_AT_START = ("SSLKEYLOGFILE", "CURL_SSL_BACKEND")


@contextmanager
def hidden_variables() -> Iterator[None]:
    """Hide these variables from the libraries that begin meanwhile."""
    hidden = {n: os.environ.pop(n) for n in _READ_AT_START if n in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)

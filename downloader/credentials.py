"""The user's netrc file, read once and only when asked for."""

from __future__ import annotations

import os

from downloader.errors import UsageError
from downloader.log import Log

logger = Log(__name__)


def read_netrc() -> dict[str, str]:
    """`login:password` by host name, from $NETRC or ~/.netrc; empty if there is none.

    The `default` entry is left out: it would hand its password to any host in a list.

    Raises:
        UsageError: The file is malformed or unreadable.
    """
    import netrc  # rarely needed, and 2 ms with what it imports

    path = os.environ.get("NETRC") or os.path.expanduser("~/.netrc")
    try:
        hosts = netrc.netrc(path).hosts
    except FileNotFoundError:
        logger.warning("there is no netrc file %s: no password is sent", path)
        return {}
    except netrc.NetrcParseError as error:
        # Its message quotes the word, which may be a part of a password.
        where = f"cannot read the netrc file {path}: line {error.lineno}"
        raise UsageError(f"{where} is malformed") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8"
        raise UsageError(f"cannot read the netrc file {path}: {reason}") from error
    return {
        host.lower(): f"{login}:{password or ''}"
        for host, (login, _, password) in hosts.items()
        if host != "default"
    }

"""What can go wrong on the way, in the words that all drivers share.

A driver finds out by its library's exception classes which of these it was; what is said
of it, and so what the report shows, is the same whoever moved the bytes.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from downloader.errors import TransportError
from downloader.models import ErrorKind, http_kind

if TYPE_CHECKING:
    from collections.abc import Iterable


def lost(*, is_reused: bool) -> TransportError:
    """The connection ended before a byte of the answer came."""
    text = "the connection was lost before an answer"
    return TransportError(ErrorKind.CONNECT, text, is_reused)


def mixed_up() -> TransportError:
    """Another answer followed on a connection that was used before.

    Which of them was the one that was asked for, nothing says.
    """
    text = "two answers came to one request on a reused connection"
    return TransportError(ErrorKind.CONNECT, text, stale=True)


def head_cut() -> TransportError:
    """The connection ended inside a response head."""
    text = "the connection ended inside the response head"
    return TransportError(ErrorKind.TRUNCATED, text)


def body_cut() -> TransportError:
    """The connection ended inside a body."""
    return TransportError(ErrorKind.TRUNCATED, "the body broke off")


def too_long() -> TransportError:
    """More came of a body than was declared."""
    return TransportError(ErrorKind.PROTOCOL, "the body is longer than declared")


def private(host: str, address: str) -> TransportError:
    """No address of the host is a public one of another machine."""
    what = "is" if host.strip("[]") == address else f"is {address},"
    text = (
        f"{host} {what} no public address of another machine (--block-private refuses "
        "private ones, and this machine's own)"
    )
    return TransportError(ErrorKind.BLOCKED, text)


def no_connection(why: str | None) -> TransportError:
    """No address took the connection."""
    return TransportError(ErrorKind.CONNECT, _with("no connection", why))


def tls(why: str | None) -> TransportError:
    """The TLS handshake failed; not tried again, since the certificate stays what it is."""
    return TransportError(ErrorKind.TLS, _with("the TLS handshake failed", why))


def unnamed() -> TransportError:
    """The certificate names its host in the subject alone, which counts no more."""
    return tls("the certificate has no subjectAltName for the host")


def proxy(why: str | None = None) -> TransportError:
    """The proxy could not be reached, or would not go on."""
    said = "refused or broke off" if why is None else why[:1].lower() + why[1:]
    return TransportError(ErrorKind.CONNECT, said)


def tunnel(status: int) -> TransportError:
    """An HTTP proxy has refused to connect to the host."""
    if status == 407:  # noqa: PLR2004 - RFC 9110 §15.5.8
        return TransportError(http_kind(status), "")
    return proxy(f"refused to connect to the host: it answered {status}")


# RFC 1928 §6
_SOCKS_REPLIES = {
    1: "general failure",
    2: "not allowed by its rules",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused by the host",
    6: "TTL expired",
    7: "command not supported",
    8: "address type not supported",
}


def socks(reply: int | None, why: str) -> TransportError:
    """A SOCKS proxy has refused.

    Args:
        reply: The code of its last reply; None if it did not come to that.
        why: What its library says then.
    """
    said = why if reply is None else f"refused: {_SOCKS_REPLIES.get(reply, reply)}"
    return proxy(said)


def unseen_address(proxy: str) -> TransportError:
    """A proxy would connect where nobody here can check the address."""
    text = (
        f"{proxy}: the address that it connects to cannot be checked; leave out "
        "--block-private, or pass --proxy none"
    )
    return TransportError(ErrorKind.BLOCKED, text)


def timeout(complaint: str) -> TransportError:
    """The attempt's patience is at an end."""
    return TransportError(ErrorKind.TIMEOUT, complaint)


def reason(errors: Iterable[BaseException | None]) -> str | None:
    """What OpenSSL or the system says of the first error that has something to say."""
    import ssl  # 12 ms, which a run without an error need not pay

    # Only OpenSSL gives its errors these attributes; one made in Python has none.
    known = [error for error in errors if isinstance(error, OSError)]
    for error in known:
        if isinstance(error, ssl.SSLCertVerificationError):
            said: str | None = getattr(error, "verify_message", None)
            return said
    for error in known:
        word = getattr(error, "reason", None) if isinstance(error, ssl.SSLError) else ""
        if word:
            return str(word).replace("_", " ").lower()
        # Not `strerror`: some libraries put a sentence of their own there.
        if error.errno is not None and error.errno in errno.errorcode:
            return os.strerror(error.errno)
    return None


def _with(text: str, why: str | None) -> str:
    return f"{text}: {why}" if why else text

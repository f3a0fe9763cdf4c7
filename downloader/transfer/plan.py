"""What every worker of a run must know; one value that crosses to all of them."""

from __future__ import annotations

import msgspec

from downloader.models import Proxies
from downloader.policy import digests
from downloader.policy.headers import HeaderRules


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The run as a worker sees it.

    Attributes:
        root: The output folder's absolute path.
        headers: What to send, and to whom.
        timeout_seconds: The bound on each phase of an attempt and each gap in a body.
        max_redirects: Hops after which an answer is a failure.
        bytes_per_second: The rate that this worker process may use; None for no bound.
        proxies: The proxies, and which hosts need none.
        cacert: A file or folder of certificates to trust instead of the system's.
        verifies_tls: False to take any certificate.
        max_seconds: How long one attempt may take in all; None for any time.
        max_bytes: How large a file may be; None for any size.
        codings: The content codings to ask for, whose bodies are written decoded.
        blocks_private: True to connect to public addresses only.
        http_version: The newest HTTP to speak where a server and a driver can: 1, 2 or 3.
        segments: How many connections one large file may have.
        min_segment_bytes: No connection is begun for less of a file.
        hash: What files without a checksum are hashed with.
        is_durable: True if a file must be on the disk before it gets its name.
    """

    root: str
    headers: HeaderRules
    timeout_seconds: float = 30.0
    max_redirects: int = 20
    bytes_per_second: float | None = None
    proxies: Proxies = Proxies()
    cacert: str | None = None
    verifies_tls: bool = True
    max_seconds: float | None = None
    max_bytes: int | None = None
    codings: tuple[str, ...] = ()
    blocks_private: bool = False
    http_version: int = 1
    segments: int = 1
    min_segment_bytes: int = 4 << 20
    hash: str = digests.SHA256
    is_durable: bool = False

"""The frozen values that pass between the rooms; no behaviour beyond reading themselves.

Those that cross a pipe are array-like msgspec structs: about 0.2 µs to make against
2.3 µs for a frozen dataclass, and a fifth of pickle's time to encode.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Status(StrEnum):
    """How a line of the list ended."""

    OK = "ok"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    FAILED = "failed"


class ErrorKind(StrEnum):
    """The stable words for a failure; a status code's own is made by `http_kind`."""

    TIMEOUT = "timeout"
    TOO_SLOW = "too_slow"
    CONNECT = "connect"
    DNS = "dns"
    TLS = "tls"
    TRUNCATED = "truncated"
    PROTOCOL = "protocol"
    TOO_LARGE = "too_large"
    CHECKSUM = "checksum"
    REDIRECTS = "redirects"
    INVALID_URL = "invalid_url"
    BLOCKED = "blocked"
    ROBOTS = "robots"
    EXISTS = "exists"
    DISK = "disk"
    WORKER_LOST = "worker_lost"
    INTERRUPTED = "interrupted"
    INTERNAL = "internal"
    NOT_TRIED = "not_tried"


# The failures that an interruption brings by itself.
STOPPED = frozenset({ErrorKind.INTERRUPTED, ErrorKind.NOT_TRIED})


def http_kind(status: int) -> str:
    """The failure word for an answer with this status code, `http_404` say."""
    return f"http_{status}"


class Request(msgspec.Struct, frozen=True, gc=False):
    """One thing to fetch, as a caller or a line of a list puts it.

    Attributes:
        url: The URL as it stands there; a checksum, `sha256=HEX` say, may follow it after
            a blank.
        source: Where that was, `urls.txt:12` say, for messages.
        checksum: What the file must have, `sha512:HEX` say; sha256, sha384, sha1, md5 and
            blake3 are known too, and 64 digits alone are a sha256. None to take any.
    """

    url: str
    source: str = ""
    checksum: str | None = None


class Partial(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What lies in a part file, and the validator under which it may go on.

    Attributes:
        size_bytes: Bytes already in the part.
        validator: A strong ETag, or a Last-Modified date that counts as strong
            (RFC 9110 §8.8.2.2), exactly as the server sent it.
        total_bytes: The whole representation's length, None if not known.
        url: Where it came from, after redirects: a validator says nothing of other URLs.
        is_divided: True if it is written by several at once: a map beside it says what
            is there and what is not.
    """

    size_bytes: int
    validator: str
    total_bytes: int | None = None
    url: str = ""
    is_divided: bool = False


class Known(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The version of a file that is at hand, as its server named it.

    Attributes:
        etag: The ETag as sent, weak or strong, None if it had none.
        last_modified: The Last-Modified as sent, None if it had none.
        url: Where it came from, after redirects.
    """

    etag: str | None
    last_modified: str | None
    url: str


class Proxy(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A proxy that somebody named.

    Attributes:
        url: Its URL, which may hold a user name and a password.
        source: The flag, variable or file that names it.
        fault: Why it cannot be used; None if it can.
    """

    url: str
    source: str
    fault: str | None = None


class Proxies(msgspec.Struct, frozen=True, array_like=True):
    """The proxies of a run.

    Attributes:
        by_scheme: A proxy by `http`, `https` or `all`; empty to go direct.
        exceptions: The hosts that need none, as NO_PROXY names them.
    """

    by_scheme: dict[str, Proxy] = {}
    exceptions: str = ""


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A request that the run has taken in: parsed, named and numbered.

    Attributes:
        seq: Its row in the report, counted from 0 in the list's order.
        line: The URL as it stands in its line, a password in it replaced.
        url: The URL to send, without user name, password or fragment.
        identity: The URL's normal form, the same for every spelling of it.
        host: Lower-case host name plus port, the unit of politeness.
        path: The file's name relative to the output folder, with forward slashes.
        credentials: `user:password` if the line carried them, never stored.
        checksum: The digest that the file must have; see `policy.digests`.
        known: The version at hand that the server is to be asked about.
        partial: The part that an earlier run left, to go on with.
        replaces: True if a file that has the name may be replaced.
    """

    seq: int
    line: str
    url: str
    identity: str
    host: str
    path: str
    credentials: str | None = None
    checksum: str | None = None
    known: Known | None = None
    partial: Partial | None = None
    replaces: bool = False


class Cookie(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A cookie that an answer has set.

    Attributes:
        domain: The host that it goes to, and unless it `is_host_only` all below it.
        path: The folder that it goes to, with all below.
        is_secure: True if it goes over https alone.
    """

    name: str
    value: str
    domain: str
    path: str
    is_host_only: bool
    is_secure: bool


class Chain(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """State of a chain of redirects, passed from hop to hop.

    Attributes:
        cookies: Those set so far.
        refusal: Why one was not kept; None if all were.
        seen: Checksums of the URLs that it was at.
    """

    cookies: tuple[Cookie, ...] = ()
    refusal: str | None = None
    seen: tuple[int, ...] = ()


class Attempt(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One try at a request: all that a worker needs to know about it.

    Attributes:
        id: Unique in the run; a result names it.
        url: The URL of this hop.
        path: The file's final name relative to the output folder.
        number: Tries so far, this one included; a redirect does not count.
        hops: Redirects already followed on the way here.
        credentials: `user:password` from the line, for its own origin only.
        partial: The part to go on with, None to start from nothing.
        origin: The origin of the list's line when `hops` led elsewhere, else None.
        checksum: The digest that the file must have, None to take any.
        known: The version at hand: an answer 304 is then as good as a file.
        replaces: True if a file that has the name may be replaced.
        is_fresh: True if no connection may be used that stands idle: one was dead.
        joins: True to help with a file that another attempt has begun.
        is_undivided: True to fetch the file over one connection, whatever its size.
        without_range: True to fetch the file from its first byte; `partial`, whose
            resumption was refused, is replaced only when the whole file begins to come.
        chain: What the redirects on the way here gave along; None without any.
    """

    id: int
    url: str
    path: str
    number: int = 1
    hops: int = 0
    credentials: str | None = None
    partial: Partial | None = None
    origin: str | None = None
    checksum: str | None = None
    known: Known | None = None
    replaces: bool = False
    is_fresh: bool = False
    joins: bool = False
    is_undivided: bool = False
    without_range: bool = False
    chain: Chain | None = None


class Failure(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Why an attempt came to nothing.

    Attributes:
        kind: An `ErrorKind` or `http_NNN`.
        detail: What happened, for a person; already free of secrets.
        retry_after_seconds: The server's own wish, None if it had none.
        stale: True if a reused connection died before any answer.
        refuses_range: True if a request without Range may succeed where this one, which
            resumed a part, did not.
    """

    kind: str
    detail: str
    retry_after_seconds: float | None = None
    stale: bool = False
    refuses_range: bool = False


class Saved(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A whole file under its final name.

    Attributes:
        size_bytes: Its length on disk.
        digest: What its content was hashed to; see `policy.digests`.
        length_known: False if only the connection's end said that it was whole.
        etag: The answer's ETag as sent, None if it had none.
        last_modified: The answer's Last-Modified as sent, None if it had none.
        modified_ns: The file's own modification time when it was put in place.
        url: Where it came from if redirects led there, else None.
    """

    size_bytes: int
    digest: str
    length_known: bool
    etag: str | None
    last_modified: str | None
    modified_ns: int
    url: str | None = None


class Phases(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where the time of an attempt went; redirects that it followed are included.

    Attributes:
        began_at: When a worker took it up, by the system-wide `time.monotonic()`.
        connect_seconds: Looking the name up and connecting, a proxy included; 0 on a
            connection that stood already.
        tls_seconds: The TLS handshake; likewise.
        first_byte_seconds: From the request to the complete response head; with curl to its
            first byte.
        body_seconds: Waiting for the body, once what follows is taken off; of a file that
            several fetch also waiting for what others fetch of it.
        paused_seconds: Held back for the sake of a rate, while the body came.
        hash_seconds: Hashing, or waiting for the thread that hashes.
        store_seconds: Writing: of large bodies as they come, of all from the body's end
            until the file is in its place.
    """

    began_at: float
    connect_seconds: float = 0.0
    tls_seconds: float = 0.0
    first_byte_seconds: float = 0.0
    body_seconds: float = 0.0
    paused_seconds: float = 0.0
    hash_seconds: float = 0.0
    store_seconds: float = 0.0


class AttemptResult(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The facts that an attempt brought back.

    At most one of the first three is set; none of them means that the server said of
    the version at hand that it is the newest, or, with `has_helped`, that others finish
    the file.

    Attributes:
        attempt_id: The attempt's id.
        saved: The file, if it is in place.
        redirect: The next URL, if the answer points to another host.
        failure: What went wrong.
        http_status: The last final status seen, None if there was no answer.
        hops: Redirects followed in all.
        seconds: From the moment a worker took it up to its end.
        received_bytes: Body bytes that came over the network in this attempt.
        partial: What the part file now holds and may go on with, None if nothing.
        has_helped: True if there is nothing more to do for it on a divided file.
        phases: What `seconds` went to; None if nobody is left to tell.
        note: An oddity of the answer for the row of a file that was saved all the same.
        chain: With `redirect`: what goes along to it.
        is_unconnected: True if it failed before there was a connection.
    """

    attempt_id: int
    saved: Saved | None = None
    redirect: str | None = None
    failure: Failure | None = None
    http_status: int | None = None
    hops: int = 0
    seconds: float = 0.0
    received_bytes: int = 0
    partial: Partial | None = None
    has_helped: bool = False
    phases: Phases | None = None
    note: str | None = None
    chain: Chain | None = None
    is_unconnected: bool = False


class Moved(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Progress of a large body, throttled by its worker.

    Attributes:
        attempt_id: Whose body it is.
        received_bytes: How far it is.
        total_bytes: How long it will be, None if not known.
        is_divided: True if others may join in.
    """

    attempt_id: int
    received_bytes: int
    total_bytes: int | None
    is_divided: bool = False


class Returned(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An attempt that its worker gave back untried, to be handed out again."""

    attempt_id: int


Fact = AttemptResult | Moved | Returned


class Outcome(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The end of one line of the list; a row of the report.

    Attributes:
        seq: The row's number, from 0.
        url: The URL as it stands in its line, a password in it replaced; of a line that was
            refused all of it.
        path: Relative to the output folder; None on failure.
        bytes: The file's size; 0 on failure.
        attempts: Tries made; 0 if none was needed or possible.
        seconds: Time that workers spent on it, over all its attempts.
        error: None, or a stable kind such as `timeout` or `http_404`.
        detail: What a person should know about the failure; names file and line
            of a bad line. Of a saved file: an oddity of its answer, None mostly.
        length_known: False if only the connection's end said that the file was whole;
            None without a file.
        digest: Of a file hashed with something else than sha256: the algorithm's name, a
            colon and the digest.
    """

    seq: int
    url: str
    status: Status
    http_status: int | None = None
    path: str | None = None
    bytes: int = 0
    sha256: str | None = None
    attempts: int = 0
    seconds: float = 0.0
    error: str | None = None
    detail: str | None = None
    length_known: bool | None = None
    digest: str | None = None

    @property
    def is_there(self) -> bool:
        """True if the file stands complete under `path`."""
        return self.status is not Status.FAILED


class WorkerUsage(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one worker process has used so far.

    Attributes:
        pid: Its number.
        cpu_seconds: CPU time.
        peak_bytes: The most memory it ever held.
        start_cpu_seconds: Of the CPU time: what it took until it could begin.
    """

    pid: int
    cpu_seconds: float
    peak_bytes: int
    start_cpu_seconds: float = 0.0

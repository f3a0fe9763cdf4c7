"""One exchange on the odd server: the request, and the means to answer it in any way."""

import enum
import hashlib
import socket
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote


def body(path, size):
    """The `size` bytes that a behaviour sends for a path (as requested, no query)."""
    return hashlib.shake_128(path.encode("utf-8", "surrogateescape")).digest(size)


class After(enum.Enum):
    """What becomes of the connection when an answer is out."""

    KEEP = "keep it for the next request"
    CLOSE = "close it (FIN)"
    RESET = "tear it down (RST)"
    CUT = "close it (FIN), though TLS has not ended"
    STALE = "keep it, and close it without an answer when the next request arrives"


class ServerClosed(OSError):
    """The server is closing, so a behaviour that waits ends here."""


@dataclass(slots=True)
class Exchange:
    """One request, and the means to answer it in any way whatever.

    Attributes:
        hit: How many requests for this target there were, this one included.
    """

    server: "OddServer"  # noqa: F821 - the module above this one
    connection: socket.socket
    method: str
    target: str
    version: str
    fields: list[tuple[str, str]]
    hit: int
    headers: dict[str, str] = field(init=False)
    has_left: bool = field(init=False, default=False)

    def __post_init__(self):
        self.headers = {name.lower(): value for name, value in self.fields}

    @property
    def path(self):
        return self.target.partition("?")[0]

    @property
    def name(self):
        return self.path.split("/")[1]

    def text(self, index, default=""):
        """An argument, decoded, counted from 0."""
        arguments = self.path.split("/")[2:]
        return unquote(arguments[index]) if index < len(arguments) else default

    def number(self, index, default=1000):
        return int(self.text(index, str(default)))

    def body(self, size):
        return body(self.path, size)

    def send(self, data):
        self.connection.sendall(data)

    def send_last(self, data):
        """Send an answer's end; who has it may ask again before this thread goes on."""
        self.server.leave(self)
        self.send(data)

    def head(
        self, status=200, headers=(), version="HTTP/1.1", end=b"\r\n", is_last=False
    ):
        """Send a status line and headers; values may be bytes to go out raw."""
        lines = [f"{version} {status} Odd\r\n".encode()]
        for name, value in headers:
            raw = value if isinstance(value, bytes) else str(value).encode("latin-1")
            lines.append(name.encode() + b": " + raw + b"\r\n")
        if is_last:
            self.server.leave(self)
        self.send(b"".join([*lines, end]))

    def reply(self, content=b"", status=200, headers=(), **head):
        """A whole answer with its length, after which the connection stays."""
        is_all = self.method == "HEAD" or not content
        fields = [*headers, ("Content-Length", len(content))]
        self.head(status, fields, is_last=is_all, **head)
        if not is_all:
            self.send_last(content)
        return After.KEEP

    def pause(self, seconds):
        """Let time pass, unless the server closes: then ServerClosed is raised."""
        if self.server.closing.wait(seconds):
            raise ServerClosed

    def wait_until_read(self):
        """Wait until the client has taken from its socket all that was sent (Linux)."""
        sent_from = f"0100007F:{self.server.port:04X}"
        while any(
            int(queues.partition(":")[2], 16)
            for _, _, remote, _, queues, *_ in map(str.split, _tcp_sockets())
            if remote == sent_from
        ):
            self.pause(0.005)

    def hold(self):
        """Wait for the test's `release()`."""
        self.server.hold()
        self.pause(0)


def _tcp_sockets():
    return Path("/proc/net/tcp").read_text().splitlines()[1:]

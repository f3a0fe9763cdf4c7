"""A loopback HTTP server that misbehaves as its paths ask, over real sockets.

The first component of a path names the behaviour, the others are its arguments:
`/truncated/1000` declares 1000 bytes and closes after 500. The table of behaviours is
in `odd_behaviours.py`, what they answer with in `odd_exchange.py`; here are the sockets,
the counts and the events. A thread a connection; what stalls waits for `release()` or
for the end of the server.
"""

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections import Counter, deque

import odd_behaviours
from odd_exchange import After, Exchange, ServerClosed, body

__all__ = ["After", "OddServer", "body"]

_JOIN_SECONDS = 10.0


class OddServer:
    """The server, from `with` to its end; its counts may be read at any time.

    Attributes:
        origin: Scheme, address and port.
        hits: Requests seen, by target.
        requests: (target, headers with lower-case names) in the order of arrival.
        connections: Connections seen.
        peak_connections: The most connections that were open at once.
        peak_in_flight: The most requests that were being answered at once.
        strays_due: Bytes that nobody asks for, which the test has let go so far.
        strays_sent: Those that are out.
        held: Answers that wait for the release, all before it being sent.
        ca_pem: The certificate to trust, None without TLS.
        version: Of what `/versioned` and `/held` have; a test may change it.
    """

    def __init__(self, *, tls=False, port=0):
        self.closing = threading.Event()
        self.released = threading.Event()
        self.hits = Counter()
        self.requests = []
        self.connections = 0
        self.in_flight = self.peak_in_flight = self.peak_connections = self.held = 0
        self.ca_pem = None
        self.version = 1
        self.strays_due = self.strays_sent = 0
        self._granted_at = deque()
        self._changed = threading.Condition()
        self._connections = {}
        self._tls = self._server_context(tls) if tls else None
        self._listener = socket.create_server(("127.0.0.1", port), backlog=512)
        self.port = self._listener.getsockname()[1]
        self.origin = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._acceptor = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self):
        self._acceptor.start()
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def open_connections(self):
        """Those that are being served; none are after the end."""
        return len(self._connections)

    def url(self, path):
        """The URL of a path; the slash at its beginning may be left out."""
        return f"{self.origin}/{path.removeprefix('/')}"

    def release(self):
        """Let go on what stalls, now and from now on."""
        self.released.set()

    def let_stray(self):
        """Have the connection that waits for it send its stray bytes; wait for them."""
        with self._changed:
            self.strays_due += 1
            self._changed.notify_all()
        self.wait_for(lambda server: server.strays_sent == server.strays_due)

    def stray(self, connection, data):
        """Send bytes that nobody asks for, once the test lets them go."""
        with self._changed:
            self._changed.wait_for(
                lambda: self.closing.is_set() or self.strays_due > self.strays_sent
            )
            if self.closing.is_set():
                raise ServerClosed
            connection.sendall(data)
            self.strays_sent += 1
            self._changed.notify_all()

    def wait_for(self, condition, timeout_seconds=60):
        """Block until `condition(self)` holds for the counts; a timeout is an error."""
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self), timeout_seconds):
                raise TimeoutError(f"after {timeout_seconds} s, hits: {self.hits}")

    def grants(self, limit, seconds):
        """True unless `limit` requests were granted in the last `seconds`."""
        now = time.monotonic()
        with self._changed:
            while self._granted_at and now - self._granted_at[0] >= seconds:
                self._granted_at.popleft()
            is_granted = len(self._granted_at) < limit
            if is_granted:
                self._granted_at.append(now)
        return is_granted

    def close(self):
        """End every connection, whatever it is doing, and every thread."""
        with self._changed:
            self.closing.set()
            self.released.set()
            self._changed.notify_all()
            connections = dict(self._connections)
        for connection in connections.values():
            _shut_down(connection)
        # Shutting a listener down does not wake accept() on every system; a call does.
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port)).close()
        for thread in (self._acceptor, *connections):
            thread.join(_JOIN_SECONDS)
        self._listener.close()

    def _server_context(self, tls):
        import trustme

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if tls is not True:  # a file with a key and its own certificate
            context.load_cert_chain(tls)
            return context
        authority = trustme.CA()
        self.ca_pem = authority.cert_pem.bytes()
        authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
        return context

    def _accept(self):
        while True:
            connection, _ = self._listener.accept()
            with self._changed:
                if self.closing.is_set():
                    connection.close()
                    return
                # A small answer must not wait for the client's delayed ACK.
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                thread = threading.Thread(
                    target=self._serve, args=(connection,), daemon=True
                )
                self._track(thread, connection)
            thread.start()

    def _track(self, thread, connection):
        self._connections[thread] = connection
        self.connections += 1
        self.peak_connections = max(self.peak_connections, len(self._connections))
        self._changed.notify_all()

    def _serve(self, connection):
        """Answer one connection's requests until it ends."""
        after = After.CLOSE
        try:
            after = self._converse(self._secured(connection))
        except OSError:
            pass  # The client left, or the server is closing: both end the connection.
        finally:
            self._end(after)

    def _secured(self, connection):
        if self._tls is None:
            return connection
        secured = self._tls.wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False
        )
        with self._changed:
            self._connections[threading.current_thread()] = secured
            if self.closing.is_set():
                raise ServerClosed
        secured.do_handshake()
        return secured

    def _converse(self, connection):
        pending = bytearray()
        after = After.KEEP
        while after in {After.KEEP, After.STALE}:
            exchange = self._next_exchange(connection, pending)
            if exchange is None or after is After.STALE:
                return After.CLOSE
            after = self._answer(exchange)
            wants_close = exchange.headers.get("connection", "").lower() == "close"
            if wants_close and after is After.KEEP:
                return After.CLOSE
        return after

    def _next_exchange(self, connection, pending):
        """Read a request's head, None at the connection's end; bodies are not taken."""
        while (end := pending.find(b"\r\n\r\n")) < 0:
            received = connection.recv(65536)
            if not received:
                return None
            pending += received
        first, *lines = pending[:end].decode("latin-1").split("\r\n")
        del pending[: end + 4]
        method, target, version = first.split(" ", 2)
        parts = [line.partition(":") for line in lines]
        fields = [(name, value.strip()) for name, _, value in parts]
        hit = self._count(target, fields)
        return Exchange(self, connection, method, target, version, fields, hit)

    def _count(self, target, fields):
        with self._changed:
            self.hits[target] += 1
            hit = self.hits[target]
            self.requests.append((target, {n.lower(): v for n, v in fields}))
            self._changed.notify_all()
        return hit

    def _answer(self, exchange):
        with self._changed:
            self.in_flight += 1
            self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
            self._changed.notify_all()
        try:
            return odd_behaviours.answer(exchange)
        finally:
            self.leave(exchange)

    def hold(self):
        """Wait for `release()`; meanwhile that counts."""
        with self._changed:
            self.held += 1
            self._changed.notify_all()
        self.released.wait()
        with self._changed:
            self.held -= 1
            self._changed.notify_all()

    def leave(self, exchange):
        """The exchange's answer is out, or about to be: it is no longer in flight."""
        with self._changed:
            if not exchange.has_left:
                exchange.has_left = True
                self.in_flight -= 1
                self._changed.notify_all()

    def _end(self, after):
        with self._changed:
            connection = self._connections.pop(threading.current_thread())
            self._changed.notify_all()
        with contextlib.suppress(OSError):
            if after is After.RESET:
                # Lingering for 0 s makes close() send RST.
                linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            elif isinstance(connection, ssl.SSLSocket) and after is not After.CUT:
                connection.settimeout(1.0)
                connection.unwrap()
        connection.close()


def _shut_down(connection):
    # SSLSocket's own shutdown() would take the TLS state from under its thread.
    with contextlib.suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)

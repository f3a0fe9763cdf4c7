"""One handle of libcurl's, and the attempts that it serves one after another.

What the library would decide by itself is switched off: redirects, cookies, the
environment, decoding, and its silent second GET when a reused connection dies. Heads are
handed over as they came and read by our own rules; chunks come undecoded, since the
library takes `0xa` for a chunk's size.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any

import pycurl

from downloader.errors import DiskError, InvalidUrl, TransportError
from downloader.policy.answers import (
    MOST_HEAD_BYTES,
    MOST_HEAD_FIELDS,
    MOST_INTERIM_ANSWERS,
    BodyReader,
    Head,
    head_too_large,
    malformed,
    parse_head,
)
from downloader.policy.framing import BODILESS, Framing
from downloader.policy.proxies import server
from downloader.transfer import faults
from downloader.transfer.idle import has_bytes, shut_down
from downloader.transfer.transfer import SHORT_LEAD_BYTES
from downloader.transfer.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future

    from downloader.models import Attempt, AttemptResult
    from downloader.policy.proxies import Server
    from downloader.transfer.curl_driver import CurlDriver
    from downloader.transfer.sockets import Ends
    from downloader.transfer.transfer import Transfer

# Largest read from a socket; libcurl hands it on in pieces of 16 KiB, see `Call.flush`.
READ_BYTES = 256 << 10
# What is written at once: few calls, and all of it still in the processor's cache.
WRITTEN_BYTES = 256 << 10
# libcurl forgets an address after 60 s, and would then look the name up by itself.
RESOLVED_SECONDS = 30.0
_ABORT = -1
_EMPTY_LINES = (b"\r\n", b"\n")


class Call:
    """One easy handle, and the attempt that it serves at present.

    Attributes:
        generation: Changes with each attempt: what comes late for another is dropped.
    """

    def __init__(self, driver: CurlDriver) -> None:
        self._driver = driver
        self.generation = 0
        self.attempt: Attempt
        self.transfer: Transfer
        self.watch: Watch
        self.easy = easy = pycurl.Curl()
        self._is_trusting = self._is_curious = False
        self._is_added = False
        self._resolved: list[str] = []
        self._resolved_at = 0.0
        self._through: Server | None = None
        self._fields: Mapping[str, str] | None = None
        self._wants_fresh = False
        self._lines: list[bytes] = []
        self._pieces: list[bytes] = []
        self._reset()
        timeout = driver.engine.plan.timeout_seconds
        http_version = driver.engine.plan.http_version
        for option, value in (
            (pycurl.NOSIGNAL, 1),
            (pycurl.HTTP_TRANSFER_DECODING, 0),
            (pycurl.PATH_AS_IS, 1),
            (pycurl.BUFFERSIZE, driver.engine.chunk_bytes(READ_BYTES)),
            (pycurl.HTTP_VERSION, _HTTP_VERSIONS[http_version]),
            (pycurl.PIPEWAIT, int(http_version > 1)),
            # Ours comes first; its own would be five minutes.
            (pycurl.CONNECTTIMEOUT, int(timeout) + 2),
            # Set, so that libcurl reads no variable in their place.
            (pycurl.PROXY, ""),
            (pycurl.NOPROXY, ""),
            (pycurl.NETRC, pycurl.NETRC_IGNORED),
            # Lines are looked at once the body begins or the answer ends: calls from C
            # to Python for each of them would cost more than reading them all.
            (pycurl.HEADERFUNCTION, self._lines.append),
            (pycurl.WRITEFUNCTION, self._take_data),
            (pycurl.PREREQFUNCTION, self._before_request),
            (pycurl.SOCKOPTFUNCTION, self._open_socket),
            (pycurl.DEBUGFUNCTION, self._listen),
        ):
            easy.setopt(option, value)

    # An attempt's course

    def begin(self, attempt: Attempt, transfer: Transfer) -> None:
        """Serve another attempt."""
        self.generation += 1
        self.attempt = attempt
        self.transfer = transfer
        self.watch = Watch(transfer.patience, _nothing)
        strayed = self._driver.engine.strayed
        wants_fresh = attempt.is_fresh or transfer.url.host_key in strayed
        if wants_fresh != self._wants_fresh:
            self._wants_fresh = wants_fresh
            self.easy.setopt(pycurl.FRESH_CONNECT, int(wants_fresh))
        self._guarded(self._ask_first)

    def flush(self) -> bool:
        """Hand on what came of the body; True if that was all that is wanted of it."""
        if not self._pieces or self._fault is not None or not self._is_added:
            return False
        self._guarded(self._hand_on)
        if not (self._has_all() and self._is_added):
            return False
        self.leave()
        self._guarded(self._conclude)
        return True

    def _hand_on(self) -> None:
        pieces, self._pieces = self._pieces, []
        self._pieces_bytes = 0
        self._write(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def _has_all(self) -> bool:
        """True if libcurl, which would read on, need not."""
        return self.transfer.has_enough or (self._reads_on and self._body.is_over)

    def ended(self, code: int) -> None:
        """The library is done with the request."""
        if self.flush():
            return  # the next request may be on its way already
        if self._paused_until:
            left = self._paused_until - time.monotonic()
            if left > 0:
                # The last bytes count towards the rate like all others.
                self._driver.later(self, left, lambda: self.ended(code))
                return
        self._guarded(self._judge, code)

    def look(self) -> None:
        """Read a head whose body lets itself be waited for, before patience is asked."""
        is_awaited = self._is_added and not self._is_headed
        if is_awaited and self._read_heads() is not None:
            self.ended(pycurl.E_WRITE_ERROR)

    def go_on(self) -> None:
        """Read on after a pause."""
        if self._is_added:
            # It fails if the body has come to its end meanwhile.
            with contextlib.suppress(pycurl.error):
                self.easy.pause(pycurl.PAUSE_CONT)

    def end_if_cut(self) -> None:
        """End the attempt if its watch has cut it off."""
        if self.watch.failure is None:
            return
        self._put_away()
        if self._is_added:
            self._tell_times()
        self.leave()
        # Cut off while a body of no interest was drained, it has its result already.
        self._finish(self.transfer.result or self.transfer.fail(self.watch.failure))

    def leave(self) -> None:
        """Take the handle out of the loop; a request under way is broken off."""
        if self._is_added:
            self._is_added = False
            self._driver.multi.remove_handle(self.easy)

    def _guarded(self, step: Callable[..., None], *values: object) -> None:
        try:
            step(*values)
        except (TransportError, DiskError, InvalidUrl) as error:
            self._end_with(error)
        except Exception as error:  # noqa: BLE001 - one URL must not end the run
            self.leave()
            self._finish(self._driver.broken(self.attempt, error))

    def _end_with(self, error: TransportError | DiskError | InvalidUrl) -> None:
        self._put_away()
        self.leave()
        self._finish(self.transfer.fail_with(error))

    def _finish(self, result: AttemptResult) -> None:
        self.generation += 1
        self._pieces = []
        self._driver.finished(self, result)

    # Asking

    def _ask_first(self) -> None:
        self._driver.engine.check()
        if self.transfer.result is None:
            self._ask()
        else:
            self._finish(self.transfer.result)

    def _ask(self) -> None:
        transfer = self.transfer
        url = transfer.url
        engine = self._driver.engine
        self._reset()
        transfer.patience.connecting(time.monotonic())
        easy = self.easy
        # Without the target, whose escapes libcurl would write in upper case.
        easy.setopt(pycurl.URL, url.origin)
        fields = transfer.fields()
        if fields is not self._fields:
            self._fields = fields
            easy.setopt(pycurl.HTTPHEADER, _header_lines(fields))
        if url.scheme == "https" and not self._is_trusting:
            self._driver.trust.apply(easy)
            self._is_trusting = True
        proxy = transfer.proxy = engine.proxy_for(url)
        easy.setopt(
            pycurl.REQUEST_TARGET,
            url.request_target(None if proxy is None else proxy.url),
        )
        through = None if proxy is None else server(proxy.url)
        if through != self._through:
            self._go_through(through)
        is_tls = url.scheme == "https" or (through is not None and through.is_tls)
        # Only this shows what libcurl drops behind a body; it would cost all others.
        is_curious = self._wants_fresh or (
            is_tls and self._driver.trust.is_curious(url.host_key)
        )
        if is_curious != self._is_curious:
            self._is_curious = is_curious
            easy.setopt(pycurl.VERBOSE, int(is_curious))
        answer = self._driver.look_up(url, through)
        if answer is None:
            self._send()
        elif answer.done():
            self._send_to(answer)
        else:
            self._driver.follow(
                self, answer, lambda done: self._guarded(self._send_to, done)
            )

    def _go_through(self, proxy: Server | None) -> None:
        """Send this and further requests through a proxy; None to go straight."""
        self._through, easy = proxy, self.easy
        easy.setopt(pycurl.PROXY, "" if proxy is None else proxy.origin)
        easy.unsetopt(pycurl.PROXYUSERNAME)
        easy.unsetopt(pycurl.PROXYPASSWORD)
        if proxy is None:
            return
        if proxy.username is not None:
            for option, text in (
                (pycurl.PROXYUSERNAME, proxy.username),
                (pycurl.PROXYPASSWORD, proxy.password),
            ):
                easy.setopt(option, text.encode("utf-8", "surrogateescape"))
        if proxy.is_tls and not self._is_trusting:
            self._driver.trust.apply(easy)
            self._is_trusting = True

    def _reset(self) -> None:
        """Forget the last answer."""
        self._lines.clear()
        self._interim_answers = 0
        self._is_headed = self._is_sent = self._is_wanted = self._is_begun = False
        self._reads_on = False
        self._opened: list[int] = []
        self._framing: Framing | None = None
        self._body: BodyReader
        self._read_bytes = 0
        self._last_read = b""
        self._fault: Exception | None = None
        self._pieces = []
        self._pieces_bytes = 0
        self._paused_until = 0.0

    def _send_to(self, answer: Future[list[str]]) -> None:
        resolved, now = answer.result(), time.monotonic()
        if resolved != self._resolved or now > self._resolved_at + RESOLVED_SECONDS:
            self._resolved, self._resolved_at = resolved, now
            self.easy.setopt(pycurl.RESOLVE, resolved)
        self._send()

    def _send(self) -> None:
        self._is_added = True
        self._driver.multi.add_handle(self.easy)

    def _before_request(self, *ends: Any) -> int:
        """Called as the request goes out; a second time, if libcurl wants to repeat it."""
        if self._is_sent:
            return int(pycurl.PREREQFUNC_ABORT)
        try:
            # Whoever looked the name up: this is what it has connected to.
            self._driver.engine.permitted(self.transfer.url.host, [ends[0]])
            if self._is_trusting:
                self._driver.trust.check(self.transfer.url.host_key)
            self._refuse_strays(ends)
        except TransportError as error:
            self._fault = error
            return int(pycurl.PREREQFUNC_ABORT)
        self._is_sent = True
        self._lines.clear()  # a proxy's answer to CONNECT
        self._read_bytes = 0
        self.transfer.patience.asking(time.monotonic(), is_reused=not self._opened)
        return int(pycurl.PREREQFUNC_OK)

    def _listen(self, kind: int, said: bytes) -> None:
        if kind == pycurl.INFOTYPE_TEXT:
            through = self._through
            may_learn = through is None or not through.is_tls
            key = self.transfer.url.host_key
            self._driver.trust.listen(key, said, may_learn=may_learn)
        elif kind == pycurl.INFOTYPE_DATA_IN:
            self._read_bytes += len(said)
            self._last_read = said

    def _refuse_strays(self, ends: Ends) -> None:
        """Refuse a connection on which anything came while no request was under way.

        libcurl looks at idle connections about once a second, and would take it for the
        answer to the next request.

        Raises:
            TransportError: Something has come.
        """
        self._ends = ends
        if self._opened:
            self._descriptor = _descriptor(self._opened, ends[3])
            return
        idle = self._driver.sockets.take(ends, self)
        if idle is not None:
            if self.transfer.url.scheme == "http" and has_bytes(idle):
                self._distrust()
            raise faults.lost(is_reused=True)

    def _distrust(self) -> None:
        """The server has sent what nobody asked for."""
        self._driver.engine.strayed.add(self.transfer.url.host_key)

    # Answers

    def _read_heads(self) -> int | None:
        """Take complete heads in, interim ones first; nothing may be raised here.

        Returns:
            What tells libcurl to break the answer off; None to go on.
        """
        lines = self._lines
        try:
            while self._is_sent and not self._is_headed:
                ends = [lines.index(one) for one in _EMPTY_LINES if one in lines]
                if not ends:
                    return None
                end = min(ends)
                head = lines[:end]
                del lines[: end + 1]
                if head and self._take_head(head) is not None:
                    return _ABORT
        except Exception as error:  # noqa: BLE001 - libcurl would print it
            self._fault = error
        return None if self._fault is None else _ABORT

    def _take_head(self, lines: list[bytes]) -> int | None:
        head = parse_head(lines)
        if head.is_interim:
            self._interim_answers += 1
            if self._interim_answers > MOST_INTERIM_ANSWERS:
                raise malformed()
            return None
        self._is_headed = True
        if self._opened and head.version[0] == "1":
            self._driver.sockets.watch(self._ends, self._descriptor, self)
        transfer = self.transfer
        if not transfer.head(head.status, head.fields):
            keeps = head.status in BODILESS or transfer.is_worth_draining()
            return None if keeps else _ABORT
        self._is_wanted = True
        self._frame(head)
        return None

    def _frame(self, head: Head) -> None:
        """Read the body by our own rules; libcurl may find its end by others."""
        self._framing = head.framing
        self._body = BodyReader(self._framing)
        self._is_http_1 = head.version[0] == "1"
        # Of a coding other than `chunked` alone libcurl awaits the connection's end.
        coding = head.fields.get("transfer-encoding", "chunked")
        self._reads_on = coding.strip().lower() != "chunked"

    def _begin_body(self) -> int | None:
        """The body's first bytes are here: its head first, and what the part holds."""
        if self._read_heads() is not None:
            return _ABORT
        self._is_begun = True
        lead_bytes = self.transfer.lead_bytes if self._is_wanted else 0
        if lead_bytes > SHORT_LEAD_BYTES:
            self._driver.in_thread(self, self.transfer.catch_up, self._caught_up)
            return int(pycurl.WRITEFUNC_PAUSE)  # these bytes will come once more
        if lead_bytes:
            self.transfer.catch_up()
        return None

    def _caught_up(self, done: Future[None]) -> None:
        def go_on() -> None:
            done.result()
            self.go_on()

        self._guarded(go_on)

    def _take_data(self, data: bytes) -> int | None:
        """Some of a body, in libcurl's hands: nothing may be raised here."""
        try:
            if not self._is_begun:
                refusal = self._begin_body()
                if refusal is not None:
                    return refusal
            if not self._is_wanted:
                return None
            if not self._pieces:
                self._driver.dirty.append(self)
            self._pieces.append(data)
            self._pieces_bytes += len(data)
            if self._pieces_bytes < WRITTEN_BYTES:
                return None
            self._hand_on()
        except Exception as error:  # noqa: BLE001 - libcurl would print it
            self._fault = error
        return _ABORT if self._fault or self._has_all() else None

    def _write(self, data: bytes) -> None:
        for piece in self._body.read(data):
            self._take_content(piece)

    def _take_content(self, data: bytes) -> None:
        pause_seconds = self.transfer.chunk(data)
        if pause_seconds and self._is_added:
            self._paused_until = time.monotonic() + pause_seconds
            # It fails if the body has come to its end already.
            with contextlib.suppress(pycurl.error):
                self.easy.pause(pycurl.PAUSE_RECV)
                self._driver.later(self, pause_seconds, self.go_on)

    # Ends

    def _judge(self, code: int) -> None:
        if not self._is_added:
            return
        self._read_heads()
        transfer = self.transfer
        self._tell_times()
        fault = self._fault
        if fault is None and self._is_wanted and not self._has_all():
            fault = self._end_fault(code)
        elif not self._is_headed and fault is None:
            fault = self._head_fault(code)
        self.leave()
        if fault is not None:
            raise fault
        if transfer.result is not None:
            self._finish(transfer.result)
        elif not self._is_wanted:
            self._ask()  # a redirect on the same host
        else:
            self._conclude()

    def _tell_times(self) -> None:
        """Have handshake and first byte counted apart; libcurl tells of them afterwards."""
        times, patience = self.easy.getinfo, self.transfer.patience
        if self._opened and self._is_trusting:
            secured_at = times(pycurl.APPCONNECT_TIME)
            if secured_at:
                patience.secured(secured_at - times(pycurl.CONNECT_TIME))
        if self._is_wanted:
            asked_at = times(pycurl.PRETRANSFER_TIME)
            patience.answered(times(pycurl.STARTTRANSFER_TIME) - asked_at)

    def _conclude(self) -> None:
        """All of the body that is wanted has come."""
        if self.transfer.ended():
            self._driver.in_thread(
                self,
                self.transfer.settle,
                self._settled,
                is_long=self.transfer.waits_for_others,
            )
        else:
            self._take_end()

    def _settled(self, done: Future[None]) -> None:
        def take_end() -> None:
            done.result()
            self._take_end()

        self._guarded(take_end)

    def _take_end(self) -> None:
        result = self.transfer.end()
        if result is None:
            self._ask()
        else:
            self._finish(result)

    def _end_fault(self, code: int) -> TransportError | None:
        """What is wrong with a body's end."""
        if self._body.is_cut:
            return faults.body_cut()
        if code:
            return malformed() if code in _MALFORMED else faults.body_cut()
        if self._is_cut_after():
            return self._surplus_fault()
        return self._close_odd()

    def _is_cut_after(self) -> bool:
        """True if libcurl closed a connection that was to be kept.

        It does when more came than was declared, of which it says nothing else.
        """
        framing = self._framing
        if not self._is_http_1 or framing is None or framing.length is None:
            return False  # what frames bodies by itself cannot carry more
        if not framing.keeps_connection:
            return False
        return bool(self.easy.getinfo(pycurl.ACTIVESOCKET) == -1)

    def _surplus_fault(self) -> TransportError | None:
        """Return the fault of bytes behind a body; they only show on a second try."""
        if not self._wants_fresh:
            # Or so it seems: libcurl may have found it closed by the server meanwhile.
            fault = malformed()
            return TransportError(fault.kind, fault.detail, stale=True)
        assert self._framing is not None
        assert self._framing.length is not None
        surplus_bytes = self._read_bytes - self._framing.length
        if surplus_bytes > 0:
            try:
                self._body.follow(self._last_read[-surplus_bytes:])
            except TransportError as error:
                return error
        return None

    def _close_odd(self) -> TransportError | None:
        """Close a connection that libcurl would keep, but that is of no more use."""
        descriptor = self.easy.getinfo(pycurl.ACTIVESOCKET)
        is_ours = descriptor != -1 and self._driver.sockets.has(self._ends, self)
        if is_ours and not self._body.keeps_connection:
            shut_down(descriptor)
        is_plain = self.transfer.url.scheme == "http"
        is_followed = is_ours and is_plain and has_bytes(descriptor)
        if not self._opened and (is_followed or self._body.is_followed):
            self._distrust()
            return faults.mixed_up()
        return None

    def _head_fault(self, code: int) -> TransportError:
        """What kept an answer's head from coming."""
        easy = self.easy
        if code in _TLS:
            return faults.tls(_tls_reason(easy.errstr()))
        number = easy.getinfo(pycurl.OS_ERRNO)
        why = os.strerror(number) if number else None
        if self._through is not None and not self._is_sent:
            return self._proxy_fault(code, why)
        if code == pycurl.E_COULDNT_CONNECT:
            return faults.no_connection(why)
        if code == _TOO_LARGE or sum(map(len, self._lines)) > MOST_HEAD_BYTES:
            return head_too_large()
        if code in _MALFORMED or len(self._lines) > MOST_HEAD_FIELDS:
            return malformed()
        return self._loss(code)

    def _proxy_fault(self, code: int, why: str | None) -> TransportError:
        """Return the fault that kept the proxy from passing the request on."""
        easy = self.easy
        status = easy.getinfo(pycurl.HTTP_CONNECTCODE)
        if status >= 300:  # noqa: PLR2004 - RFC 9110 §9.3.6
            return faults.tunnel(status)
        if code == pycurl.E_OPERATION_TIMEDOUT:
            return faults.timeout(self.transfer.patience.complaint())
        if code == _PROXY_FAILED:
            reply = _SOCKS_REPLIES.get(easy.getinfo(pycurl.PROXY_ERROR))
            return faults.socks(reply, easy.errstr())
        return faults.proxy(why if code == pycurl.E_COULDNT_CONNECT else None)

    def _loss(self, code: int) -> TransportError:
        """A connection that was lost, or has taken too long, before a head was there."""
        if code == pycurl.E_OPERATION_TIMEDOUT:
            return faults.timeout(self.transfer.patience.complaint())
        if self._lines and self._is_sent:
            return faults.head_cut()
        # Refused by `_before_request`: libcurl repeats only what a reused one has lost.
        is_reused = code == pycurl.E_ABORTED_BY_CALLBACK
        return faults.lost(
            is_reused=is_reused or self.easy.getinfo(pycurl.NUM_CONNECTS) == 0
        )

    def _put_away(self) -> None:
        """Write down what had come before something went wrong."""
        if self._pieces and self._fault is None:
            pieces, self._pieces = self._pieces, []
            with contextlib.suppress(TransportError, DiskError):
                for piece in pieces:
                    self._write(piece)

    def _open_socket(self, descriptor: int, _purpose: int) -> int:
        self._driver.sockets.forget(descriptor)
        self._opened.append(descriptor)
        return int(pycurl.SOCKOPT_OK)


_HTTP_VERSIONS = {
    1: pycurl.CURL_HTTP_VERSION_1_1,
    2: pycurl.CURL_HTTP_VERSION_2TLS,
    3: pycurl.CURL_HTTP_VERSION_3,
}
# Codes of libcurl's that this binding has no name for, or several.
_WEIRD_SERVER_REPLY, _SSL_CERTIFICATE, _PROXY_FAILED, _TOO_LARGE = 8, 60, 97, 100
_TLS = frozenset(
    {
        pycurl.E_SSL_CONNECT_ERROR,
        pycurl.E_SSL_CERTPROBLEM,
        pycurl.E_SSL_CIPHER,
        pycurl.E_SSL_CACERT_BADFILE,
        pycurl.E_SSL_CRL_BADFILE,
        pycurl.E_SSL_ISSUER_ERROR,
        _SSL_CERTIFICATE,
    }
)
# libcurl's CURLPX_REPLY_* and the codes that a SOCKS proxy sends (RFC 1928 §6).
_SOCKS_REPLIES = {20: 1, 23: 2, 22: 3, 21: 4, 19: 5, 24: 6, 18: 7, 17: 8}
# The first stands for an answer that is HTTP/0.9 at best.
_MALFORMED = frozenset({pycurl.E_UNSUPPORTED_PROTOCOL, _WEIRD_SERVER_REPLY})


def _nothing() -> None:
    """The loop itself looks after each sweep which calls were cut off."""


def _descriptor(opened: list[int], port: int) -> int:
    """Return which of the sockets that an attempt has opened is the one at a port."""
    if len(opened) > 1:
        import socket  # 3 ms, only for hosts with several addresses

        for descriptor in opened:
            connected = socket.socket(fileno=descriptor)
            found = connected.getsockname()[1]
            connected.detach()
            if found == port:
                return descriptor
    return opened[-1]


def _header_lines(fields: Mapping[str, str]) -> list[bytes]:
    # libcurl's spelling of a field without a value is a semicolon; a colon removes one.
    return [
        (f"{name}: {value}" if value else f"{name};").encode("utf-8", "surrogateescape")
        for name, value in fields.items()
    ]


def _tls_reason(said: str) -> str | None:
    """OpenSSL's own words in what libcurl says of a failed handshake."""
    return said.rpartition(": ")[2].lower() or None

"""One attempt as a conversation: what to ask next, and what each answer means.

    ┌───────────────► ask ── head ──► judge_head
    │ Follow                             │
    └────────────────────────────────────┤
                                         ├── Leave    the redirect points to another host
                                         ├── NotModified  the file at hand is the newest
                                         ├── Receive  a body comes ── end ──► judge_end
                                         └── Failure

Nothing here moves a byte. A driver asks `request_fields`, sends, hands the head in, does
what the verdict says, and hands the end in; it decides nothing by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from downloader.errors import InvalidUrl, TransportError
from downloader.models import ErrorKind, Failure, Known, http_kind
from downloader.policy import digests, headers, urls
from downloader.policy.framing import MALFORMED, Framing, frame
from downloader.policy.redaction import printable
from downloader.policy.segments import is_divisible
from downloader.tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from downloader.models import Attempt, Chain, Partial

# RFC 9110 §15.4: those of the class that name one place to go on to.
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Answers that carry the representation itself. 202 promises one for later, 205 and the
# others of the class have none to give; taking them for the file would be a lie.
_WHOLE = frozenset({200, 203, 204})
_PARTIAL_CONTENT = 206
_NOT_MODIFIED = 304
# A Retry-After is obeyed from this status on and on a 202 (RFC 9110 §15.3.3).
_ACCEPTED = 202
_LEAST_ERROR = 400
_REASONS = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    408: "Request Timeout",
    410: "Gone",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}
_NO_CONTENT = 204
# Of no matter for where a body ends, only for what becomes of its connection.
_ANY_VERSION = "1.1"
_BAD_FRAMING = Failure(ErrorKind.PROTOCOL, MALFORMED)
# What a request with Range may meet though one without would be answered: nothing, and
# an answer of no use, whose status apart.
_SILENCES = frozenset({ErrorKind.CONNECT, ErrorKind.TIMEOUT, ErrorKind.TRUNCATED})
_REFUSALS = frozenset({ErrorKind.PROTOCOL, ErrorKind.REDIRECTS, ErrorKind.BLOCKED})
# An old name of the first of the content codings.
_X_GZIP = "x-gzip"
# RFC 9110 §15.3.7.2: the media type of a body that frames ranges of its own.
_SEVERAL_RANGES = "multipart/byteranges"
# Honest text shrinks to a twentieth at best; a deflated body cannot stand for more than
# 1,032 times its length, so that the ratio alone would not tell bombs early.
BOMB_BYTES = 1 << 30
BOMB_RATIO = 100
# A body of no interest up to this length is read for its connection's sake.
DRAINED_BYTES = 16 << 10
# What a message shows of a field that a server sent.
_SHOWN_CHARACTERS = 200


class Follow(NamedTuple):
    """Ask again, at `url`, on the same host."""

    url: urls.Url


class Leave(NamedTuple):
    """The answer points to another host, whose turn it is not ours to take."""

    url: urls.Url


class NotModified(NamedTuple):
    """The version at hand is the newest one."""


class Receive(NamedTuple):
    """A body comes: write it from `offset_bytes` on.

    Attributes:
        offset_bytes: Where in the part it begins; what lies behind is dropped.
        expected_bytes: How much is to come; None if only its end will tell.
        total_bytes: The whole file's length, None if not known.
        coding: The content coding that is to be undone, None to write what comes.
        note: An oddity of the answer that changes nothing of this; None if it has none.
    """

    offset_bytes: int
    expected_bytes: int | None
    total_bytes: int | None
    coding: str | None = None
    note: str | None = None


Verdict = Follow | Leave | NotModified | Receive | Failure


class Exchange:
    """The conversation of one attempt; see the module's drawing for the order of calls.

    Args:
        attempt: What is to be fetched.
        rules: What the run sends, and to whom.
        max_redirects: Hops after which the answer is a failure.
        max_bytes: The largest file that is taken; None for any.
        codings: The content codings to ask for, and to undo.
    """

    __slots__ = (
        "_attempt",
        "_codings",
        "_has_asked_on",
        "_home",
        "_max_bytes",
        "_max_redirects",
        "_rules",
        "_span",
        "answer",
        "chain",
        "hops",
        "partial",
        "status",
        "url",
    )

    def __init__(
        self,
        attempt: Attempt,
        rules: headers.HeaderRules,
        max_redirects: int,
        max_bytes: int | None = None,
        codings: tuple[str, ...] = (),
    ) -> None:
        self._max_bytes = max_bytes
        self._codings = codings
        self._attempt = attempt
        self._rules = rules
        self._max_redirects = max_redirects
        self.url = urls.parse(attempt.url)
        self._home = attempt.origin or self.url.origin
        self.hops = attempt.hops
        self.partial = None if attempt.without_range else attempt.partial
        self._has_asked_on = False
        self.chain = attempt.chain
        self._span: tuple[int, int] | None = None
        self.status: int | None = None
        self.answer: dict[str, str] = {}

    def ask_for(self, partial: Partial, first: int, end: int) -> None:
        """Ask next for some bytes of a divided part, `first` up to before `end`."""
        self.partial = partial
        self._span = (first, end)

    def request_fields(self) -> Mapping[str, str]:
        """The header fields of the next request, without Connection.

        Where nothing sets it apart it is the same object as for others of its server.

        Raises:
            TransportError: A value cannot be sent.
        """
        plain = headers.for_hop(
            self._rules,
            self.url,
            home=self._home,
            hops=self.hops,
            credentials=self._attempt.credentials,
        )
        is_plain = not self._codings and self.chain is None
        if self.partial is None and is_plain and self._attempt.known is None:
            return plain
        fields = dict(plain)
        if self.chain is not None:
            self._add_cookies(fields, self.chain)
        if self._asks_on():
            self._has_asked_on = True
            last = "" if self._span is None else self._span[1] - 1
            fields["Range"] = f"bytes={self._offset_bytes()}-{last}"
            fields["If-Range"] = self._require_partial().validator
        elif self._codings and fields.get("Accept-Encoding") == "identity":
            fields["Accept-Encoding"] = ", ".join(self._codings)
        fields.update(self._conditions())
        return headers.sendable(fields)

    def _add_cookies(self, fields: dict[str, str], chain: Chain) -> None:
        from downloader.policy import cookies  # few files are behind redirects

        name = next((name for name in fields if name.lower() == "cookie"), "Cookie")
        value = cookies.field(chain, self.url, fields.get(name, ""))
        if value:
            fields[name] = value

    def judge_head(self, status: int, answer: dict[str, str], now: datetime) -> Verdict:
        """What a final response head means.

        Args:
            status: Its status code.
            answer: Its fields by lower-case name, as `headers.fields` gives them.
            now: The wall clock, for a Retry-After that is a date in an answer without
                a Date of its own (RFC 9110 §10.2.3, §6.6.1).
        """
        self.status, self.answer = status, answer
        verdict = self._judge_status(status, answer, now)
        if isinstance(verdict, Receive):
            fault = self._size_fault(verdict.total_bytes or 0)
            return Failure(ErrorKind.TOO_LARGE, fault) if fault else verdict
        return verdict

    def check_size(self, size_bytes: int) -> None:
        """Refuse to go on once a file has become too large.

        Raises:
            TransportError: It has.
        """
        fault = self._size_fault(size_bytes)
        if fault is not None:
            raise TransportError(ErrorKind.TOO_LARGE, fault)

    def check_unfolded(self, size_bytes: int, received_bytes: int) -> None:
        """As `check_size`, for a body whose coding is undone.

        Args:
            size_bytes: What the file has by now.
            received_bytes: What came for that over the network.

        Raises:
            TransportError: It is too large, or a decompression bomb.
        """
        fault = self._size_fault(size_bytes)
        if size_bytes > BOMB_BYTES and size_bytes > BOMB_RATIO * received_bytes:
            fault = f"{received_bytes:,} bytes unfold to more than {size_bytes:,}"
        if fault is not None:
            raise TransportError(ErrorKind.TOO_LARGE, fault)

    def _size_fault(self, size_bytes: int) -> str | None:
        if self._max_bytes is None or size_bytes <= self._max_bytes:
            return None
        return f"the file has more than {self._max_bytes:,} bytes (--max-file-size)"

    def _judge_status(
        self, status: int, answer: dict[str, str], now: datetime
    ) -> Verdict:
        if status in _REDIRECTS and "location" in answer:
            return self._judge_redirect(answer, now)
        if status in _WHOLE and self._span is not None:
            return self._judge_undivided(self._require_partial(), answer)
        if status in _WHOLE and not (status == _NO_CONTENT and self._asks_on()):
            return self._judge_whole(answer)
        if status == _PARTIAL_CONTENT and self._asks_on():
            return self._judge_range(self._require_partial(), answer)
        if status == _NOT_MODIFIED and self._conditions():
            return NotModified()
        wait = _wait_seconds(status, answer, now)
        return Failure(http_kind(status), _status_text(status), wait)

    def judge_failure(self, failure: Failure, received_bytes: int) -> Failure:
        """Mark a failure of a request with Range as one that may do without it.

        Args:
            failure: What went wrong once the request was under way.
            received_bytes: What had come of the answer's body by then.
        """
        if not self._has_asked_on or self._attempt.joins:
            return failure
        if failure.stale and not self._attempt.is_fresh:
            return failure  # the same request goes out on a new connection first
        is_silence = failure.kind in _SILENCES and not received_bytes
        if is_silence or failure.kind in _REFUSALS or failure.kind.startswith("http_"):
            return msgspec.structs.replace(failure, refuses_range=True)
        return failure

    def is_worth_draining(self) -> bool:
        """True if a body of no interest is so short that reading it saves the connection.

        Redirects and errors mostly carry a few hundred bytes; a new connection costs
        one round trip, a TLS one two or three.
        """
        framing = self._judge_framing()
        return (
            isinstance(framing, Framing)
            and framing.is_plain
            and framing.length is not None
            and framing.length <= DRAINED_BYTES
        )

    @property
    def is_chunked(self) -> bool:
        """True if chunks frame the answer's body."""
        framing = self._judge_framing()
        return isinstance(framing, Framing) and framing.is_chunked

    def judge_end(self, verdict: Receive, received_bytes: int) -> Failure | None:
        """What the body's end means; None if it is whole.

        Args:
            verdict: What `judge_head` had said.
            received_bytes: What came of this answer's body.
        """
        expected = verdict.expected_bytes
        if expected is None or received_bytes == expected:
            return None
        if received_bytes < expected:
            return Failure(
                ErrorKind.TRUNCATED,
                f"the body ended after {received_bytes:,} of {expected:,} bytes",
            )
        return Failure(
            ErrorKind.PROTOCOL,
            f"the body has {received_bytes:,} bytes, {expected:,} were declared",
        )

    def validator(self) -> str | None:
        """Under which validator the part may be gone on with later; None if never."""
        if headers.is_coded(self.answer):
            return None
        return headers.strong_validator(self.answer)

    def _asks_on(self) -> bool:
        """True if this hop's request asks for the rest of the part.

        RFC 9110 §8.8.3: an ETag tells versions of one resource apart, not resources. A
        query may differ all the same: that of a signed link does at each redirect.
        """
        if self.partial is None:
            return False
        then, now = self.partial.url, self.url.text
        if self.partial.validator.startswith('"'):
            then, now = then.partition("?")[0], now.partition("?")[0]
        return then == now

    def _require_partial(self) -> Partial:
        assert self.partial is not None
        return self.partial

    def _offset_bytes(self) -> int:
        """Where the asked range begins: a byte early if there may be nothing left.

        A range behind the end is answered 416, which says nothing about the part.
        """
        if self._span is not None:
            return self._span[0]
        partial = self._require_partial()
        has_rest = partial.total_bytes is not None and (
            partial.size_bytes < partial.total_bytes
        )
        return partial.size_bytes - (not has_rest)

    def _conditions(self) -> dict[str, str]:
        """What asks for the file only if it has changed; empty at another URL than its.

        As for `_asks_on` a query may differ, but then a date alone says nothing.
        """
        known = self._attempt.known
        if known is None:
            return {}
        if known.url == self.url.text:
            return headers.conditions(known)
        is_strong = (known.etag or "").startswith('"')
        if is_strong and known.url.partition("?")[0] == self.url.text.partition("?")[0]:
            return headers.conditions(Known(known.etag, None, known.url))
        return {}

    def _judge_redirect(self, answer: dict[str, str], now: datetime) -> Verdict:
        from downloader.policy import cookies

        try:
            target = urls.join(self.url, answer["location"])
        except InvalidUrl as error:
            return Failure(ErrorKind.BLOCKED, f"refused a redirect: {error}")
        self.chain = cookies.follow(self.chain, self.url, answer, now)
        if self.hops >= self._max_redirects:
            fault = f"more than {self._max_redirects} redirects"
            loop = cookies.loop_fault(self.chain, target)
            return Failure(ErrorKind.REDIRECTS, fault + loop)
        self.hops += 1
        if target.host_key != self.url.host_key:
            return Leave(target)
        self.url = target
        return Follow(target)

    def _judge_framing(self) -> Framing | Failure:
        """Return the framing of the answer's body; a failure if its head leaves it in doubt."""
        assert self.status is not None
        try:
            return frame(_ANY_VERSION, self.status, self.answer)
        except ValueError:
            return _BAD_FRAMING

    def _judge_whole(self, answer: dict[str, str]) -> Verdict:
        framing = self._judge_framing()
        if isinstance(framing, Failure):
            return framing
        expected = framing.length
        if self._codings and "content-encoding" in answer and expected != 0:
            return self._judge_coding(answer, expected)
        return Receive(0, expected, expected)

    def _judge_coding(self, answer: dict[str, str], expected: int | None) -> Verdict:
        shown = printable(answer["content-encoding"].strip()[:_SHOWN_CHARACTERS])
        match headers.codings(answer):
            case []:
                note = f"content coding {shown!r} ignored: saved as sent"
                return Receive(0, expected, expected, note=note)
            case [coding] if coding in self._codings or coding == _X_GZIP:
                return Receive(0, expected, None, coding)
        return Failure(
            ErrorKind.PROTOCOL, f"the content coding {shown!r} was not asked for"
        )

    def _judge_undivided(self, partial: Partial, answer: dict[str, str]) -> Failure:
        """The whole file where some bytes of it were asked for (RFC 9110 §14.2, §13.1.5).

        Or where they were not, because the answer is another URL's than the part.
        """
        is_same = headers.strong_validator(answer) == partial.validator
        if is_same and self._asks_on():
            return Failure(ErrorKind.PROTOCOL, "the server sends no ranges of the file")
        return begin_again("the file changed while parts of it were fetched")

    @property
    def withheld(self) -> str | None:
        """A note on secret fields that the last request went without."""
        return headers.withheld(self._rules, self.url) if self._rules.by_host else None

    def judge_digest(self, digest: str, *, is_pieced: bool) -> Failure | None:
        """What is wrong with the file's digest; None if it is wanted like that.

        Args:
            digest: Of all of it, as it is recorded.
            is_pieced: Whether it was put together from what came at different times.
        """
        wanted = self._attempt.checksum
        if wanted is None or wanted == digest:
            return None
        found, asked = digests.hexadecimal(digest), digests.hexadecimal(wanted)
        reason = f"its {digests.algorithm(wanted)} is {found}, expected {asked}"
        if is_pieced:
            # Who knows what lay there: once more, in one piece, before it counts.
            return begin_again(reason)
        return Failure(ErrorKind.CHECKSUM, reason)

    def divides(self, segments: int, least_bytes: int, verdict: Receive) -> bool:
        """True if several may fetch the file whose body comes now."""
        if not is_divisible(verdict.expected_bytes, segments, least_bytes):
            return False
        is_whole = verdict.offset_bytes == 0 and verdict.coding is None
        takes_ranges = self.answer.get("accept-ranges", "bytes").lower() != "none"
        return is_whole and takes_ranges and self.validator() is not None

    def _judge_range(self, partial: Partial, answer: dict[str, str]) -> Verdict:
        """RFC 9110 §15.3.7: a part counts only if it is the one we asked for."""
        framing = self._judge_framing()
        if isinstance(framing, Failure):
            return framing
        carried = headers.content_range(answer.get("content-range"))
        if carried is None or carried.first is None or carried.last is None:
            return _unfit("a 206 without a usable Content-Range")
        length = carried.last - carried.first + 1
        if carried.first != self._offset_bytes() or framing.length not in {
            None,
            length,
        }:
            return _unfit("a 206 carries another range than asked for")
        if _differs(carried.total_bytes, partial.total_bytes) or self._changed(partial):
            return begin_again("the file changed while parts of it were fetched")
        fault = self._range_fault(partial, carried)
        if fault is not None:
            return _unfit(fault)
        return Receive(carried.first, length, carried.total_bytes)

    def _range_fault(
        self, partial: Partial, carried: headers.ContentRange
    ) -> str | None:
        """Why the rest does not belong to the part; None if it does."""
        if headers.is_coded(self.answer):
            return "the rest came in another content coding"
        if self.answer.get("content-type", "").lower().startswith(_SEVERAL_RANGES):
            return "a 206 carries several ranges instead of one"
        total = carried.total_bytes
        end = partial.total_bytes if total is None else total
        if self._span is not None:
            end = self._span[1]
        if end is not None and carried.last is not None and carried.last + 1 != end:
            return "a 206 stops short of the end that was asked for"
        return None

    def _changed(self, partial: Partial) -> bool:
        """True if a 206 shows another validator than the part's (RFC 9110 §15.3.7.3)."""
        is_etag = partial.validator.startswith('"')
        field = "etag" if is_etag else "last-modified"
        return self.answer.get(field, partial.validator).strip() != partial.validator


def begin_again(reason: str) -> Failure:
    """The failure of a part that is of no use any more: the next try starts from nothing."""
    return Failure(ErrorKind.PROTOCOL, reason, refuses_range=True)


def _unfit(reason: str) -> Failure:
    """The failure of an answer that cannot be appended to the part."""
    return Failure(ErrorKind.PROTOCOL, reason)


def _differs(one: int | None, other: int | None) -> bool:
    return one is not None and other is not None and one != other


def _wait_seconds(status: int, answer: dict[str, str], now: datetime) -> float | None:
    """The pause that a refusal asks for, None if it asks for none."""
    asked = answer.get("retry-after")
    if asked is None or not (status == _ACCEPTED or status >= _LEAST_ERROR):
        return None
    return headers.retry_after_seconds(asked, headers.date(answer.get("date")) or now)


def _status_text(status: int) -> str:
    reason = _REASONS.get(status)
    return f"the server answered {status}" + (f" {reason}" if reason else "")

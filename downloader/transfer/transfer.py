"""One attempt apart from the network: what every driver does alike, written once.

A driver opens connections and moves bytes; this object knows the conversation, the part
file, the clock and the rate, and makes the result:

    fields()  → send →  head(...)  → again, or:  chunk(...)*  → end()
    any TransportError → fail(...)

`catch_up` and `sync` wait for the disk alone, perhaps for long: a driver that may not
block hands them to a thread.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from downloader.errors import (
    DiskError,
    InvalidUrl,
    PartLost,
    TargetExists,
    TransportError,
)
from downloader.models import (
    STOPPED,
    AttemptResult,
    ErrorKind,
    Failure,
    Moved,
    Partial,
    Saved,
)
from downloader.policy import digests
from downloader.policy.exchange import (
    Exchange,
    Follow,
    Leave,
    NotModified,
    Receive,
    begin_again,
)
from downloader.policy.patience import Patience
from downloader.policy.proxies import name_failure
from downloader.policy.standing import UNKNOWN_FILE
from downloader.transfer import faults, part_record
from downloader.transfer.coding import Decoder, decoder
from downloader.transfer.part_file import PartFile
from downloader.transfer.segment_map import IS_AVAILABLE
from downloader.transfer.share import Share

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from downloader.models import Attempt, Proxy
    from downloader.policy.urls import Url
    from downloader.transfer.folder import Folder
    from downloader.transfer.plan import Plan

# A body of at most this much is written in one go: two calls fewer for each small file.
SMALL_BYTES = 128 << 10
# Progress is told of larger bodies only, and not more often than this.
MOVED_SECONDS = 0.2
# Whether a larger body finds room is asked before it is written, and under what its part
# may be gone on with is written down; for others that would cost more than it saves.
RECORDED_BYTES = 1 << 20
# A part of at most this much is hashed where one stands: a thread would cost more.
SHORT_LEAD_BYTES = 4 << 20
# The time of day, for answers that nobody compares with it.
_UNASKED = datetime.min.replace(tzinfo=UTC)
# What one read may bring at the most: requests moves 859 MB/s at 1 MiB against 409 at
# 64 KiB (measured 2026-11, two cores, loopback).
CHUNK_BYTES = 1 << 20


class Transfer:
    """One attempt from its first request to its result.

    Args:
        attempt: What to fetch.
        plan: The run's constants.
        folder: The worker's view of the output folder.
        take: The process's share of the rate: seconds to wait after so many bytes.
        tell: Where progress goes; must be cheap and must not block.
    """

    __slots__ = (
        "_attempt",
        "_decoder",
        "_earlier_bytes",
        "_exchange",
        "_folder",
        "_has_helped",
        "_is_durable",
        "_is_first",
        "_is_recorded",
        "_is_small",
        "_note",
        "_part",
        "_pending",
        "_plan",
        "_receive",
        "_received_bytes",
        "_seals",
        "_share",
        "_started_at",
        "_take",
        "_tell",
        "_told_at",
        "_wants_record",
        "patience",
        "proxy",
        "result",
    )

    def __init__(
        self,
        attempt: Attempt,
        plan: Plan,
        folder: Folder,
        take: Callable[[int, float], float],
        tell: Callable[[Moved], None],
    ) -> None:
        self._attempt = attempt
        self._exchange = Exchange(
            attempt,
            plan.headers,
            plan.max_redirects,
            plan.max_bytes,
            plan.codings,
        )
        self._decoder: Decoder | None = None
        self._plan = plan
        self._share: Share | None = None
        self._seals = self._has_helped = False
        self._folder = folder
        self._is_durable = plan.is_durable
        self._is_recorded = attempt.partial is not None
        self._part = PartFile(
            folder,
            attempt.path,
            digests.algorithm_for(attempt.checksum, plan.hash),
        )
        self._take = take
        self._tell = tell
        self._started_at = time.perf_counter()
        self._told_at = now = time.monotonic()
        self._receive: Receive | None = None
        # Nothing of it can lie there from before: a small body needs no part then.
        self._is_first = attempt.number == 1 and not (
            attempt.replaces or attempt.partial or plan.is_durable
        )
        self._is_small = self._wants_record = False
        self._note: str | None = None
        self._pending: list[bytes] = []
        self._received_bytes = self._earlier_bytes = 0
        self.patience = Patience(plan.timeout_seconds, now, plan.max_seconds)
        self.result: AttemptResult | None = None
        # The one that the request under way goes through; set by the driver.
        self.proxy: Proxy | None = None
        partial = self._exchange.partial
        if partial is not None and partial.is_divided:
            try:
                self._take_part(partial)
            except PartLost as error:
                if attempt.joins:  # it is done, or begun anew
                    self._leave_to_others()
                else:
                    self.fail_with(error)
            except (DiskError, TransportError) as error:
                self.fail_with(error)

    @property
    def url(self) -> Url:
        """Where the next request goes."""
        return self._exchange.url

    def fields(self) -> Mapping[str, str]:
        """The next request's header fields; the same object where they are the same."""
        self._earlier_bytes += self._received_bytes
        self._received_bytes = 0
        return self._exchange.request_fields()

    def head(self, status: int, answer: dict[str, str]) -> bool:
        """Take a final response head in.

        Args:
            status: Its status code.
            answer: Its fields, as `headers.parse` gives them.

        Returns:
            True if a body is to be read now. Otherwise the answer's body is of no
            interest: the attempt has its `result`, or goes on with another request.
        """
        is_timed = "retry-after" in answer or "set-cookie" in answer
        now = datetime.now(UTC) if is_timed else _UNASKED
        verdict = self._exchange.judge_head(status, answer, now)
        match verdict:
            case Follow():
                return False
            case Leave(url):
                if self._share is not None:
                    self._share.leave()
                    self._part.keep()
                self.result = self._make(redirect=url.text)
                return False
            case NotModified():
                self.result = self._make()
                return False
            case Receive():
                return self._begin(verdict)
            case Failure():
                if self._share is not None:
                    self._refuse_range(self._share, verdict)
                else:
                    self.fail(verdict)
                return False

    def is_worth_draining(self) -> bool:
        """True if the answer's body, of no interest, should be read to its short end."""
        return self._exchange.is_worth_draining()

    @property
    def lead_bytes(self) -> int:
        """How much the part holds that `catch_up` must take in first."""
        if self._receive is None or self._share is not None:
            return 0
        return self._receive.offset_bytes

    @property
    def has_enough(self) -> bool:
        """True if no more of the body is wanted: others fetch the rest."""
        if self._share is None or self._receive is None:
            return False
        # What ends by itself leaves its connection to the next request.
        is_at_end = self._received_bytes == self._receive.expected_bytes
        return self._share.has_enough and not is_at_end

    def catch_up(self) -> None:
        """Take in what the part holds already.

        Raises:
            DiskError: It cannot be read.
        """
        self.patience.working(time.monotonic())
        self._part.catch_up()
        self.patience.receiving(time.monotonic())

    def ended(self) -> bool:
        """The body is at its end; True if `settle` must come before `end`."""
        self.patience.working(time.monotonic())
        if self._share is None:
            return self._is_durable or self._part.is_hashed_beside
        self._go_on(self._share)
        return self._seals

    def settle(self) -> None:
        """Do what takes long: wait for those who write the rest, for the hash, the disk.

        Raises:
            DiskError: It fails.
        """
        if self._share is not None:
            span = self._share.await_rest()
            self.patience.awaited(self._share.awaited_seconds)
            if span is not None:
                self._exchange.ask_for(self._share.partial, *span)
                self._seals = False
            if not self._share.is_whole:
                return
        else:
            self._flush()
            self._part.end_hash()
        if self._is_durable:
            self._part.sync()

    @property
    def waits_for_others(self) -> bool:
        """True if `settle` may have to wait for those who write the rest."""
        return self._share is not None

    def interrupt(self) -> None:
        """End a `settle` that waits for others; from any thread."""
        if self._share is not None:
            self._share.interrupt()

    def chunk(self, data: bytes) -> float:
        """Take some of the body in.

        Returns:
            Seconds to wait before reading on, for the rate's sake.

        Raises:
            TransportError: More came than was declared.
        """
        assert self._receive is not None
        size_bytes = len(data)
        self._received_bytes += size_bytes
        now = time.monotonic()
        self.patience.received(size_bytes, now)
        expected = self._receive.expected_bytes
        if expected is not None and self._received_bytes > expected:
            raise faults.too_long()
        if self._share is not None:
            self._share.take(data)
            self._tell_progress(now)
            self.patience.stored(time.monotonic() - now)
        elif self._decoder is not None:
            self._write_decoded(self._decoder, data)
            self.patience.stored(time.monotonic() - now)
        elif self._is_small:
            self._pending.append(data)
        else:
            offset = self._receive.offset_bytes
            self._exchange.check_size(offset + self._received_bytes)
            self._part.write(data)
            if self._wants_record and self._received_bytes > RECORDED_BYTES:
                self._wants_record = False
                self._record_part()
            self._tell_progress(now)
            self.patience.stored(time.monotonic() - now)
        pause_seconds = self._take(size_bytes, now)
        if pause_seconds:
            # Known beforehand: nobody shall take our own pause for the server's silence.
            self.patience.paused(pause_seconds, now + pause_seconds)
        return pause_seconds

    def end(self) -> AttemptResult | None:
        """Take the body's end in; the file gets its name if it is whole.

        Returns:
            None if there is another request to make.
        """
        assert self._receive is not None
        if self._share is None or self._share.is_whole:
            return self._end()
        if self._seals:  # what had come is of no use any more
            self._leave_to_others()
        return self.result

    def _end(self) -> AttemptResult:
        assert self._receive is not None
        if self._share is None:
            failure = self._exchange.judge_end(self._receive, self._received_bytes)
            if failure is not None:
                return self.fail(failure)
        try:
            self._complete()
            is_pieced = self._share is not None or self._receive.offset_bytes > 0
            failure = self._exchange.judge_digest(
                self._part.digest, is_pieced=is_pieced
            )
            if failure is not None:
                return self._reject(failure)
            modified_ns = self._part.commit(replaces=self._attempt.replaces)
        except TargetExists:
            return self._reject(Failure(ErrorKind.EXISTS, UNKNOWN_FILE))
        except (DiskError, TransportError) as error:
            return self.fail_with(error)
        if self._is_recorded or self._share is not None:
            part_record.erase(self._folder, self._attempt.path)
        answer = self._exchange.answer
        saved = Saved(
            self._part.size_bytes,
            self._part.digest,
            self._is_length_known(),
            answer.get("etag"),
            answer.get("last-modified"),
            modified_ns,
            self.url.text if self._exchange.hops else None,
        )
        self.result = self._make(saved=saved)
        return self.result

    def _complete(self) -> None:
        """Have the part hold all of the body; what several wrote is there already."""
        if self._decoder is not None:
            self._decoder.end()
        if self._share is None and self._is_small and not self._part.is_open:
            self._part.hold(self._take_pending())
        elif self._share is None:
            self._flush()

    def fail(self, failure: Failure) -> AttemptResult:
        """End with a failure; a part that may be gone on with stays."""
        if self.patience.is_connected and not self._is_whole_begun:
            failure = self._exchange.judge_failure(failure, self._received_bytes)
        is_stopped = failure.kind in STOPPED
        partial = self._put_aside(keeps_all=is_stopped)
        self.result = self._make(failure=failure, partial=partial)
        return self.result

    def fail_with(
        self, error: TransportError | DiskError | InvalidUrl
    ) -> AttemptResult:
        """End with the failure that an exception of ours stands for."""
        match error:
            case TransportError(kind=ErrorKind.TOO_LARGE) if self._receive is not None:
                return self._reject(Failure(error.kind, error.detail))
            case TransportError():
                return self.fail(Failure(error.kind, error.detail, None, error.stale))
            case PartLost():
                return self._reject(begin_again(str(error)))
            case DiskError():
                return self.fail(_disk_failure(error))
            case InvalidUrl():
                return self.fail(Failure(ErrorKind.INVALID_URL, str(error)))

    def _begin(self, verdict: Receive) -> bool:
        self._receive = verdict
        if self._share is not None:
            self.patience.receiving(time.monotonic())
            return True
        self._note = verdict.note or self._note
        self._decoder = None if verdict.coding is None else decoder(verdict.coding)
        if (verdict.expected_bytes or 0) > RECORDED_BYTES:
            self._folder.check_room(self._attempt.path, verdict.expected_bytes or 0)
        # An old record goes before its bytes do, a new one comes before its bytes.
        if not (verdict.offset_bytes or self._is_first):
            part_record.erase(self._folder, self._attempt.path)
            self._is_recorded = False
        expected = verdict.expected_bytes
        is_divided = self._plan.segments > 1 and self._divides(verdict)
        self._is_small = (
            expected is not None
            and expected <= SMALL_BYTES
            and self._decoder is None
            and not is_divided
        )
        if not (self._is_small and self._is_first and not verdict.offset_bytes):
            self._part.open(verdict.offset_bytes, expected)
        if is_divided:
            self._divide()
        elif self._is_large():
            self._record_part()
        else:
            self._wants_record = expected is None
        self.patience.receiving(time.monotonic())
        return True

    def _write_decoded(self, decoder: Decoder, data: bytes) -> None:
        for piece in decoder.decode(data):
            size_bytes = self._part.size_bytes + len(piece)
            self._exchange.check_unfolded(size_bytes, self._received_bytes)
            self._part.write(piece)

    def _is_length_known(self) -> bool:
        """True if more than the connection's end says that the body is whole."""
        assert self._receive is not None
        if self._receive.expected_bytes is not None or self._receive.coding is not None:
            return True
        return self._exchange.is_chunked

    @property
    def _is_whole_begun(self) -> bool:
        """True if the whole file, and no rest of it, has begun to come."""
        if self._share is not None or self._receive is None:
            return False
        return not self._receive.offset_bytes

    def _record_part(self, *, is_synced: bool = False) -> None:
        """Write down under what the part may be gone on with, if ever."""
        partial = self._partial()
        if partial is not None:
            self._is_recorded = True
            part_record.write(
                self._folder, self._attempt.path, partial, is_synced=is_synced
            )

    def _is_large(self) -> bool:
        assert self._receive is not None
        offset, expected, *_ = self._receive
        return expected is not None and offset + expected > RECORDED_BYTES

    def _partial(self) -> Partial | None:
        """What the part may be gone on with under; None if it may not."""
        validator = self._exchange.validator()
        if validator is None:
            return None
        assert self._receive is not None
        return Partial(
            self._part.size_bytes, validator, self._receive.total_bytes, self.url.text
        )

    def _reject(self, failure: Failure) -> AttemptResult:
        """End with a failure that says that the bytes are no good."""
        self._discard()
        self.result = self._make(failure=failure)
        return self.result

    def _discard(self) -> None:
        if self._share is not None:
            self._share.void()
        self._part.discard()
        part_record.erase(self._folder, self._attempt.path)

    def _take_pending(self) -> bytes:
        pieces, self._pending = self._pending, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _flush(self) -> None:
        if self._pending:
            if not self._part.is_open:
                self._part.open(0)
            self._part.write(self._take_pending())

    def _put_aside(self, *, keeps_all: bool) -> Partial | None:
        """Keep the part if a validator lets a later attempt go on with it.

        Who stopped the run may want what has come by then, so that it is kept anyway.
        """
        if self._share is not None:
            self._share.leave()
            self._part.keep()
            return self._share.partial
        if self._receive is None:
            return self._attempt.partial
        partial = self._partial()
        try:
            self._flush()
            if self._is_durable and partial is not None:
                self._part.sync()
        except DiskError:
            partial = None
        if not self._part.size_bytes or (partial is None and not keeps_all):
            self._discard()
            return None
        if self._is_durable or not self._is_recorded:
            self._record_part(is_synced=self._is_durable)
        self._part.keep()
        return self._partial() if partial is not None else None

    def _tell_progress(self, now: float) -> None:
        if now - self._told_at < MOVED_SECONDS:
            return
        self._told_at = now
        assert self._receive is not None
        if self._share is not None:
            self._tell_divided(self._share)
            return
        offset, _, total_bytes, *_ = self._receive
        self._tell(Moved(self._attempt.id, offset + self._received_bytes, total_bytes))

    # A file that several fetch

    def _divides(self, verdict: Receive) -> bool:
        plan, attempt = self._plan, self._attempt
        return (
            IS_AVAILABLE
            and not attempt.is_undivided
            and self._exchange.divides(plan.segments, plan.min_segment_bytes, verdict)
        )

    def _divide(self) -> None:
        """Let others join in fetching the file, of which all is ours as yet."""
        partial = self._partial()
        assert partial is not None
        partial = msgspec.structs.replace(partial, is_divided=True)
        self._share = Share(
            self._folder, self._attempt, self._plan, self._part, partial, is_new=True
        )
        part_record.write(self._folder, self._attempt.path, partial)
        self._part.share()
        self._tell_divided(self._share)

    def _take_part(self, partial: Partial) -> None:
        """Work on a part that was divided by another attempt, or another run."""
        self._part.join()
        self._share = Share(
            self._folder, self._attempt, self._plan, self._part, partial, is_new=False
        )
        self._tell_divided(self._share)
        span = self._share.claim(alone=not self._attempt.joins)
        if span is not None:
            self._exchange.ask_for(partial, *span)
        elif self._attempt.joins:
            self._leave_to_others()  # whoever wrote the last of it finishes it
        else:
            raise PartLost("go on with", self._attempt.path, "its map is of no use")

    def _go_on(self, share: Share) -> None:
        """Our bytes have come, or the body has ended: what is there to do next?"""
        assert self._receive is not None
        if not share.has_enough:
            failure = self._exchange.judge_end(self._receive, self._received_bytes)
            if failure is not None:
                self.fail(failure)
                return
        self._claim(share)

    def _claim(self, share: Share) -> None:
        span = share.claim()
        self._seals = span is None and share.finishes()
        if span is not None:
            self._exchange.ask_for(share.partial, *span)
        elif not self._seals:
            self._leave_to_others()

    def _leave_to_others(self) -> None:
        if self._share is not None:
            self._share.leave()
        self._part.keep()
        self._has_helped = True
        self.result = self._make()

    def _refuse_range(self, share: Share, failure: Failure) -> None:
        """The answer to a request for some bytes is of no use."""
        if failure.refuses_range:  # the file has changed
            self._reject(failure)
        elif self._attempt.joins:
            # Others are served, or were: a refusal of one more is no verdict on the file.
            share.give_back()
            self._part.keep()
            self._has_helped = True
            self.result = self._make()
        else:
            self.fail(failure)

    def _tell_divided(self, share: Share) -> None:
        moved, total = share.written_bytes, share.total_bytes
        self._tell(Moved(self._attempt.id, moved, total, is_divided=True))

    def _make(
        self,
        *,
        saved: Saved | None = None,
        redirect: str | None = None,
        failure: Failure | None = None,
        partial: Partial | None = None,
    ) -> AttemptResult:
        # An answer that cannot be trusted has no status; not every library even reads it.
        is_malformed = failure is not None and failure.kind == ErrorKind.PROTOCOL
        withheld = self._exchange.withheld
        if withheld and failure is not None and failure.kind.startswith("http_"):
            detail = f"{failure.detail}; {withheld}"
            failure = msgspec.structs.replace(failure, detail=detail)
        if failure is not None and self.proxy is not None:
            failure = name_failure(failure, self.proxy, self._exchange.status)
        return AttemptResult(
            self._attempt.id,
            saved,
            redirect,
            failure,
            None if is_malformed else self._exchange.status,
            self._exchange.hops,
            time.perf_counter() - self._started_at,
            self._earlier_bytes + self._received_bytes,
            partial,
            self._has_helped,
            self.patience.phases(time.monotonic(), self._part.hash_seconds),
            "; ".join(filter(None, (self._note, withheld))) or None,
            None if redirect is None else self._exchange.chain,
            failure is not None and not self.patience.is_connected,
        )


def _disk_failure(error: DiskError) -> Failure:
    return Failure(ErrorKind.DISK, str(error))

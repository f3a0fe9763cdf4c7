"""One run: the loop that takes requests in, hands attempts out and judges results.

    feed ─► admit ─► look ─► frontier ─► strategy ─► judge ─► outcome ─► ledger, manifest,
                      │         ▲                      │        ▲        progress, whoever
                      │         └────── again ─────────┘        │        asked
                      └── there already ────────────────────────┘

One thread owns a session and calls `run`; `stop` and `wake` may be called from any other
and from a signal handler. This is the only place that writes the manifest, by way of
`holdings`.
"""

from __future__ import annotations

import random
import sqlite3
import time
from typing import TYPE_CHECKING

from downloader import wording
from downloader.bounds import Bounds
from downloader.errors import ManifestError
from downloader.gauge import Gauge
from downloader.holdings import Found, Holdings
from downloader.intake import Intake
from downloader.ledger import Ledger
from downloader.log import Log
from downloader.models import (
    STOPPED,
    AttemptResult,
    ErrorKind,
    Failure,
    Moved,
    Outcome,
    Returned,
    Status,
)
from downloader.planning import (
    choose_strategy,
    count_workers,
    make_limits,
    make_plan,
    make_wishes,
    prepare_output,
    read_sums,
)
from downloader.policy import digests
from downloader.policy.frontier import Frontier
from downloader.policy.occupancy import Hold
from downloader.policy.redaction import redact_secrets
from downloader.policy.retry import leaves_a_rest
from downloader.policy.standing import UNKNOWN_FILE, Action
from downloader.policy.ticket import Finished, Redirected, Retrying, Ticket
from downloader.report import Report
from downloader.strategies.contract import choices_of, load
from downloader.strategies.refusals import is_ending, refused
from downloader.strategies.results import peak_bytes
from downloader.tally import Tally

if TYPE_CHECKING:
    from downloader.intake import Admitted
    from downloader.models import Entry, Fact, Request, Saved, WorkerUsage
    from downloader.policy.bound import Bound
    from downloader.policy.goodput import Choices
    from downloader.progress import Progress
    from downloader.settings import Settings
    from downloader.sources import Feed, Sink
    from downloader.strategies.contract import Strategy

logger = Log(__name__)

# Lines taken in at a time, and how many requests should stand ready to start.
READ_LINES = 64
LOW_WATER = 256
# The longest that the loop waits for anything; also how often progress may be drawn.
LONGEST_WAIT_SECONDS = 0.1
# After a stop: for results of what was cut off, for workers to end, and, counted from
# the stop, for reading the rest of the list. With the report's writing they keep to the
# five seconds that are promised.
DRAIN_SECONDS = 2.0
GRACE_SECONDS = 1.5
READ_REST_SECONDS = 3.0
# For workers of a run that has broken: threads cannot be ended by force.
ABORT_GRACE_SECONDS = 0.5

_INTERRUPTED = Failure(ErrorKind.INTERRUPTED, "the run was stopped")
_NOT_TRIED = Failure(ErrorKind.NOT_TRIED, "the run was stopped before its turn")
# Who ends like this may not have left its bytes to others.
_BROKEN = frozenset({ErrorKind.WORKER_LOST, ErrorKind.INTERNAL})
_EXISTS = Failure(ErrorKind.EXISTS, UNKNOWN_FILE)


class Session:
    """One run over one feed.

    Args:
        settings: The run's settings.
        feed: Where requests come from.
        progress: Who is told how it goes.

    Raises:
        UsageError: The output folder is a file or cannot be made, or a strategy is not
            to be had.
        FolderLocked: Another run uses the folder.
        ManifestError: Its record cannot be opened.
    """

    def __init__(self, settings: Settings, feed: Feed, progress: Progress) -> None:
        self._settings = settings
        self._feed = feed
        self._progress = progress
        self._strategy_name = choose_strategy(settings)
        self._strategy_class = load(self._strategy_name)
        self._workers = count_workers(settings, self._strategy_name)
        sums = read_sums(settings.checksums)
        self._root = prepare_output(settings.output)
        self._strategy: Strategy | None = None
        self._first: Entry | None = None
        self._holdings = Holdings(
            self._root, make_wishes(settings), self.wake, is_durable=settings.durable
        )
        folder = self._holdings.record_folder
        self._record_folder = folder.path
        try:
            self._ledger = Ledger(folder)
        except (sqlite3.Error, OSError) as error:
            self._holdings.close()
            raise ManifestError(folder.path, str(error)) from error
        except ManifestError:
            self._holdings.close()
            raise
        self._intake = Intake(
            self._ledger,
            settings.layout,
            is_portable=settings.portable_names,
            sums=sums,
            digest_of=self._holdings.digest,
        )
        self._frontier = Frontier(make_limits(settings))
        self._tally = Tally()
        self._gauge = Gauge(
            self._strategy_name,
            self._workers,
            settings,
            has_processes=self._strategy_class.has_worker_processes,
        )
        self._usage: list[WorkerUsage] = []
        self._choices: Choices | None = None
        self._list_complete = True
        self._sums = sums
        self._sinks: dict[int, list[Sink]] = {}
        self._stop_signal: int | None = None
        self._stopped_at: float | None = None
        self._stopped_because: str | None = None
        self._is_abandoned = False
        self._bounds = Bounds(settings, self._end_early)

    def run(self) -> Report:
        """Run to the end, or to a stop, and make the report.

        Raises:
            StrategyError: The strategy's mechanism broke.
            StrategyUnavailable: Its engine is not installed.
            ManifestError: The run's own rows cannot be kept: the disk is full, say.
        """
        self._bounds.begin()
        try:
            while self._step():
                pass
            self._bounds.over()  # what is left to do is no part of its time
            self._finish()
        except sqlite3.Error as error:
            self._abort()
            raise ManifestError(self._record_folder, str(error)) from error
        except BaseException as error:
            self._abort()
            if isinstance(error, RuntimeError) and is_ending():
                name = self._strategy_name
                raise refused(name, error, "what it needs") from error
            raise
        finally:
            self._bounds.over()
        return self._make_report()

    def stop(self, signum: int | None = None) -> None:
        """End early: at once for transfers under way, and then for their workers.

        Called again it waits for no worker. Safe in a signal handler and from any thread.
        """
        if self._stopped_at is not None:
            self._is_abandoned = True
        else:
            self._stop_signal = signum
            self._stopped_at = time.monotonic()
            self._holdings.stop_reading()
            strategy = self._strategy
            if strategy is not None:
                strategy.cancel(_INTERRUPTED)
        self.wake()

    def phase_seconds(self) -> dict[str, float]:
        """Where the slots of workers were up to now; see `report.Summary`."""
        return self._gauge.phase_seconds(self._tally.times)

    def wake(self) -> None:
        """Look at the feed again, now. Safe in a signal handler and from any thread."""
        strategy = self._strategy  # which the session's own thread may put away
        if strategy is not None:
            strategy.wake()

    def _step(self) -> bool:
        """One turn of the loop; False when there is nothing left to do."""
        if self._stopped_at is not None:
            return self._step_stopping(self._stopped_at)
        self._take_in()
        self._launch()
        self._give_hosts_up()
        self._heed_bounds()
        is_over = self._frontier.is_empty and not self._holdings.pending
        if self._feed.is_done and is_over:
            return False
        self._collect(self._wait_seconds())
        self._holdings.tick()
        return True

    def _step_stopping(self, stopped_at: float) -> bool:
        """After a stop: wait for what was cut off to come back, for a while."""
        # What a dead worker may have finished stays as it is: the next run looks at it.
        in_flight = self._frontier.in_flight - self._holdings.pending_lost
        if self._strategy is None or not in_flight or self._is_abandoned:
            return False
        if time.monotonic() - stopped_at > DRAIN_SECONDS:
            return False
        # Once more for attempts that were on their way to a worker when the stop came.
        self._strategy.cancel(_INTERRUPTED)
        self._collect(LONGEST_WAIT_SECONDS)
        return True

    def _take_in(self) -> None:
        for key, room in self._frontier.thirsty():
            self._frontier.unspill(key, self._ledger.unspill(key, room))
        for result in self._holdings.found():
            self._judge(result)
        for found in self._holdings.examined():
            self._receive(found)
        if not self._holdings.has_room:
            return
        if self._feed.is_done or not self._frontier.is_hungry(LOW_WATER):
            return
        if self._strategy is not None and not self._strategy.capacity:
            return
        for request, sink in self._feed.take(READ_LINES):
            self._admit(request, sink)

    def _admit(self, request: Request, sink: Sink | None) -> None:
        admitted = self._intake.admit(request)
        if admitted.is_row:
            self._progress.grow(1)
        if sink is not None:
            self._tell_later(admitted, sink)
        if admitted.outcome is not None:
            self._emit(admitted.outcome)
        if admitted.entry is not None:
            self._first = self._first or admitted.entry
            self._receive(self._holdings.look(admitted.entry))

    def _receive(self, found: Found) -> None:
        """Go on with a request, now that it is known what stands under its name."""
        match found.action:
            case Action.FETCH | Action.ASK:
                self._queue(found.entry)
            case Action.SKIP | Action.ADOPT:
                is_new = found.action is Action.ADOPT
                self._conclude_early(found.entry, found.saved, None, records=is_new)
            case Action.EXISTS:
                self._conclude_early(found.entry, None, _EXISTS, records=False)
            case Action.EXAMINE:
                pass

    def _conclude_early(
        self,
        entry: Entry,
        saved: Saved | None,
        failure: Failure | None,
        *,
        records: bool,
    ) -> None:
        """The end of a request that nobody had to be asked for."""
        status = Status.SKIPPED if failure is None else Status.FAILED
        ticket = Ticket(entry)
        outcome = _outcome(ticket, status, saved, failure)
        if records:
            self._holdings.add(entry, outcome, saved)
        self._emit(outcome, 0, ticket)

    def _queue(self, entry: Entry) -> None:
        if self._strategy is None:
            # The list's first, whatever stands under its name already.
            self._strategy = self._open_strategy(self._first or entry)
        if self._frontier.room(entry.host):
            self._frontier.add(entry)
        else:
            self._frontier.spill(entry.host)
            self._ledger.spill(entry)

    def _tell_later(self, admitted: Admitted, sink: Sink) -> None:
        """Tell `sink` of a line's outcome, which may be there already."""

        def tell(outcome: Outcome) -> None:
            sink(self._intake.outcome_of(admitted, outcome))

        outcome = self._ledger.outcome(admitted.answers)
        if outcome is None:
            self._sinks.setdefault(admitted.answers, []).append(tell)
        else:
            tell(outcome)

    def _open_strategy(self, first: Entry) -> Strategy:
        """Only with the first URL is it known whom the secret headers are for."""
        plan = make_plan(self._settings, self._root, first)
        if plan.headers.sensitive:
            names = ", ".join(sorted({name for name, _ in plan.headers.sensitive}))
            logger.warning(
                "%s: sent to %s only, the origin of the first URL; other hosts need a "
                '[host."NAME"] table in a configuration file',
                names,
                plan.headers.sensitive_origin,
            )
        strategy = self._strategy_class(plan, self._workers)
        if self._stopped_at is not None:
            strategy.cancel(_INTERRUPTED)
        return strategy

    # Handing out and judging

    def _launch(self) -> None:
        strategy = self._strategy
        if strategy is None or not self._holdings.is_ready:
            return
        now = time.monotonic()
        while strategy.capacity and (
            attempts := self._frontier.take(now, strategy.batch)
        ):
            strategy.start(attempts)
        in_flight, room = self._frontier.in_flight, strategy.capacity
        self._gauge.turn(now, in_flight, room, self._hold())

    def _hold(self) -> Hold:
        """What keeps workers idle now, if any are."""
        hold = self._frontier.hold
        is_waiting = not self._feed.is_done or self._holdings.pending
        return Hold.LIST if hold is Hold.NOTHING and is_waiting else hold

    def _wait_seconds(self) -> float:
        """How long nothing but a fact can change what there is to do."""
        if self._strategy is not None and not self._strategy.capacity:
            return LONGEST_WAIT_SECONDS
        if not self._holdings.has_room:
            return LONGEST_WAIT_SECONDS
        if self._feed.is_ready and self._frontier.is_hungry(LOW_WATER):
            return 0.0
        due = self._frontier.next_due()
        if due is None:
            return LONGEST_WAIT_SECONDS
        return min(LONGEST_WAIT_SECONDS, max(0.0, due - time.monotonic()))

    def _collect(self, timeout_seconds: float) -> None:
        if self._strategy is None:
            time.sleep(min(timeout_seconds, 0.02))  # nothing to wake yet but the feed
            return
        for fact in self._strategy.wait(timeout_seconds):
            self._take_fact(fact)
        self._progress.tick(self._frontier.in_flight, self._waits)

    def _waits(self) -> str:
        return self._frontier.waits(time.monotonic())

    def _take_fact(self, fact: Fact) -> None:
        match fact:
            case AttemptResult():
                if not self._may_be_done(fact):
                    self._judge(fact)
            case Moved(attempt_id, received_bytes, total_bytes, is_divided):
                path = self._frontier.path(attempt_id)
                if path is not None and is_divided:
                    self._divide(attempt_id, path, total_bytes)
                self._frontier.moved(attempt_id, time.monotonic())
                lead = self._frontier.lead(attempt_id)
                if path is not None and lead is not None:
                    self._progress.moved(lead, path, received_bytes, total_bytes)
            case Returned(attempt_id):
                self._frontier.give_back(attempt_id)

    def _divide(self, attempt_id: int, path: str, total_bytes: int | None) -> None:
        """Let others help with a large file, as far as its size allows."""
        if not self._frontier.is_divided(attempt_id):
            partial = self._holdings.partial(path)
            if partial is not None and total_bytes is not None:
                most = total_bytes // self._settings.min_segment_size
                self._frontier.divide(attempt_id, partial, most)

    def _may_be_done(self, result: AttemptResult) -> bool:
        """True if a worker died that had perhaps finished: its file is read first."""
        failure = result.failure
        if failure is None or failure.kind not in _BROKEN:
            return False
        entry = self._frontier.entry(result.attempt_id)
        if entry is None:
            return False
        if self._frontier.is_shared(result.attempt_id):
            self._holdings.release(entry.path, result.attempt_id)
            return False
        is_lost = failure.kind == ErrorKind.WORKER_LOST
        return is_lost and self._holdings.may_be_done(entry, result)

    def _judge(self, result: AttemptResult) -> None:
        lead = self._frontier.lead(result.attempt_id)
        verdict = self._frontier.judge(result, time.monotonic(), random.random())  # noqa: S311 - jitter
        if verdict is None:
            self._tally.helped(result)
            return
        assert lead is not None
        self._progress.ended(lead)
        self._gauge.begin(result)
        self._tally.result(result, verdict.ticket.entry.host)
        match verdict:
            case Finished(ticket, saved, failure):
                self._conclude(ticket, saved, failure, ticket.received_bytes)
            case Retrying(ticket, failure, delay_seconds):
                if failure.kind == ErrorKind.WORKER_LOST:
                    ticket.partial = self._holdings.partial(ticket.entry.path)
                logger.info(
                    "%s: %s, trying again in %.1f s",
                    redact_secrets(ticket.entry.line),
                    failure.detail,
                    delay_seconds,
                )
            case Redirected():
                pass

    def _conclude(
        self,
        ticket: Ticket,
        saved: Saved | None,
        failure: Failure | None,
        received_bytes: int = 0,
    ) -> None:
        entry = ticket.entry
        status = Status.OK if failure is None else Status.FAILED
        if saved is None and failure is None:
            status, saved = Status.UNCHANGED, self._holdings.saved(entry)
        outcome = _outcome(ticket, status, saved, failure)
        self._tidy(ticket, failure, is_new=status is Status.OK)
        # Of what was not tried there is nothing to record.
        if ticket.history.number:
            self._holdings.add(entry, outcome, saved)
        self._emit(outcome, received_bytes, ticket)

    def _tidy(self, ticket: Ticket, failure: Failure | None, *, is_new: bool) -> None:
        """Leave no part behind that is of no use; who stops a run may want any."""
        is_stopped = failure is not None and failure.kind in STOPPED
        if is_new or is_stopped or not ticket.history.number:
            return
        keeps_part = failure is not None and leaves_a_rest(failure)
        self._holdings.tidy(ticket.entry.path, keeps_part=keeps_part)

    def _emit(
        self, outcome: Outcome, received_bytes: int = 0, ticket: Ticket | None = None
    ) -> None:
        """A row has its end: count it, keep it, tell of it."""
        self._tally.outcome(outcome)
        if ticket is None:
            self._ledger.add(outcome)
        else:
            self._ledger.add(outcome, ticket.entry.host, ticket.phases)
        self._progress.outcome(outcome, received_bytes)
        for sink in self._sinks.pop(outcome.seq, ()):
            sink(outcome)

    # Giving up

    def _give_hosts_up(self) -> None:
        """End what waits for hosts that are not reached."""
        for rest in self._frontier.resting:
            say = logger.warning if rest.is_first else logger.info
            say("%s; next try in %.1f s", rest.reason, rest.seconds)
        self._frontier.resting.clear()
        for host, tickets, failure, has_spilled in self._frontier.give_up():
            spilled = 0
            if has_spilled:
                rows = self._ledger.spilled(host) if self._sinks else []
                spilled = self._ledger.give_up_spilled(failure, host)
                self._tally.given_up(spilled, str(failure.kind))
                self._tell(rows)
            for ticket in tickets:
                self._conclude(ticket, None, failure)
            if tickets or spilled:
                logger.warning(
                    "%s; given up, with %s",
                    failure.detail,
                    wording.plural(len(tickets) + spilled, "request"),
                )

    def _heed_bounds(self) -> None:
        """Stop where the user has set a bound on failures."""
        why = self._bounds.reached(*self._tally.failed_of_ended)
        if why is not None:
            self._end_early(why)

    def _end_early(self, why: str) -> None:
        if self._stopped_at is not None:
            return
        self._stopped_because = why
        self.stop()

    # The end

    def _finish(self) -> None:
        if self._stopped_at is None:
            self._gauge.turn(time.monotonic(), 0, 0, Hold.NOTHING)
        self._close_strategy(GRACE_SECONDS)
        # Of these a worker that was ended by force may have put the file in place.
        unsettled = self._frontier.paths_in_flight()
        for ticket in self._frontier.drain():
            tried = ticket.history.number > 0
            self._conclude(ticket, None, _INTERRUPTED if tried else _NOT_TRIED)
        self._give_up_reading()
        given_up = self._ledger.give_up_spilled(_NOT_TRIED)
        self._tally.given_up(given_up, ErrorKind.NOT_TRIED.value)
        self._give_up_rest()
        for outcome in self._intake.spellings():
            self._emit(outcome)
        if (
            self._sums is not None
            and self._list_complete
            and not self._sums.has_matched
        ):
            logger.warning(
                "--checksums %s: none of its names is the end of a URL's path in the "
                "list, so that nothing was checked by it",
                self._settings.checksums,
            )
        # Whoever still waits for a row that was given up in bulk.
        self._tell(list(self._sinks))
        self._holdings.close(unsettled)

    def _tell(self, rows: list[int]) -> None:
        """Tell whoever waits for these rows, which were given up in bulk."""
        for seq in rows:
            for sink in self._sinks.pop(seq, ()):
                outcome = self._ledger.outcome(seq)
                assert outcome is not None
                sink(outcome)

    def _give_up_rest(self) -> None:
        """After a stop: give the rest of the list its rows, as far as time allows."""
        now = time.monotonic()
        until = max((self._stopped_at or now) + READ_REST_SECONDS, now + 0.5)
        while not self._feed.is_done and time.monotonic() < until:
            lines = self._feed.take(READ_LINES)
            if not lines:
                break  # more may come, but not for this run
            for request, sink in lines:
                self._give_up(request, sink)
        self._list_complete = self._feed.is_done
        self._feed.close()

    def _give_up_reading(self) -> None:
        """After a stop: requests whose files were still to be read."""
        while self._holdings.pending:
            for entry in self._holdings.unread():
                self._conclude(Ticket(entry), None, _NOT_TRIED)
            time.sleep(0.01)

    def _give_up(self, request: Request, sink: Sink | None) -> None:
        admitted = self._intake.admit(request)
        if sink is not None:
            self._tell_later(admitted, sink)
        if admitted.outcome is not None:
            self._emit(admitted.outcome)
        if admitted.entry is not None:
            self._conclude(Ticket(admitted.entry), None, _NOT_TRIED)

    def _close_strategy(self, grace_seconds: float) -> None:
        if self._strategy is not None:
            strategy, self._strategy = self._strategy, None
            self._gauge.look_at_workers(strategy.usage())
            strategy.close(0.0 if self._is_abandoned else grace_seconds)
            self._usage = strategy.usage()
            self._choices = choices_of(strategy)

    def _abort(self) -> None:
        """Something broke: leave no worker, no bar and no lock behind."""
        try:
            if self._strategy is not None:
                self._strategy.cancel(_INTERRUPTED)
            self._close_strategy(ABORT_GRACE_SECONDS)
            self._holdings.close()
        finally:
            self._feed.close()
            self._progress.close()
            self._ledger.close()

    def _make_report(self) -> Report:
        self._progress.close()
        summary = self._tally.summary(
            strategy=self._strategy_name,
            workers=self._choices.workers if self._choices else self._workers,
            per_host=self._settings.per_host,
            duplicates=self._ledger.duplicates,
            usage=self._usage,
            own_peak_bytes=peak_bytes(),
            interrupted_by=self._stop_signal,
            list_complete=self._list_complete,
            manifest_complete=self._holdings.is_recorded,
            stopped_because=self._stopped_because,
            phase_seconds=self.phase_seconds(),
            bound=self._bound,
            auto=self._choices,
        )
        return Report(self._ledger, summary, self._settings.output)

    def _bound(self, seconds: float, cpu_seconds: float) -> Bound | None:
        return self._gauge.bound(
            self._tally.times,
            self._usage,
            seconds=seconds,
            cpu_seconds=cpu_seconds,
            commit_seconds=self._holdings.commit_seconds,
            received_bytes=self._tally.received_bytes,
            choices=self._choices,
        )


def _outcome(
    ticket: Ticket, status: Status, saved: Saved | None, failure: Failure | None
) -> Outcome:
    entry = ticket.entry
    digest = None if saved is None else saved.digest
    is_sha256 = digest is not None and digests.is_sha256(digest)
    return Outcome(
        seq=entry.seq,
        url=entry.line,
        status=status,
        http_status=ticket.http_status,
        path=None if saved is None else entry.path,
        bytes=0 if saved is None else saved.size_bytes,
        sha256=digest if is_sha256 else None,
        attempts=ticket.history.number,
        seconds=ticket.seconds,
        error=None if failure is None else str(failure.kind),
        detail=ticket.detail(failure),
        length_known=None if saved is None else saved.length_known,
        digest=None if is_sha256 else digest or None,
    )

"""Schedule attempts per host: queues, slots, waits, retries, hosts that are down.

    add ──► queued ──take──► in flight ──judge──► finished
              ▲                  │
              │                  ├── redirect to another host: its queue's head
              └── due ◄── waiting┘ a failure worth another try

No I/O, no clock, no random number: `now` and `jitter` come in as values. A waiting host
holds no worker. When a host is paused, its starts limited, or given up is in
`downloader.policy.breaker`. A *slot* of a host carries one batch of attempts, which its
worker runs one after another; so a host never sees more connections at once than it has
slots.

Memory is bounded by `room`: beyond it the caller keeps requests elsewhere (`spill`) and
brings them back when `thirsty` names their host.
"""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush
from itertools import count
from typing import TYPE_CHECKING

import msgspec

from downloader.models import (
    Attempt,
    AttemptResult,
    ErrorKind,
    Failure,
)
from downloader.policy import retry, urls, waits
from downloader.policy.breaker import Breaker, Breakers, Moment, Rest, State
from downloader.policy.hosts import Host, Slot
from downloader.policy.occupancy import Hold
from downloader.policy.retry import Blame
from downloader.policy.ticket import (
    Finished,
    GivenUp,
    Redirected,
    Retrying,
    Ticket,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from downloader.models import Entry, Partial, Saved

_LED_AWAY = Failure(ErrorKind.PROTOCOL, "a part of the file was said to be elsewhere")
# All who worked on a file have left, and nobody has said why.
_UNFINISHED = Failure(ErrorKind.WORKER_LOST, "its parts were left by all who had them")
# What one host may hold in memory, and all of them together; a request takes about 1 KiB.
HOST_SHARE = 1_000
TOTAL_SHARE = 20_000
# What a host may hold all the same once all together are over their share.
HOST_MINIMUM = 64


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The run's bounds on hosts and retries.

    Attributes:
        per_host: Slots of a host; None for no bound.
        segments: Attempts that may work on one file together.
        retry: How often and how patiently to try again.
        host_failures: Failures in a row to reach a host that was never reached before
            it is paused, and then given up; None never to give one up.
    """

    per_host: int | None = 8
    host_failures: int | None = 20
    segments: int = 1
    retry: retry.RetryRules = retry.RetryRules()


class Frontier:
    """The requests of a run that are not finished, and the order of their attempts.

    Args:
        limits: The run's bounds.

    Attributes:
        resting: Pauses of hosts that have just begun; whoever reads it empties it.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._hosts: dict[str, Host] = {}
        self._parched: dict[str, Host] = {}
        self._ready: deque[Host] = deque()
        self._timers: list[tuple[float, int, Host, Ticket | None]] = []
        self._in_flight: dict[int, tuple[Ticket, Slot]] = {}
        self._breakers = Breakers(limits.host_failures, limits.retry)
        self._doomed: dict[str, Host] = {}
        self._pauses = 0
        self.resting: list[Rest] = []
        self._serial = count()
        self._newest_id = 0
        self._held = 0
        self._spilled = 0
        self._queued = 0

    @property
    def in_flight(self) -> int:
        """Attempts handed out and not judged yet."""
        return len(self._in_flight)

    @property
    def held(self) -> int:
        """Requests in memory: queued, waiting or in flight."""
        return self._held

    @property
    def spilled(self) -> int:
        """Requests that the caller keeps elsewhere."""
        return self._spilled

    @property
    def hold(self) -> Hold:
        """What keeps slots idle when `take` has nothing to give."""
        if self._held + self._spilled <= len(self._in_flight):
            return Hold.NOTHING
        return Hold.PAUSES if self._pauses or not self._queued else Hold.LIMITS

    @property
    def is_empty(self) -> bool:
        """True if nothing is left to do of what was added."""
        return not (self._held or self._spilled)

    @property
    def _share(self) -> int:
        """What one host may hold at present."""
        return HOST_SHARE if self._held < TOTAL_SHARE else HOST_MINIMUM

    def is_hungry(self, low_water: int) -> bool:
        """True if too little stands ready to start to look no further in the list."""
        return not self._ready or self._queued < low_water

    def room(self, key: str) -> bool:
        """True if one more request of this host may be kept in memory."""
        host = self._hosts.get(key)
        if host is None:
            return True
        return not host.spilled and host.held < self._share

    def add(self, entry: Entry) -> None:
        """Queue a request."""
        ticket = Ticket(entry)
        host = self._host(entry.host)
        host.held += 1
        self._held += 1
        self._enqueue(host, ticket)

    def spill(self, key: str) -> None:
        """Count a request that the caller keeps elsewhere, behind those in memory."""
        host = self._parched[key] = self._host(key)
        host.spilled += 1
        self._spilled += 1

    def thirsty(self) -> Iterator[tuple[str, int]]:
        """The hosts whose spilled requests should come back now, and how many may.

        The caller answers each with `unspill` before it asks for the next one.
        """
        for host in list(self._parched.values()):
            share = self._share  # anew for each: the answers before may have filled it
            if host.held <= share // 2:
                yield host.key, min(host.spilled, share - host.held)

    def unspill(self, key: str, entries: list[Entry]) -> None:
        """Take spilled requests of a host back into memory, oldest first."""
        host = self._hosts[key]
        host.spilled -= len(entries)
        self._spilled -= len(entries)
        if not host.spilled:
            del self._parched[key]
        for entry in entries:
            self.add(entry)

    def take(self, now: float, most: int) -> list[Attempt]:
        """The next batch for a worker: up to `most` attempts of one host, in one slot.

        Returns:
            An empty list if nothing may start now.
        """
        self._wake_due(now)
        while self._ready:
            host = self._ready.popleft()
            host.is_ready = False
            if host.paused_until > now or not self._has_slot(host):
                continue
            breaker = self._breakers.get(host.key)
            if breaker is not None and breaker.refuses(now):
                self._doomed[host.key] = host
                continue
            batch = self._next(host, most, now, breaker)
            self._refresh(host)
            if batch:
                return batch
        return []

    def _next(
        self, host: Host, most: int, now: float, breaker: Breaker | None
    ) -> list[Attempt]:
        """The next batch of a host; a probe, or one at its limited rate, is alone."""
        if breaker is None or not breaker.limits_starts:
            return self._batch(host, most, now) if host.queue else self._help(host)
        is_probe = breaker.state is not State.CLOSED
        if is_probe:
            host.put_first(is_tried=breaker.probes_tried)
        batch = self._batch(host, 1, now) if host.queue else self._help(host)
        for attempt in batch:  # one at most
            if is_probe:
                breaker.probe(attempt.id)
            else:
                assert breaker.throttle is not None
                self._pause(host, breaker.throttle.start(now))
        return batch

    def moved(self, attempt_id: int, now: float) -> None:
        """Bytes of a large body came: if the attempt was a probe, the pause is over."""
        found = self._in_flight.get(attempt_id)
        if found is None:
            return
        host = found[1].host
        breaker = self._breakers.get(host.key)
        if breaker is not None and breaker.is_probe(attempt_id):
            self._breakers.answered(host, attempt_id, now)
            self._follow(host, breaker, now)

    def divide(self, attempt_id: int, partial: Partial, most: int) -> None:
        """An attempt in flight has found a file that others may help with.

        Args:
            attempt_id: Its id.
            partial: What the part may be gone on with under.
            most: How many attempts the file is large enough for.
        """
        found = self._in_flight.get(attempt_id)
        if found is None or found[0].is_over:
            return
        ticket, slot = found
        ticket.partial, ticket.is_divided, ticket.lead = partial, True, attempt_id
        ticket.most_flights = min(self._limits.segments, most)
        if ticket.flights < ticket.most_flights:
            slot.host.divided.append(ticket)
            self._refresh(slot.host)

    def is_divided(self, attempt_id: int) -> bool:
        """True if `divide` need not be called for an attempt (any more)."""
        found = self._in_flight.get(attempt_id)
        return found is None or found[0].is_divided

    def is_shared(self, attempt_id: int) -> bool:
        """True if others work on the file of an attempt in flight as well."""
        found = self._in_flight.get(attempt_id)
        return found is not None and found[0].flights > 1

    def lead(self, attempt_id: int) -> int | None:
        """The attempt that stands for its file: of several on one, who divided it.

        Returns:
            None if the file has its end, or nobody knows of the attempt.
        """
        found = self._in_flight.get(attempt_id)
        if found is None or found[0].is_over:
            return None
        lead = found[0].lead
        return attempt_id if lead is None else lead

    def _help(self, host: Host) -> list[Attempt]:
        """Join in with the file that has the fewest at work."""
        host.divided = [one for one in host.divided if one.flights < one.most_flights]
        if not host.divided:
            return []
        ticket = min(host.divided, key=lambda one: one.flights)
        slot = Slot(host, 1)
        host.slots += 1
        attempt = ticket.next_helper(next(self._serial))
        self._send(ticket, slot, attempt)
        return [attempt]

    def _send(self, ticket: Ticket, slot: Slot, attempt: Attempt) -> None:
        ticket.flights += 1
        self._newest_id = attempt.id
        self._in_flight[attempt.id] = (ticket, slot)

    def give_up(self) -> Iterator[GivenUp]:
        """The hosts that are given up, with all their requests, which are forgotten here.

        Those that were spilled are the caller's to give up.
        """
        doomed, self._doomed = self._doomed, {}
        for host in doomed.values():
            breaker = self._breakers.get(host.key)
            if breaker is None or breaker.state is not State.DEAD:
                self._refresh(host)  # reached after all, by a request from before
                continue
            tickets = [*host.queue, *self._take_waiting(host)]
            self._queued -= len(host.queue)
            host.queue.clear()
            host.held -= len(tickets)
            self._held -= len(tickets)
            self._spilled -= host.spilled
            has_spilled, host.spilled = host.spilled > 0, 0
            self._parched.pop(host.key, None)
            self._refresh(host)
            yield GivenUp(host.key, tickets, breaker.failure(), has_spilled)

    def _take_waiting(self, host: Host) -> list[Ticket]:
        found = [
            one[3] for one in self._timers if one[2] is host and one[3] is not None
        ]
        if found:
            self._timers = [
                one for one in self._timers if one[2] is not host or one[3] is None
            ]
            heapify(self._timers)
        return found

    def judge(self, result: AttemptResult, now: float, jitter: float) -> Verdict | None:
        """What follows from a result.

        Args:
            result: The facts of an attempt that `take` handed out.
            now: The clock that `take` is given too.
            jitter: A random number in [0, 1).

        Returns:
            None for an attempt that was judged before: a worker that was thought lost
            may still deliver.
        """
        entry = self._in_flight.pop(result.attempt_id, None)
        if entry is None:
            return None
        ticket, slot = entry
        ticket.flights -= 1
        self._release(slot)
        blame = self._count(slot.host, ticket, result, now, jitter)
        if ticket.is_over:
            return None
        ticket.seconds += result.seconds
        ticket.phases = result.phases
        ticket.received_bytes += result.received_bytes
        if result.http_status is not None:
            ticket.http_status = result.http_status
        ticket.note = result.note or ticket.note
        if result.redirect is not None and not ticket.flights:
            return self._move(ticket, slot.host, result)
        if result.redirect is not None:
            result = msgspec.structs.replace(result, redirect=None, failure=_LED_AWAY)
        failure = result.failure
        is_one_of_several = ticket.flights > 0 or ticket.setback is not None
        if result.has_helped or (failure is not None and is_one_of_several):
            outcome = self._gather(ticket, slot.host, result)
            if outcome is None:
                return None
            result, failure = outcome, outcome.failure
        if failure is None:
            return self._finish(ticket, slot.host, result.saved, None)
        return self._judge_failure(ticket, slot.host, result, now, jitter, blame)

    def _gather(
        self, ticket: Ticket, host: Host, result: AttemptResult
    ) -> AttemptResult | None:
        """One of several on a file is at its end, without the file.

        Returns:
            What they came to, if nobody is left; None while others go on.
        """
        self._undivide(ticket, host)  # more would meet the same
        if result.failure is not None:
            before = ticket.setback
            # That the part cannot be resumed says more than anything else.
            if before is None or result.failure.refuses_range:
                ticket.setback = result
        if ticket.flights:
            return None
        lost = AttemptResult(result.attempt_id, failure=_UNFINISHED)
        found = ticket.setback or lost
        if found.failure is not None and found.failure.refuses_range:
            return found
        return msgspec.structs.replace(found, partial=found.partial or ticket.partial)

    @staticmethod
    def _undivide(ticket: Ticket, host: Host) -> None:
        """Let nobody more join in."""
        ticket.most_flights = 0
        if host.divided and ticket in host.divided:
            host.divided.remove(ticket)

    def give_back(self, attempt_id: int) -> None:
        """Queue an attempt again that its worker did not begin."""
        entry = self._in_flight.pop(attempt_id, None)
        if entry is None:
            return
        ticket, slot = entry
        ticket.flights -= 1
        breaker = self._breakers.get(slot.host.key)
        if breaker is not None and breaker.is_probe(attempt_id):
            breaker.give_back(attempt_id)
            self._pause(slot.host, breaker.until)
        if ticket.flights or ticket.is_over:
            self._release(slot)
            return
        if ticket.origin is None:
            ticket.history.number -= 1
        self._release(slot)
        self._enqueue(slot.host, ticket, first=True)

    def path(self, attempt_id: int) -> str | None:
        """The file that an attempt in flight is for."""
        entry = self._in_flight.get(attempt_id)
        return None if entry is None else entry[0].entry.path

    def entry(self, attempt_id: int) -> Entry | None:
        """The request that an attempt in flight is for."""
        found = self._in_flight.get(attempt_id)
        return None if found is None else found[0].entry

    def paths_in_flight(self) -> list[str]:
        """The files that attempts in flight are for."""
        return [ticket.entry.path for ticket, _ in self._in_flight.values()]

    def next_due(self) -> float | None:
        """When the next waiting request or paused host may go on; None if none waits."""
        return self._timers[0][0] if self._timers else None

    def waits(self, now: float) -> str:
        """Return which hosts are paused or limited, in words; empty if none is."""
        return waits.describe(self._breakers, now)

    def drain(self) -> Iterator[Ticket]:
        """Every request still held, in no special order; the frontier forgets them."""
        flying = {id(ticket): ticket for ticket, _ in self._in_flight.values()}
        yield from (ticket for ticket in flying.values() if not ticket.is_over)
        for _, _, _, waiting in self._timers:
            if waiting is not None:
                yield waiting
        for host in self._hosts.values():
            yield from host.queue
        self._in_flight.clear()
        self._timers.clear()
        self._hosts.clear()
        self._parched.clear()
        self._ready.clear()
        self._held = self._spilled = self._queued = self._pauses = 0

    def _host(self, key: str) -> Host:
        host = self._hosts.get(key)
        if host is None:
            breaker = self._breakers.get(key)
            host = Host(key) if breaker is None else breaker.host
            self._hosts[key] = host
        return host

    def _has_slot(self, host: Host) -> bool:
        breaker = self._breakers.get(host.key)
        if breaker is not None and breaker.state is State.PROBING:
            return False
        return self._limits.per_host is None or host.slots < self._limits.per_host

    def _count(
        self,
        host: Host,
        ticket: Ticket,
        result: AttemptResult,
        now: float,
        jitter: float,
    ) -> Blame:
        """Take in what a result says of its host; return whose a failure is."""
        breaker = self._breakers.get(host.key)
        if result.failure is None and breaker is None:
            self._breakers.answered(host, result.attempt_id, now)
            return Blame.REQUEST
        moment = Moment(now, jitter, self._newest_id)
        blame = self._breakers.take_in(host, result, ticket, moment)
        breaker = breaker or self._breakers.get(host.key)
        if breaker is not None:
            self._follow(host, breaker, now)
        return blame

    def _follow(self, host: Host, breaker: Breaker, now: float) -> None:
        """Pause a host, let it go on, or give it up, as its breaker says."""
        if breaker.news is not None:
            self.resting.append(breaker.news)
            breaker.news = None
        if breaker.state is State.DEAD:
            self._doomed[host.key] = host
            return
        if breaker.state is State.OPEN:
            self._pause(host, breaker.until)
        elif breaker.throttle is not None:
            self._pause(host, breaker.throttle.next_at)
        else:
            host.paused_until = min(host.paused_until, now)
        self._refresh(host)

    def _enqueue(self, host: Host, ticket: Ticket, *, first: bool = False) -> None:
        if first:
            host.queue.appendleft(ticket)
        else:
            host.queue.append(ticket)
        self._queued += 1
        self._refresh(host)

    def _refresh(self, host: Host) -> None:
        """Put a host into the round of those that may start, or forget it when idle."""
        has_work = host.queue or host.divided
        if has_work and not host.is_ready and self._has_slot(host):
            host.is_ready = True
            self._ready.append(host)
        elif host.is_idle:
            self._hosts.pop(host.key, None)

    def _batch(self, host: Host, most: int, now: float) -> list[Attempt]:
        tickets = [host.queue.popleft() for _ in range(min(most, len(host.queue)))]
        self._queued -= len(tickets)
        slot = Slot(host, len(tickets))
        host.slots += 1
        batch = []
        for ticket in tickets:
            if ticket.origin is None:  # a redirect's further hop is no new try
                ticket.history.number += 1
            if ticket.began_at is None:
                ticket.began_at = now
            host.began_at = host.began_at or now
            attempt = ticket.next_attempt(next(self._serial))
            self._send(ticket, slot, attempt)
            batch.append(attempt)
        return batch

    def _release(self, slot: Slot) -> None:
        slot.remaining -= 1
        if not slot.remaining:
            slot.host.slots -= 1
            self._refresh(slot.host)

    def _wake_due(self, now: float) -> None:
        while self._timers and self._timers[0][0] <= now:
            _, _, host, ticket = heappop(self._timers)
            if ticket is None:
                host.pauses -= 1
                self._pauses -= 1
                self._refresh(host)
            else:
                self._enqueue(host, ticket, first=True)

    def _finish(
        self, ticket: Ticket, host: Host, saved: Saved | None, failure: Failure | None
    ) -> Finished:
        host.held -= 1
        self._held -= 1
        ticket.is_over = True
        self._undivide(ticket, host)
        self._refresh(host)
        return Finished(ticket, saved, failure)

    def _move(self, ticket: Ticket, host: Host, result: AttemptResult) -> Redirected:
        assert result.redirect is not None
        target = urls.parse(result.redirect)
        ticket.origin = ticket.origin or urls.parse(ticket.url).origin
        ticket.url, ticket.hops, ticket.chain = target.text, result.hops, result.chain
        self._undivide(ticket, host)
        ticket.is_divided, ticket.lead = False, None
        host.held -= 1
        self._refresh(host)
        goal = self._host(target.host_key)
        goal.held += 1
        self._enqueue(goal, ticket, first=True)
        return Redirected(ticket)

    def _judge_failure(
        self,
        ticket: Ticket,
        host: Host,
        result: AttemptResult,
        now: float,
        jitter: float,
        blame: Blame,
    ) -> Verdict:
        failure = result.failure
        assert failure is not None
        history = ticket.history
        history.losses += failure.kind == ErrorKind.WORKER_LOST
        history.stale += failure.stale
        assert ticket.began_at is not None
        history.seconds = now - ticket.began_at
        again = retry.decide(failure, history, self._limits.retry, jitter, blame)
        if again is None:
            return self._finish(ticket, host, None, self._last_word(host, failure))
        if not again.counts:
            history.number -= 1
        ticket.partial = result.partial
        ticket.is_undivided |= failure.refuses_range
        history.without_range = again.without_range
        history.restarts += again.without_range and not again.counts
        if failure.refuses_range and result.partial is not None:
            ticket.refusal = failure.detail
        self._undivide(ticket, host)
        ticket.restart()
        home = self._return_home(ticket, host)
        due = now + again.delay_seconds
        if again.waits_for_host:
            # What the host delays is no time of the request's.
            ticket.began_at = None
            due = max(now, host.paused_until)
        if again.waits_for_host and home is host:
            self._enqueue(host, ticket)  # behind the others: another one probes
        else:
            heappush(self._timers, (due, next(self._serial), home, ticket))
        return Retrying(ticket, failure, due - now)

    def _last_word(self, host: Host, failure: Failure) -> Failure:
        """Return a request's final failure; the host's, if it asked for too long a pause."""
        breaker = self._breakers.get(host.key)
        if breaker is None or not self._limits.retry.refuses_wait(failure):
            return failure
        return breaker.failure()

    def _return_home(self, ticket: Ticket, host: Host) -> Host:
        """The next try starts at the list's URL, whose host holds it again."""
        home = self._host(ticket.entry.host)
        if home is not host:
            host.held -= 1
            home.held += 1
            self._refresh(host)
        return home

    def _pause(self, host: Host, until: float) -> None:
        """Let a host start nothing before a moment, also if it was a later one."""
        if host.paused_until == until:
            return
        host.paused_until = until
        host.pauses += 1
        self._pauses += 1
        heappush(self._timers, (until, next(self._serial), host, None))

"""A host that limits its requests, and a run against it, in simulated time."""

import heapq
import random

from downloader.models import AttemptResult, Entry, ErrorKind, Failure, Saved
from downloader.policy.frontier import Frontier, Limits
from downloader.policy.retry import RetryRules
from downloader.policy.ticket import Finished

SAVED = Saved(3, "00", length_known=True, etag=None, last_modified=None, modified_ns=1)
REFUSAL = Failure("http_429", "the server answered 429 Too Many Requests")
BUSY = Failure("http_503", "the server answered 503 Service Unavailable")
DOWN = Failure(ErrorKind.CONNECT, "no connection: Connection refused")
ANSWER_SECONDS = 0.005


def window(limit, seconds, refusal=REFUSAL):
    """Grant `limit` requests in any `seconds`; None is a grant."""
    granted = []

    def answer(now, _seq):
        granted[:] = [at for at in granted if now - at < seconds]
        if len(granted) >= limit:
            return refusal
        granted.append(now)
        return None

    return answer


def bucket(per_second, burst, refusal=REFUSAL):
    """Grant by a token bucket."""
    tokens, filled_at = float(burst), 0.0

    def answer(now, _seq):
        nonlocal tokens, filled_at
        tokens = min(burst, tokens + (now - filled_at) * per_second)
        filled_at = now
        if tokens < 1:
            return refusal
        tokens -= 1
        return None

    return answer


def entry(seq, host="a.test:80"):
    url = f"http://{host.removesuffix(':80')}/{seq}"
    return Entry(seq, url, url, url, host, str(seq))


class Simulation:
    """A run of `count` requests; `answer(now, seq)` says how each attempt ends.

    Attributes:
        seconds: The simulated time that it took.
        failures: How attempts ended that were not granted, with their time.
        rows: The last failure by request, None for those that arrived.
        attempts: How many attempts each request counts in its row.
        resting: The pauses that were told of.
    """

    def __init__(
        self, answer, count=60, *, per_host=8, host_failures=20, seed=1, **rules
    ):
        limits = Limits(
            per_host=per_host,
            host_failures=host_failures,
            retry=RetryRules(**rules),
        )
        self.frontier = Frontier(limits)
        for seq in range(count):
            self.frontier.add(entry(seq))
        self.failures, self.rows, self.attempts = [], {}, {}
        self.resting = []
        self._answer = answer
        self._jitter = random.Random(seed)
        self._flying = []
        self.seconds = 0.0
        while not self.frontier.is_empty:
            self._turn()

    @property
    def arrived(self):
        return sum(failure is None for failure in self.rows.values())

    def _turn(self):
        now = self.seconds
        while batch := self.frontier.take(now, 1):
            ended_at = now + ANSWER_SECONDS * (0.5 + self._jitter.random())
            heapq.heappush(self._flying, (ended_at, batch[0].id, batch[0]))
        for given_up in self.frontier.give_up():
            for ticket in given_up.tickets:
                self._end(ticket, given_up.failure)
        self.resting += self.frontier.resting
        self.frontier.resting.clear()
        due = self.frontier.next_due()
        if self._flying and (due is None or self._flying[0][0] <= due):
            self.seconds, _, attempt = heapq.heappop(self._flying)
            self._judge(attempt)
        elif due is not None:
            self.seconds = max(now, due)

    def _judge(self, attempt):
        failure = self._answer(self.seconds, int(attempt.path))
        if failure is not None:
            self.failures.append((self.seconds, failure))
        saved = SAVED if failure is None else None
        result = AttemptResult(
            attempt.id, saved, None, failure, is_unconnected=failure is DOWN
        )
        verdict = self.frontier.judge(result, self.seconds, self._jitter.random())
        if isinstance(verdict, Finished):
            self._end(verdict.ticket, verdict.failure)

    def _end(self, ticket, failure):
        self.rows[ticket.entry.seq] = failure
        self.attempts[ticket.entry.seq] = ticket.history.number

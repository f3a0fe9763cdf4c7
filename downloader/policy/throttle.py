"""The start rate of a host that asks for less, by additive increase, multiplicative decrease.

    a refusal ──► the host's pause (see `downloader.policy.breaker`) ──► resume
                                                                           │
        each answer: rate + INCREASE ◄──────── one start every 1/rate s ◄──┘

A refusal ends an epoch. What the host granted in it, divided by its whole time with the
pause, is the rate that the host can bear: ten grants at once and a second of pause are ten
a second, a hundred grants and a minute of pause are a hundred a minute. All refusals of
requests that were under way when the pause began belong to the same epoch and count once.

Only a host that has refused something has a `Throttle`. No clock here: `now` is a value.
"""

from __future__ import annotations

# Added to the rate by each answer, in starts a second; below 1/s this share of the rate.
INCREASE = 0.05
INCREASE_SHARE = 0.05
# While nothing is known of what the host bears; as TCP's slow start.
QUICK_INCREASE = 1.0
QUICK_INCREASE_SHARE = 1.0
# So many grants in an epoch say something of what a host bears.
TELLING_GRANTS = 5
# The rate after a refusal, relative to the one before: at most, and at least.
DECREASE = 0.8
LEAST_DECREASE = 0.5
# Starts a second beyond which a rate limits nothing any more.
FREE_RATE = 1_000.0
_SHORTEST_SECONDS = 1e-3


class Throttle:
    """Limit on the requests a second that one host is sent.

    Args:
        since: When the first epoch began.
        granted: Requests that the host has granted since then.
        first_rate: The least rate to begin with while the host has granted too little.
        least_rate: The least rate of all.

    Attributes:
        rate: Starts a second; None until the first pause is over.
        next_at: The earliest time of the next start.
    """

    __slots__ = (
        "_first_rate",
        "_granted",
        "_is_quick",
        "_least_rate",
        "_since",
        "next_at",
        "rate",
    )

    def __init__(
        self, since: float, granted: int, *, first_rate: float, least_rate: float
    ) -> None:
        self.rate: float | None = None
        self.next_at = 0.0
        self._since = since
        self._granted = granted
        self._first_rate = first_rate
        self._least_rate = least_rate
        self._is_quick = False

    @property
    def is_over(self) -> bool:
        """True if the rate has grown until it limits nothing."""
        return self.rate is not None and self.rate > FREE_RATE

    def grant(self, *, raises_rate: bool) -> None:
        """Count an answer; one to a request from before the pause raises no rate."""
        self._granted += 1
        if self.rate is None or not raises_rate:
            return
        if self._is_quick:
            self.rate += min(QUICK_INCREASE, QUICK_INCREASE_SHARE * self.rate)
        else:
            self.rate += min(INCREASE, INCREASE_SHARE * self.rate)

    def resume(self, now: float, paused_at: float, *, was_refused_again: bool) -> None:
        """End a pause and its epoch: set the rate that the host has shown to bear.

        Args:
            now: The clock.
            paused_at: When the pause began; one request in twice its length is borne.
            was_refused_again: True if the pause had to be made longer. Then the host
                has shown its limit; else it may have been ready for long.
        """
        seconds = max(_SHORTEST_SECONDS, now - self._since)
        measured = self._granted / seconds
        if self.rate is None:
            self._is_quick = self._granted < TELLING_GRANTS
            self.rate = max(measured, self._first_rate) if self._is_quick else measured
        else:
            least = 0.0 if was_refused_again else LEAST_DECREASE * self.rate
            self.rate = min(DECREASE * self.rate, max(least, measured))
            self._is_quick = False
        pause_seconds = max(_SHORTEST_SECONDS, now - paused_at)
        self.rate = max(self._least_rate, 0.5 / pause_seconds, self.rate)
        self._granted, self._since = 0, now
        self.next_at = now + 1.0 / self.rate

    def start(self, now: float) -> float:
        """Count a start; return the earliest time of the next one."""
        assert self.rate is not None
        seconds = 1.0 / self.rate
        # A start that came late may be made up for by one, not by a burst.
        self.next_at = max(self.next_at, now - seconds) + seconds
        return self.next_at

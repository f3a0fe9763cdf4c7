"""The figures of a run from which `policy.bound` says what bound it."""

from __future__ import annotations

import msgspec

from downloader.policy.crowding import Crowd


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a run; all seconds but `seconds` are sums.

    Attributes:
        strategy: Its name.
        is_loop: True if it serves many files in a thread.
        loop: The name of the best strategy with an event loop that is at hand.
        is_chosen: True if the run itself chose that, and the number of workers.
        has_processes: True if worker processes moved the bytes.
        workers: How many slots there were.
        per_host: The limit of transfers at once for a host, None for none.
        hosts: How many hosts were met, at least.
        cores: Those that the run may use.
        is_durable: True if files were synced.
        hash: How files were hashed, None if there is no cheaper way to choose.
        seconds: The run's length.
        start_seconds: Of these: until the first attempt began.
        attempts: How many were made.
        refused: How many of these were answered 429 or 503.
        busy_seconds: Of slots with an attempt in flight.
        list_seconds: Of slots that were idle because the list was slow.
        limits_seconds: Of slots that hosts' limits kept idle.
        pauses_seconds: Of slots that pauses and back-off kept idle.
        network_seconds: Of attempts: connecting, TLS, first byte, body.
        first_byte_seconds: Of these: for the first byte.
        paused_seconds: Of attempts: held back by a rate.
        rate_share: What was used of the rate that was asked for; 0 without one.
        hash_seconds: Of attempts: hashing.
        store_seconds: Of attempts: writing, and giving files their names.
        commit_seconds: That the run's loop waited for its record's commits.
        cpu_seconds: CPU time of the run's own process.
        worker_cpu_seconds: CPU time of its worker processes.
        worker_start_cpu_seconds: Of these: until they could begin.
        worker_processes: How many there were.
        ready_seconds: That threads of that process were ready and had no core, of one
            with a loop this thread alone; 0 where the system does not say.
        worker_ready_seconds: The same of worker processes.
        crowd: A host that answers later, the more is asked of it.
    """

    strategy: str
    is_loop: bool
    loop: str
    is_chosen: bool
    has_processes: bool
    workers: int
    per_host: int | None
    hosts: int
    cores: int
    is_durable: bool
    hash: str | None
    seconds: float
    start_seconds: float
    attempts: int
    refused: int
    busy_seconds: float
    list_seconds: float
    limits_seconds: float
    pauses_seconds: float
    network_seconds: float
    first_byte_seconds: float
    paused_seconds: float
    rate_share: float
    hash_seconds: float
    store_seconds: float
    commit_seconds: float
    cpu_seconds: float
    worker_cpu_seconds: float
    worker_start_cpu_seconds: float
    worker_processes: int
    ready_seconds: float
    worker_ready_seconds: float
    crowd: Crowd | None

    @property
    def slot_seconds(self) -> float:
        """All the time of slots in which there was something left to do."""
        idle = self.list_seconds + self.limits_seconds + self.pauses_seconds
        return self.worker_seconds + idle

    @property
    def worker_seconds(self) -> float:
        """The time of slots at work."""
        return max(self.busy_seconds, self.attempt_seconds)

    @property
    def attempt_seconds(self) -> float:
        """The time of attempts, by their own account."""
        return self.network_seconds + self.paused_seconds + self.kept_seconds

    @property
    def kept_seconds(self) -> float:
        """The time of attempts after bytes had come: for hashing and storing them."""
        return self.hash_seconds + self.store_seconds

    @property
    def all_cpu_seconds(self) -> float:
        """CPU time of all processes together."""
        return self.cpu_seconds + self.worker_cpu_seconds

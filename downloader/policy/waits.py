"""Describe paused and limited hosts in one phrase for the progress display."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from downloader.policy.breaker import Breaker, State

if TYPE_CHECKING:
    from collections.abc import Iterable


def describe(breakers: Iterable[Breaker], now: float) -> str:
    """Return which hosts are paused, and until when; empty if none is."""
    used = [one for one in breakers if one.host.held or one.host.spilled]
    paused = [one for one in used if one.state in {State.OPEN, State.PROBING}]
    if not paused:
        return _describe_rates(used)
    left_seconds = math.ceil(max(0.0, min(one.until for one in paused) - now))
    files = _files(paused)
    if len(paused) == 1 and paused[0].asked_seconds and left_seconds:
        host = paused[0].host.key
        return f"{host} asked for a pause: {left_seconds} s left ({files})"
    when = f"next try in {left_seconds} s" if left_seconds else "trying again"
    return f"{_name(paused)} {_trouble(paused)}: {when} ({files})"


def _describe_rates(used: list[Breaker]) -> str:
    rates = [one.throttle.rate for one in used if one.throttle and one.throttle.rate]
    if not rates:
        return ""
    limited = [one for one in used if one.throttle]
    rate = sum(rates)
    pace = f"{rate:.1f} requests/s" if rate >= 1 else f"{60 * rate:.0f} requests/min"
    return f"{_name(limited)} limited to {pace} ({_files(limited)})"


def _name(hosts: list[Breaker]) -> str:
    return hosts[0].host.key if len(hosts) == 1 else f"{len(hosts):,} hosts"


def _trouble(paused: list[Breaker]) -> str:
    if all(one.is_refused for one in paused):
        return "busy"
    return "paused" if any(one.is_refused for one in paused) else "not reached"


def _files(hosts: list[Breaker]) -> str:
    count = sum(one.host.held + one.host.spilled for one in hosts)
    return f"{count:,} file{'' if count == 1 else 's'}"

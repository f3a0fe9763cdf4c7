"""The work that every strategy is given, set and known; pure descriptions and their URLs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from downloader.bench.result import Workload

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["PAGE_FILES", "Recipe", "downloads", "file_work", "list_work", "page_work"]

_MIB = 1 << 20
PAGE_FILES = 40
"""Files of the embedded site; its index, a page of 4 KB, links to so many."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """A workload and how long its measuring may take.

    Attributes:
        path: The path of a file on the embedded site, `{}` standing for its number.
        budget_seconds: Rounds are begun as long as they are likely to fit into it.
        is_curve: True if several numbers of workers are wanted.
        load_connections: How many connections the load generator takes; 0 to leave
            the server's limit unmeasured.
        stages_seconds: CPU seconds to aim at after each download; empty without a stage.
    """

    workload: Workload
    budget_seconds: float
    path: str = ""
    is_curve: bool = False
    load_connections: int = 0
    stages_seconds: tuple[float, ...] = ()

    def urls(self, origin: str) -> tuple[str, ...]:
        """Every URL of one run."""
        return tuple(
            origin + self.path.format(number) for number in range(self.workload.files)
        )


def downloads(*, is_quick: bool) -> list[Recipe]:
    """The downloads by the whole engine."""
    latency = _latency(16 if is_quick else 64, 24.0 if is_quick else 170.0)
    if is_quick:
        return [latency]
    return [latency, _bandwidth(), _overhead(), _huge()]


def _latency(files: int, budget_seconds: float) -> Recipe:
    return Recipe(
        workload=Workload(
            name="latency",
            title="latency-bound",
            purpose="small files, each held back by the server: all is waiting",
            files=files,
            file_bytes=200,
            latency_seconds=0.1,
        ),
        path="/n/{}?latency=0.1",
        budget_seconds=budget_seconds,
        is_curve=True,
        load_connections=256,
    )


def _bandwidth() -> Recipe:
    rate = 4 * _MIB
    return Recipe(
        workload=Workload(
            name="bandwidth",
            title="bandwidth-bound",
            purpose="files of a MiB, each connection held to 4 MiB a second",
            files=16,
            file_bytes=_MIB,
            bytes_per_second=rate,
        ),
        path=f"/s/{_MIB}/{{}}?rate={rate}",
        budget_seconds=42.0,
        load_connections=64,
    )


def _overhead() -> Recipe:
    return Recipe(
        workload=Workload(
            name="overhead",
            title="overhead-bound",
            purpose="many tiny files without delay: what the strategy itself costs",
            files=600,
            file_bytes=200,
        ),
        path="/n/{}",
        budget_seconds=45.0,
        load_connections=32,
    )


def _huge() -> Recipe:
    size = 192 * _MIB
    return Recipe(
        workload=Workload(
            name="huge",
            title="one huge file",
            purpose="a single file as fast as it goes: no strategy has more than one",
            files=1,
            file_bytes=size,
        ),
        path=f"/s/{size}/{{}}",
        budget_seconds=26.0,
        load_connections=1,
    )


def page_work() -> list[Recipe]:
    """Pages with a CPU stage behind each, from none to heavy."""
    return [
        _page(
            "stage-parse",
            "pages, parsed",
            "each page is parsed as HTML by Python code, which holds the lock",
            (0.0, 0.002, 0.005, 0.01, 0.03),
            72.0,
        ),
        _page(
            "stage-hash",
            "pages, hashed and inflated",
            "for each page C code inflates and hashes, which lets go of the lock",
            (0.0, 0.005, 0.02),
            36.0,
        ),
    ]


def _page(
    name: str, title: str, purpose: str, stages: Sequence[float], budget_seconds: float
) -> Recipe:
    return Recipe(
        workload=Workload(
            name=name, title=title, purpose=purpose, files=24, latency_seconds=0.02
        ),
        path="/?latency=0.02&number={}",
        budget_seconds=budget_seconds,
        stages_seconds=tuple(stages),
    )


def file_work(*, is_quick: bool) -> list[Recipe]:
    """Files on the disk, without network; each is synced before it counts."""
    budget_seconds = 5.0 if is_quick else 14.0
    copy = Workload(
        name="copy",
        title="copying files",
        purpose="a file is copied and synced to the disk, again and again",
        files=4 if is_quick else 8,
        file_bytes=16 * _MIB,
    )
    write = Workload(
        name="write",
        title="writing files",
        purpose="a file of zeros is written and synced to the disk, again and again",
        files=copy.files,
        file_bytes=copy.file_bytes,
    )
    return [
        Recipe(workload=one, path="file-{}", budget_seconds=budget_seconds)
        for one in ((copy,) if is_quick else (copy, write))
    ]


def list_work(lines: int) -> Recipe:
    """The user's own list; the network, its servers and their mood are not controlled."""
    # The politeness limits decide how long it takes; there is no budget to keep.
    workload = Workload(
        name="list",
        title="your list",
        purpose="your own URLs, within the limits for each host",
        files=lines,
    )
    return Recipe(workload=workload, budget_seconds=math.inf, is_curve=True)

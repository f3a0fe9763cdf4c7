"""A whole bench: what is measured in which order, within which time."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import random
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from downloader.bench import machine as machines
from downloader.bench.arms import (
    choose_strategies,
    download_arms,
    file_arms,
    list_arms,
    page_arms,
)
from downloader.bench.cells import BASELINE, find_crossings, make_cells
from downloader.bench.child import BenchError, Child
from downloader.bench.doubts import doubts
from downloader.bench.load import LoadJob, LoadReport
from downloader.bench.mechanisms import ELSEWHERE
from downloader.bench.result import BenchResult, Cell, Mode, Workload
from downloader.bench.runner import RUN_SECONDS, run_rounds
from downloader.bench.spool import spool
from downloader.bench.trials import Trials
from downloader.bench.verdicts import CLAIMS, judge
from downloader.bench.verdicts.words import FEWEST_TO_DECIDE
from downloader.bench.workloads import (
    PAGE_FILES,
    Recipe,
    downloads,
    file_work,
    list_work,
    page_work,
)
from downloader.site.process import Site
from downloader.wording import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from downloader.bench.result import Verdict
    from downloader.bench.runner import Arm
    from downloader.settings import Settings

__all__ = ["BenchPlan", "run_bench"]

# Nothing is begun any more after the first, and nothing goes on after the second.
_QUICK_SECONDS, _FULL_SECONDS = (45.0, 53.0), (500.0, 540.0)
_REPEATS = {Mode.QUICK: 5, Mode.FULL: 9, Mode.LIST: 3}
# Below so many no comparison is decided.
_FEWEST_ROUNDS = FEWEST_TO_DECIDE
_LOAD_SECONDS = 1.0
_SITE_SECONDS = 30.0
# The fewest rounds that decide anything may take so many times the budget, no more:
# other work is to be measured too.
_LONGEST_BUDGET = 2.0
# With less time left than that a workload is not begun.
_FAIR_SECONDS = 5.0
_DAY_SECONDS = 86_400.0


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchPlan:
    """What the bench is to do.

    Attributes:
        strategies: Their names; empty for all that are installed.
        repeats: Rounds at most; None for the mode's own number.
        workers: Numbers of workers to compare; empty for the mode's own.
        sources: Lists and URLs of the user's, to be fetched in place of the set work.
        settings: The user's settings, for those.
    """

    mode: Mode
    strategies: tuple[str, ...] = ()
    repeats: int | None = None
    workers: tuple[int, ...] = ()
    seed: int = 1
    sources: tuple[str, ...] = ()
    settings: Settings | None = None


def run_bench(plan: BenchPlan, tell: Callable[[str], None]) -> BenchResult:
    """Measure everything that the plan names, and judge it.

    Args:
        plan: What to do.
        tell: Told, in a few words, what is being measured.

    Raises:
        UsageError: A strategy is unknown or not installed.
        SiteError: The embedded site did not start.
        BenchError: Nothing at all could be measured.
    """
    # Finding it tries it out with a file, which a signal in that moment would leave.
    place = tempfile.gettempdir()
    strategies, notes = choose_strategies(plan.strategies)
    if BASELINE not in strategies:
        notes.append("without serial among the strategies there is no speed-up to tell")
    suite = _Suite(plan, strategies, tell, place)
    suite.notes += notes
    try:
        with _one_scratch_folder():
            suite.run()
    except OSError as error:
        raise BenchError("the bench", _told(error, place)) from error
    if not suite.cells and not suite.verdicts:
        raise BenchError("the bench", "; ".join(suite.notes) or "nothing was measured")
    return suite.result()


@contextlib.contextmanager
def _one_scratch_folder() -> Iterator[None]:
    """Have all temporary files lie in one folder, which goes with all that is in it.

    A signal may come while one of theirs is being made, before anybody owns it.
    """
    with tempfile.TemporaryDirectory(
        prefix="downloader-bench-", ignore_cleanup_errors=True
    ) as folder:
        before, tempfile.tempdir = tempfile.tempdir, folder
        try:
            yield
        finally:
            tempfile.tempdir = before


def _told(error: OSError, place: str) -> str:
    """What to say of the system's refusal; the only files are temporary ones."""
    if error.errno is None:  # no file then, but the site that has gone
        return str(error)
    return (
        f"{error.strerror or error}, in the temporary folder {place}; "
        "TMPDIR names another"
    )


class _Suite:
    """A bench under way: what it has measured so far, and the time that is left."""

    def __init__(
        self,
        plan: BenchPlan,
        strategies: list[str],
        tell: Callable[[str], None],
        place: str,
    ) -> None:
        self.notes: list[str] = []
        self.cells: list[Cell] = []
        self.verdicts: tuple[Verdict, ...] = ()
        self._plan = plan
        self._strategies = strategies
        self._tell = tell
        self._place = place
        self._workloads: list[Workload] = []
        self._started_at = datetime.now(UTC)
        self._began = time.monotonic()
        self._machine = machines.describe()
        self._cores = machines.effective_cores(self._machine)
        self._chance = random.Random(plan.seed)  # noqa: S311 - an order of runs
        self._is_quick = plan.mode is Mode.QUICK
        self._until = self._deadline = math.inf
        if plan.mode is not Mode.LIST:
            until, deadline = _QUICK_SECONDS if self._is_quick else _FULL_SECONDS
            self._until, self._deadline = self._began + until, self._began + deadline

    def run(self) -> None:
        """Measure what the mode has."""
        if self._plan.mode is Mode.LIST:
            self._measure_list()
            return
        trials = Trials(
            is_quick=self._is_quick,
            seed=self._plan.seed,
            tell=self._tell,
            deadline=self._deadline,
        )
        evidence = trials.needed(
            cores=self._cores, is_gil_enabled=self._machine.is_gil_enabled
        )
        with (
            self._site() as site,
            tempfile.TemporaryDirectory() as folder,
        ):
            for recipe in downloads(is_quick=self._is_quick):
                self._measure_downloads(recipe, site.url)
            for recipe in () if self._is_quick else page_work():
                arms = page_arms(recipe, site.url, self._strategies)
                self._measure(recipe.workload, arms, recipe.budget_seconds)
            if time.monotonic() + _FAIR_SECONDS < self._until:
                evidence = trials.others(evidence)
            for recipe in file_work(is_quick=self._is_quick):
                self._measure_files(recipe, folder)
        self.notes += trials.failures
        evidence = dataclasses.replace(
            evidence,
            cells=tuple(self.cells),
            is_in_memory=machines.is_in_memory(tempfile.gettempdir()),
        )
        self.verdicts = judge(evidence)
        self.notes += self._unjudged()

    def result(self) -> BenchResult:
        """All that was found, with the doubts about it."""
        machine = machines.with_load_after(self._machine)
        return BenchResult(
            mode=self._plan.mode,
            started_at=self._started_at,
            seconds=time.monotonic() - self._began,
            seed=self._plan.seed,
            machine=machine,
            workloads=tuple(self._workloads),
            cells=tuple(self.cells),
            crossings=tuple(find_crossings(self.cells, ELSEWHERE)),
            verdicts=self.verdicts,
            warnings=(
                *dict.fromkeys(self.notes),
                *doubts(machine, self._cores, self.cells),
            ),
        )

    def _unjudged(self) -> list[str]:
        judged = {verdict.number for verdict in self.verdicts}
        missing = ", ".join(str(number) for number in CLAIMS if number not in judged)
        return [f"nothing was measured for claims {missing}"] if missing else []

    def _measure_downloads(self, recipe: Recipe, origin: str) -> None:
        if not self._has_time(recipe.workload, recipe.budget_seconds):
            return
        arms = download_arms(
            recipe,
            origin,
            self._strategies,
            self._plan.workers,
            is_quick=self._is_quick,
        )
        if recipe.is_curve:
            self._say_what_was_left_out(arms)
        workload = self._with_limit(recipe, origin)
        self._measure(workload, arms, recipe.budget_seconds)

    def _measure_files(self, recipe: Recipe, folder: str) -> None:
        source = Path(folder, "source")
        if not source.exists():
            body = self._chance.randbytes(recipe.workload.file_bytes or 0)
            try:
                source.write_bytes(body)
            except OSError as error:
                self.notes.append(
                    f"{recipe.workload.name} was left out: {_told(error, self._place)}"
                )
                return
        arms = file_arms(recipe, str(source), self._strategies)
        self._measure(recipe.workload, arms, recipe.budget_seconds)

    def _measure_list(self) -> None:
        plan = self._plan
        assert plan.settings is not None
        with tempfile.TemporaryDirectory(prefix="downloader-bench-") as folder:
            path = os.path.join(folder, "urls.txt")
            recipe = list_work(spool(plan.sources, path))
            arms = list_arms((path,), plan.settings, self._strategies, plan.workers)
            self._say_what_was_left_out(arms)
            self._tell(
                f"your list, {plural(recipe.workload.files, 'line')} by "
                f"{plural(len(arms), 'row')} in "
                f"{plural(self._repeats, 'round')}"
            )
            self._measure(recipe.workload, arms, recipe.budget_seconds, _DAY_SECONDS)

    def _has_time(self, workload: Workload, budget_seconds: float) -> bool:
        """True if there is time for it; else a note says that there was none."""
        # What even a quick bench must decide is begun as late as it can end.
        is_needed = self._is_quick and workload.name == "latency"
        until = self._deadline if is_needed else self._until
        has_time = time.monotonic() + min(budget_seconds, _FAIR_SECONDS) <= until
        if not has_time:
            self.notes.append(f"{workload.name} was left out: the time was over")
        return has_time

    @staticmethod
    def _site() -> Site:
        return Site(files=PAGE_FILES, is_swift=True, start_seconds=_SITE_SECONDS)

    def _say_what_was_left_out(self, arms: Sequence[Arm]) -> None:
        """Numbers of workers that were asked for and are not measured."""
        for name in self._strategies:
            counts = {arm.workers for arm in arms if arm.strategy == name}
            left = [str(one) for one in self._plan.workers if one not in counts]
            if left and name != BASELINE:
                self.notes.append(
                    f"{name} was measured with {max(counts)} workers at most, not with "
                    f"{', '.join(left)}: more processes would start for longer than "
                    "they work"
                )

    def _measure(
        self,
        workload: Workload,
        arms: Sequence[Arm],
        budget_seconds: float,
        run_seconds: float = RUN_SECONDS,
    ) -> None:
        if not arms or not self._has_time(workload, budget_seconds):
            return
        rounds = run_rounds(
            arms,
            most=self._repeats,
            fewest=_FEWEST_ROUNDS,
            until=min(self._until, time.monotonic() + budget_seconds),
            fewest_until=time.monotonic() + _LONGEST_BUDGET * budget_seconds,
            deadline=self._deadline,
            keeps_workers=self._is_quick,
            chance=self._chance,
            tell=self._tell,
            run_seconds=run_seconds,
        )
        self.notes += dict.fromkeys(rounds.failures)
        if rounds.was_cut:
            self.notes.append(
                f"{workload.name}: its last round was cut off by the clock"
            )
        cells = make_cells(arms, rounds, workload, self._cores, self._plan.seed)
        if cells:
            self._workloads.append(workload)
            self.cells += cells

    @property
    def _repeats(self) -> int:
        return self._plan.repeats or _REPEATS[self._plan.mode]

    def _with_limit(self, recipe: Recipe, origin: str) -> Workload:
        """The workload with what the server gives at most on it."""
        name = recipe.workload.name
        self._tell(f"{name}: the server's own limit")
        job = LoadJob(
            url=recipe.urls(origin)[0],
            connections=recipe.load_connections,
            seconds=_LOAD_SECONDS,
        )
        line = msgspec.json.encode(job)
        what = f"{name}: the server's own limit"
        try:
            with Child("downloader.bench.load", line, what, RUN_SECONDS) as child:
                child.prepare()
                limit = msgspec.json.decode(child.measure(), type=LoadReport)
        except BenchError as error:
            self.notes.append(str(error))
            return recipe.workload
        return msgspec.structs.replace(
            recipe.workload,
            server_files_per_second=limit.files_per_second,
            server_mib_per_second=limit.mib_per_second,
        )

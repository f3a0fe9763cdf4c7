"""The verb `bench`: its options to a plan, its progress, what it prints and writes."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING

from downloader.cli.streams import complain, say
from downloader.errors import InvalidSettings, PagesUnavailable, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from downloader.bench.result import BenchResult
    from downloader.settings import Settings

__all__ = ["bench"]

_MOST_WORKERS = 1_000
_FAILED = 1


def bench(
    own: Mapping[str, object],
    sources: tuple[str, ...],
    settings: Settings,
    check: Callable[[], None],
) -> int:
    """Measure, print the text, write the files; returns the exit status.

    Args:
        own: The verb's own options, checked, by name.
        sources: The user's lists; empty for the set work.
        settings: What those are fetched under.
        check: Raises if a signal came; asked between the cells.

    Raises:
        UsageError: An option cannot be used.
        DownloaderError: The bench as a whole could not be done.
        KeyboardInterrupt: A signal came; all that was started has been ended.
    """
    from downloader.bench.result import Mode
    from downloader.bench.suite import BenchPlan, run_bench
    from downloader.bench.text import as_text, promise

    if sources and own["quick"]:
        raise UsageError(
            "--quick is for the set work: a list takes as long as its servers let it; "
            "--repeats 1 and fewer --strategies make it shorter"
        )
    mode = Mode.QUICK if own["quick"] else Mode.FULL
    mode = Mode.LIST if sources else mode
    plan = BenchPlan(
        mode=mode,
        strategies=_names(str(own["strategies"] or "")),
        repeats=_repeats(own["repeats"]),
        workers=_counts(str(own["worker_counts"] or "")),
        seed=int(str(own["seed"])),
        sources=sources,
        settings=settings,
    )
    folder = str(own["bench_output"])
    _make_folder(folder)
    first_words = f"downloader: measuring; this {promise(mode)}"
    has_page = _can_make_page()
    try:
        with _Status(first_words, is_shown=not settings.quiet, check=check) as status:
            result = run_bench(plan, status.tell)
    except KeyboardInterrupt:
        complain("stopped; nothing was written", "warning")
        raise
    _print(as_text(result))
    return _write(result, folder, has_page=has_page, is_quiet=settings.quiet)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _repeats(value: object) -> int | None:
    return None if value is None else int(str(value))


def _counts(text: str) -> tuple[int, ...]:
    """Numbers of workers, rising and each once."""
    counts = set()
    for word in _names(text):
        if not (word.isascii() and word.isdigit() and 0 < int(word) <= _MOST_WORKERS):
            raise InvalidSettings(
                f"--workers {text!r}: takes numbers from 1 to {_MOST_WORKERS:,} with "
                "commas between them, such as 1,4,16"
            )
        counts.add(int(word))
    return tuple(sorted(counts))


def _make_folder(folder: str) -> None:
    """The folder is made, and tried, before minutes are spent on what goes into it."""
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"--output {folder!r}: {error.strerror or error}; name a folder"
        ) from None
    if not os.access(folder, os.W_OK):
        raise UsageError(f"--output {folder!r}: cannot be written to; name another")


class _Status:
    """One line on a terminal that says what is measured now; elsewhere a line a section.

    Args:
        first_words: Said before anything else, once there is something to measure.
        is_shown: False to say nothing.
        check: Raises if it is time to end.
    """

    _INTERVAL_SECONDS = 0.1

    def __init__(
        self, first_words: str, *, is_shown: bool, check: Callable[[], None]
    ) -> None:
        self._first_words = first_words
        self._check = check
        self._is_shown = is_shown and sys.stderr is not None
        self._is_terminal = self._is_shown and sys.stderr.isatty()
        self._section = ""
        self._told_at = 0.0

    def __enter__(self) -> _Status:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_terminal:
            self._write("\r\x1b[K")

    def tell(self, text: str) -> None:
        """Say what begins now."""
        self._check()
        if not self._is_shown:
            return
        if self._first_words:
            say(self._first_words)
            self._first_words = ""
        if self._is_terminal:
            self._draw(text)
        elif (section := text.partition(":")[0]) != self._section:
            self._section = section
            say(f"downloader: measuring {section}")

    def _draw(self, text: str) -> None:
        now = time.monotonic()
        if now - self._told_at < self._INTERVAL_SECONDS:
            return
        self._told_at = now
        columns = _columns()
        self._write(f"\r\x1b[K{text[: columns - 1]}")

    @staticmethod
    def _write(text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(text)
            sys.stderr.flush()


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def _print(text: str) -> None:
    # A reader that has had enough, as `head` has, is no failure; the files follow.
    with contextlib.suppress(OSError, ValueError):
        print(text, flush=True)


def _can_make_page() -> bool:
    """Said before minutes are spent: whoever wants the page can still stop."""
    from downloader.pages import needs

    try:
        needs.require("bench.html")
    except PagesUnavailable as error:
        complain(f"there will be no page with plots: {error}", "warning")
        return False
    return True


def _write(result: BenchResult, folder: str, *, has_page: bool, is_quiet: bool) -> int:
    from downloader.bench.result import write_json

    writers = {"bench.json": write_json}
    if has_page:
        writers["bench.html"] = _write_page
    status = 0
    for name, write in writers.items():
        path = os.path.join(folder, name)
        try:
            write(result, path)
        except (OSError, ImportError) as error:
            complain(f"cannot write {path}: {getattr(error, 'strerror', '') or error}")
            status = _FAILED
        else:
            if not is_quiet:
                say(f"downloader: wrote {path}")
    return status


def _write_page(result: BenchResult, path: str | os.PathLike[str]) -> None:
    from downloader.bench.page import as_page
    from downloader.delivery import deliver

    page = as_page(result)
    deliver(path, lambda sink: sink.write(page))

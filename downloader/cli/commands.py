"""The verbs: settings, a run with its signals and log, the summary, the exit status."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import msgspec

from downloader.cli.arguments import BENCH_OPTIONS, DEMO_OPTIONS
from downloader.cli.signals import Interruptions
from downloader.cli.streams import complain, say
from downloader.errors import (
    DownloaderError,
    FolderLocked,
    InvalidSettings,
    UsageError,
)
from downloader.log import when_loaded
from downloader.option_values import BadValue, check, from_text
from downloader.options import Option
from downloader.own_process import be_ready
from downloader.policy.redaction import printable, redact_secrets
from downloader.settings import Settings, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from logging import Logger

    from downloader.cli.arguments import Invocation
    from downloader.progress import Progress
    from downloader.report import Report
    from downloader.session import Session

    Start = Callable[[Progress, Callable[[Session], None]], Report]

__all__ = ["run"]

MOST_DESCRIPTORS = 65_536
FAILED = 1
USAGE = 2
LOCKED = 75  # EX_TEMPFAIL of sysexits.h: the same command may work later


def run(invocation: Invocation) -> int:
    """Do what was asked for and return the exit status.

    Raises:
        KeyboardInterrupt: A signal came before the run began, or after its end.
    """
    # Around everything: a demo removes its files after the run, which takes a while.
    with Interruptions() as interruptions:
        return _run(invocation, interruptions)


def _run(invocation: Invocation, interruptions: Interruptions) -> int:
    try:
        return _VERBS[invocation.verb](invocation, interruptions)
    except UsageError as error:
        complain(error)
        return USAGE
    except FolderLocked as error:
        complain(error)
        return LOCKED
    except DownloaderError as error:
        complain(error)
    except Exception as error:  # noqa: BLE001 - the process's last resort
        complain(f"{type(error).__name__}: {error}", "internal error")
        if _wants_traceback(invocation):
            _say_traceback(error)
    return FAILED


def _wants_traceback(invocation: Invocation) -> bool:
    return bool(invocation.flags.get("verbose"))


def _say_traceback(error: Exception) -> None:
    from traceback import format_exception

    for line in "".join(format_exception(error)).splitlines():
        say(printable(redact_secrets(line)))


def _fetch(invocation: Invocation, interruptions: Interruptions) -> int:
    if "-" in invocation.sources and sys.stdin is None:
        raise UsageError("cannot read the list -: standard input is closed")
    settings = _settings(invocation, invocation.flags)

    def start(display: Progress, on_session: Callable[[Session], None]) -> Report:
        from downloader.api import run_list

        return run_list(invocation.sources, settings, display, on_session)

    return _carry_out(start, settings, interruptions)


def _demo(invocation: Invocation, interruptions: Interruptions) -> int:
    own = _own_values(DEMO_OPTIONS, invocation.own)
    if "output" in invocation.flags:
        settings = _settings(invocation, invocation.flags)
        status = _run_demo(settings, own, interruptions)
        _tell(
            settings, f"the files, compared with the site's, are in {settings.output}"
        )
        return status
    import tempfile

    with tempfile.TemporaryDirectory(prefix="downloader-demo-") as folder:
        settings = _settings(invocation, {**invocation.flags, "output": folder})
        status = _run_demo(settings, own, interruptions)
    _tell(
        settings,
        "the files were compared with the site's and removed; -o DIR keeps them",
    )
    return status


def _run_demo(
    settings: Settings, own: Mapping[str, object], interruptions: Interruptions
) -> int:
    def start(display: Progress, on_session: Callable[[Session], None]) -> Report:
        from downloader.demo import run_demo

        return run_demo(
            settings,
            display,
            files=int(str(own["files"])),
            latency_seconds=float(str(own["latency"])),
            seed=int(str(own["seed"])),
            on_session=on_session,
        )

    return _carry_out(start, settings, interruptions)


def _bench(invocation: Invocation, interruptions: Interruptions) -> int:
    from downloader.cli.benching import bench

    if "-" in invocation.sources and sys.stdin is None:
        raise UsageError("cannot read the list -: standard input is closed")
    own = _own_values(BENCH_OPTIONS, invocation.own)
    settings = _settings(invocation, invocation.flags)
    # What is measured lies in temporary folders and tells of itself in its own way.
    settings = msgspec.structs.replace(settings, report=None, no_progress=True)
    return bench(own, invocation.sources, settings, interruptions.check)


_VERBS: dict[str, Callable[[Invocation, Interruptions], int]] = {
    "bench": _bench,
    "demo": _demo,
    "fetch": _fetch,
}


def _settings(invocation: Invocation, flags: Mapping[str, object]) -> Settings:
    settings = load(flags, os.environ, _working_folder(), invocation.config)
    if settings.insecure:
        complain(
            "CERTIFICATES ARE NOT CHECKED (insecure): whoever sits on the way can read "
            "and change everything",
            "warning",
        )
    return settings


def _working_folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was removed, or may not be looked into
        return None


def _own_values(
    options: Iterable[Option], given: Mapping[str, object]
) -> dict[str, object]:
    return {
        option.name: _own_value(option, given[option.name])
        if option.name in given
        else option.default
        for option in options
    }


def _own_value(option: Option, value: object) -> object:
    try:
        return check(option, from_text(option, str(value)))
    except BadValue as error:
        raise InvalidSettings(f"{option.flag} {value!r}: {error}") from None


def _carry_out(start: Start, settings: Settings, interruptions: Interruptions) -> int:
    from downloader import progress

    if settings.report is not None:
        _check_kind(settings.report)
        _check_place(settings.report, settings.output)
    _allow_many_descriptors()
    display = progress.make(
        settings_quiet=settings.quiet, show=settings.progress, stream=sys.stderr
    )

    def attach(session: Session) -> None:
        be_ready()
        interruptions.attach(session)

    with _log(settings, display):
        report = start(display, attach)
        interruptions.detach()
        try:
            return _finish(report, settings)
        finally:
            report.close()


def _allow_many_descriptors() -> None:
    """Use the descriptors that the system would give for the asking, as browsers do.

    Each transfer takes a socket and a file, and 1,024 is a common limit to begin with.
    """
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(
                resource.RLIMIT_NOFILE, (min(wanted, MOST_DESCRIPTORS), hard)
            )


def _finish(report: Report, settings: Settings) -> int:
    # Quiet means errors only, so that a nightly job is silent when all went well.
    tell = report.failures_text if settings.quiet else report.text
    text = tell(_rows_in(settings.report))
    if text:
        say(text)
    if not report.summary.lines and not settings.quiet:
        complain("nothing was asked for: the list has no URL in it", "warning")
    status = report.exit_code
    if not _write_report(report, settings.report):
        status = FAILED
    if report.interrupted_by is not None:
        return 128 + report.interrupted_by
    return status


def _rows_in(path: str | None) -> str | None:
    """What will list every row, as the summary names it; a page does not."""
    from downloader.pages import needs

    if path is None or needs.is_page(path):
        return None
    return "the report" if path == "-" else path


def _tell(settings: Settings, text: str) -> None:
    if not settings.quiet:
        say(text)


def _write_report(report: Report, path: str | None) -> bool:
    """True unless a report was asked for and could not be written."""
    if path is None or (path == "-" and sys.stdout is None):
        return True
    try:
        _write_in_kind(report, path)
    except ImportError as error:
        return _complain_of(path, f"{error}; --report FILE.json needs nothing more")
    except BrokenPipeError:
        # Whoever read standard output has had enough, as `head` has.
        return path == "-" or _complain_of(path, "nobody reads from it")
    except OSError as error:
        return _complain_of(path, error.strerror or str(error))
    return True


def _check_kind(path: str) -> None:
    """A report that could not be made is refused before anything is fetched."""
    from downloader.pages import needs

    if needs.is_page(path):
        needs.require(f"--report {path}")


def _check_place(path: str, output: str) -> None:
    """Nor is anything fetched for one whose name the run itself takes for a folder."""
    if path == "-":
        return
    try:
        report, folder = os.path.realpath(path), os.path.realpath(output)
    except OSError:  # a folder below one that is gone: the run refuses it itself
        return
    if f"{folder}{os.sep}".startswith(f"{report}{os.sep}"):
        raise UsageError(
            f"--report {path}: is the output folder or above it; name a file"
        )


def _write_in_kind(report: Report, path: str) -> None:
    """The ending decides what a report is."""
    from downloader.pages import needs

    if not needs.is_page(path):
        report.write_json(path)
        return
    from downloader.pages.run import write_page

    write_page(report, path)


def _complain_of(path: str, reason: str) -> bool:
    complain(f"cannot write the report {path}: {reason}")
    return False


@contextmanager
def _log(settings: Settings, display: Progress) -> Iterator[None]:
    """The package's log, for the time of a run; `logging` is loaded with its first line."""
    undo: list[Callable[[], None]] = []

    def set_up(logger: Logger) -> None:
        from downloader.cli.lines import show_lines

        undo.append(show_lines(logger, settings, display))

    forget = when_loaded(set_up)
    try:
        yield
    finally:
        forget()
        for step in undo:
            step()

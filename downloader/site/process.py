"""The embedded site as seen from the process that wants it: start, ask, stop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

from downloader.errors import DownloaderError
from downloader.site.content import Catalogue

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["Site", "SiteError"]

_STOP_SECONDS = 5.0


class SiteError(DownloaderError):
    """The embedded site did not do its part; `reason` says in what."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"embedded site: {self.reason}"


class Site:
    """The embedded site in a process of its own, from `with` to its end.

    The child ends with its parent, however the parent ends.

    Args:
        files: How many files its list has.
        seed: Decides their sizes and bytes.
        latency_seconds: How long each answer's head is held back.
        start_seconds: How long starting may take.
        is_swift: True for the server that is the fastest, and answers plain GET alone.
    """

    def __init__(
        self,
        *,
        files: int = 300,
        seed: int = 1,
        latency_seconds: float = 0.0,
        start_seconds: float = 30.0,
        is_swift: bool = False,
    ) -> None:
        self.files = files
        self.seed = seed
        self.latency_seconds = latency_seconds
        self._start_seconds = start_seconds
        self._module = "downloader.site.swift" if is_swift else "downloader.site"
        self._child: subprocess.Popen[bytes] | None = None
        self._address: str | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The site's origin, without a slash at the end."""
        if self._address is None:
            raise SiteError("not started")
        return self._address

    @property
    def pid(self) -> int | None:
        """The server's process, None while there is none."""
        return self._child.pid if self._child else None

    @cached_property
    def catalogue(self) -> Catalogue:
        """What the site holds."""
        return Catalogue(self.seed, self.files)

    def urls(self) -> list[str]:
        """Every URL of the catalogue, in its order."""
        return [self.url + path for path, _ in self.catalogue]

    def sha256(self, url_path: str) -> str:
        """The digest of the file under a path (or a whole URL) of the site."""
        return self.catalogue.sha256(urlsplit(url_path).path)

    def start(self) -> None:
        """Start the server and wait until it listens.

        Raises:
            SiteError: It ended at once, or took longer than `start_seconds`.
        """
        with tempfile.TemporaryFile() as complaints:
            self._child = _spawn(self._argv(), complaints)
            began_at = time.monotonic()
            line = _first_line(self._child, self._start_seconds)
            try:
                self._address = str(json.loads(line)["url"])
            except (ValueError, KeyError):
                is_late = time.monotonic() - began_at >= self._start_seconds
                # Late, it was ended by us; that status says nothing.
                status = None if is_late else self._child.poll()
                self.stop()
                raise SiteError(self._start_failure(status, complaints)) from None

    def stop(self) -> None:
        """End the server; does nothing if there is none."""
        child, self._child, self._address = self._child, None, None
        if child is None:
            return
        child.terminate()
        try:
            child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()

    def _argv(self) -> list[str]:
        # -P: a file in the current folder must not stand in for a module.
        argv = [sys.executable, "-P", "-m", self._module]
        argv += ["--files", str(self.files), "--seed", str(self.seed)]
        return [*argv, "--latency", str(self.latency_seconds)]

    def _start_failure(self, status: int | None, complaints: IO[bytes]) -> str:
        complaints.seek(0)
        last = complaints.read().decode(errors="replace").strip().rpartition("\n")[2]
        if last:
            return f"cannot be started: {last}"
        if status is not None:
            return f"cannot be started: it ended with status {status}"
        return f"did not start within {self._start_seconds:g} s"


def _spawn(argv: list[str], complaints: IO[bytes]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603 - this interpreter, our own module
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env=_environment(),
        )
    except OSError as error:
        raise SiteError(f"cannot be started: {error}") from error


def _environment() -> dict[str, str]:
    """The child's environment: it must find this very package, installed or not."""
    here = str(Path(__file__).resolve().parents[2])
    path = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([here, path] if path else [here]),
    }


def _first_line(child: subprocess.Popen[bytes], seconds: float) -> bytes:
    """The child's first line; empty if it ends, or is ended, before it wrote one."""
    assert child.stdout is not None
    # Reading a pipe with a timeout is not portable; a pipe whose writer ended is.
    alarm = threading.Timer(seconds, child.kill)
    alarm.start()
    try:
        return child.stdout.readline()
    finally:
        alarm.cancel()

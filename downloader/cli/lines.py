"""The package's log as lines for the user of the command."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from downloader.cli.streams import complain

if TYPE_CHECKING:
    from collections.abc import Callable

    from downloader.progress import Progress
    from downloader.settings import Settings

__all__ = ["show_lines"]


class _LineHandler(logging.Handler):
    """Records as single lines: above the bars, or on standard error if there are none."""

    def __init__(self, display: Progress) -> None:
        super().__init__()
        self._display = display

    def emit(self, record: logging.LogRecord) -> None:
        level, message = record.levelname.lower(), record.getMessage()
        if self._display.takes_notes:
            self._display.note(f"downloader: {level}: {message}")
        else:
            complain(message, level)


def show_lines(
    logger: logging.Logger, settings: Settings, display: Progress
) -> Callable[[], None]:
    """Have a logger's records shown from now on; what is returned undoes it."""
    handler = _LineHandler(display)
    level, propagates = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(_level(settings))
    logger.propagate = False

    def undo() -> None:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagates

    return undo


def _level(settings: Settings) -> int:
    if settings.quiet:
        return logging.ERROR
    return logging.INFO if settings.verbose else logging.WARNING

"""The package's log: `logging`, loaded with the first message, for it takes 10 ms.

A program that has set up a log of its own has loaded it already, and sees no difference.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

__all__ = ["Log", "package_logger", "when_loaded"]

_PACKAGE = "downloader"
_waiting: list[Callable[[logging.Logger], None]] = []


def package_logger() -> logging.Logger:
    """The logger above all others here; silent unless someone gives it a handler."""
    import logging

    logger = logging.getLogger(_PACKAGE)
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    while _waiting:
        _waiting.pop()(logger)
    return logger


def when_loaded(set_up: Callable[[logging.Logger], None]) -> Callable[[], None]:
    """Have the package's logger set up before its first message.

    Returns:
        What takes the wish back, if it has not come to that.
    """
    _waiting.append(set_up)
    if "logging" in sys.modules:
        package_logger()

    def forget() -> None:
        if set_up in _waiting:
            _waiting.remove(set_up)

    return forget


class Log:
    """A module's logger; messages are attributed to whoever calls.

    Args:
        name: The module's name.
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def debug(self, message: str, *values: object, error: BaseException) -> None:
        """Tell developers of a fault, with its traceback."""
        self._logger().debug(message, *values, exc_info=error, stacklevel=2)

    def info(self, message: str, *values: object) -> None:
        """Tell whoever wants to know more."""
        self._logger().info(message, *values, stacklevel=2)

    def warning(self, message: str, *values: object) -> None:
        """Tell of what may surprise."""
        self._logger().warning(message, *values, stacklevel=2)

    def error(self, message: str, *values: object) -> None:
        """Tell of what is wrong."""
        self._logger().error(message, *values, stacklevel=2)

    def _logger(self) -> logging.Logger:
        package_logger()
        import logging

        return logging.getLogger(self._name)

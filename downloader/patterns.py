"""Regular expressions that are compiled when they are first used.

Compiling takes 0.1 to 1 ms each, and most runs use few of them. Once a method has been
called it is as quick as any attribute.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import AnyStr

__all__ = ["lazy"]


class _Lazy:
    def __init__(self, pattern: str | bytes, flags: int) -> None:
        self._arguments = pattern, flags

    def __getattr__(self, name: str) -> object:
        pattern, flags = self._arguments
        found: object = getattr(re.compile(pattern, flags), name)
        setattr(self, name, found)
        return found


def lazy(pattern: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """The pattern, as `re.compile` gives it, but later; a fault in it shows at its use."""
    return _Lazy(pattern, flags)  # type: ignore[return-value] # it has all its attributes

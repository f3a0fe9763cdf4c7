"""`NamedTuple` as of `typing`, made in a third of the time.

`typing` compiles the annotation of each field, which in some thirty classes takes 4 ms of
a start and is of use to nobody here: the type checker reads them in the source.
"""

from __future__ import annotations

from collections import namedtuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple
else:

    class _Meta(type):
        def __new__(mcs, name, bases, namespace):
            if not bases:
                return super().__new__(mcs, name, bases, namespace)
            fields = namespace.pop("__annotations__", {})
            defaults = [namespace.pop(field) for field in fields if field in namespace]
            made = namedtuple(
                name, fields, defaults=defaults, module=namespace["__module__"]
            )
            for key, value in namespace.items():
                if key not in {"__module__", "__qualname__"}:
                    setattr(made, key, value)
            return made

    class NamedTuple(metaclass=_Meta):
        """Base of a tuple class whose annotations are its fields."""


__all__ = ["NamedTuple"]

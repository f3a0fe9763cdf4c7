"""What a process that is all ours does first, to start quickly; a library's caller never.

Two libraries import far more than this program uses of them: msgspec, to know types of
`typing_extensions`, `uuid` and `decimal`, and pycurl, for its asyncio interface. Without
these a run starts 25 ms sooner. Whoever shares a process with others must not do this
to them.
"""

from __future__ import annotations

import gc
import os
import sys
from importlib import import_module
from types import ModuleType

__all__ = ["be_ready", "prepare"]

# New objects between two looks for garbage; what Python has from 3.13 on.
_YOUNG_OBJECTS = 2_000


def prepare() -> None:
    """Load what every run needs, and nothing that none needs; called once, first."""
    # Nothing of what is loaded is ever garbage; looking for some takes 5 ms.
    gc.set_threshold(0)
    if hasattr(sys, "setdlopenflags"):
        # A library's functions are found when they are called: few of them are.
        sys.setdlopenflags(os.RTLD_LAZY)
    # Stays: pycurl is loaded later, and by some strategies only.
    sys.modules.setdefault(
        "pycurl.async_multi", _stand_in("pycurl.async_multi", AsyncCurlMulti=None)
    )
    _load_msgspec()


def be_ready() -> None:
    """After `prepare`, once all is loaded: look for garbage again, but not among that."""
    if gc.get_threshold()[0] == 0:
        gc.freeze()
        gc.set_threshold(_YOUNG_OBJECTS)


def _load_msgspec() -> None:
    unknown = type("SafeUUID", (), {"unknown": None})
    stand_ins = {
        # None makes an import fail, as if it were not installed.
        "typing_extensions": None,
        "uuid": _stand_in("uuid", UUID=type("UUID", (), {}), SafeUUID=unknown),
        "decimal": _stand_in("decimal", Decimal=type("Decimal", (), {})),
        "msgspec.inspect": _stand_in("msgspec.inspect"),
        "msgspec._json_schema": _stand_in(
            "msgspec._json_schema", schema=None, schema_components=None
        ),
    }
    absent = [name for name in stand_ins if name not in sys.modules]
    for name in absent:
        sys.modules[name] = stand_ins[name]  # type: ignore[assignment] # see above
    try:
        import msgspec  # noqa: F401 - later imports find it loaded
    finally:
        for name in absent:
            del sys.modules[name]


def _stand_in(name: str, **members: object) -> ModuleType:
    """A module with a few members; asked for another one it fetches the real module."""

    def find(member: str) -> object:
        if member.startswith("__"):
            raise AttributeError(member)
        if sys.modules.get(name) is module:
            del sys.modules[name]
        return getattr(import_module(name), member)

    module = ModuleType(name)
    vars(module).update(members, __getattr__=find)
    return module

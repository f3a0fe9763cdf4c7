"""What a part file may be gone on with under: `DIR/.downloader/parts/`, a file for each.

Written by whoever writes the part, after the part is made, and removed before the part is
made anew: whenever the process dies, a record describes the bytes beside it, or there is
none. Bodies of up to a MiB have none while they come: to write it takes as long as they do.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

import msgspec

from downloader.errors import DiskError
from downloader.models import Partial
from downloader.policy import headers, naming, standing
from downloader.policy.naming import part_name
from downloader.quick_hash import sha256
from downloader.transfer.folder import NOFOLLOW, NONBLOCK, RECORDS

if TYPE_CHECKING:
    from downloader.transfer.folder import Folder

FOLDER = f"{RECORDS}/parts"
_MOST_BYTES = 64 << 10
_CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | NOFOLLOW
_READ_FLAGS = os.O_RDONLY | NOFOLLOW | NONBLOCK


class PartRecord(msgspec.Struct, frozen=True):
    """The version that a part belongs to.

    Attributes:
        path: The final name of its file, relative to the output folder.
        url: Where it came from, after redirects.
        validator: As `Partial.validator`.
        total_bytes: The whole file's length, None if not known.
        is_divided: True if a map tells which of its bytes are there.
        boot: The system's start during which it was written, empty if the part was
            synced: of what was not, nobody knows after a power cut how much is there.
    """

    path: str
    url: str
    validator: str
    total_bytes: int | None
    boot: str
    is_divided: bool = False


_decode = msgspec.json.Decoder(PartRecord).decode


def write(
    folder: Folder, path: str, partial: Partial, *, is_synced: bool = False
) -> None:
    """Record under what the part of `path` may be gone on with; a full disk is no matter."""
    boot = "" if is_synced else boot_id()
    record = PartRecord(
        path,
        partial.url,
        partial.validator,
        partial.total_bytes,
        boot,
        partial.is_divided,
    )
    _remove(folder, _place(path))
    with contextlib.suppress(OSError, DiskError):
        parent, name = folder.locate(_place(path))
        descriptor = os.open(name, _CREATE_FLAGS, 0o600, dir_fd=parent)
        with open(descriptor, "wb") as stream:
            stream.write(msgspec.json.encode(record))


def erase(folder: Folder, path: str) -> None:
    """Forget the part of `path`; nothing happens if there is no record of it."""
    _remove(folder, _place(path))
    _remove(folder, map_place(path))


def map_place(path: str) -> str:
    """Where the map of a divided part is."""
    return _place(path).removesuffix(".json") + ".map"


def _remove(folder: Folder, place: str) -> None:
    with contextlib.suppress(OSError, DiskError):
        parent, name = folder.find(place)
        os.unlink(name, dir_fd=parent)


def read(folder: Folder, path: str) -> Partial | None:
    """The part of `path` if it can be gone on with, and how far it has come."""
    with contextlib.suppress(OSError, DiskError):
        record = _load(folder, _place(path))
        if record is not None and record.path == path:
            return _with_size(folder, record)
    return None


def sweep(folder: Folder, root: str) -> set[str]:
    """The final names whose parts can be gone on with; all other records are removed."""
    kept = set()
    with contextlib.suppress(OSError, DiskError):
        parent, _ = folder.find(f"{FOLDER}/.")
        directory = os.path.join(root, *FOLDER.split("/")) if parent is None else parent
        names = os.listdir(directory)
        maps = {f"{FOLDER}/{name}" for name in names if name.endswith(".map")}
        for name in names:
            if name.endswith(".map"):
                continue
            path = _named(folder, name)
            if path is not None and read(folder, path) is not None:
                kept.add(path)
                maps.discard(map_place(path))
            else:
                _remove(folder, f"{FOLDER}/{name}")
        for place in maps:
            _remove(folder, place)
    return kept


def _named(folder: Folder, name: str) -> str | None:
    """The final name that a record is for; None if it was cut off as it was written."""
    with contextlib.suppress(OSError, DiskError):
        record = _load(folder, f"{FOLDER}/{name}")
        if record is not None and _place(record.path).endswith(f"/{name}"):
            return record.path
    return None


def _load(folder: Folder, place: str) -> PartRecord | None:
    """Read a record; None if no run of ours wrote it."""
    parent, name = folder.find(place)
    descriptor = os.open(name, _READ_FLAGS, dir_fd=parent)
    try:
        record = _decode(os.read(descriptor, _MOST_BYTES))
    except msgspec.MsgspecError:
        return None
    finally:
        os.close(descriptor)
    return record if _is_sound(record) else None


def _is_sound(record: PartRecord) -> bool:
    """True if every value is one of its kind: whoever may write here may have made it."""
    total = record.total_bytes
    return (
        naming.is_inside(record.path)
        and headers.is_validator(record.validator)
        and standing.is_url(record.url)
        and (standing.is_count(total) or (total is None and not record.is_divided))
    )


def boot_id() -> str:
    """The present start of the system; empty where that cannot be told."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
            return stream.read().strip()
    except OSError:
        return ""


def _place(path: str) -> str:
    return f"{FOLDER}/{sha256(path.encode()).hexdigest()[:32]}.json"


def _with_size(folder: Folder, record: PartRecord) -> Partial | None:
    parent, name = folder.find(part_name(record.path))
    found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    total = record.total_bytes
    is_sound = stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_size
    if not is_sound or (total is not None and found.st_size > total):
        return None
    if record.boot not in {"", boot_id()}:
        return None
    return Partial(
        found.st_size, record.validator, total, record.url, record.is_divided
    )

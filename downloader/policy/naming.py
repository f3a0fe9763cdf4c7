"""Where a URL's file lies below the output folder: a name that depends on the URL alone.

A component that every file system takes as it stands is *clean* and keeps its text.
Anything else keeps what can be read of it and carries a mark, so that two URLs never
share a file and no file stands where another URL needs a folder:

    page.html           a clean file with an extension      a clean folder without one
    README~f            a clean file without an extension
    v1.2~d                                                  a clean folder with one
    a_b~0123456789.txt  what had to be changed or has a query, with ten hex digits
                        of the URL's hash (a folder: of its own prefix of the URL)
    index~.html         the empty last component of a URL that ends in "/"
    long~0123456789     all folders of a path that would be too long

A URL's own text that looks like one of these marks is not clean. Nor does any name end
in `.part`, which belongs to the files that are still growing.
"""

from __future__ import annotations

import re
from functools import lru_cache
from unicodedata import normalize

from downloader.patterns import lazy
from downloader.quick_hash import sha256

from .redaction import redact_query
from .urls import Url, identity

__all__ = ["PART_SUFFIX", "is_inside", "name", "part_name"]

PART_SUFFIX = ".part"

_RECORDS = ".downloader"
_INDEX = "index~.html"
_FILE_MARK = "~f"
_FOLDER_MARK = "~d"
_MAX_COMPONENT_BYTES = (
    240  # 255 is the limit of most file systems; `.part` must fit too
)
_MAX_PATH_BYTES = 900  # PATH_MAX is 1024 on macOS; the output folder takes its share
_MAX_QUERY_LENGTH = 80
_HASH_LENGTH = 10
_HTTPS_PORT = 443

# What Windows refuses or changes in silence:
# https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_BAD = r'[/\\:*?"<>|]'
_BAD_CHARACTER = lazy(_BAD)
_DEVICE = r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)"
_DEVICE_WITH_EXTENSION = lazy(rf"{_DEVICE}[ ]*\.", re.IGNORECASE)
_UNCLEAN = lazy(
    rf"""
    {_BAD}
    | \A (?: \Z | [ ] | index~\.html\Z | {_DEVICE}[ ]*(?:\.|\Z) )
    | (?: [. ] | \.part | ~[fd] | ~[0-9a-f]{{10}}(?:\.[a-z0-9]{{1,16}})? ) \Z
    """,
    re.VERBOSE | re.IGNORECASE,
)
# Windows gives a long name a second, short one such as "PROGRA~1.TXT", and opens both.
_SHORT_ALIAS = lazy(r"~[0-9]+(?:\.|\Z)")
# Encoded, these mean something else than bare (RFC 3986 §2.2), though both read alike.
_ENCODED_DELIMITER = lazy(r"%(?:2[146789ABC]|3[ABD]|40)")
_EXTENSION = lazy(
    r"(.+)(\.(?!part\Z)[A-Za-z0-9]{1,16})", re.DOTALL | re.IGNORECASE | re.ASCII
)
_CLEAN_HOST = lazy(r"[a-z0-9.-]+")


# Letters of clean ASCII components, by whether names must be portable.
_PLAIN = {False: r"A-Za-z0-9_!$&'()+,;=@-", True: r"a-z0-9_!$&'()+,;=@-"}


def _plain_component(letters: str) -> str:
    return rf"(?!{_DEVICE}(?:[./]|\Z))(?-i:[{letters}])+"


_PLAIN_FOLDERS = {
    portable: lazy(rf"(?:/{_plain_component(letters)})*", re.IGNORECASE)
    for portable, letters in _PLAIN.items()
}
# Its group is the extension.
_PLAIN_FILE = {
    portable: lazy(
        rf"{_plain_component(letters)}((?:\.(?-i:[{letters}])+)+)?(?<!\.part)",
        re.IGNORECASE,
    )
    for portable, letters in _PLAIN.items()
}


def name(url: Url, layout: str, portable: bool) -> str:  # noqa: FBT001 - the last of three plain values
    """The file's path relative to the output folder, with forward slashes.

    A function of the URL's identity alone. Two identities share a name only if 40 bits
    of their hashes collide and their readable parts are the same.

    Args:
        url: Where the file comes from.
        layout: `tree` for `host/folders/file`, `flat` for the file alone.
        portable: Keep names apart also where letter case or Unicode forms do not count,
            as on macOS and Windows.
    """
    if layout == "flat":
        return _flat_name(url, portable=portable)
    return _plain_name(url, portable=portable) or _tree_name(url, portable=portable)


def is_inside(path: str) -> bool:
    """True if a path read from a record lies below the output folder, as all names do."""
    components = path.split("/")
    return (
        path.isprintable()
        and components[0] != _RECORDS
        and not {"", ".", ".."}.intersection(components)
    )


def part_name(name: str) -> str:
    """The name of the file that grows until `name` is complete; no URL's name is it."""
    return name + PART_SUFFIX


def _plain_name(url: Url, *, portable: bool) -> str | None:
    """What `_tree_name` would say of a URL that needs no hash, in a fifth of its time."""
    path = url.target
    # In a path as short as one component may be, none is too long.
    if len(path) > _MAX_COMPONENT_BYTES - len(_FILE_MARK):
        return None
    folders, _, file = path.rpartition("/")
    match = _PLAIN_FILE[portable].fullmatch(file)
    if match is None or not _is_plain(folders, portable=portable):
        return None
    return _host_folder(url) + path + ("" if match[1] else _FILE_MARK)


# Of a list's files many stand in one folder.
@lru_cache(maxsize=1_024)
def _is_plain(folders: str, *, portable: bool) -> bool:
    return _PLAIN_FOLDERS[portable].fullmatch(folders) is not None


def _tree_name(url: Url, *, portable: bool) -> str:
    resource = identity(url)
    path, query = _path_and_query(resource)
    *folders, last = path.split("/")
    file = _file(last, query, resource, portable=portable)
    prefix = url.origin
    components = [_host_folder(url)]
    for folder in folders:
        prefix += f"/{folder}"
        components.append(_folder(folder, f"{prefix}/", portable=portable))
    whole = "/".join([*components, file])
    if len(whole.encode()) > _MAX_PATH_BYTES:
        return f"{components[0]}/long~{_hash(f'{prefix}/')}/{file}"
    return whole


def _flat_name(url: Url, *, portable: bool) -> str:
    resource = identity(url)
    path, query = _path_and_query(resource)
    segment = path.rpartition("/")[2]
    readable = _split(segment) if segment else (_sanitised(url.host), ".html")
    return _hashed(*_with_query(*readable, query), resource, portable=portable)


def _path_and_query(resource: str) -> tuple[str, str | None]:
    """The path without its first "/", and the query, None if there is no "?"."""
    path, mark, query = resource.split("/", 3)[3].partition("?")
    return path, query if mark else None


def _host_folder(url: Url) -> str:
    return _origin_folder(url.scheme, url.host, url.port)


# A list names few hosts and each of them often.
@lru_cache(maxsize=1_024)
def _origin_folder(scheme: str, host: str, port: int) -> str:
    folder = f"{host}_{port}"
    if scheme == "https":
        folder = host if port == _HTTPS_PORT else f"{folder}_https"
    is_clean = _CLEAN_HOST.fullmatch(host) and not _UNCLEAN.search(folder)
    if is_clean and len(folder) <= _MAX_COMPONENT_BYTES:
        return folder
    origin = Url(scheme, host, port, "/").origin
    return _hashed(_sanitised(folder), "", origin, portable=False)


def _folder(segment: str, prefix: str, *, portable: bool) -> str:
    text = _clean_text(segment, portable=portable)
    if text is not None:
        marked = text + _FOLDER_MARK if _has_extension(text) else text
        if _fits(marked):
            return marked
    return _hashed(*_split(segment), prefix, portable=portable)


def _file(segment: str, query: str | None, resource: str, *, portable: bool) -> str:
    if query is not None:
        readable = _split(segment) if segment else ("index", ".html")
        return _hashed(*_with_query(*readable, query), resource, portable=portable)
    if not segment:
        return _INDEX
    text = _clean_text(segment, portable=portable)
    if text is not None:
        marked = text if _has_extension(text) else text + _FILE_MARK
        if _fits(marked):
            return marked
    return _hashed(*_split(segment), resource, portable=portable)


def _clean_text(segment: str, *, portable: bool) -> str | None:
    """The segment decoded, None if that text could not stand for this segment alone."""
    try:
        text = _unquoted(segment).decode("utf-8") if "%" in segment else segment
    except UnicodeDecodeError:
        return None
    if _ENCODED_DELIMITER.search(segment) or _UNCLEAN.search(text):
        return None
    is_clean = text.isprintable() and (not portable or _is_portable(text))
    return text if is_clean else None


def _is_portable(text: str) -> bool:
    # File systems differ in how they fold: upper-casing joins the dotless i to "i",
    # casefolding does not.
    return (
        text == text.casefold() == text.upper().casefold() == normalize("NFC", text)
        and _SHORT_ALIAS.search(text) is None
    )


def _has_extension(text: str) -> bool:
    return "." in text[1:]


def _fits(component: str) -> bool:
    return len(component.encode()) <= _MAX_COMPONENT_BYTES


def _split(segment: str) -> tuple[str, str]:
    """What can be read of a segment, with its last extension apart, if it is a usual one."""
    text = _sanitised(segment)
    match = _EXTENSION.fullmatch(text)
    return (match.group(1), match.group(2)) if match else (text, "")


def _with_query(stem: str, extension: str, query: str | None) -> tuple[str, str]:
    if not query:
        return stem, extension
    # Names are listed, logged and shared: a token has no place in them.
    shown = redact_query(f"?{query}")[1:]
    return f"{stem}_{_sanitised(shown)[:_MAX_QUERY_LENGTH]}", extension


def _sanitised(text: str) -> str:
    decoded = _unquoted(text).decode("utf-8", "replace").replace("\ufffd", "_")
    kept = "".join(mark if mark.isprintable() else "_" for mark in decoded)
    safe = _BAD_CHARACTER.sub("_", kept) or "_"
    return f"_{safe[1:]}" if safe.startswith(" ") else safe


def _unquoted(text: str) -> bytes:
    from urllib.parse import unquote_to_bytes  # 3 ms, and a plain name has no need

    return unquote_to_bytes(text)


def _hashed(stem: str, extension: str, hashed: str, *, portable: bool) -> str:
    if _DEVICE_WITH_EXTENSION.match(stem):
        stem = f"_{stem}"
    if portable:
        stem, extension = normalize("NFC", stem.lower()), extension.lower()
    ending = f"~{_hash(hashed)}{extension}"
    return _cut(stem, _MAX_COMPONENT_BYTES - len(ending)) + ending


def _cut(text: str, size_bytes: int) -> str:
    return text.encode()[:size_bytes].decode("utf-8", "ignore")


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:_HASH_LENGTH]

"""The exceptions of the package; an expected failure of a download is a value, not one of these.

    DownloaderError
    ├── UsageError              the caller asked for something impossible
    │   ├── InvalidUrl          a text is no http or https URL
    │   ├── InvalidSettings     a flag, key or variable has a value that cannot be used
    │   ├── StrategyUnavailable a strategy's engine is not installed
    │   └── PagesUnavailable    what draws pages with plots is not installed
    ├── TransportError          one attempt failed on the network; carries its kind
    ├── DiskError               a file could not be created, written or moved
    │   ├── PartLost            a part cannot be gone on with
    │   └── TargetExists        a file that is not ours has the name
    ├── ManifestError           the record of a folder could not be opened or written
    ├── FolderLocked            another run uses the folder
    └── StrategyError           a strategy's mechanism broke, and not through a download

Every exception carries its values as fields, builds its text from them, and survives
pickling, since it may cross from a worker to the parent: each hands all that its
constructor takes, in that order, to `Exception`, which pickles it.
"""

from __future__ import annotations

__all__ = [
    "DiskError",
    "DownloaderError",
    "FolderLocked",
    "InvalidSettings",
    "InvalidUrl",
    "ManifestError",
    "PagesUnavailable",
    "PartLost",
    "StrategyError",
    "StrategyUnavailable",
    "TargetExists",
    "TransportError",
    "UsageError",
]


class DownloaderError(Exception):
    """The base of every exception that this package raises on purpose."""


class UsageError(DownloaderError):
    """A request that cannot be met as it was put; the text says what to change."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message


class InvalidUrl(UsageError):
    """A text that is no URL this program can fetch; `message` says why."""


class InvalidSettings(UsageError):
    """A setting with a value that cannot be used; `message` names it, its value and its source."""


class StrategyUnavailable(UsageError):
    """A strategy whose engine is not installed; `message` names the extra to install."""


class PagesUnavailable(UsageError):
    """A page that cannot be made for want of libraries; `message` names the extra to install."""


class TransportError(DownloaderError):
    """An attempt that failed on the network.

    Args:
        kind: The stable word of the failure, one of `downloader.models.ErrorKind`.
        detail: What happened, for a person; holds no secret.
        stale: True if a reused connection died before a byte of the answer came, so
            that the same request on a fresh one may well succeed (RFC 9112 §9.3.1).
    """

    def __init__(self, kind: str, detail: str, stale: bool = False) -> None:  # noqa: FBT001, FBT002 - positional for pickling
        super().__init__(kind, detail, stale)
        self.kind = kind
        self.detail = detail
        self.stale = stale

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}"


class DiskError(DownloaderError):
    """A file that could not be created, written or moved.

    Deliberately no `OSError`: the network's errors are OSErrors too, and a full disk
    must never be taken for a lost connection.
    """

    def __init__(self, action: str, path: str, reason: str) -> None:
        super().__init__(action, path, reason)
        self.action = action
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot {self.action} {self.path}: {self.reason}"


class PartLost(DiskError):
    """A part that cannot be gone on with; starting from nothing helps."""


class TargetExists(DiskError):
    """A file that is not ours has the name, and stays."""


class FolderLocked(DownloaderError):
    """Another run uses the folder."""

    def __init__(self, folder: str, holder: str) -> None:
        super().__init__(folder, holder)
        self.folder = folder
        self.holder = holder

    def __str__(self) -> str:
        return (
            f"another run uses {self.folder}: {self.holder}; "
            "wait for its end, or name another folder"
        )


class ManifestError(DownloaderError):
    """The record of a folder could not be opened or written.

    Args:
        path: The file concerned.
        reason: Why.
        is_full: True if it is for want of room on the disk.
    """

    def __init__(self, path: str, reason: str, is_full: bool = False) -> None:  # noqa: FBT001, FBT002 - positional for pickling
        super().__init__(path, reason, is_full)
        self.path = path
        self.reason = reason
        self.is_full = is_full

    def __str__(self) -> str:
        return f"cannot use the manifest {self.path}: {self.reason}"


class StrategyError(DownloaderError):
    """A strategy's own mechanism broke (no process can be started, say)."""

    def __init__(self, strategy: str, reason: str) -> None:
        super().__init__(strategy, reason)
        self.strategy = strategy
        self.reason = reason

    def __str__(self) -> str:
        return f"strategy '{self.strategy}' broke: {self.reason}"

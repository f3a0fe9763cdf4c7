"""What the output folder holds already, and the record of what comes to it.

The session asks here what to do about each request before it is queued, and tells here
how each ended. Rules are in `downloader.policy.standing`, SQL is in `downloader.manifest`;
here they meet the disk. A run goes on without its manifest if that breaks, says so, and
is not a success.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

from downloader.errors import DiskError, ManifestError, TransportError
from downloader.folder_lock import FolderLock
from downloader.inspector import Inspector
from downloader.log import Log
from downloader.manifest import Manifest, note_gap
from downloader.models import Known, Saved
from downloader.policy import digests
from downloader.policy.naming import part_name
from downloader.policy.redaction import printable
from downloader.policy.standing import (
    Action,
    Case,
    Decision,
    Wishes,
    decide,
    examined_by,
    settle,
)
from downloader.record_folder import RecordFolder
from downloader.transfer import part_record
from downloader.transfer.digest import Digest
from downloader.transfer.folder import Folder
from downloader.transfer.part_file import remove_part
from downloader.transfer.share import release_share
from downloader.tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from downloader.models import AttemptResult, Entry, Outcome, Partial
    from downloader.policy.standing import Record, Stamp

logger = Log(__name__)

# Files of which a word is said each; of the others, how many there were.
MOST_WORDS = 5
_READ_BYTES = 1 << 20
# Folders of which it is remembered whether the run has made them.
MOST_FOLDERS = 4_096


class Found(NamedTuple):
    """What is to be done about a request.

    Attributes:
        action: FETCH and ASK go to the frontier; EXAMINE has been begun, and `examined`
            brings what comes of it; the others are the end.
        entry: The request, with what the fetch must know.
        saved: The file at hand, for an end that has one.
    """

    action: Action
    entry: Entry
    saved: Saved | None = None


class _Lost(NamedTuple):
    """An attempt whose worker died, and the file that it may have put in place."""

    result: AttemptResult
    entry: Entry
    stamp: Stamp


class Holdings:
    """An output folder in the hands of one run; used by the session's thread.

    Args:
        root: Its absolute path.
        wishes: What is to be done about files that are there.
        wake: Called from another thread when `examined` has something.
        is_durable: Whether what is recorded must outlive a power cut.

    Attributes:
        record_folder: Its `.downloader`, held open.
        is_recorded: False once the manifest could not be written.

    Raises:
        FolderLocked: Another run uses it.
        ManifestError: Its record cannot be opened.
    """

    def __init__(
        self, root: str, wishes: Wishes, wake: Callable[[], None], *, is_durable: bool
    ) -> None:
        self.record_folder = RecordFolder(root)
        self._folder = Folder(root)
        self._unsynced: list[str] = []
        self._lock = FolderLock(root, self.record_folder)
        self.is_recorded = True
        self._manifest: Manifest | None = None
        try:
            self._open_manifest(is_durable=is_durable)
        except BaseException:
            self._lock.release()
            raise
        self._wishes = wishes
        self._is_durable = is_durable
        # The names whose parts may be gone on with.
        self._parts = part_record.sweep(self._folder, root)
        self._inspector: Inspector[tuple[Entry, Case]] = Inspector(root, wake)
        self._lost: Inspector[_Lost] = Inspector(root, wake)
        self._words = 0
        self._new_folders: dict[str, bool] = {}

    # What is there

    @property
    def pending(self) -> int:
        """Requests whose files are being read before anyone is asked for them."""
        return self._inspector.pending

    @property
    def pending_lost(self) -> int:
        """Attempts in flight whose files are being read, since their workers died."""
        return self._lost.pending

    @property
    def has_room(self) -> bool:
        """False while so many files are being read that no more should be asked for."""
        return self._inspector.has_room

    @property
    def commit_seconds(self) -> float:
        """How long its callers have waited for the record to be committed."""
        return 0.0 if self._manifest is None else self._manifest.commit_seconds

    def look(self, entry: Entry) -> Found:
        """What to do about a request; its intent is recorded if it is to be fetched."""
        if self._is_unheard_of(entry.path):
            return Found(Action.FETCH, entry)
        case = self._case(entry)
        return self._follow(entry, case, decide(case, self._wishes))

    def examined(self) -> list[Found]:
        """What to do about requests whose files have been read meanwhile."""
        return [
            self._follow(
                entry,
                case,
                settle(case, self._wishes, digest),
                digest,
            )
            for (entry, case), digest in self._inspector.collect()
        ]

    def stop_reading(self) -> None:
        """The run is to end: read no more. Safe in a signal handler."""
        self._inspector.stop()
        self._lost.stop()

    def unread(self) -> list[Entry]:
        """After `stop_reading`: requests whose files were still to be read."""
        return [entry for (entry, _), _ in self._inspector.collect()]

    def may_be_done(self, entry: Entry, result: AttemptResult) -> bool:
        """True if a worker that died had put its file in place: it is being read.

        `found` brings what the worker could not tell.
        """
        stamp = self._folder.stamp(entry.path)
        if stamp is None or self._manifest is None:
            return False
        try:
            intent = self._manifest.own_intent(entry.path)
        except ManifestError as error:
            self._give_up(error)
            return False
        if intent is None or intent.before == stamp:
            return False
        algorithm = digests.algorithm_for(entry.checksum, digests.SHA256)
        self._lost.ask(_Lost(result, entry, stamp), entry.path, algorithm)
        return True

    def found(self) -> list[AttemptResult]:
        """The results of attempts whose workers had died, as far as they are known now."""
        return [self._result(lost, digest) for lost, digest in self._lost.collect()]

    def _result(self, lost: _Lost, digest: str | None) -> AttemptResult:
        if digest is None or lost.entry.checksum not in {None, digest}:
            return lost.result
        self.tidy(lost.entry.path)
        saved = _adopted(lost.stamp, digest)
        return msgspec.structs.replace(lost.result, failure=None, saved=saved)

    def partial(self, path: str) -> Partial | None:
        """What a worker that died left of a file, if it can be gone on with."""
        return part_record.read(self._folder, path)

    def release(self, path: str, attempt_id: int) -> None:
        """Leave what a worker that died had of a divided file to the others."""
        partial = part_record.read(self._folder, path)
        if partial is not None and partial.is_divided:
            with contextlib.suppress(DiskError, TransportError):
                release_share(self._folder, path, attempt_id, partial)

    def saved(self, entry: Entry) -> Saved | None:
        """The file of a request whose server said that it is the newest."""
        case = self._case(entry)
        return None if case.record is None else _as_saved(case.record, case.stamp)

    def digest(self, path: str, algorithm: str) -> str | None:
        """The digest of a file that is there, read for it; None if it cannot be read."""
        with contextlib.suppress(OSError, DiskError, TransportError):
            digest = Digest(algorithm)
            with open(self._folder.open_file(path), "rb", buffering=0) as stream:
                while block := stream.read(_READ_BYTES):
                    digest.update(block)
            return digest.text()
        return None

    def tidy(self, path: str, *, keeps_part: bool = False) -> None:
        """Remove what is left of a fetch that has ended without a new file.

        Args:
            path: The file's name.
            keeps_part: Whether a part that a later run may go on with stays.
        """
        if keeps_part and part_record.read(self._folder, path) is not None:
            return
        remove_part(self._folder, path)
        part_record.erase(self._folder, path)

    # What comes

    @property
    def is_ready(self) -> bool:
        """True if all that is intended has been written down, so that it may begin."""
        manifest = self._manifest
        if manifest is None or not manifest.intends:
            return True
        self._record(manifest.flush)
        return not (self.is_recorded and manifest.intends)

    def add(self, entry: Entry, outcome: Outcome, saved: Saved | None) -> None:
        """Record the end of a request."""
        if self._manifest is None:
            return
        if self._is_durable and saved is not None:
            self._unsynced.append(entry.path)
        self._record(self._manifest.add, entry, outcome, saved)

    def tick(self) -> None:
        """Write what has waited long enough."""
        if self._manifest is not None:
            self._record(self._manifest.tick)

    def close(self, unsettled: Iterable[str] | None = None) -> None:
        """Write what waits, and let go of the folder.

        Args:
            unsettled: As for `Manifest.close`.
        """
        self._inspector.close()
        self._lost.close()
        if self._words > MOST_WORDS:
            logger.warning(
                "%s more files were missing or changed", f"{self._words - MOST_WORDS:,}"
            )
            self._words = 0
        try:
            if self._manifest is not None:
                self._record(self._manifest.close, unsettled)
        finally:
            self._folder.close()
            self._lock.release()

    def _open_manifest(self, *, is_durable: bool) -> None:
        try:
            self._manifest = Manifest(
                self.record_folder, is_durable=is_durable, before_commit=self._sync
            )
        except ManifestError as error:
            if not error.is_full:
                raise
            # Every file will fail, and the report will say why.
            self._give_up(error)
            return
        if self._manifest.set_aside is not None:
            logger.warning(
                "the manifest was damaged: it was set aside as %s and a new one made "
                "from what could be read; files that lie here are taken up again as the "
                "list comes to them",
                self._manifest.set_aside,
            )

    def _case(self, entry: Entry) -> Case:
        record = intent = None
        if self._manifest is not None:
            try:
                record = self._manifest.record(entry.path)
                intent = self._manifest.intent(entry.path)
            except ManifestError as error:
                self._give_up(error)
        path = entry.path
        stamp = None if self._is_new(path) else self._folder.stamp(path)
        has_part = (
            intent is not None and self._folder.stamp(part_name(path)) is not None
        )
        is_in_gap = stamp is not None and self._is_in_gap(path)
        case = Case(entry.identity, entry.checksum, stamp, record, intent)
        return case._replace(has_part=has_part, is_in_gap=is_in_gap)

    def _is_in_gap(self, path: str) -> bool:
        gap_ns = None if self._manifest is None else self._manifest.gap_ns
        if gap_ns is None:
            return False
        changed_ns = self._folder.changed_ns(path)
        return changed_ns is not None and changed_ns <= gap_ns

    def _is_unheard_of(self, path: str) -> bool:
        """True for the plain case, a folder that began empty; its intent is recorded."""
        manifest = self._manifest
        if manifest is None or not manifest.is_blank or self._parts:
            return False
        if not self._is_new(path):
            return False
        manifest.intend(path, None)
        return True

    def _is_new(self, path: str) -> bool:
        """True if the file's folder was not there when the run first came to it.

        What is in there is this run's own; whatever somebody else puts there meanwhile
        is found by whoever gives a file its name, which looks again.
        """
        folder = path.rpartition("/")[0]
        is_new = self._new_folders.get(folder)
        if is_new is None:
            if len(self._new_folders) >= MOST_FOLDERS:
                self._new_folders.clear()
            is_new = bool(folder) and self._folder.is_missing(folder)
            self._new_folders[folder] = is_new
        return is_new

    def _follow(
        self, entry: Entry, case: Case, decision: Decision, digest: str | None = None
    ) -> Found:
        action = decision.action
        if decision.why is not None:
            self._say(entry, decision.why)
        was_begun = case.intent is not None or entry.path in self._parts
        if was_begun and action in {Action.SKIP, Action.ADOPT}:
            self.tidy(entry.path)
        match action:
            case Action.EXAMINE:
                self._inspector.ask((entry, case), entry.path, examined_by(case))
                return Found(action, entry)
            case Action.FETCH | Action.ASK:
                return Found(action, self._prepared(entry, case, decision))
            case Action.SKIP:
                assert case.record is not None
                if self._manifest is not None:
                    self._manifest.forget(entry.path)
                return Found(action, entry, _as_saved(case.record, case.stamp))
            case Action.ADOPT:
                assert case.stamp is not None
                assert digest is not None
                record = case.record
                if record is not None and (record.identity, record.digest) == (
                    case.identity,
                    digest,
                ):
                    return Found(action, entry, _as_saved(record, case.stamp))
                return Found(action, entry, _adopted(case.stamp, digest))
            case Action.EXISTS:
                return Found(action, entry)

    def _prepared(self, entry: Entry, case: Case, decision: Decision) -> Entry:
        known = None
        if decision.action is Action.ASK and case.record is not None:
            record = case.record
            known = Known(record.etag, record.last_modified, record.url or entry.url)
        partial = None
        if entry.path in self._parts:
            self._parts.discard(entry.path)
            partial = part_record.read(self._folder, entry.path)
            if partial is None:
                part_record.erase(self._folder, entry.path)
        if partial is None:
            # A stopped run keeps any part; a small body that comes now makes none anew.
            remove_part(self._folder, entry.path)
        if self._manifest is not None:
            self._manifest.intend(entry.path, case.stamp)
        return msgspec.structs.replace(
            entry, known=known, partial=partial, replaces=decision.replaces
        )

    def _say(self, entry: Entry, why: str) -> None:
        self._words += 1
        if self._words <= MOST_WORDS:
            logger.warning("%s %s; fetching it", printable(entry.path), why)

    def _record(self, write: Callable[..., None], *values: object) -> None:
        """Write to the manifest; a run goes on without it, and says so once."""
        try:
            write(*values)
        except (ManifestError, DiskError) as error:
            self._give_up(error)

    def _sync(self) -> None:
        """The names that a commit speaks of are on the disk before it is."""
        if self._unsynced:
            paths, self._unsynced = self._unsynced, []
            self._folder.sync(paths)

    def _give_up(self, error: Exception) -> None:
        # An error, so that it is said even to those who want to hear of nothing else.
        logger.error(
            "%s; what comes from now on is not recorded there: the next run has to read "
            "it to know it",
            error,
        )
        note_gap(self.record_folder)
        self.is_recorded = False
        broken, self._manifest = self._manifest, None
        if broken is not None:
            with contextlib.suppress(ManifestError):
                broken.close()


def _adopted(stamp: Stamp, digest: str) -> Saved:
    """A whole file of which nobody knows any more what its server said of it."""
    return Saved(
        stamp.size_bytes,
        digest,
        length_known=True,
        etag=None,
        last_modified=None,
        modified_ns=stamp.modified_ns,
    )


def _as_saved(record: Record, stamp: Stamp | None) -> Saved:
    """The recorded file, which a copy may have given another time."""
    return Saved(
        record.size_bytes,
        record.digest,
        record.length_known,
        record.etag,
        record.last_modified,
        record.modified_ns if stamp is None else stamp.modified_ns,
        record.url,
    )

"""One attempt's share in a divided part: the bytes it fetches at present."""

from __future__ import annotations

from typing import TYPE_CHECKING

from downloader.models import Partial
from downloader.transfer import part_record
from downloader.transfer.segment_map import SegmentMap

if TYPE_CHECKING:
    from downloader.models import Attempt
    from downloader.transfer.folder import Folder
    from downloader.transfer.part_file import PartFile
    from downloader.transfer.plan import Plan


class Share:
    """Bytes of a divided part, claimed, written and given back.

    Args:
        folder: The worker's view of the output folder.
        attempt: Whose share it is.
        plan: The run's constants.
        part: The part, open.
        partial: What it is a part of; with its total.
        is_new: Whether this attempt divides it, and has all of it until others join.
    """

    def __init__(
        self,
        folder: Folder,
        attempt: Attempt,
        plan: Plan,
        part: PartFile,
        partial: Partial,
        *,
        is_new: bool,
    ) -> None:
        assert partial.total_bytes is not None
        self.partial = partial
        self.total_bytes = partial.total_bytes
        self._part = part
        self._least_bytes = plan.min_segment_bytes
        self._share_bytes = -(-self.total_bytes // max(1, plan.segments))
        self._map = SegmentMap(
            folder,
            part_record.map_place(attempt.path),
            _owner(attempt.id),
            self.total_bytes,
            is_new=is_new,
        )
        self.has_enough = False
        if not is_new and not attempt.joins:
            self._map.release_others()

    @property
    def written_bytes(self) -> int:
        """What all together have written."""
        return self._map.written_bytes

    def claim(self) -> tuple[int, int] | None:
        """The next bytes to fetch, from where to where; None if none are left for us."""
        self.has_enough = False
        return self._map.claim(self._least_bytes, self._share_bytes)

    def take(self, data: bytes) -> None:
        """Write some bytes; `has_enough` says that ours have all come.

        Raises:
            DiskError: The disk is full or refuses.
        """
        position = self._map.position
        room = self._map.end - position
        self.has_enough = room <= len(data)
        if room > 0:
            piece = memoryview(data)[:room]
            self._part.write_at(piece, position)
            self._map.advance(position + len(piece))

    def is_finisher(self) -> bool:
        """True if all has come, and it is we who give the file its name."""
        return self._map.seal()

    def leave(self) -> None:
        """Leave what of ours has not come to others."""
        self._map.release()
        self._map.close()

    def give_back(self) -> None:
        """Have whoever had our bytes before fetch them after all."""
        self._map.give_back()
        self._map.close()

    def void(self) -> None:
        """What has come is of no use; whoever works on it stops."""
        self._map.void()
        self._map.close()


def release_share(folder: Folder, path: str, attempt_id: int, partial: Partial) -> None:
    """Leave what an attempt had of a divided part to others: its worker is dead.

    Raises:
        DiskError: There is no such part any more.
    """
    place = part_record.map_place(path)
    shared = SegmentMap(
        folder, place, _owner(attempt_id), partial.total_bytes or 0, is_new=False
    )
    shared.release()
    shared.close()


def _owner(attempt_id: int) -> int:
    return attempt_id + 1  # 0 is nobody

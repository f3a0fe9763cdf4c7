"""How many failures a run bears before it ends: a number, or a share of what has ended."""

from __future__ import annotations

from downloader.tuples import NamedTuple

# A share of a few says nothing: two bad lines at a list's head are not its two per cent.
LEAST_ROWS = 100


class FailureLimit(NamedTuple):
    """A bound on failures.

    Attributes:
        bound: The number, or the per cent.
        is_share: True if `bound` is in per cent of the rows that have ended.
    """

    bound: int
    is_share: bool

    @classmethod
    def read(cls, text: str) -> FailureLimit:
        """The limit that a checked text such as `50` or `5%` stands for."""
        return cls(int(text.removesuffix("%")), text.endswith("%"))

    def is_reached(self, failed: int, ended: int) -> bool:
        """True if so many failures among so many ended rows are too many."""
        if not self.is_share:
            return failed >= self.bound
        return ended >= LEAST_ROWS and failed * 100 >= self.bound * ended

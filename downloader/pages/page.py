"""A page's parts as values, and how they become one HTML file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from downloader.pages.theme import TOKENS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from matplotlib.figure import Figure

    from downloader.pages.theme import Token

    # A figure and words for who cannot see it, to the SVG that a block takes.
    Draw = Callable[[Figure, str], str]

__all__ = ["Block", "Page", "Section", "Table", "render"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Figures in rows.

    Attributes:
        headings: One a column.
        rows: As many cells each.
        texts: The places of columns of words; the others are numbers.
        long: Those of them whose words may be long, such as URLs; a line break in one
            is shown.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: Collection[int] = (0,)
    long: Collection[int] = ()

    def kind(self, place: int) -> str:
        """The class of a column's cells."""
        if place in self.long:
            return "words long"
        return "words" if place in self.texts else ""

    @property
    def columns(self) -> list[int]:
        """The places of those that have anything but dashes in them."""
        return [
            place
            for place in range(len(self.headings))
            if any(row[place] != "-" for row in self.rows)
        ]


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """A plot with its figures, or either of them.

    Attributes:
        title: What it shows.
        text: A sentence on how to read it; may be empty.
        svg: The plot as `drawing.to_svg` made it, the only text taken as HTML.
        table: The same in figures.
        badge: A word that sums it up, such as a verdict's; may be empty.
        key: Which colour or mark is what, where no label fits.
        is_wide: True if the table is too wide to stand beside the plot.
    """

    title: str
    text: str = ""
    svg: str = ""
    table: Table | None = None
    badge: str = ""
    key: Sequence[tuple[Token, str, str]] = ()
    is_wide: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """Blocks that belong together."""

    name: str
    title: str
    blocks: Sequence[Block]
    text: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """A whole page.

    Attributes:
        title: Its heading.
        lead: Some words below it.
        finding: What follows from the figures, in a sentence; may be empty.
        facts: The figures that matter most, each with its name.
        notes: What a reader must know before believing a figure.
        notes_title: What stands above them.
        sections: The rest, in order.
        details: Where and how it was measured, a sentence each.
    """

    title: str
    lead: str
    facts: Sequence[tuple[str, str]]
    notes: Sequence[str]
    sections: Sequence[Section]
    finding: str = ""
    notes_title: str = "Worth knowing"
    details: Sequence[str] = ()


def render(page: Page) -> bytes:
    """The page as HTML that needs nothing else: no script, no font, no network."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("downloader.pages", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["tokens"] = TOKENS
    text = environment.get_template("page.html.j2").render(page=page)
    # Of a name that is no Unicode; as JSON reports have it.
    return text.encode("utf-8", "replace")

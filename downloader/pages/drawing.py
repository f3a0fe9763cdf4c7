"""A matplotlib figure as a piece of HTML: an SVG that takes its colours from the page.

Figures are drawn a phone's width, `WIDTH` units, with letters of 12: shown at that width
or wider, a letter is never smaller than 12 CSS pixels. Letters stay text, in the page's
own font, which is hardly ever wider than the one that matplotlib measures with.
"""

from __future__ import annotations

import io
import logging
import re
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from downloader.pages.theme import FAINT, INK, SOFT, TOKENS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["LETTER", "WIDTH", "blank", "drawing", "to_svg"]

WIDTH = 320
LETTER = 12
_DOTS = 72  # of an inch: a point is then a unit of the SVG

_STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": SOFT.light,
    "axes.grid": True,
    "axes.labelcolor": SOFT.light,
    "axes.labelsize": LETTER,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.unicode_minus": True,
    "figure.dpi": _DOTS,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "font.size": LETTER,
    "grid.color": FAINT.light,
    "grid.linewidth": 1.0,
    "legend.frameon": False,
    "lines.linewidth": 2.0,
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "svg.hashsalt": "downloader",
    "text.color": INK.light,
    # A dollar in a foreign text is no formula.
    "text.parse_math": False,
    "xtick.color": SOFT.light,
    "xtick.labelsize": LETTER,
    "ytick.color": INK.light,
    "ytick.labelsize": LETTER,
    "xtick.major.size": 0.0,
    "ytick.major.size": 0.0,
}
_COLOURS = {token.light: f"var(--{token.name})" for token in TOKENS}
_FONT = re.compile(r"font: ([0-9.]+)px [^;]*(;|$)")
_HEX = re.compile(r"#[0-9a-f]{6}\b")
_REFERENCE = re.compile(r"#([A-Za-z][\w-]*)")
_HREF = "{http://www.w3.org/1999/xlink}href"


@contextmanager
def drawing() -> Iterator[None]:
    """The time in which figures are drawn, in this house's style and in no user's own."""
    import matplotlib as mpl

    # It would tell of the cache of fonts that it builds when first used, and of
    # letters that its own font lacks and the page's has.
    logger = logging.getLogger("matplotlib")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), mpl.rc_context():
            warnings.simplefilter("ignore")
            mpl.rcParams.update(mpl.rcParamsDefault)
            mpl.rcParams.update(_STYLE)
            yield
    finally:
        logger.setLevel(before)


def blank(
    height: float,
    *,
    left: float = 8.0,
    right: float = 12.0,
    top: float = 8.0,
    bottom: float = 44.0,
) -> tuple[Figure, Axes]:
    """An empty figure with one pair of axes; all measures in units."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH / _DOTS, height / _DOTS))
    axes = figure.add_axes(
        (
            left / WIDTH,
            bottom / height,
            (WIDTH - left - right) / WIDTH,
            (height - top - bottom) / height,
        )
    )
    return figure, axes


def to_svg(figure: Figure, name: str, description: str) -> str:
    """The figure as an SVG element.

    Args:
        figure: What was drawn, within `drawing`.
        name: Unique on the page; references inside the SVG begin with it.
        description: What a person who cannot see it should hear.
    """
    stream = io.BytesIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(stream, format="svg", metadata=nothing)
    root = ET.fromstring(stream.getvalue())  # noqa: S314 - made right here
    view = root.get("viewBox", "")
    # It would hold for all of the page; `page.css` says the same of plots.
    for place in root.findall("*"):
        for style in place.findall("{*}style"):
            place.remove(style)
    for element in root.iter():
        _adapt(element, name)
    root.attrib.clear()
    root.attrib |= {"viewBox": view, "role": "img", "aria-label": description}
    return ET.tostring(root, encoding="unicode")


def _adapt(element: ET.Element, name: str) -> None:
    """Make one element fit for a page that has others: names, colours, fonts."""
    element.tag = element.tag.rpartition("}")[2]
    element.tail = None
    if element.text is not None and not element.text.strip():
        element.text = None
    attributes = element.attrib
    if _HREF in attributes:
        attributes["href"] = attributes.pop(_HREF)
    for key, value in attributes.items():
        if key == "style":
            attributes[key] = _FONT.sub(r"font-size: \1px\2", _coloured(value))
        if key in {"href", "clip-path"}:
            attributes[key] = _REFERENCE.sub(rf"#{name}-\1", value)
        elif key == "id":
            attributes[key] = f"{name}-{value}"


def _coloured(style: str) -> str:
    return _HEX.sub(lambda found: _COLOURS.get(found[0], found[0]), style)

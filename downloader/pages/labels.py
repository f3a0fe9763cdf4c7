"""Numbers and names as plots and tables write them, and where labels find room. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["elided", "number", "spread", "tick", "width_of"]

# Of a letter of twelve units, in the wider of the fonts that may be met.
_WIDE = 7.4
_NARROW = 4.2
_NARROW_LETTERS = frozenset("iljtfr.,:;'|!()[] I")
# Below it three decimals would show next to nothing.
_TINY = 0.01


def number(value: float) -> str:
    """Three digits that count: 0.0123, 1.23, 12.3, 123, 12,345."""
    size = abs(value)
    if value == int(value) or size >= 100:  # noqa: PLR2004 - digits
        return f"{value:,.0f}"
    if size >= 10:  # noqa: PLR2004 - digits
        return f"{value:.1f}"
    if size >= 1:
        return f"{value:.2f}"
    return f"{value:.3f}" if size >= _TINY else f"{value:.1g}"


def tick(value: float) -> str:
    """The same for an axis, whose numbers are round: no zeros at the end."""
    text = number(value)
    return text.rstrip("0").rstrip(".") if "." in text else text


def width_of(text: str) -> float:
    """About how many units a text takes, rather too many than too few."""
    return sum(_NARROW if letter in _NARROW_LETTERS else _WIDE for letter in text)


def elided(text: str, characters: int) -> str:
    """A text with its middle left out if it is longer than that."""
    if len(text) <= characters:
        return text
    tail = (characters - 1) // 2
    return f"{text[: characters - 1 - tail]}…{text[-tail:]}"


def spread(
    wanted: Sequence[float], gap: float, lowest: float, highest: float
) -> list[float]:
    """Heights near the wanted ones, in their order, no two nearer than `gap`.

    Where there is not room for all between the ends, they go beyond the upper one.
    """
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    placed = [0.0] * len(wanted)
    floor = lowest
    for index in order:
        placed[index] = max(wanted[index], floor)
        floor = placed[index] + gap
    ceiling = max(highest, lowest + gap * (len(wanted) - 1))
    for index in reversed(order):
        placed[index] = min(placed[index], ceiling)
        ceiling = placed[index] - gap
    return placed

"""The colours of all pages: tokens that plots are drawn with, and their two values.

The hues are Okabe and Ito's (Color Universal Design, 2008), lightened or darkened until
each stands out from its ground (WCAG 2.2, 1.4.11: 3 to 1) and keeps apart from the others
under simulated protanopia and deuteranopia. Nothing is told by colour alone: what has a
colour has a word or a shape beside it.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple

__all__ = [
    "BLUE",
    "FAINT",
    "GREEN",
    "GROUND",
    "INK",
    "ORANGE",
    "PHASES",
    "PURPLE",
    "SKY",
    "SOFT",
    "STRATEGIES",
    "TOKENS",
    "VERMILION",
    "Token",
    "colour_of",
]


class Token(NamedTuple):
    """A colour: matplotlib draws with `light`, the page puts `var(--name)` in its place."""

    name: str
    light: str
    dark: str


GROUND = Token("ground", "#ffffff", "#14171b")
INK = Token("ink", "#1d2126", "#e3e6ea")
SOFT = Token("soft", "#565d66", "#a9b1bb")
FAINT = Token("faint", "#d9dde2", "#363c44")
BLUE = Token("blue", "#0072b2", "#2f83c9")
VERMILION = Token("vermilion", "#bf4a00", "#d9561c")
GREEN = Token("green", "#009e73", "#0e9e74")
PURPLE = Token("purple", "#a8417f", "#e09ac5")
ORANGE = Token("orange", "#c28500", "#f4c04e")
SKY = Token("sky", "#3b9dd6", "#8ccef5")
PINE = Token("pine", "#00573f", "#86dcc0")
BRICK = Token("brick", "#7d1d3f", "#f2a3b5")

TOKENS = (
    GROUND,
    INK,
    SOFT,
    FAINT,
    BLUE,
    VERMILION,
    GREEN,
    PURPLE,
    ORANGE,
    SKY,
    PINE,
    BRICK,
)

# The same strategy has the same colour and mark in every plot.
STRATEGIES = MappingProxyType(
    {
        "serial": (SOFT, "o"),
        "threads": (GREEN, "s"),
        "processes": (PURPLE, "^"),
        "subprocess": (SKY, "v"),
        "asyncio": (VERMILION, "D"),
        "curl": (BLUE, "o"),
        "multicore": (ORANGE, "P"),
        "auto": (INK, "X"),
    }
)

# What workers' time goes to, in order: what people call it, and its colour on any page.
PHASES = MappingProxyType(
    {
        "politeness": ("politeness", INK),
        "queue": ("queue", SKY),
        "connect": ("connect", ORANGE),
        "tls": ("TLS", PURPLE),
        "first_byte": ("first byte", VERMILION),
        "body": ("body", BLUE),
        "rate": ("held back", SOFT),
        "hash": ("hash", PINE),
        "store": ("disk", GREEN),
        # Of a bench alone.
        "cpu_stage": ("CPU stage", BRICK),
    }
)


def colour_of(strategy: str) -> Token:
    """A strategy's colour; one that is not known here has the soft ink's."""
    return STRATEGIES.get(strategy, (SOFT, "o"))[0]

import pytest

from downloader import fetch
from downloader.pages import theme
from downloader.strategies.contract import NAMES


def luminance(colour):
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "token",
    [one for one in theme.TOKENS if one not in {theme.GROUND, theme.FAINT}],
    ids=lambda token: token.name,
)
def test_a_colour_stands_out_from_its_ground(token, scheme):
    least = 4.5 if token in {theme.INK, theme.SOFT} else 2.95

    assert contrast(getattr(token, scheme), getattr(theme.GROUND, scheme)) >= least


def test_no_two_tokens_share_a_value_that_they_are_found_by():
    assert len({token.light for token in theme.TOKENS}) == len(theme.TOKENS)


def test_every_strategy_has_a_colour_and_a_mark_of_its_own():
    assert set(theme.STRATEGIES) == set(NAMES)
    assert len(set(theme.STRATEGIES.values())) == len(NAMES)
    assert len({colour for colour, _ in theme.STRATEGIES.values()}) == len(NAMES)


def test_every_phase_of_a_summary_has_words_and_a_colour_of_its_own(site, workdir):
    with fetch([f"{site.url}/n/1"]) as report:
        phases = report.summary.phase_seconds

    assert list(theme.PHASES) == [*phases, "cpu_stage"]
    assert len({colour for _, colour in theme.PHASES.values()}) == len(theme.PHASES)

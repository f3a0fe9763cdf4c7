"""The short form of `tests/fuzz_parsers.py`."""

import pytest
from fuzz_parsers import CHECKS, fuzz


@pytest.mark.parametrize("seed", range(3))
def test_no_mutated_text_breaks_a_parser(seed):
    assert fuzz(9_000, seed) == []


def test_every_parser_has_its_turn():
    assert len({check.__name__ for check in CHECKS}) == 10

"""The short form of `tests/chaos.py`: a few kills of every strategy, each time others."""

import pytest
from chaos import HAS_WORKERS, STRATEGIES, run_rounds


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_kills_lose_nothing(strategy):
    kills = 4 if strategy in HAS_WORKERS else 3
    found = run_rounds(strategy, seed=20261124, kills=kills, files=40, most_a_round=4)

    assert found.faults == []
    assert found.finished_again == 0
    assert found.kills.total() == kills

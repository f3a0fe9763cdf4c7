import pytest

from downloader.policy.failure_limit import FailureLimit


@pytest.mark.parametrize(
    ("text", "failed", "ended", "is_reached"),
    [
        ("5", 4, 4, False),
        ("5", 5, 1_000_000, True),
        ("5%", 99, 99, False),
        ("5%", 5, 100, True),
        ("5%", 5, 101, False),
        ("100%", 100, 100, True),
    ],
)
def test_a_limit_is_a_number_or_a_share_of_at_least_100(
    text, failed, ended, is_reached
):
    assert FailureLimit.read(text).is_reached(failed, ended) is is_reached

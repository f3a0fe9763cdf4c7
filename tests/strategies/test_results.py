import pytest

from downloader.models import Attempt
from downloader.strategies.results import internal_failure


@pytest.mark.parametrize(
    "error",
    [
        UnicodeEncodeError("latin-1", "me:hunter2", 3, 4, "ordinal not in range"),
        ValueError("no good: 'http://me:hunter2@h:x/'"),
        ValueError("no good: me:hunter2@h:1"),
    ],
)
def test_a_fault_is_told_without_the_value_that_it_could_not_take(error):
    result = internal_failure(Attempt(1, "http://h/", "h"), error, 0.5)

    assert type(error).__name__ in result.failure.detail
    assert "hunter2" not in repr(result)

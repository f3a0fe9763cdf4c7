import pytest

from downloader import wording


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0214, "0.02 s"),
        (0.9951, "1.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (192.4, "3 min 12 s"),
        (3599.6, "1 h 00 min"),
        (7384, "2 h 03 min"),
    ],
)
def test_times_are_in_the_unit_that_fits(seconds, text):
    assert wording.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.00042, "0.4 ms"), (0.0214, "21 ms"), (0.99951, "1.0 s"), (61, "1 min 01 s")],
)
def test_latencies_are_in_milliseconds_up_to_a_second(seconds, text):
    assert wording.delay(seconds) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (2**20 - 1, "1.0 MiB"),
        (5.5 * 2**30, "5.5 GiB"),
        (3000 * 2**40, "3,000.0 TiB"),
    ],
)
def test_sizes_are_in_the_largest_unit_that_leaves_at_least_one(size_bytes, text):
    assert wording.size(size_bytes) == text


def test_a_long_text_is_cut_and_says_so():
    assert wording.shown("x" * 9999, 5) == "xxxx…"


def test_secrets_and_control_characters_are_not_shown():
    assert wording.shown("\x1b[2Jhttp://u:p@h/?token=t") == "***@h/?token=***"


@pytest.mark.parametrize(("count", "text"), [(1, "1 file"), (1234, "1,234 files")])
def test_a_count_has_its_noun(count, text):
    assert wording.plural(count, "file") == text

"""What a block of time brought, and when it says that something is better."""

import math

from downloader.policy.goodput import Block, Counts, block, decision

MIB = 1 << 20


def brought(files=100, size_bytes=MIB, errors=0, seconds=1.0, **more):
    ended = files + errors
    return Block(seconds, Counts(ended, files, size_bytes, errors, **more))


def test_a_block_is_what_came_between_two_looks():
    found = block(Counts(10, 9, 900, 1), Counts(30, 28, 2900, 2, 4.0, 3, 2, 1), 2.0)

    assert found.counts == (20, 19, 2000, 1, 4.0, 3, 2, 1)
    assert (found.files_per_second, found.bytes_per_second) == (9.5, 1000.0)


def test_no_time_at_all_is_no_division_by_zero():
    assert block(Counts(), Counts(1, 1, 1), 0.0).files_per_second > 0


def test_files_and_bytes_weigh_alike():
    base = brought()

    assert brought(200, 2 * MIB).gain_over(base) == 2.0
    assert math.isclose(brought(400, MIB).gain_over(base), 2.0)
    assert math.isclose(brought(100, 4 * MIB).gain_over(base), 2.0)


def test_empty_files_are_compared_by_their_number():
    assert brought(150, 0).gain_over(brought(100, 0)) == 1.5


def test_whatever_comes_is_more_than_nothing():
    nothing = brought(0, 0)

    assert brought().gain_over(nothing) == math.inf
    assert nothing.gain_over(nothing) == 1.0


def test_trouble_is_a_share_of_errors_and_more_than_one_or_two():
    assert brought(94, errors=6).is_in_trouble
    assert not brought(1000, errors=6).is_in_trouble
    assert not brought(1, errors=2).is_in_trouble
    assert not brought(0).is_in_trouble


def test_it_fails_more_than_another_if_clearly_more_fails():
    assert brought(90, errors=10).fails_more_than(brought(98, errors=2))
    assert not brought(96, errors=4).fails_more_than(brought(98, errors=2))
    assert not brought(1, errors=2).fails_more_than(brought())


def test_an_owner_is_busy_that_rests_little():
    assert brought(seconds=2.0, busy_seconds=1.5).is_busy
    assert not brought(seconds=2.0, busy_seconds=1.3).is_busy


def test_it_is_crowded_if_others_have_the_cpu_for_much_of_what_it_needs():
    assert brought(busy_seconds=1.0, stalled_seconds=0.3).is_crowded
    assert not brought(busy_seconds=1.0, stalled_seconds=0.2).is_crowded
    assert not brought().is_crowded


def test_it_is_full_if_no_worker_was_free_for_most_of_the_waiting():
    assert brought(waited_seconds=1.0, full_seconds=0.6).is_full
    assert not brought(waited_seconds=1.0, full_seconds=0.4).is_full
    assert not brought().is_full


def test_a_decision_has_the_figures_of_both_blocks():
    pair = (brought(200, 4 * MIB), brought(90, 2 * MIB, errors=10, seconds=2.0))
    made = decision(1.23456, "curl", 8, "better", is_kept=True, pair=pair)

    assert (made.at_seconds, made.files_per_second, made.mib_per_second) == (
        1.235,
        200,
        4,
    )
    assert (made.before_files_per_second, made.before_mib_per_second) == (45, 1)
    assert (made.error_share, made.before_error_share) == (0.0, 0.1)


def test_a_decision_without_a_measurement_has_none():
    made = decision(1.0, "curl", 8, "it did not start", is_kept=False)

    assert made.files_per_second is None
    assert made.before_error_share is None

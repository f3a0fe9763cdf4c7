from downloader.policy.occupancy import Hold, Occupancy

# More than any of these has slots.
ROOM = 64


def idle(occupancy):
    return {hold: occupancy.idle_seconds(hold) for hold in Hold}


def test_nothing_has_been_counted_at_first() -> None:
    occupancy = Occupancy(4)
    occupancy.turn(10.0, 3, ROOM, Hold.LIMITS)

    assert occupancy.busy_seconds == 0
    assert set(idle(occupancy).values()) == {0.0}


def test_time_counts_for_what_was_so_before() -> None:
    occupancy = Occupancy(4)
    occupancy.turn(10.0, 3, ROOM, Hold.LIMITS)
    occupancy.turn(12.0, 0, ROOM, Hold.PAUSES)
    occupancy.turn(13.0, 4, ROOM, Hold.NOTHING)
    occupancy.turn(14.0, 1, ROOM, Hold.LIST)
    occupancy.turn(15.0, 0, ROOM, Hold.NOTHING)
    occupancy.turn(20.0, 0, ROOM, Hold.NOTHING)

    assert occupancy.busy_seconds == 3 * 2 + 4 + 1
    assert idle(occupancy) == {
        Hold.NOTHING: 4 * 5.0,
        Hold.LIST: 3.0,
        Hold.LIMITS: 2.0,
        Hold.PAUSES: 4.0,
    }


def test_what_waits_in_a_batch_has_no_slot() -> None:
    occupancy = Occupancy(2)
    occupancy.turn(0.0, 16, ROOM, Hold.LIMITS)
    occupancy.turn(1.0, 16, ROOM, Hold.LIMITS)

    assert occupancy.busy_seconds == 2.0
    assert occupancy.idle_seconds(Hold.LIMITS) == 0.0


def test_slots_that_a_strategy_does_not_use_are_not_idle() -> None:
    occupancy = Occupancy(1000)
    occupancy.turn(0.0, 96, 4, Hold.LIMITS)
    occupancy.turn(1.0, 96, 4, Hold.LIMITS)

    assert occupancy.busy_seconds == 96.0
    assert occupancy.idle_seconds(Hold.LIMITS) == 4.0


def test_what_was_before_the_first_attempt_can_be_left_out() -> None:
    occupancy = Occupancy(2)
    occupancy.turn(0.0, 1, ROOM, Hold.LIMITS)
    occupancy.turn(5.0, 1, ROOM, Hold.LIMITS)
    occupancy.begin_anew(4.0)
    occupancy.turn(6.0, 0, ROOM, Hold.NOTHING)

    assert occupancy.busy_seconds == 2.0
    assert occupancy.idle_seconds(Hold.LIMITS) == 2.0


def test_an_attempt_that_began_after_the_last_turn_loses_no_time() -> None:
    occupancy = Occupancy(1)
    occupancy.turn(5.0, 1, ROOM, Hold.NOTHING)
    occupancy.begin_anew(7.0)
    occupancy.turn(8.0, 0, ROOM, Hold.NOTHING)

    assert occupancy.busy_seconds == 3.0


def test_without_a_turn_there_is_nothing_to_leave_out() -> None:
    occupancy = Occupancy(1)
    occupancy.begin_anew(7.0)
    occupancy.turn(8.0, 1, ROOM, Hold.NOTHING)
    occupancy.turn(9.0, 1, ROOM, Hold.NOTHING)

    assert occupancy.busy_seconds == 1.0

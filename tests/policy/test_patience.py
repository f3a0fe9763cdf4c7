import pytest

from downloader.models import ErrorKind, Failure, Phases
from downloader.policy.patience import Patience

TIMEOUT = 10.0


def patience() -> Patience:
    return Patience(TIMEOUT, now=100.0)


def kind(failure: Failure | None) -> str | None:
    return None if failure is None else failure.kind


def test_bound_can_be_read() -> None:
    assert patience().timeout_seconds == TIMEOUT


def test_each_phase_may_last_as_long_as_the_timeout() -> None:
    clock = patience()

    assert clock.verdict(110.0) is None
    clock.asking(110.0)
    assert clock.verdict(120.0) is None
    clock.receiving(120.0)
    assert clock.verdict(130.0) is None


def test_connection_that_does_not_come_is_a_timeout() -> None:
    failure = patience().verdict(110.1)

    assert failure == Failure(ErrorKind.TIMEOUT, "no connection within 10 s")


def test_request_has_a_connection_once_its_answer_is_awaited() -> None:
    clock = patience()
    assert not clock.is_connected
    clock.securing(101.0)
    assert not clock.is_connected
    clock.asking(102.0)
    assert clock.is_connected
    clock.receiving(103.0)
    assert clock.is_connected


def test_new_hop_connects_with_a_full_bound() -> None:
    clock = patience()
    clock.asking(105.0)

    clock.connecting(109.0)

    assert clock.verdict(119.0) is None
    assert clock.complaint() == "no connection within 10 s"


def test_head_that_does_not_end_is_a_timeout() -> None:
    clock = patience()
    clock.asking(101.0)

    failure = clock.verdict(111.1)

    assert failure == Failure(
        ErrorKind.TIMEOUT, "no complete response head within 10 s"
    )


def test_gap_in_the_body_is_a_timeout() -> None:
    clock = patience()
    clock.receiving(101.0)
    clock.received(10**9, 105.0)

    failure = clock.verdict(115.1)

    assert failure == Failure(ErrorKind.TIMEOUT, "no more of the body within 10 s")


def test_complaint_names_fractions_of_a_second() -> None:
    assert Patience(0.25, 0.0).complaint() == "no connection within 0.25 s"


def test_long_body_without_a_gap_is_never_cut() -> None:
    clock = patience()
    clock.receiving(100.0)

    verdicts = []
    for second in range(101, 4_000):
        clock.received(100, float(second))
        verdicts.append(clock.verdict(float(second)))

    assert set(verdicts) == {None}


class TestFloor:
    def test_drip_below_the_floor_is_too_slow(self) -> None:
        clock = patience()
        clock.receiving(100.0)
        clock.received(500, 109.0)

        failure = clock.verdict(110.1)

        assert failure is not None
        assert failure.kind == ErrorKind.TOO_SLOW
        assert failure.detail == ("50 B/s on average over 10 s, the least is 100 B/s")

    def test_average_over_less_than_the_window_says_nothing(self) -> None:
        clock = patience()
        clock.receiving(100.0)
        clock.received(1, 109.0)

        assert clock.verdict(110.0) is None

    def test_window_of_a_short_timeout_is_five_seconds(self) -> None:
        clock = Patience(1.0, now=0.0)
        clock.receiving(0.0)
        for tenths in range(1, 52):
            clock.received(1, tenths / 10)

        assert clock.verdict(5.0) is None
        assert kind(clock.verdict(5.1)) == ErrorKind.TOO_SLOW

    def test_floor_itself_is_enough(self) -> None:
        clock = patience()
        clock.receiving(100.0)
        clock.received(2_000, 119.0)

        assert clock.verdict(120.0) is None

    def test_less_than_the_floor_is_too_slow(self) -> None:
        clock = patience()
        clock.receiving(100.0)
        clock.received(1_999, 119.0)

        assert kind(clock.verdict(120.1)) == ErrorKind.TOO_SLOW

    def test_a_quick_beginning_makes_up_for_nothing(self) -> None:
        clock = patience()
        clock.receiving(100.0)
        clock.received(10_000_000, 101.0)
        window_seconds = clock.timeout_seconds + 1
        clock.received(1, 100.0 + window_seconds)
        clock.verdict(100.0 + window_seconds)
        clock.received(1, 100.0 + 2 * window_seconds)

        assert kind(clock.verdict(100.0 + 2 * window_seconds)) == ErrorKind.TOO_SLOW

    def test_next_body_is_measured_afresh(self) -> None:
        clock = patience()
        clock.receiving(100.0)
        clock.received(10**9, 105.0)

        clock.receiving(106.0)
        clock.received(1, 115.0)

        assert kind(clock.verdict(116.1)) == ErrorKind.TOO_SLOW

    def test_time_that_we_held_it_back_does_not_count(self) -> None:
        clock = patience()
        clock.receiving(100.0)
        clock.received(1_000, 100.0)

        clock.paused(50.0, now=150.0)

        assert clock.verdict(160.0) is None
        assert kind(clock.verdict(160.1)) == ErrorKind.TIMEOUT

    def test_slow_connection_is_no_slow_body(self) -> None:
        clock = Patience(60.0, now=0.0)
        clock.asking(50.0)

        assert clock.verdict(109.0) is None


class TestRemaining:
    @pytest.mark.parametrize(("now", "seconds"), [(100.0, 10.0), (104.0, 6.0)])
    def test_is_what_the_phase_leaves(self, now: float, seconds: float) -> None:
        assert patience().remaining_seconds(now) == pytest.approx(seconds)

    def test_is_never_nothing(self) -> None:
        assert patience().remaining_seconds(500.0) == 0.001


class TestAll:
    def test_the_whole_may_have_an_end(self) -> None:
        patience = Patience(30.0, 100.0, 5.0)
        patience.receiving(104.0)

        assert patience.verdict(105.0) is None
        failure = patience.verdict(105.1)
        assert failure == Failure("timeout", "not finished within 5 s")

    def test_our_own_disk_may_take_its_time(self) -> None:
        patience = Patience(30.0, 0.0)
        patience.working(0.0)

        assert patience.verdict(1_000.0) is None
        assert "disk" in patience.complaint()


class TestPhases:
    def test_add_up_to_all_of_the_time(self) -> None:
        clock = patience()
        clock.connecting(100.5)
        clock.securing(101.0)
        clock.asking(103.0)
        clock.receiving(106.0)
        clock.received(10, 108.0)
        clock.working(110.0)

        assert clock.phases(115.0) == Phases(100.0, 1.0, 2.0, 3.0, 4.0, 0.0, 0.0, 5.0)

    def test_the_present_one_counts_up_to_now(self) -> None:
        clock = patience()
        clock.asking(101.0)

        assert clock.phases(104.0) == Phases(100.0, 1.0, 0.0, 3.0)

    def test_a_connection_that_stood_costs_nothing(self) -> None:
        clock = patience()
        clock.connecting(100.5)
        clock.asking(101.0, is_reused=True)

        assert clock.phases(104.0) == Phases(100.0, 0.0, 0.0, 4.0)

    def test_a_connection_made_after_all_costs_from_its_beginning(self) -> None:
        clock = patience()
        clock.asking(100.5, is_reused=True)
        clock.connecting(101.0)
        clock.asking(103.0)

        assert clock.phases(104.0) == Phases(100.0, 2.0, 0.0, 2.0)

    def test_a_reused_connection_takes_nothing_from_the_hop_before(self) -> None:
        clock = patience()
        clock.asking(101.0)
        clock.receiving(103.0)
        clock.asking(106.0, is_reused=True)

        assert clock.phases(107.0) == Phases(100.0, 1.0, 0.0, 3.0, 3.0)

    def test_a_handshake_may_be_told_of_afterwards(self) -> None:
        clock = patience()
        clock.asking(103.0)
        clock.secured(2.0)

        assert clock.phases(104.0) == Phases(100.0, 1.0, 2.0, 1.0)

    def test_a_handshake_takes_no_longer_than_the_connection(self) -> None:
        clock = patience()
        clock.asking(103.0)
        clock.secured(5.0)
        clock.secured(-1.0)

        assert clock.phases(104.0) == Phases(100.0, 0.0, 3.0, 1.0)

    def test_what_went_to_a_rate_and_to_the_disk_is_not_the_bodys(self) -> None:
        clock = patience()
        clock.receiving(100.0)
        clock.stored(1.0)
        clock.paused(4.0, 106.0)
        clock.working(110.0)

        assert clock.phases(112.0) == Phases(100.0, 0.0, 0.0, 0.0, 5.0, 4.0, 0.0, 3.0)

    def test_a_first_byte_may_be_told_of_afterwards(self) -> None:
        clock = patience()
        clock.asking(101.0)
        clock.receiving(105.0)
        clock.answered(3.0)

        assert clock.phases(106.0) == Phases(100.0, 1.0, 0.0, 3.0, 2.0)

    def test_it_is_the_last_requests_and_takes_nothing_from_others(self) -> None:
        clock = patience()
        clock.asking(101.0)
        clock.receiving(105.0)
        clock.asking(105.0, is_reused=True)
        clock.receiving(106.0)
        clock.answered(0.5)
        clock.answered(7.0)

        assert clock.phases(106.0) == Phases(100.0, 1.0, 0.0, 4.5, 0.5)

    def test_waiting_for_others_is_waiting_for_the_body(self) -> None:
        clock = patience()
        clock.receiving(100.0)
        clock.working(101.0)
        clock.awaited(2.0)

        assert clock.phases(104.0) == Phases(100.0, body_seconds=3.0, store_seconds=1.0)

    def test_others_take_no_longer_than_we_work(self) -> None:
        clock = patience()
        clock.working(100.0)
        clock.awaited(9.0)

        assert clock.phases(104.0) == Phases(100.0, body_seconds=4.0)

    def test_hashing_is_told_apart_from_storing_and_takes_no_longer(self) -> None:
        clock = patience()
        clock.receiving(100.0)
        clock.stored(1.0)
        clock.working(102.0)

        assert clock.phases(104.0, 2.5) == Phases(
            100.0, body_seconds=1.0, hash_seconds=2.5, store_seconds=0.5
        )
        assert clock.phases(104.0, 9.0).store_seconds == 0

    def test_a_pause_that_was_cut_short_leaves_no_negative_time(self) -> None:
        clock = patience()
        clock.receiving(100.0)
        clock.paused(50.0, 150.0)

        assert clock.phases(101.0) == Phases(100.0, paused_seconds=1.0)

    def test_the_handshake_is_bounded_together_with_the_connection(self) -> None:
        clock = patience()
        clock.securing(109.0)

        assert clock.verdict(110.0) is None
        assert clock.verdict(110.1) == Failure(
            ErrorKind.TIMEOUT, "no connection within 10 s"
        )

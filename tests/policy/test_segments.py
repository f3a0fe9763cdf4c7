"""Who fetches which bytes of a divided file, and what the frontier makes of it."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.models import AttemptResult, Entry, ErrorKind, Failure, Partial, Saved
from downloader.policy.exchange import Exchange, Receive
from downloader.policy.frontier import Frontier, Limits
from downloader.policy.headers import HeaderRules
from downloader.policy.retry import RetryRules
from downloader.policy.segments import (
    Bounds,
    Claim,
    Span,
    bounds,
    claim,
    front,
    is_complete,
    is_divisible,
)
from downloader.policy.ticket import Finished, Redirected, Retrying

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
PART = Partial(0, '"v1"', 1000, "http://a.test/0", is_divided=True)
SAVED = Saved(3, "00", length_known=True, etag=None, last_modified=None, modified_ns=1)
CONNECT = Failure(ErrorKind.CONNECT, "refused")
MISFIT = Failure(ErrorKind.PROTOCOL, "another version", refuses_range=True)


def take(owner: int, spans: list[Span], taken: Claim) -> None:
    """Write down a claim as the map does."""
    found = spans[taken.place]
    ours = Span(taken.first, taken.end, owner)
    rest = [Span(taken.end, found.end, 0)] if taken.end < found.end else []
    if found.owner in {0, owner}:
        spans[taken.place] = ours
    else:
        spans[taken.place] = found._replace(end=taken.first)
        spans.append(ours)
    spans.extend(rest)


class TestClaim:
    def test_what_lies_free_goes_first_and_the_foremost_of_it_before_all(self) -> None:
        spans = [Span(0, 900, 1), Span(970, 980, 0), Span(950, 960, 0)]
        assert claim(spans, 2, Bounds(100, 250, 8)) == Claim(2, 950, 960)

    def test_no_more_than_a_piece_is_taken_of_it(self) -> None:
        bounds = Bounds(100, 250, 8)
        assert claim([Span(0, 1000, 0)], 2, bounds) == Claim(0, 0, 250)
        assert claim([Span(0, 350, 0)], 2, bounds) == Claim(0, 0, 250)

    def test_nothing_is_left_of_it_that_would_not_be_worth_a_connection(self) -> None:
        assert claim([Span(0, 349, 0)], 2, Bounds(100, 250, 8)) == Claim(0, 0, 349)

    def test_what_was_given_back_to_somebody_comes_before_all_else(self) -> None:
        spans = [Span(0, 300, 0), Span(600, 700, 2)]
        assert claim(spans, 2, Bounds(100, 250, 8)) == Claim(1, 600, 700)

    def test_whoever_had_all_keeps_a_piece_and_the_next_is_taken(self) -> None:
        bounds = Bounds(100, 250, 8)
        assert claim([Span(10, 1000, 1)], 2, bounds) == Claim(0, 260, 510)
        assert claim([Span(10, 520, 1)], 2, bounds) == Claim(0, 260, 520)

    def test_at_the_end_the_longest_is_halved(self) -> None:
        spans = [Span(0, 100, 1), Span(300, 700, 2)]
        assert claim(spans, 3, Bounds(100, 250, 8)) == Claim(1, 500, 700)

    def test_nobody_begins_a_connection_for_less_than_the_least(self) -> None:
        bounds = Bounds(100, 250, 8)
        assert claim([Span(0, 199, 1)], 2, bounds) is None
        assert claim([Span(0, 200, 1)], 2, bounds) == Claim(0, 100, 200)

    def test_whoever_has_a_connection_helps_with_less(self) -> None:
        mib = 1 << 20
        bounds = Bounds(4 * mib, 8 * mib, 8)
        done = Span(9 * mib, 9 * mib, 2)
        assert claim([Span(0, mib, 1)], 2, bounds) is None
        assert claim([Span(0, mib, 1), done], 2, bounds) == Claim(0, mib // 2, mib)
        assert claim([Span(1, mib, 1), done], 2, bounds) is None

    def test_there_are_no_more_spans_than_the_map_holds(self) -> None:
        assert claim([Span(0, 1000, 1)], 2, Bounds(10, 100, 2)) is None
        assert claim([Span(0, 1000, 0)], 2, Bounds(10, 100, 2)) == Claim(0, 0, 1000)

    def test_nothing_is_left_when_all_is_written(self) -> None:
        spans = [Span(500, 500, 1), Span(1010, 1000, 0)]
        assert claim(spans, 2, Bounds(1, 1, 8)) is None
        assert is_complete(spans)
        assert not is_complete([*spans, Span(0, 1, 0)])

    @given(st.lists(st.integers(1, 200), max_size=60), st.integers(1, 50))
    def test_whoever_works_how_fast_every_byte_is_written_once(
        self, steps: list[int], least: int
    ) -> None:
        total, written = 5_000, [0] * 5_000
        spans = [Span(0, total, 1)]
        bounds = Bounds(least, max(least, total // 15), 100)
        held: dict[int, int] = {1: 0}
        for turn, step in enumerate(steps):
            owner = turn % 5 + 1
            if owner not in held:
                found = claim(spans, owner, bounds)
                if found is None:
                    continue
                take(owner, spans, found)
                held[owner] = next(
                    index
                    for index, span in enumerate(spans)
                    if span == Span(found.first, found.end, owner)
                )
            place = held[owner]
            span = spans[place]
            stop = min(span.end, span.position + step)
            for byte in range(span.position, stop):
                written[byte] += 1
            spans[place] = span._replace(position=stop)
            if stop == span.end:
                del held[owner]
        assert set(written) <= {0, 1}
        assert sum(written) == total - sum(span.left_bytes for span in spans)
        reached = front(spans, total)
        assert written[:reached] == [1] * reached
        assert reached == total or not written[reached]


class TestBounds:
    def bytes_of_a_piece(self, mib: int, segments: int, *, hashes: bool = True) -> int:
        return bounds(mib << 20, segments, 1 << 20, 1_024, hashes=hashes).piece_bytes

    def test_a_small_file_has_a_piece_for_each(self) -> None:
        assert self.bytes_of_a_piece(32, 8) == 4 << 20

    def test_a_large_file_has_more_as_the_root_of_its_size(self) -> None:
        assert self.bytes_of_a_piece(37 * 16, 16) == 37 << 18
        assert self.bytes_of_a_piece(37 * 64, 16) == 37 << 19

    def test_unhashed_there_is_one_for_each(self) -> None:
        assert self.bytes_of_a_piece(1_600, 16, hashes=False) == 100 << 20

    def test_no_piece_is_less_than_the_least(self) -> None:
        assert self.bytes_of_a_piece(4, 8) == 1 << 20

    def test_there_are_no_more_than_the_map_has_room_for(self) -> None:
        assert self.bytes_of_a_piece(1 << 20, 16) == (1 << 20 << 20) // 512


@pytest.mark.parametrize(
    ("total", "segments", "divides"),
    [(200, 2, True), (199, 2, False), (None, 2, False), (200, 1, False)],
)
def test_what_is_large_enough(total: int | None, segments: int, divides: bool) -> None:
    assert is_divisible(total, segments, 100) is divides


class TestExchange:
    def begun(self) -> Exchange:
        attempt = frontier().take(0.0, 1)[0]
        exchange = Exchange(attempt, HeaderRules(), 20)
        exchange.ask_for(PART, 100, 200)
        return exchange

    def test_some_bytes_are_asked_for(self) -> None:
        fields = self.begun().request_fields()
        assert fields["Range"] == "bytes=100-199"
        assert fields["If-Range"] == '"v1"'

    @pytest.mark.parametrize(
        ("carried", "kind"),
        [
            ("bytes 100-199/1000", None),
            ("bytes 100-198/1000", ErrorKind.PROTOCOL),
            ("bytes 100-299/1000", ErrorKind.PROTOCOL),
            ("bytes 99-199/1000", ErrorKind.PROTOCOL),
            ("bytes 100-199/1001", ErrorKind.PROTOCOL),
        ],
    )
    def test_no_others_are_taken(self, carried: str, kind: str | None) -> None:
        answer = {"content-range": carried, "etag": '"v1"'}
        verdict = self.begun().judge_head(206, answer, NOON)
        assert (verdict.kind if isinstance(verdict, Failure) else None) == kind

    @pytest.mark.parametrize(("etag", "has_changed"), [('"v1"', False), ('"v2"', True)])
    def test_the_whole_file_is_refused(self, etag: str, has_changed: bool) -> None:
        answer = {"content-length": "1000", "etag": etag}
        verdict = self.begun().judge_head(200, answer, NOON)
        assert isinstance(verdict, Failure)
        assert verdict.refuses_range == has_changed

    def test_another_urls_whole_file_is_none_of_the_part(self) -> None:
        attempt = frontier().take(0.0, 1)[0]
        exchange = Exchange(attempt, HeaderRules(), 20)
        elsewhere = Partial(0, '"v1"', 1000, "http://a.test/other", is_divided=True)
        exchange.ask_for(elsewhere, 100, 200)
        assert "Range" not in exchange.request_fields()
        answer = {"content-length": "1000", "etag": '"v1"'}
        verdict = exchange.judge_head(200, answer, NOON)
        assert isinstance(verdict, Failure)
        assert verdict.refuses_range

    @pytest.mark.parametrize(
        ("field", "divides"),
        [
            ({}, True),
            ({"accept-ranges": "none"}, False),
            ({"etag": 'W/"v1"'}, False),
            ({"content-length": "100"}, False),
        ],
    )
    def test_what_may_be_divided(self, field: dict[str, str], divides: bool) -> None:
        exchange = Exchange(frontier().take(0.0, 1)[0], HeaderRules(), 20)
        answer = {"content-length": "1000", "etag": '"v1"'} | field
        verdict = exchange.judge_head(200, answer, NOON)
        assert isinstance(verdict, Receive)
        assert exchange.divides(4, 100, verdict) is divides
        assert not exchange.divides(4, 100, verdict._replace(offset_bytes=1))


def frontier(
    requests: int = 1, per_host: int | None = 8, segments: int = 4
) -> Frontier:
    rules = RetryRules(retries=1)
    made = Frontier(Limits(per_host=per_host, segments=segments, retry=rules))
    for seq in range(requests):
        url = f"http://a.test/{seq}"
        made.add(Entry(seq, url, url, url, "a.test:80", str(seq)))
    return made


def helped(attempt_id: int) -> AttemptResult:
    return AttemptResult(attempt_id, has_helped=True)


class TestFrontier:
    def divided(self, most: int = 4, **options: int | None) -> tuple[Frontier, int]:
        made = frontier(**options)  # type: ignore[arg-type] # its own names
        (first,) = made.take(0.0, 1)
        assert not made.is_divided(first.id)
        made.divide(first.id, PART, most)
        assert made.is_divided(first.id)
        return made, first.id

    def helpers(self, made: Frontier) -> list[int]:
        taken = []
        while batch := made.take(0.0, 8):
            assert all(attempt.joins for attempt in batch)
            taken += [attempt.id for attempt in batch]
        return taken

    def test_others_join_up_to_the_number_of_segments(self) -> None:
        made, _ = self.divided()
        assert len(self.helpers(made)) == 3

    def test_a_file_has_no_more_than_its_size_allows(self) -> None:
        made, _ = self.divided(most=2)
        assert len(self.helpers(made)) == 1
        made, _ = self.divided(most=1)
        assert self.helpers(made) == []

    def test_each_of_them_takes_a_slot_of_the_host(self) -> None:
        made, _ = self.divided(per_host=3)
        assert len(self.helpers(made)) == 2

    def test_what_waits_in_the_queue_goes_first(self) -> None:
        made, _ = self.divided(requests=2)
        (other,) = made.take(0.0, 1)
        assert not other.joins
        assert len(self.helpers(made)) == 3

    def test_a_helper_asks_where_the_part_came_from(self) -> None:
        made, _ = self.divided()
        (helper,) = made.take(0.0, 1)
        assert (helper.url, helper.partial) == (PART.url, PART)

    def test_a_helper_has_no_more_rights_than_who_was_redirected(self) -> None:
        made = frontier()
        (first,) = made.take(0.0, 1)
        made.divide(first.id, Partial(0, '"v1"', 1000, "http://a.test/led"), 4)
        (helper,) = made.take(0.0, 1)
        assert (helper.url, helper.hops) == ("http://a.test/led", 1)
        assert helper.origin == "http://a.test:80"

    def test_a_helper_that_is_led_away_leaves_the_file_to_others(self) -> None:
        made, first = self.divided(per_host=2)
        (other,) = self.helpers(made)
        led = AttemptResult(other, redirect="http://b.test/0", hops=1)
        assert made.judge(led, 1.0, 0.0) is None
        assert made.take(1.0, 1) == []
        assert isinstance(made.judge(AttemptResult(first, SAVED), 1.0, 0.0), Finished)
        assert made.is_empty

    def test_whoever_is_alone_may_be_led_away_and_be_helped_there(self) -> None:
        made, first = self.divided(per_host=1)
        led = AttemptResult(first, redirect="http://b.test/0", hops=1)
        assert isinstance(made.judge(led, 1.0, 0.0), Redirected)
        (there,) = made.take(1.0, 1)
        assert not made.is_divided(there.id)

    def test_the_file_is_there_once(self) -> None:
        made, first = self.divided()
        others = self.helpers(made)
        assert made.is_shared(first)
        verdict = made.judge(AttemptResult(others[0], SAVED), 1.0, 0.0)
        assert isinstance(verdict, Finished)
        assert made.judge(helped(first), 1.0, 0.0) is None
        assert made.judge(helped(others[1]), 1.0, 0.0) is None
        made.divide(others[2], PART, 4)
        assert list(made.drain()) == []
        assert made.is_empty

    def test_whoever_divided_the_file_stands_for_it_to_its_end(self) -> None:
        made, first = self.divided(per_host=2)
        (other,) = self.helpers(made)
        assert (made.lead(first), made.lead(other)) == (first, first)
        made.judge(AttemptResult(first, failure=CONNECT), 1.0, 0.0)
        assert (made.lead(first), made.lead(other)) == (None, first)

    def test_nobody_stands_for_a_file_that_is_there(self) -> None:
        made, first = self.divided(per_host=2)
        (other,) = self.helpers(made)
        made.judge(AttemptResult(first, SAVED), 1.0, 0.0)
        assert made.lead(other) is None

    def test_an_attempt_alone_stands_for_its_file_and_so_does_the_next(self) -> None:
        made, first = self.divided(per_host=1)
        made.judge(AttemptResult(first, failure=CONNECT), 1.0, 0.0)
        (again,) = made.take(1.0, 1)
        assert made.lead(again.id) == again.id

    def test_all_that_came_for_a_file_is_counted(self) -> None:
        made, first = self.divided(per_host=2)
        (other,) = self.helpers(made)
        made.judge(AttemptResult(other, has_helped=True, received_bytes=5), 1.0, 0.0)
        last = AttemptResult(first, SAVED, received_bytes=7)
        verdict = made.judge(last, 1.0, 0.0)
        assert isinstance(verdict, Finished)
        assert verdict.ticket.received_bytes == 12

    def test_whoever_has_helped_is_followed_by_nobody(self) -> None:
        made, first = self.divided(per_host=2)
        (other,) = self.helpers(made)
        assert made.judge(helped(other), 1.0, 0.0) is None
        assert self.helpers(made) == []
        assert isinstance(made.judge(AttemptResult(first, SAVED), 1.0, 0.0), Finished)

    def test_a_failure_is_no_end_while_others_go_on(self) -> None:
        made, first = self.divided(per_host=2)
        (other,) = self.helpers(made)
        assert made.judge(AttemptResult(other, failure=CONNECT), 1.0, 0.0) is None
        assert self.helpers(made) == []
        assert isinstance(made.judge(AttemptResult(first, SAVED), 1.0, 0.0), Finished)

    def test_the_last_to_leave_brings_the_failure_of_those_before(self) -> None:
        made, first = self.divided(per_host=2)
        (other,) = self.helpers(made)
        made.judge(AttemptResult(other, failure=CONNECT), 1.0, 0.0)
        verdict = made.judge(helped(first), 1.0, 0.0)
        assert isinstance(verdict, Retrying)
        assert verdict.failure == CONNECT
        assert verdict.ticket.partial == PART
        assert not verdict.ticket.is_undivided

    def test_that_the_part_is_of_no_use_says_more_than_all_else(self) -> None:
        made, first = self.divided(per_host=3)
        one, two = self.helpers(made)
        made.judge(AttemptResult(one, failure=CONNECT), 1.0, 0.0)
        made.judge(AttemptResult(two, failure=MISFIT), 1.0, 0.0)
        verdict = made.judge(AttemptResult(first, failure=CONNECT), 1.0, 0.0)
        assert isinstance(verdict, Retrying)
        assert verdict.failure == MISFIT
        assert verdict.ticket.partial is None
        (again,) = made.take(1.0, 1)
        assert again.is_undivided

    def test_all_may_leave_without_a_word(self) -> None:
        made, first = self.divided(per_host=1)
        verdict = made.judge(helped(first), 1.0, 0.0)
        assert isinstance(verdict, Retrying)
        assert verdict.failure.kind == ErrorKind.WORKER_LOST
        (again,) = made.take(1.0, 1)
        assert (again.number, again.partial) == (1, PART)

    def test_a_helper_given_back_is_forgotten(self) -> None:
        made, first = self.divided(per_host=2)
        (other,) = self.helpers(made)
        made.give_back(other)
        assert not made.is_shared(first)
        assert made.in_flight == 1
        assert isinstance(made.judge(AttemptResult(first, SAVED), 1.0, 0.0), Finished)

    def test_what_several_work_on_is_drained_once(self) -> None:
        made, _ = self.divided()
        self.helpers(made)
        assert len(list(made.drain())) == 1

    def test_an_attempt_that_is_over_divides_nothing(self) -> None:
        made, first = self.divided()
        made.judge(AttemptResult(first, SAVED), 1.0, 0.0)
        made.divide(first, PART, 4)
        assert made.is_divided(first)
        assert made.take(1.0, 1) == []

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.models import ErrorKind, Failure
from downloader.policy.retry import (
    Again,
    Blame,
    History,
    RetryRules,
    decide,
    leaves_a_rest,
    read_statuses,
)

RULES = RetryRules()


def after(
    kind: str,
    *,
    number: int = 1,
    retry_after_seconds: float | None = None,
    jitter: float = 0.5,
    rules: RetryRules = RULES,
    blame: Blame = Blame.REQUEST,
) -> Again | None:
    """What follows when the `number`th try ends so."""
    failure = Failure(kind, "scripted", retry_after_seconds)
    return decide(failure, History(number=number), rules, jitter, blame)


@pytest.mark.parametrize("kind", ["http_403", "http_404", "http_410", "http_503"])
def test_part_stays_whatever_the_server_answers(kind: str) -> None:
    assert leaves_a_rest(Failure(kind, "scripted"))


@pytest.mark.parametrize("kind", [ErrorKind.CHECKSUM, ErrorKind.EXISTS])
def test_part_of_a_file_that_is_not_wanted_goes(kind: str) -> None:
    assert not leaves_a_rest(Failure(kind, "scripted"))


class TestClasses:
    @pytest.mark.parametrize(
        "kind",
        [
            *(ErrorKind.CONNECT, ErrorKind.DNS, ErrorKind.TIMEOUT, ErrorKind.TRUNCATED),
            *("http_408", "http_425", "http_429", "http_500", "http_502", "http_503"),
            *("http_504", "http_520", "http_599"),
        ],
    )
    def test_passing_trouble_is_tried_again(self, kind: str) -> None:
        assert after(kind) == Again(0.25)

    @pytest.mark.parametrize(
        "kind",
        [
            *("http_304", "http_400", "http_401", "http_403", "http_404", "http_410"),
            *("http_501", "http_505", "http_600", ErrorKind.TLS, ErrorKind.PROTOCOL),
            *(ErrorKind.TOO_SLOW, ErrorKind.TOO_LARGE, ErrorKind.CHECKSUM),
            *(ErrorKind.REDIRECTS, ErrorKind.INVALID_URL, ErrorKind.BLOCKED),
            *(ErrorKind.ROBOTS, ErrorKind.EXISTS, ErrorKind.DISK),
            *(ErrorKind.INTERRUPTED, ErrorKind.INTERNAL, ErrorKind.NOT_TRIED),
        ],
    )
    def test_lasting_trouble_is_the_end(self, kind: str) -> None:
        assert after(kind) is None

    def test_the_words_above_leave_no_kind_out(self) -> None:
        retried = {kind for kind in ErrorKind if after(kind) is not None}

        assert retried == {
            *(ErrorKind.CONNECT, ErrorKind.DNS, ErrorKind.TIMEOUT, ErrorKind.TRUNCATED),
            ErrorKind.WORKER_LOST,
        }


class TestRetries:
    @pytest.mark.parametrize("retries", [0, 1, 3])
    def test_n_retries_are_n_further_requests(self, retries: int) -> None:
        rules = RetryRules(retries=retries)

        assert after("connect", number=retries + 1, rules=rules) is None
        assert retries == 0 or after("connect", number=retries, rules=rules)

    @pytest.mark.parametrize(
        ("number", "seconds"),
        [(1, 0.5), (2, 1.0), (3, 2.0), (6, 16.0), (7, 30.0), (8, 30.0), (5_000, 30.0)],
    )
    def test_backoff_doubles_up_to_its_cap(self, number: int, seconds: float) -> None:
        patient = RetryRules(retries=10_000)

        again = after("connect", number=number, jitter=1.0, rules=patient)

        assert again == Again(seconds)

    @given(st.integers(1, 3), st.floats(0, 1, exclude_max=True))
    def test_jitter_is_full(self, number: int, jitter: float) -> None:
        again = after("connect", number=number, jitter=jitter)

        assert again is not None
        assert again.delay_seconds == pytest.approx(0.5 * 2 ** (number - 1) * jitter)


class TestHosts:
    """Failures that are the host's, and not the request's alone."""

    def test_hosts_fault_is_free_and_waits_for_the_host(self) -> None:
        again = after("http_429", number=99, blame=Blame.HOST)

        assert again == Again(0.0, counts=False, waits_for_host=True)

    def test_shared_fault_counts_and_waits_for_the_host(self) -> None:
        again = after("http_403", number=3, blame=Blame.BOTH)

        assert again == Again(0.0, waits_for_host=True)

    def test_shared_fault_grants_no_try_beyond_the_last(self) -> None:
        assert after("http_503", number=4, blame=Blame.BOTH) is None

    def test_pause_as_long_as_the_bound_is_borne(self) -> None:
        assert after("http_503", retry_after_seconds=120.0, blame=Blame.HOST)

    @pytest.mark.parametrize("blame", [Blame.HOST, Blame.BOTH])
    def test_longer_pause_is_the_end(self, blame: Blame) -> None:
        assert after("http_503", retry_after_seconds=120.1, blame=blame) is None


class TestFurtherStatuses:
    def test_statuses_that_were_named_are_tried_again(self) -> None:
        rules = RetryRules(statuses=frozenset({403, 404}))

        assert after("http_404", rules=rules) == Again(0.25)
        assert after("http_410", rules=rules) is None

    def test_classes_of_statuses_are_all_of_them(self) -> None:
        assert read_statuses("403,5xx") == {403, *range(500, 600)}
        assert read_statuses("") == frozenset()


class TestFreeTries:
    @pytest.mark.parametrize("losses", [1, 5])
    def test_lost_worker_costs_no_try(self, losses: int) -> None:
        failure = Failure(ErrorKind.WORKER_LOST, "killed")
        history = History(number=99, losses=losses)

        assert decide(failure, history, RULES, 0.5) == Again(0.0, counts=False)

    def test_what_loses_worker_after_worker_is_the_end(self) -> None:
        failure = Failure(ErrorKind.WORKER_LOST, "killed")

        assert decide(failure, History(number=1, losses=6), RULES, 0.5) is None

    def test_first_dead_connection_costs_no_try(self) -> None:
        failure = Failure(ErrorKind.CONNECT, "reset", stale=True)

        again = decide(failure, History(number=4, stale=1), RULES, 0.5)

        assert again == Again(0.0, counts=False)

    def test_second_dead_connection_counts(self) -> None:
        failure = Failure(ErrorKind.CONNECT, "reset", stale=True)

        again = decide(failure, History(number=1, stale=2), RULES, 0.5)

        assert again == Again(0.25)

    @pytest.mark.parametrize("kind", ["http_416", "http_503", ErrorKind.TIMEOUT])
    def test_refused_range_is_followed_by_none_free_once(self, kind: str) -> None:
        failure = Failure(kind, "no such range", refuses_range=True)

        again = decide(failure, History(number=4), RULES, 0.5)

        assert again == Again(0.0, counts=False, without_range=True)

    def test_refusal_that_asks_for_a_wait_gets_it(self) -> None:
        failure = Failure("http_503", "busy", 2.0, refuses_range=True)
        history = History(number=4)

        again = decide(failure, history, RULES, 0.5, Blame.BOTH)

        assert again == Again(
            0.0, counts=False, waits_for_host=True, without_range=True
        )

    def test_limited_rate_lets_the_part_be_resumed_while_there_are_retries(
        self,
    ) -> None:
        failure = Failure("http_429", "slowly", refuses_range=True)

        for blame in (Blame.HOST, Blame.BOTH):
            again = decide(failure, History(number=1), RULES, 0.5, blame)
            assert again is not None
            assert not again.without_range

    def test_limited_rate_is_followed_by_the_whole_file_in_the_end(self) -> None:
        failure = Failure("http_429", "slowly", refuses_range=True)
        last = History(number=RULES.retries + 1)
        after = History(number=RULES.retries + 1, restarts=1)

        again = decide(failure, last, RULES, 0.5, Blame.BOTH)

        assert again == Again(
            0.0, counts=False, waits_for_host=True, without_range=True
        )
        assert decide(failure, after, RULES, 0.5, Blame.BOTH) is None

    def test_refusal_that_asks_for_too_long_a_wait_is_the_end(self) -> None:
        failure = Failure("http_503", "busy", 1e6, refuses_range=True)

        assert decide(failure, History(number=1), RULES, 0.5) is None

    def test_second_refusal_counts_and_is_followed_by_no_range(self) -> None:
        failure = Failure("http_416", "no such range", refuses_range=True)

        again = decide(failure, History(number=1, restarts=1), RULES, 0.5)

        assert again == Again(0.25, without_range=True)

    def test_second_refusal_that_may_pass_leaves_the_part_another_chance(self) -> None:
        failure = Failure("http_503", "busy", refuses_range=True)

        again = decide(failure, History(number=1, restarts=1), RULES, 0.5)

        assert again == Again(0.25)

    def test_second_refusal_without_a_retry_left_is_the_end(self) -> None:
        failure = Failure("http_416", "no such range", refuses_range=True)

        assert decide(failure, History(number=4, restarts=1), RULES, 0.5) is None

    @pytest.mark.parametrize(
        "failure",
        [
            Failure(ErrorKind.WORKER_LOST, "died"),
            Failure(ErrorKind.CONNECT, "reset", stale=True),
        ],
    )
    def test_try_that_came_to_nothing_is_repeated_as_it_was(
        self, failure: Failure
    ) -> None:
        history = History(number=1, losses=1, stale=1, without_range=True)

        again = decide(failure, history, RULES, 0.5)

        assert again == Again(0.0, counts=False, without_range=True)

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from downloader.errors import TransportError
from downloader.models import Attempt, ErrorKind, Failure, Known, Partial
from downloader.policy import headers
from downloader.policy.exchange import (
    BOMB_BYTES,
    DRAINED_BYTES,
    Exchange,
    Follow,
    Leave,
    NotModified,
    Receive,
    Verdict,
    begin_again,
)
from downloader.policy.headers import HeaderRules
from downloader.policy.urls import parse

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DATE = "Mon, 23 Nov 2026 12:00:00 GMT"
URL = "http://a.test/dir/file"
PART = Partial(100, '"v1"', 300, URL)
REST = {"content-range": "bytes 100-299/300", "content-length": "200", "etag": '"v1"'}


def exchange(
    partial: Partial | None = None,
    *,
    url: str = URL,
    hops: int = 0,
    credentials: str | None = None,
    origin: str | None = None,
    rules: HeaderRules | None = None,
    max_redirects: int = 20,
) -> Exchange:
    attempt = Attempt(0, url, "file", 1, hops, credentials, partial, origin)
    return Exchange(attempt, rules or HeaderRules(), max_redirects)


def judge(
    status: int, answer: dict[str, str], partial: Partial | None = None
) -> Verdict:
    return exchange(partial).judge_head(status, answer, NOON)


def kind(verdict: Verdict | None) -> str:
    assert isinstance(verdict, Failure)
    return verdict.kind


def known(url: str = URL) -> Exchange:
    attempt = Attempt(0, URL, "file", known=Known('"v1"', DATE, url))
    return Exchange(attempt, HeaderRules(), 20)


def wanting(checksum: str) -> Exchange:
    return Exchange(Attempt(0, URL, "file", checksum=checksum), HeaderRules(), 20)


def test_what_a_request_goes_without_is_told() -> None:
    rules = HeaderRules(by_host={"a.test": (("Cookie", "a=1"),)})
    talk = Exchange(Attempt(0, "http://a.test/", "file"), rules, 20)

    assert "Cookie" not in talk.request_fields()
    assert talk.withheld is not None
    assert talk.withheld.startswith(
        "headers of the host's table not sent over http: Cookie;"
    )
    assert wanting("").withheld is None


class TestKnown:
    def test_a_known_version_is_asked_about_and_may_be_the_newest(self) -> None:
        talk = known()

        assert talk.request_fields()["If-None-Match"] == '"v1"'
        assert talk.request_fields()["If-Modified-Since"] == DATE
        assert talk.judge_head(304, {}, NOON) == NotModified()

    def test_another_version_is_taken(self) -> None:
        assert known().judge_head(200, {"content-length": "7"}, NOON) == Receive(
            0, 7, 7
        )

    def test_it_is_asked_about_only_where_it_came_from(self) -> None:
        talk = known("http://a.test/elsewhere")

        assert "If-None-Match" not in talk.request_fields()
        assert kind(talk.judge_head(304, {}, NOON)) == "http_304"

    @pytest.mark.parametrize(
        ("etag", "url", "asks"),
        [
            ('"v1"', f"{URL}?sig=1", True),
            ('W/"v1"', f"{URL}?sig=1", False),
            (None, f"{URL}?sig=1", False),
            ('"v1"', f"{URL}s?sig=1", False),
        ],
    )
    def test_a_strong_etag_is_asked_about_behind_any_query(
        self, etag: str | None, url: str, asks: bool
    ) -> None:
        attempt = Attempt(0, f"{URL}?sig=2", "file", known=Known(etag, DATE, url))
        talk = Exchange(attempt, HeaderRules(), 20)

        assert ("If-None-Match" in talk.request_fields()) is asks
        assert "If-Modified-Since" not in talk.request_fields()


class TestRequest:
    def test_a_part_that_may_be_whole_is_asked_for_from_its_last_byte(self) -> None:
        for total in (None, 100):
            fields = exchange(Partial(100, '"v1"', total, URL)).request_fields()

            assert fields["Range"] == "bytes=99-"

    def test_fresh_attempt_asks_for_the_whole(self) -> None:
        fields = exchange().request_fields()

        assert fields == {
            "Host": "a.test",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
        }

    def test_attempt_with_a_part_asks_for_the_rest(self) -> None:
        fields = exchange(PART).request_fields()

        assert fields["Range"] == "bytes=100-"
        assert fields["If-Range"] == '"v1"'

    def test_credentials_of_the_line_go_to_its_origin(self) -> None:
        fields = exchange(credentials="u:p").request_fields()

        assert fields["Authorization"] == headers.basic("u:p")

    def test_credentials_stay_at_home_after_a_redirect_to_another_host(self) -> None:
        away = exchange(
            url="http://b.test/", hops=1, credentials="u:p", origin="http://a.test:80"
        )

        assert "Authorization" not in away.request_fields()

    def test_credentials_come_along_where_a_redirect_leads_back_home(self) -> None:
        back = exchange(hops=2, credentials="u:p", origin="http://a.test:80")

        assert back.request_fields()["Authorization"] == headers.basic("u:p")

    def test_netrc_ends_with_the_first_redirect(self) -> None:
        talk = exchange(rules=HeaderRules(netrc={"a.test": "n:q"}))
        before = talk.request_fields()

        talk.judge_head(302, {"location": "/other"}, NOON)

        assert "Authorization" in before
        assert "Authorization" not in talk.request_fields()


class TestRedirect:
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_same_host_is_followed(self, status: int) -> None:
        talk = exchange()

        verdict = talk.judge_head(status, {"location": "../other?q"}, NOON)

        assert isinstance(verdict, Follow)
        assert verdict.url.text == talk.url.text == "http://a.test/other?q"
        assert talk.hops == 1

    @pytest.mark.parametrize(
        ("location", "target"),
        [
            ("http://b.test/x", "http://b.test/x"),
            ("//b.test/x", "http://b.test/x"),
            ("http://a.test:81/x", "http://a.test:81/x"),
            ("https://a.test/x", "https://a.test/x"),
        ],
    )
    def test_another_host_or_port_is_left_for(self, location: str, target: str) -> None:
        talk = exchange()

        verdict = talk.judge_head(302, {"location": location}, NOON)

        assert isinstance(verdict, Leave)
        assert verdict.url.text == target
        assert (talk.url.text, talk.hops) == (URL, 1)

    @pytest.mark.parametrize("status", [300, 304, 305, 306])
    def test_location_of_another_status_leads_nowhere(self, status: int) -> None:
        assert kind(judge(status, {"location": "/x"})) == f"http_{status}"

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_redirect_without_a_location_fails(self, status: int) -> None:
        assert kind(judge(status, {})) == f"http_{status}"

    def test_as_many_as_allowed_are_followed(self) -> None:
        talk = exchange(max_redirects=2)
        verdicts = [
            talk.judge_head(302, {"location": f"/{number}"}, NOON)
            for number in range(3)
        ]

        assert [type(verdict) for verdict in verdicts] == [Follow, Follow, Failure]
        assert verdicts[-1] == Failure(ErrorKind.REDIRECTS, "more than 2 redirects")

    def test_cookies_of_a_redirect_go_back_beside_the_users_own(self) -> None:
        rules = HeaderRules(
            by_host={"a.test": (("COOKIE", "own=1"),)}, allow_http=frozenset({"a.test"})
        )
        talk = exchange(rules=rules)

        talk.judge_head(302, {"location": "", "set-cookie": "a=1\nb=2"}, NOON)

        assert talk.request_fields()["COOKIE"] == "own=1; a=1; b=2"

    def test_cookies_of_an_earlier_host_come_along(self) -> None:
        first = exchange()
        answer = {"location": "http://b.test/", "set-cookie": "a=1; Path=/"}
        first.judge_head(302, answer, NOON)
        attempt = Attempt(0, "http://b.test/", "file", hops=1, chain=first.chain)
        second = Exchange(attempt, HeaderRules(), 20)

        assert "Cookie" not in second.request_fields()
        assert second.judge_head(302, {"location": URL}, NOON) == Leave(parse(URL))
        attempt = Attempt(0, URL, "file", hops=2, chain=second.chain)
        third = Exchange(attempt, HeaderRules(), 20)
        assert third.request_fields()["Cookie"] == "a=1"

    def test_cookies_of_other_answers_are_of_no_interest(self) -> None:
        talk = exchange()

        talk.judge_head(200, {"set-cookie": "a=1"}, NOON)

        assert "Cookie" not in talk.request_fields()

    def test_a_chain_that_loops_says_so(self) -> None:
        talk = exchange(max_redirects=1)
        answer = {"location": "", "set-cookie": "a=1; Domain=b.test"}

        talk.judge_head(302, answer, NOON)
        verdict = talk.judge_head(302, answer, NOON)

        assert isinstance(verdict, Failure)
        assert verdict.detail == (
            f"more than 1 redirects: they lead back to {URL}; a cookie on the way was "
            "refused: it is for another domain"
        )

    def test_hops_of_earlier_hosts_count(self) -> None:
        talk = exchange(hops=2, max_redirects=2)

        verdict = talk.judge_head(302, {"location": "/x"}, NOON)

        assert kind(verdict) == ErrorKind.REDIRECTS

    @pytest.mark.parametrize(
        "location", ["ftp://b.test/", "file:///etc/passwd", "http://", "javascript:0"]
    )
    def test_refused_target_is_blocked(self, location: str) -> None:
        talk = exchange()

        verdict = talk.judge_head(302, {"location": location}, NOON)

        assert kind(verdict) == ErrorKind.BLOCKED
        assert talk.hops == 0

    def test_refused_target_is_shown_short_and_without_secrets(self) -> None:
        location = f"ftp://u:secret@b.test/?token=hidden&\x1b[2J{'x' * 5_000}"

        verdict = judge(302, {"location": location})

        assert isinstance(verdict, Failure)
        assert not any(word in verdict.detail for word in ("secret", "hidden", "\x1b"))
        assert len(verdict.detail) < 1_000

    def test_refused_target_is_shown_once_and_in_its_own_letters(self) -> None:
        location = "http://a*☕.test/".encode().decode("latin-1")

        assert judge(302, {"location": location}) == Failure(
            ErrorKind.BLOCKED,
            "refused a redirect: 'http://a*☕.test/' has the character '*' in its host",
        )

    def test_range_is_asked_for_only_where_the_part_came_from(self) -> None:
        talk = exchange(Partial(100, '"v1"', 300, "http://a.test/x?old"))
        before = talk.request_fields()

        talk.judge_head(302, {"location": "/x?new"}, NOON)

        assert "Range" not in before
        assert talk.request_fields()["Range"] == "bytes=100-"

    def test_a_date_says_nothing_of_another_query(self) -> None:
        talk = exchange(Partial(100, DATE, 300, "http://a.test/x?old"))

        talk.judge_head(302, {"location": "/x?new"}, NOON)

        assert "Range" not in talk.request_fields()

    def test_a_206_where_no_range_was_asked_for_is_refused(self) -> None:
        talk = exchange(Partial(100, '"v1"', 300, "http://a.test/other"))

        assert kind(talk.judge_head(206, REST, NOON)) == "http_206"


class TestWhole:
    @pytest.mark.parametrize("status", [200, 203])
    def test_declared_length_is_expected(self, status: int) -> None:
        assert judge(status, {"content-length": "7"}) == Receive(0, 7, 7)

    @pytest.mark.parametrize("answer", [{}, {"transfer-encoding": " Chunked "}])
    def test_undeclared_length_is_told_by_the_end(self, answer: dict[str, str]) -> None:
        assert judge(200, answer) == Receive(0, None, None)

    @pytest.mark.parametrize("answer", [{}, {"content-length": "7"}])
    def test_204_is_an_empty_file(self, answer: dict[str, str]) -> None:
        assert judge(204, answer) == Receive(0, 0, 0)

    def test_200_to_a_range_request_begins_at_nothing(self) -> None:
        assert judge(200, {"content-length": "300"}, PART) == Receive(0, 300, 300)

    @pytest.mark.parametrize(
        "answer",
        [
            {"content-length": "-1"},
            {"content-length": "7, 8"},
            {"content-length": ""},
            {"transfer-encoding": "gzip"},
            {"transfer-encoding": "gzip, chunked"},
        ],
    )
    @pytest.mark.parametrize(("status", "partial"), [(200, None), (206, PART)])
    def test_doubtful_framing_is_refused(
        self, answer: dict[str, str], status: int, partial: Partial | None
    ) -> None:
        assert kind(judge(status, REST | answer, partial)) == ErrorKind.PROTOCOL


class TestOtherStatuses:
    @pytest.mark.parametrize(
        "status",
        [
            *(100, 101, 103, 201, 202, 205, 206, 207, 226, 304),
            *(404, 416, 503, 600, 999),
        ],
    )
    def test_each_fails_under_its_own_name(self, status: int) -> None:
        assert kind(judge(status, {})) == f"http_{status}"

    def test_known_one_is_named_for_people(self) -> None:
        assert judge(404, {}) == Failure(
            "http_404", "the server answered 404 Not Found"
        )
        assert judge(299, {}) == Failure("http_299", "the server answered 299")

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [("7", 7.0), ("Tue, 24 Nov 2026 12:00:09 GMT", 9.0), ("soon", None)],
    )
    def test_wish_to_wait_is_read(self, value: str, seconds: float | None) -> None:
        verdict = judge(503, {"retry-after": value})

        assert isinstance(verdict, Failure)
        assert verdict.retry_after_seconds == seconds

    def test_date_to_wait_for_is_measured_by_the_servers_own_clock(self) -> None:
        fields = {
            "retry-after": "Tue, 24 Nov 2026 09:00:09 GMT",
            "date": "Tue, 24 Nov 2026 09:00:00 GMT",
        }

        verdict = judge(503, fields)

        assert isinstance(verdict, Failure)
        assert verdict.retry_after_seconds == 9.0

    @pytest.mark.parametrize(
        ("status", "seconds"),
        [(202, 7.0), (403, 7.0), (404, 7.0), (500, 7.0), (206, None), (302, None)],
    )
    def test_wish_of_any_error_is_read(
        self, status: int, seconds: float | None
    ) -> None:
        verdict = judge(status, {"retry-after": "7"})

        assert isinstance(verdict, Failure)
        assert verdict.retry_after_seconds == seconds

    def test_last_status_is_kept(self) -> None:
        talk = exchange()
        talk.judge_head(302, {"location": "/x"}, NOON)
        talk.judge_head(404, {"etag": '"e"'}, NOON)

        assert talk.status == 404
        assert talk.answer == {"etag": '"e"'}


class TestCoding:
    def test_a_coded_body_cannot_be_gone_on_with(self) -> None:
        talk = exchange()
        talk.judge_head(200, {"etag": '"v1"', "content-encoding": "gzip"}, NOON)

        assert talk.validator() is None

    def test_a_rest_in_another_coding_begins_again(self) -> None:
        verdict = judge(206, REST | {"content-encoding": "gzip"}, PART)

        assert kind(verdict) == ErrorKind.PROTOCOL


class TestRange:
    def test_rest_goes_behind_the_part(self) -> None:
        assert judge(206, REST, PART) == Receive(100, 200, 300)

    @pytest.mark.parametrize(
        "changes",
        [
            {"content-length": None},
            {"content-length": None, "transfer-encoding": "chunked"},
            {"etag": None},
            {"etag": ' "v1" '},
        ],
    )
    def test_rest_may_leave_out_what_is_known(
        self, changes: dict[str, str | None]
    ) -> None:
        answer = {
            name: value
            for name, value in {**REST, **changes}.items()
            if value is not None
        }

        assert judge(206, answer, PART) == Receive(100, 200, 300)

    def test_total_need_not_be_known(self) -> None:
        answer = REST | {"content-range": "bytes 100-299/*"}

        assert judge(206, answer, PART) == Receive(100, 200, None)

    def test_what_was_known_of_it_holds(self) -> None:
        short = {"content-range": "bytes 100-198/*", "content-length": "99"}

        assert kind(judge(206, REST | short, PART)) == ErrorKind.PROTOCOL

    def test_total_may_become_known_now(self) -> None:
        part = Partial(101, '"v1"', None, URL)

        assert judge(206, REST, part) == Receive(100, 200, 300)

    @pytest.mark.parametrize("value", ["", "bytes */300", "bytes 299-100/300", "lines"])
    def test_206_without_a_usable_range_is_no_http(self, value: str) -> None:
        verdict = judge(206, REST | {"content-range": value}, PART)

        assert kind(verdict) == ErrorKind.PROTOCOL

    def test_206_without_a_content_range_is_no_http(self) -> None:
        assert kind(judge(206, {"content-length": "200"}, PART)) == ErrorKind.PROTOCOL

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"content-range": "bytes 0-199/300"}, "another range"),
            ({"content-range": "bytes 101-300/301"}, "another range"),
            ({"content-range": "bytes 99-298/300"}, "another range"),
            ({"content-length": "199"}, "another range"),
            ({"content-range": "bytes 100-299/301"}, "changed"),
            ({"etag": '"v2"'}, "changed"),
            ({"etag": 'W/"v1"'}, "changed"),
            (
                {"content-range": "bytes 100-199/300", "content-length": "100"},
                "stops short",
            ),
            (
                {"content-type": "Multipart/byteranges; boundary=x"},
                "several ranges",
            ),
        ],
    )
    def test_range_that_does_not_fit_is_refused(
        self, changes: dict[str, str], reason: str
    ) -> None:
        verdict = judge(206, REST | changes, PART)

        assert isinstance(verdict, Failure)
        assert verdict.kind == ErrorKind.PROTOCOL
        assert verdict.refuses_range == (reason == "changed")
        assert reason in verdict.detail

    def test_part_under_a_date_goes_on_with_that_date(self) -> None:
        part = Partial(100, DATE, 300, URL)

        assert judge(206, REST | {"last-modified": DATE}, part) == Receive(
            100, 200, 300
        )

    def test_part_under_a_date_begins_again_with_another(self) -> None:
        part = Partial(100, DATE, 300, URL)
        answer = REST | {"last-modified": "Tue, 24 Nov 2026 00:00:00 GMT"}

        verdict = judge(206, answer, part)

        assert isinstance(verdict, Failure)
        assert verdict.refuses_range


class TestRefusal:
    """Failures of a request with Range that one without it may get past."""

    @staticmethod
    def resuming(**changes: bool) -> Exchange:
        attempt = Attempt(0, URL, "file", partial=PART)
        changed = msgspec.structs.replace(attempt, **changes)
        talk = Exchange(changed, HeaderRules(), 20)
        talk.request_fields()
        return talk

    @pytest.mark.parametrize(
        "kind",
        [
            *("http_204", "http_206", "http_302", "http_304", "http_400", "http_403"),
            *("http_404", "http_405", "http_410", "http_416", "http_429", "http_500"),
            *("http_501", "http_503", "http_999"),
            *(ErrorKind.PROTOCOL, ErrorKind.REDIRECTS, ErrorKind.BLOCKED),
            *(ErrorKind.CONNECT, ErrorKind.TIMEOUT, ErrorKind.TRUNCATED),
        ],
    )
    def test_answer_of_no_use_and_silence_refuse_the_range(self, kind: str) -> None:
        failure = self.resuming().judge_failure(Failure(kind, "x", 3.0), 0)

        assert failure == Failure(kind, "x", 3.0, refuses_range=True)

    @pytest.mark.parametrize(
        "kind", [ErrorKind.CONNECT, ErrorKind.TIMEOUT, ErrorKind.TRUNCATED]
    )
    def test_bytes_that_came_are_no_refusal(self, kind: str) -> None:
        assert not self.resuming().judge_failure(Failure(kind, "x"), 1).refuses_range

    @pytest.mark.parametrize(
        "kind", [ErrorKind.DISK, ErrorKind.INTERRUPTED, ErrorKind.TOO_LARGE]
    )
    def test_what_has_nothing_to_do_with_the_range_is_none(self, kind: str) -> None:
        assert not self.resuming().judge_failure(Failure(kind, "x"), 0).refuses_range

    def test_request_without_range_meets_none(self) -> None:
        talk = self.resuming(without_range=True)

        assert "Range" not in talk.request_fields()
        assert not talk.judge_failure(Failure("http_403", "x"), 0).refuses_range

    def test_dead_connection_says_something_only_if_it_was_a_new_one(self) -> None:
        lost = Failure(ErrorKind.CONNECT, "reset", stale=True)

        assert not self.resuming().judge_failure(lost, 0).refuses_range
        assert self.resuming(is_fresh=True).judge_failure(lost, 0).refuses_range

    def test_helper_says_nothing_of_the_file(self) -> None:
        talk = self.resuming(joins=True)

        assert not talk.judge_failure(Failure("http_403", "x"), 0).refuses_range

    def test_204_is_no_rest(self) -> None:
        assert kind(judge(204, {}, PART)) == "http_204"


class TestEnd:
    RECEIVE = Receive(100, 200, 300)

    def test_expected_length_is_whole(self) -> None:
        assert exchange().judge_end(self.RECEIVE, 200) is None

    @pytest.mark.parametrize("received_bytes", [0, 12_345])
    def test_any_length_is_whole_if_none_was_declared(
        self, received_bytes: int
    ) -> None:
        assert exchange().judge_end(Receive(0, None, None), received_bytes) is None

    @pytest.mark.parametrize("received_bytes", [0, 199])
    def test_less_is_truncated(self, received_bytes: int) -> None:
        failure = exchange().judge_end(self.RECEIVE, received_bytes)

        assert kind(failure) == ErrorKind.TRUNCATED

    def test_more_is_no_http(self) -> None:
        failure = exchange().judge_end(self.RECEIVE, 1_201)

        assert failure == Failure(
            ErrorKind.PROTOCOL, "the body has 1,201 bytes, 200 were declared"
        )

    def test_any_digest_will_do_where_none_is_wanted(self) -> None:
        assert exchange().judge_digest("5a", is_pieced=True) is None

    @pytest.mark.parametrize("is_pieced", [True, False])
    def test_the_wanted_digest_is_right(self, is_pieced: bool) -> None:
        assert wanting("5a").judge_digest("5a", is_pieced=is_pieced) is None

    def test_another_digest_is_wrong_and_of_pieces_tried_again_as_a_whole(self) -> None:
        whole = wanting("5a").judge_digest("5b", is_pieced=False)
        pieced = wanting("5a").judge_digest("5b", is_pieced=True)

        reason = "its sha256 is 5b, expected 5a"
        assert whole == Failure(ErrorKind.CHECKSUM, reason)
        assert pieced == begin_again(reason)

    def test_part_goes_on_under_the_answers_strong_validator(self) -> None:
        talk = exchange()
        talk.judge_head(200, {"etag": '"e"'}, NOON)

        assert talk.validator() == '"e"'

    def test_part_without_one_never_goes_on(self) -> None:
        talk = exchange()
        talk.judge_head(200, {"etag": 'W/"e"'}, NOON)

        assert talk.validator() is None


class TestDraining:
    @pytest.mark.parametrize("length", [0, 1, DRAINED_BYTES])
    def test_short_body_is_read(self, length: int) -> None:
        talk = exchange()
        talk.judge_head(404, {"content-length": str(length)}, NOON)

        assert talk.is_worth_draining()

    @pytest.mark.parametrize(
        "answer",
        [
            {},
            {"content-length": str(DRAINED_BYTES + 1)},
            {"content-length": "999999999999999"},
            {"content-length": "000000000999999999"},
            {"content-length": "\u0665"},
            {"content-length": "-1"},
            {"content-length": "5, 5"},
            {"content-length": "5", "transfer-encoding": "chunked"},
        ],
    )
    def test_body_that_may_be_long_is_not(self, answer: dict[str, str]) -> None:
        talk = exchange()
        talk.judge_head(404, answer, NOON)

        assert not talk.is_worth_draining()


class TestSize:
    @pytest.mark.parametrize(
        ("status", "answer", "partial"),
        [(200, {"content-length": "301"}, None), (206, REST, PART)],
    )
    def test_a_file_too_large_is_refused_at_its_head(
        self, status: int, answer: dict[str, str], partial: Partial | None
    ) -> None:
        attempt = Attempt(0, URL, "file", partial=partial)
        talk = Exchange(attempt, HeaderRules(), 20, 299)

        assert kind(talk.judge_head(status, answer, NOON)) == ErrorKind.TOO_LARGE

    def test_one_that_does_not_say_is_refused_as_it_grows(self) -> None:
        talk = Exchange(Attempt(0, URL, "file"), HeaderRules(), 20, 299)

        assert talk.judge_head(200, {}, NOON) == Receive(0, None, None)
        talk.check_size(299)
        with pytest.raises(TransportError, match="too_large"):
            talk.check_size(300)

    def test_a_little_that_unfolds_to_a_lot_is_a_bomb(self) -> None:
        talk = Exchange(Attempt(0, URL, "file"), HeaderRules(), 20)

        talk.check_unfolded(BOMB_BYTES, 1)
        talk.check_unfolded(BOMB_BYTES + 1, BOMB_BYTES // 100 + 1)
        with pytest.raises(TransportError, match="bytes unfold to more than"):
            talk.check_unfolded(BOMB_BYTES + 1, BOMB_BYTES // 101)


CODINGS = ("gzip", "deflate", "br")


class TestDecoding:
    def talk(self, partial: Partial | None = None, **rules: Any) -> Exchange:
        attempt = Attempt(0, URL, "file", partial=partial)
        return Exchange(attempt, HeaderRules(**rules), 20, codings=CODINGS)

    def test_it_is_asked_for_but_not_for_a_rest(self) -> None:
        fields = self.talk().request_fields()

        assert fields["Accept-Encoding"] == "gzip, deflate, br"
        assert self.talk(PART).request_fields()["Accept-Encoding"] == "identity"

    def test_the_users_own_wish_goes_first(self) -> None:
        talk = self.talk(common=(("Accept-Encoding", "br"),))

        assert talk.request_fields()["Accept-Encoding"] == "br"

    @pytest.mark.parametrize("coding", ["gzip", "x-gzip", "Deflate ", "br"])
    def test_what_was_asked_for_is_undone(self, coding: str) -> None:
        answer = {"content-encoding": coding, "content-length": "7"}

        verdict = self.talk().judge_head(200, answer, NOON)

        assert verdict == Receive(0, 7, None, coding.strip().lower())

    @pytest.mark.parametrize("coding", ["compress", "gzip, gzip", "zstd"])
    def test_another_coding_is_refused(self, coding: str) -> None:
        verdict = self.talk().judge_head(200, {"content-encoding": coding}, NOON)

        assert kind(verdict) == ErrorKind.PROTOCOL

    def test_what_is_no_coding_is_saved_as_sent_and_noted(self) -> None:
        answer = {"content-encoding": "aws-chunked,", "content-length": "7"}
        verdict = self.talk().judge_head(200, answer, NOON)

        note = "content coding 'aws-chunked,' ignored: saved as sent"
        assert verdict == Receive(0, 7, 7, note=note)

    def test_a_coding_beside_it_is_undone(self) -> None:
        answer = {"content-encoding": "aws-chunked, gzip", "content-length": "7"}

        assert self.talk().judge_head(200, answer, NOON) == Receive(0, 7, None, "gzip")

    def test_nothing_needs_no_coding(self) -> None:
        answer = {"content-encoding": "gzip", "content-length": "0"}

        assert self.talk().judge_head(200, answer, NOON) == Receive(0, 0, 0)

    def test_unasked_it_is_written_as_it_comes(self) -> None:
        answer = {"content-encoding": "gzip", "content-length": "7"}

        assert judge(200, answer) == Receive(0, 7, 7)


def test_an_answer_in_chunks_says_so() -> None:
    begun = exchange()
    begun.judge_head(200, {"transfer-encoding": "chunked"}, NOON)
    assert begun.is_chunked

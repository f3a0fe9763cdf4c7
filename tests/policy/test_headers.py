import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.errors import TransportError
from downloader.models import Known
from downloader.policy import headers
from downloader.policy.headers import ContentRange, HeaderRules
from downloader.policy.urls import parse

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def sent(
    url: str,
    rules: HeaderRules | None = None,
    *,
    home: str = "http://a.test:80",
    hops: int = 0,
    credentials: str | None = None,
) -> dict[str, str]:
    return headers.for_hop(
        rules or HeaderRules(),
        parse(url),
        home=home,
        hops=hops,
        credentials=credentials,
    )


class TestSplit:
    def test_sensitive_names_are_told_apart_in_any_case(self) -> None:
        common, sensitive = headers.split(
            (
                *(("Accept", "a"), ("COOKIE", "b"), ("x-y", "c"), ("Host", "d")),
                *(("authorization", "e"), ("Proxy-Authorization", "f")),
            )
        )

        assert common == (("Accept", "a"), ("x-y", "c"))
        assert sensitive == (
            *(("COOKIE", "b"), ("Host", "d"), ("authorization", "e")),
            ("Proxy-Authorization", "f"),
        )


class TestForHop:
    def test_nothing_but_the_defaults_goes_out_unasked(self) -> None:
        assert sent("http://a.test.:81/") == {
            "Host": "a.test.:81",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
        }

    def test_common_field_replaces_a_default_of_any_spelling(self) -> None:
        rules = HeaderRules(common=(("ACCEPT", "text/html"), ("X-Note", "1")))

        assert sent("http://b.test/", rules) == {
            "Host": "b.test",
            "ACCEPT": "text/html",
            "Accept-Encoding": "identity",
            "X-Note": "1",
        }

    def test_name_given_twice_makes_a_list(self) -> None:
        rules = HeaderRules(common=(("X-Note", "1"), ("x-note", "2")))

        assert sent("http://a.test/", rules)["x-note"] == "1, 2"

    def test_cookies_are_joined_their_own_way(self) -> None:
        rules = HeaderRules(by_host={"a.test": (("Cookie", "a=1"), ("Cookie", "b=2"))})

        assert sent("https://a.test/", rules)["Cookie"] == "a=1; b=2"

    @pytest.mark.parametrize(
        ("url", "is_sent"),
        [
            ("http://a.test/", True),
            ("http://a.test:80/x", True),
            ("http://a.test:81/", False),
            ("https://a.test/", False),
            ("https://a.test:80/", False),
            ("http://b.test/", False),
            ("http://x.a.test/", False),
        ],
    )
    def test_sensitive_field_goes_to_its_origin_only(
        self, url: str, is_sent: bool
    ) -> None:
        rules = HeaderRules(
            sensitive=(("Authorization", "Bearer s"),),
            sensitive_origin="http://a.test:80",
        )

        assert ("Authorization" in sent(url, rules)) is is_sent

    def test_sensitive_field_without_an_origin_goes_nowhere(self) -> None:
        rules = HeaderRules(sensitive=(("Cookie", "a=1"),))

        assert "Cookie" not in sent("http://a.test/", rules)

    def test_host_table_goes_to_its_host_on_every_port(self) -> None:
        rules = HeaderRules(by_host={"a.test": (("Cookie", "a=1"),)})

        assert sent("https://a.test:81/", rules)["Cookie"] == "a=1"
        assert "Cookie" not in sent("http://x.a.test/", rules)

    def test_host_table_with_a_port_wins_there_alone(self) -> None:
        rules = HeaderRules(
            by_host={"a.test": (("X-K", "any"),), "a.test:81": (("X-K", "own"),)}
        )

        assert sent("http://a.test:81/", rules)["X-K"] == "own"
        assert sent("http://a.test/", rules)["X-K"] == "any"

    @pytest.mark.parametrize(
        ("home", "url", "hops", "is_sent"),
        [
            ("https://a.test:443", "http://a.test/", 1, False),
            ("https://a.test:443", "http://a.test/", 0, True),
            ("https://a.test:443", "https://a.test:81/", 1, True),
            ("http://a.test:80", "http://a.test/", 1, True),
        ],
    )
    def test_a_hosts_secrets_do_not_follow_from_https_to_http(
        self, home: str, url: str, hops: int, is_sent: bool
    ) -> None:
        own = (("Authorization", "Bearer s"), ("X-K", "1"))
        fields = headers.for_hop(
            HeaderRules(by_host={"a.test": own}, allow_http=frozenset({"a.test"})),
            parse(url),
            home=home,
            hops=hops,
            credentials=None,
        )

        assert ("Authorization" in fields) is is_sent
        assert fields["X-K"] == "1"

    SECRETS = (
        *("Authorization", "cookie", "Proxy-Authorization", "X-Api-Key", "X-API-KEY"),
        *("PRIVATE-TOKEN", "X-Amz-Security-Token", "X-Auth", "X-Session-Id"),
    )

    @pytest.mark.parametrize("name", SECRETS)
    def test_a_secret_of_a_host_table_goes_out_unencrypted_only_if_allowed(
        self, name: str
    ) -> None:
        tables = {"a.test": ((name, "s"), ("X-Open", "1")), "a.test:81": ((name, "t"),)}
        rules = HeaderRules(by_host=tables)
        allowed = HeaderRules(by_host=tables, allow_http=frozenset({"a.test"}))

        assert sent("https://a.test/", rules)[name] == "s"
        assert sent("http://a.test/", allowed)[name] == "s"
        assert sent("http://a.test:81/", allowed)[name] == "s"
        assert name not in sent("http://a.test/", rules)
        assert sent("http://a.test/", rules)["X-Open"] == "1"

    @pytest.mark.parametrize("name", ["Host", "Accept", "Referer", "X-K"])
    def test_other_fields_of_a_host_table_go_out_unencrypted(self, name: str) -> None:
        rules = HeaderRules(by_host={"a.test": ((name, "x"),)})

        assert sent("http://a.test/", rules)[name] == "x"
        assert headers.withheld(rules, parse("http://a.test/")) is None

    def test_what_a_table_withholds_leaves_a_lines_own_credentials(self) -> None:
        rules = HeaderRules(by_host={"a.test": (("Authorization", "Bearer s"),)})
        fields = sent("http://a.test/", rules, credentials="me:pw")

        assert fields["Authorization"].startswith("Basic ")

    def test_what_was_withheld_is_named(self) -> None:
        pairs = (("Cookie", "a"), ("Cookie", "b"), ("X-Token", "c"), ("X-K", "d"))
        rules = HeaderRules(by_host={"a.test": pairs, "b.test": pairs})

        note = headers.withheld(rules, parse("http://a.test/"))

        assert note is not None
        assert note.startswith(
            "headers of the host's table not sent over http: Cookie, X-Token;"
        )
        assert "set allow_http = true in the table" in note
        assert headers.withheld(rules, parse("https://a.test/")) is None
        assert headers.withheld(rules, parse("http://c.test/")) is None

    def test_host_table_replaces_common_and_sensitive_fields(self) -> None:
        rules = HeaderRules(
            common=(("X-K", "common"),),
            sensitive=(("Cookie", "run"),),
            sensitive_origin="https://a.test:443",
            by_host={"a.test": (("x-k", "host"), ("cookie", "host"))},
        )

        fields = sent("https://a.test/", rules)

        assert (fields["x-k"], fields["cookie"]) == ("host", "host")
        assert not {"X-K", "Cookie"} & fields.keys()


class TestCredentials:
    def test_basic_is_utf_8(self) -> None:
        assert headers.basic("Zoë:ü") == "Basic Wm/DqzrDvA=="

    @pytest.mark.parametrize("hops", [0, 3])
    def test_those_of_the_line_go_home(self, hops: int) -> None:
        fields = sent("http://a.test/", hops=hops, credentials="u:p")

        assert fields["Authorization"] == headers.basic("u:p")

    @pytest.mark.parametrize("url", ["http://b.test/", "https://a.test/"])
    def test_those_of_the_line_go_nowhere_else(self, url: str) -> None:
        assert "Authorization" not in sent(url, hops=1, credentials="u:p")

    def test_netrc_serves_the_first_hop(self) -> None:
        rules = HeaderRules(netrc={"a.test": "n:q"})

        assert sent("http://a.test/", rules)["Authorization"] == headers.basic("n:q")

    def test_netrc_serves_no_redirect(self) -> None:
        rules = HeaderRules(netrc={"a.test": "n:q"})

        assert "Authorization" not in sent("http://a.test/", rules, hops=1)

    def test_netrc_serves_its_hosts_only(self) -> None:
        rules = HeaderRules(netrc={"a.test": "n:q"})

        assert "Authorization" not in sent("http://b.test/", rules)

    def test_line_wins_over_netrc(self) -> None:
        rules = HeaderRules(netrc={"a.test": "n:q"})

        fields = sent("http://a.test/", rules, credentials="u:p")

        assert fields["Authorization"] == headers.basic("u:p")

    def test_given_field_wins_over_both(self) -> None:
        rules = HeaderRules(
            netrc={"a.test": "n:q"},
            sensitive=(("authorization", "Bearer s"),),
            sensitive_origin="http://a.test:80",
        )

        fields = sent("http://a.test/", rules, credentials="u:p")

        assert fields["authorization"] == "Bearer s"
        assert "Authorization" not in fields


URL = "http://a.test/"
DATE = "Mon, 23 Nov 2026 12:00:00 GMT"


@pytest.mark.parametrize("etag", ['"v1"', 'W/"v1"', '""'])
def test_a_known_version_is_asked_about_by_all_that_names_it(etag: str) -> None:
    assert headers.conditions(Known(etag, f" {DATE} ", URL)) == {
        "If-None-Match": etag,
        "If-Modified-Since": DATE,
    }


@pytest.mark.parametrize("etag", [None, "v1", '"a b"', '"é"', '"a\x01"', '"a", "b"'])
@pytest.mark.parametrize("modified", [None, "", "yesterday", f"{DATE}é"])
def test_what_is_no_validator_is_not_sent_back(
    etag: str | None, modified: str | None
) -> None:
    assert headers.conditions(Known(etag, modified, URL)) == {}


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ('"v"', True),
        ("Tue, 01 Dec 2026 00:00:00 GMT", True),
        ('W/"v"', False),
        ('"v"\r\nX: 1', False),
        ("Tue, 01 Dec 2026 00:00:00 GMT\n", False),
        ("Tue, 01 Dec 2026 00:00:00 GMT\r\nX: 1", False),
        ("", False),
    ],
)
def test_a_validator_is_a_strong_etag_or_a_date(text: str, is_one: bool) -> None:
    assert headers.is_validator(text) is is_one


@pytest.mark.parametrize("control", ["\r", "\n", "\0", "\x1b", "\x7f"])
def test_a_control_character_is_sent_in_no_field(control: str) -> None:
    with pytest.raises(TransportError, match="stands in the field X-A"):
        headers.sendable({"X-A": f"a{control}b"})
    assert headers.sendable({"X-A": "a\tgrün"}) == {"X-A": "a\tgrün"}


@pytest.mark.parametrize(
    ("coding", "is_coded"),
    [("gzip", True), ("identity, br", True), (" Identity ", False), ("", False)],
)
def test_a_coded_body_is_not_the_file_itself(coding: str, is_coded: bool) -> None:
    assert headers.is_coded({"content-encoding": coding}) is is_coded
    assert not headers.is_coded({})


def test_repeated_response_fields_are_joined() -> None:
    pairs = [("ETag", '"a"'), ("Vary", "x"), ("VARY", "y"), ("vary", "z")]

    assert headers.fields(pairs) == {"etag": '"a"', "vary": "x, y, z"}


class TestContentRange:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("bytes 0-0/1", ContentRange(0, 0, 1)),
            ("bytes 5-9/10", ContentRange(5, 9, 10)),
            (" BYTES 5-9/* ", ContentRange(5, 9, None)),
            ("bytes */10", ContentRange(None, None, 10)),
            ("bytes */*", ContentRange(None, None, None)),
        ],
    )
    def test_is_read(self, value: str, expected: ContentRange) -> None:
        assert headers.content_range(value) == expected

    @pytest.mark.parametrize(
        "value",
        [
            *(None, "", "bytes", "bytes 5-9", "bytes=5-9/10", "items 5-9/10"),
            *("bytes 9-5/10", "bytes 5-9/9", "bytes 5-/10", "bytes -9/10", "5-9/10"),
            *("bytes +5-9/10", "bytes 5-9/10, bytes 5-9/10", "bytes \u0665-\u0669/10"),
            f"bytes 5-9/{'9' * 19}",
        ],
    )
    def test_malformed_one_is_none(self, value: str | None) -> None:
        assert headers.content_range(value) is None


class TestContentLength:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            *[(None, None), ("0", 0), (" 12 ", 12), ("007", 7), ("5, 5", 5)],
            ("9" * 18, 10**18 - 1),
        ],
    )
    def test_is_read(self, value: str | None, expected: int | None) -> None:
        assert headers.content_length(value) == expected

    @pytest.mark.parametrize(
        "value", ["", "-1", "+1", "1.0", "0x10", "1_0", "5, 6", "\u0665", "²", "9" * 19]
    )
    def test_anything_but_plain_digits_is_refused(self, value: str) -> None:
        with pytest.raises(ValueError, match=r".*"):
            headers.content_length(value)


class TestDate:
    @pytest.mark.parametrize(
        "value",
        [
            "Tue, 24 Nov 2026 12:00:00 GMT",
            " Tue, 24 Nov 2026 12:00:00 GMT ",
            "Tuesday, 24-Nov-26 12:00:00 GMT",
            "Tue Nov 24 12:00:00 2026",
            "Tue, 24 Nov 2026 12:00:00 -0000",
            "Tue, 24 Nov 2026 14:00:00 +0200",
        ],
    )
    def test_every_form_is_read_as_utc(self, value: str) -> None:
        moment = headers.date(value)

        assert moment == NOON
        assert moment is not None
        assert moment.tzinfo is UTC

    @pytest.mark.parametrize(
        "value",
        [
            *(None, "", " ", "Tue", "yesterday", "1 2 3 4 5 6", "2026-11-24T12:00:00Z"),
            *("Tue, 99 Nov 2026 12:00:00 GMT", "Tue, 24 Nov 99999999999 12:00:00 GMT"),
            "Tue, 24 Nov 2026 12:00:00 +99999999999999999999",
            "Fri, 31 Dec 9999 23:59:59 -2300",
        ],
    )
    def test_malformed_one_is_none(self, value: str | None) -> None:
        assert headers.date(value) is None

    @given(st.text())
    def test_no_text_is_an_error(self, value: str) -> None:
        moment = headers.date(value)

        assert moment is None or moment.tzinfo is UTC


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("0", 0.0),
            (" 120 ", 120.0),
            ("9" * 5_000, 999_999_999_999.0),
            ("Tue, 24 Nov 2026 12:01:30 GMT", 90.0),
            ("Tue, 24 Nov 2026 11:59:00 GMT", 0.0),
        ],
    )
    def test_seconds_and_dates_are_waits(self, value: str, seconds: float) -> None:
        assert headers.retry_after_seconds(value, NOON) == seconds

    @pytest.mark.parametrize("value", [None, "", "soon", "-1", "1.5", "\u0665", "²"])
    def test_anything_else_is_no_wish(self, value: str | None) -> None:
        assert headers.retry_after_seconds(value, NOON) is None


DATES = st.one_of(
    st.datetimes(NOON.min.replace(year=1000)).map(
        lambda moment: moment.strftime("%a, %d %b %Y %H:%M:%S GMT")
    ),
    st.from_regex(
        r"(Mon|Xyz), [0-9]{2} (Jan|Foo|jan) [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT",
        fullmatch=True,
    ),
)


@given(DATES)
def test_the_usual_form_of_a_date_is_read_as_by_the_standard_library(text):
    try:
        expected = parsedate_to_datetime(text).replace(tzinfo=UTC)
    except ValueError:
        expected = None

    assert headers.date(text) == expected


class TestStrongValidator:
    MODIFIED = "Tue, 24 Nov 2026 11:00:00 GMT"

    @pytest.mark.parametrize("etag", ['"v1"', '""', ' "v1" '])
    def test_strong_etag_is_one(self, etag: str) -> None:
        assert headers.strong_validator({"etag": etag}) == etag.strip()

    @pytest.mark.parametrize("etag", ['W/"v1"', "v1", '"a" b"', '"a", "b"', '"ä"'])
    def test_any_other_etag_is_none_whatever_the_date(self, etag: str) -> None:
        answer = {
            "etag": etag,
            "last-modified": self.MODIFIED,
            "date": "Tue, 24 Nov 2026 12:00:00 GMT",
        }

        assert headers.strong_validator(answer) is None

    def test_date_a_minute_before_the_answer_is_one(self) -> None:
        answer = {
            "last-modified": f" {self.MODIFIED} ",
            "date": "Tue, 24 Nov 2026 11:01:00 GMT",
        }

        assert headers.strong_validator(answer) == self.MODIFIED

    @pytest.mark.parametrize(
        "answer",
        [
            {},
            {"date": MODIFIED},
            {"last-modified": MODIFIED},
            {"last-modified": MODIFIED, "date": "now"},
            {"last-modified": "then", "date": MODIFIED},
            {"last-modified": MODIFIED, "date": MODIFIED},
            {"last-modified": MODIFIED, "date": "Tue, 24 Nov 2026 11:00:59 GMT"},
            {"last-modified": MODIFIED, "date": "Tue, 24 Nov 2026 09:00:00 GMT"},
        ],
    )
    def test_any_other_date_is_none(self, answer: dict[str, str]) -> None:
        assert headers.strong_validator(answer) is None


LINES = [b"Content-Length: 5\r\n", b'ETag:\t"a b" \r\n', b"X-A: \xe9\n", b"Empty:\r\n"]


def test_the_lines_of_a_head_are_read_as_fields():
    assert headers.parse(LINES) == {
        "content-length": "5",
        "etag": '"a b"',
        "x-a": "é",
        "empty": "",
    }


def test_repeated_lines_are_joined():
    assert headers.parse([b"A: 1\r\n", b"a: 2\r\n"]) == {"a": "1, 2"}


def test_no_lines_are_no_fields():
    assert headers.parse([]) == {}


@pytest.mark.parametrize(
    "line",
    [b"no colon\r\n", b"A : 1\r\n", b": 1\r\n", b"A: a\0b\r\n", b"\x1b[2J: 1\r\n"],
)
def test_a_line_that_is_no_field_is_refused(line):
    with pytest.raises(ValueError):  # noqa: PT011 - its text is the name, maybe empty
        headers.parse([b"Fine: 1\r\n", line])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\n", ("1.1", 200)),
        (b"HTTP/1.0 404\r\n", ("1.0", 404)),
        (b"HTTP/1.1 200 \n", ("1.1", 200)),
        (b"HTTP/2 200 \r\n", ("2", 200)),
    ],
)
def test_a_status_line_has_a_version_and_a_code(line, expected):
    assert headers.status_line(line) == expected


@pytest.mark.parametrize(
    "line",
    [b"HTTP/1.2 200 OK\r\n", b"http/1.1 200\r\n", b"HTTP/1.1 2000 X\r\n", b"x\r\n"],
)
def test_what_is_no_status_line_is_refused(line):
    with pytest.raises(ValueError, match=re.escape(repr(line)[2:6])):
        headers.status_line(line)

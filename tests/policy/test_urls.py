import pickle
import re
from ipaddress import IPv4Address, IPv6Address

import pytest
import yarl
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from downloader.errors import InvalidUrl
from downloader.policy import urls
from downloader.policy.redaction import printable, redact, redact_secrets
from downloader.policy.urls import (
    MAX_LENGTH,
    Url,
    identity,
    join,
    parse,
)


def as_field(text: str) -> str:
    """A text as a driver reads it from a response head."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


BASE = parse("http://user:pass@example.org/a/b/c?old=1")

# Letter by letter what is clean, what is odd, and what only looks like one of them.
PIECES = st.sampled_from(
    [
        *'aB/?=&#~+:@;.%é \\[|"',
        *["//", "/./", "/../", "..", "%2e", "%2E", "%7E", "%41", "%2f", "%%", "%zz"],
        *["%C3%A9", "%25", "\udce9", "\U0001f600", "file.txt"],
    ]
)
TARGETS = st.lists(PIECES, max_size=12).map("".join)
HOSTS = st.sampled_from(
    [
        *["example.org", "Example.ORG.", "127.0.0.1", "127.1", "[::1]", "h", "a.1"],
        *["bücher.de", "a_b.c", "1a", "0x7f.1", "xn--bcher-kva.de", "a..b", "a*b"],
    ]
)
PORTS = st.sampled_from(["", ":", ":80", ":443", ":8080", ":080", ":65536", ":0"])
SCHEMES = st.sampled_from(["http", "https", "HTTP"])
TEXTS = st.builds("{}://{}{}/{}".format, SCHEMES, HOSTS, PORTS, TARGETS) | st.builds(
    "{}://{}{}{}".format, SCHEMES, HOSTS, PORTS, TARGETS
)


CLEAN_TEXTS = st.from_regex(
    r"https?://([a-z0-9_-]{1,9}\.)?[a-z0-9]{1,3}\.?(:[0-9]{1,5})?"
    r"(/([a-zB.~%+]|%[0-9A-F]{2}){0,4}){0,4}(\?[a-z./?=]{0,9})?(#[a-z]{0,2})?",
    fullmatch=True,
)


def readable(text: str) -> bool:
    try:
        parse(text)
    except InvalidUrl:
        return False
    return True


URLS = TEXTS.filter(readable).map(parse)


SENDABLE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in "#.")


class TestParse:
    @pytest.mark.parametrize(
        ("text", "sent"),
        [
            ("http://example.org", "http://example.org/"),
            ("https://example.org?q", "https://example.org/?q"),
            ("HTTP://EXAMPLE.org:80/A", "http://example.org/A"),
            ("https://example.org:443/", "https://example.org/"),
            ("https://example.org:80/", "https://example.org:80/"),
            ("http://example.org:/a", "http://example.org/a"),
            ("http://example.org:0081/", "http://example.org:81/"),
            ("http://example.org./", "http://example.org./"),
            ("http://example.org/a#fragment", "http://example.org/a"),
            ("http://example.org/a b", "http://example.org/a%20b"),
            ("http://example.org/é?ü", "http://example.org/%C3%A9?%C3%BC"),
            ("http://example.org/\udce9", "http://example.org/%E9"),
            ("http://example.org/%7euser%2c", "http://example.org/%7euser%2c"),
            ("http://example.org/%zz%4?100%", "http://example.org/%zz%4?100%"),
            (f"http://example.org/{SENDABLE}", f"http://example.org/{SENDABLE}"),
            (f"http://example.org/?{SENDABLE}", f"http://example.org/?{SENDABLE}"),
            ("http://example.org/a\tb?\x01\x7f", "http://example.org/a%09b?%01%7F"),
            ("http://example.org/\x85", "http://example.org/%C2%85"),
            ("http://example.org/%2c/x/%2e%2E/a", "http://example.org/%2c/a"),
            ("http://example.org/a/./b/../c", "http://example.org/a/c"),
            ("http://example.org/a/%2e/b/.%2E/c", "http://example.org/a/c"),
            ("http://example.org/../../a", "http://example.org/a"),
            ("http://example.org/a/..", "http://example.org/"),
            ("http://example.org/a/.", "http://example.org/a/"),
            ("http://example.org/a/%2e", "http://example.org/a/"),
            ("http://example.org/a/b/%2E.", "http://example.org/a/"),
            ("http://example.org/a//../b", "http://example.org/a/b"),
            ("http://example.org/a?b=../c", "http://example.org/a?b=../c"),
            ("http://example.org/...", "http://example.org/..."),
            ("http://bücher.example/", "http://xn--bcher-kva.example/"),
            ("http://☕.example/", "http://xn--53h.example/"),
            ("http://I❤\ufe0f.ws/", "http://xn--i-7iq.ws/"),
            ("http://☕。Faß.example./", "http://xn--53h.xn--fa-hia.example./"),
            ("http://b%C3%BCcher.example/", "http://xn--bcher-kva.example/"),
            ("http://127.1:8080/", "http://127.0.0.1:8080/"),
            ("http://0x7F.0.0.0x/", "http://127.0.0.0/"),
            ("http://017700000001./", "http://127.0.0.1/"),
            ("http://[0:0:0:0:0:0:0:1]/", "http://[::1]/"),
            ("http://[::FFFF:1.2.3.4]/", "http://[::ffff:102:304]/"),
            ("http://[1:2:3:4:5:6:7:8]:81", "http://[1:2:3:4:5:6:7:8]:81/"),
            ("http://[1:0:0:2:0:0:0:10]/", "http://[1:0:0:2::10]/"),
            ("http://a_b-.example/", "http://a_b-.example/"),
            (" \thttp://example.org/a\r\n", "http://example.org/a"),
        ],
    )
    def test_repairs_only_what_cannot_be_sent(self, text: str, sent: str) -> None:
        assert parse(text).text == sent

    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ("", "has no scheme"),
            ("example.org/a", "needs http:// or https:// in front"),
            ("example.org:8080/a", "needs http:// or https:// in front"),
            ("//example.org/a", "has no scheme"),
            ("http:example.org", "has no // after http:"),
            ("ftp://example.org/", "only http:// and https:// can be fetched"),
            ("mailto:a@example.org", "only http:// and https:// can be fetched"),
            ("http://", "has no host"),
            ("http:///a", "has no host"),
            ("http://user:pass@/a", "has no host"),
            ("http://.", "has an empty label in its host"),
            ("http://a..b/", "has an empty label in its host"),
            ("http://example.org../", "has an empty label in its host"),
            ("http:// example.org/", "has the character ' ' in its host"),
            ("http://example.org /", "has the character ' ' in its host"),
            ("http://exa*mple.org/", "has the character '*' in its host"),
            ("http://exa%00mple.org/", r"has the character '\x00' in its host"),
            ("http://a\\b/", "has a \\ in its host"),
            ("http://a\\@b/", "has a \\ in its host"),
            ("http://é\uff0f.example/", "has the character '/' in its host"),
            ("http://\xad/", "has no host"),
            (f"http://{'☕' * 64}/", "has a label of more than 63 characters"),
            ("http://é\udce9/", "has a host that is no international name"),
            ("http://%FF/", "has a host that is no international name"),
            (f"http://{'a' * 64}/", "has a label of more than 63 characters"),
            (f"http://{'a.' * 127}b/", "has a host longer than 253"),
            ("http://1.2.3.256/", "'1.2.3.256', which is no IPv4 address"),
            ("http://256.1/", "no IPv4 address"),
            ("http://1.2.3.4.0/", "no IPv4 address"),
            ("http://1.2.3.4.5/", "no IPv4 address"),
            ("http://08/", "no IPv4 address"),
            ("http://example.1/", "no IPv4 address"),
            ("http://[::1/", "has brackets around its host that do not match"),
            ("http://[::1]a/", "has brackets around its host that do not match"),
            ("http://[::g]/", "has a host in brackets that is no IPv6 address"),
            ("http://[fe80::1%25eth0]/", "has an IPv6 address with a zone"),
            ("http://example.org:0/", "no number from 1 to 65535"),
            ("http://example.org:65536/", "no number from 1 to 65535"),
            ("http://example.org:99999999/", "no number from 1 to 65535"),
            ("http://example.org:8o/", "no number from 1 to 65535"),
            ("http://example.org:٣/", "no number from 1 to 65535"),
            ("http://exa\nmple.org/", r"has the character '\x0a' in its host"),
            ("http://example.org/\ud800", r"has the character \ud800, which cannot"),
            (f"http://h/{'a' * MAX_LENGTH}", "16384 are the most"),
        ],
    )
    def test_refuses_what_no_repair_makes_fetchable(
        self, text: str, fault: str
    ) -> None:
        with pytest.raises(InvalidUrl, match=re.escape(fault)):
            parse(text)

    def test_longest_allowed_url_is_read(self) -> None:
        text = "http://h/".ljust(MAX_LENGTH, "a")

        assert parse(text).text == text

    def test_longest_allowed_host_is_read(self) -> None:
        host = f"{'a.' * 126}b"

        assert parse(f"http://{host}./").host == f"{host}."

    def test_message_shows_the_text_cut_escaped_and_without_password(self) -> None:
        with pytest.raises(InvalidUrl) as caught:
            parse(f"http://user:{'secret' * 60}\x1b@\x1b.org/{'a' * 300}")

        message = str(caught.value)
        assert message.startswith(r"'http://user:***@\x1b.org/aaa")
        assert "secret" not in message
        assert message.isprintable()
        assert "…' has the character" in message

    @pytest.mark.parametrize(
        "text",
        [
            "bob:hunter77@example.org/a.pdf",
            "https:\\\\bob:hunter77@h/b",
            "http:///bob:hunter77@h/",
            "//bob:hunter77@h",
            "http:bob:hunter77@h/",
            "https//bob:hunter77@h/",
            "http://bob:hunter77@h:99999/",
        ],
    )
    def test_message_shows_no_password_however_wrong_the_url(self, text: str) -> None:
        with pytest.raises(InvalidUrl) as caught:
            parse(text)

        assert "hunter77" not in str(caught.value)

    @pytest.mark.parametrize(
        ("text", "credentials"),
        [
            ("http://example.org/", None),
            ("http://@example.org/", None),
            ("http://:@example.org/", None),
            ("http://user@example.org/", "user:"),
            ("http://user:p%40%3a:ss@example.org/", "user:p@::ss"),
            ("http://user:p@ss@example.org/", "user:p@ss"),
            ("http://:token@example.org/", ":token"),
            ("http://us%C3%A9r:%E9@example.org/", "usér:é"),
            ("http://ü:\udce9@example.org/", "ü:é"),
        ],
    )
    def test_credentials_are_decoded(self, text: str, credentials: str | None) -> None:
        url = parse(text)

        assert url.credentials == credentials
        assert url.text == "http://example.org/"

    @given(CLEAN_TEXTS | TEXTS)
    @settings(deadline=None, max_examples=300)
    @example(f"http://{'a.' * 127}b/")
    @example("http://example.org:65536/")
    @example("http://example.org/%2E")
    @example("http://example.org:8080/a%20b?c=%7E#d")
    @example("http://example.org/a\n")
    def test_clean_text_reads_as_if_it_had_been_repaired(self, text: str) -> None:
        fast = urls._parse_clean(text)

        assert fast is None or fast == urls._parse_any(text)

    @pytest.mark.parametrize("text", ["https://example.org", "http://127.0.0.1:80/%20"])
    def test_clean_text_is_known_as_clean(self, text: str) -> None:
        assert urls._parse_clean(text) is not None

    @given(TEXTS.filter(lambda text: not readable(text)) | st.text())
    @settings(deadline=None)
    def test_refusal_is_printable(self, text: str) -> None:
        with pytest.raises(InvalidUrl) as caught:
            parse(text)

        assert str(caught.value).isprintable()

    @given(URLS)
    @settings(deadline=None)
    def test_what_is_sent_is_printable_ascii(self, url: Url) -> None:
        assert re.fullmatch(r"[!-~]+", url.text)
        assert url.target.startswith("/")

    @given(URLS)
    @settings(deadline=None)
    def test_what_is_sent_reads_as_itself(self, url: Url) -> None:
        assert parse(url.text) == url._replace(credentials=None)

    @given(URLS)
    @settings(deadline=None)
    def test_yarl_leaves_the_target_untouched(self, url: Url) -> None:
        built = yarl.URL.build(
            scheme=url.scheme, authority=url.netloc, path=url.target, encoded=True
        )

        assert (built.raw_path_qs, str(built)) == (url.target, url.text)

    @given(st.ip_addresses(v=4))
    def test_an_ipv4_address_stays_as_it_is(self, address: IPv4Address) -> None:
        assert parse(f"http://{address}/").host == str(address)

    @given(st.ip_addresses(v=6))
    def test_an_ipv6_address_has_one_form(self, address: IPv6Address) -> None:
        short = parse(f"http://[{address}]/").host
        long = parse(f"http://[{address.exploded}]/").host

        assert short == long
        assert IPv6Address(short) == address

    def test_refuses_what_is_too_long_only_as_it_is_sent(self) -> None:
        most = (MAX_LENGTH - len("http://h/")) // len("%C3%A9")

        assert len(parse("http://h/" + "é" * most).text) <= MAX_LENGTH
        with pytest.raises(InvalidUrl, match="characters long as it is sent"):
            parse("http://h/" + "é" * (most + 1))


class TestUrl:
    def test_parts_of_a_url_with_a_port_of_its_own(self) -> None:
        url = parse("https://user:pass@Example.org:8443/a?b#c")

        assert url == Url("https", "example.org", 8443, "/a?b", "user:pass")
        assert url.text == "https://example.org:8443/a?b"
        assert url.netloc == "example.org:8443"
        assert url.host_key == "example.org:8443"
        assert url.origin == "https://example.org:8443"

    @pytest.mark.parametrize(
        ("text", "proxy", "target"),
        [
            ("http://h/a?b", None, "/a?b"),
            ("http://h/a?b", "http://p", "http://h/a?b"),
            ("http://h/a?b", "HTTPS://p", "http://h/a?b"),
            ("http://h/a?b", "socks5h://p", "/a?b"),
            ("https://h/a?b", "http://p", "/a?b"),
        ],
    )
    def test_only_a_forwarding_proxy_gets_the_whole_url(
        self, text: str, proxy: str | None, target: str
    ) -> None:
        assert parse(text).request_target(proxy) == target

    def test_default_port_is_in_the_keys_but_not_in_the_text(self) -> None:
        url = parse("http://[::1]/")

        assert url.text == "http://[::1]/"
        assert url.netloc == "[::1]"
        assert url.host_key == "[::1]:80"
        assert url.origin == "http://[::1]:80"

    def test_repr_hides_the_password(self) -> None:
        assert repr(BASE) == (
            "Url('http://example.org/a/b/c?old=1', credentials='***')"
        )
        assert repr(parse("http://h")) == "Url('http://h/')"

    def test_survives_pickling(self) -> None:
        assert pickle.loads(pickle.dumps(BASE)) == BASE


class TestIdentity:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("http://h/%7Euser", "http://h/~user"),
            ("http://h/%41%5a%61%7a%30%39%2D%5F", "http://h/AZaz09-_"),
            ("http://h/a%2Eb?%78", "http://h/a.b?x"),
            ("HTTP://H:80", "http://h/"),
            ("http://h/é", "http://h/%c3%a9"),
            ("http://h/%2c?%c3%A9", "http://h/%2C?%C3%a9"),
            ("http://h/a|[b]?%", "http://h/a%7C%5Bb%5D?%25"),
            ("http://user:pass@h/a#b", "http://h/a"),
            ("http://[0::0001]/", "http://[::1]/"),
        ],
    )
    def test_spellings_of_one_resource_are_equal(self, one: str, other: str) -> None:
        assert identity(parse(one)) == identity(parse(other))

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("http://h/a", "http://h/a?"),
            ("http://h/a", "http://h/a/"),
            ("http://h/a%2Fb", "http://h/a/b"),
            ("http://h/a%2541", "http://h/a%41"),
            ("http://h/a!", "http://h/a%21"),
            ("http://h/a", "https://h/a"),
            ("http://h/a", "http://h:81/a"),
            ("http://h/a", "http://h./a"),
            ("http://h/a", "http://h/A"),
        ],
    )
    def test_different_resources_differ(self, one: str, other: str) -> None:
        assert identity(parse(one)) != identity(parse(other))

    def test_holds_no_credentials(self) -> None:
        assert identity(BASE) == "http://example.org/a/b/c?old=1"

    @given(URLS)
    @settings(deadline=None)
    def test_is_a_url_with_itself_as_identity(self, url: Url) -> None:
        assert identity(parse(identity(url))) == identity(url)

    @given(st.characters(min_codepoint=0x21, max_codepoint=0x7E))
    def test_only_unreserved_characters_are_decoded(self, character: str) -> None:
        encoded = f"http://h/x%{ord(character):02X}"
        is_unreserved = character.isalnum() or character in "-._~"

        assert (identity(parse(encoded)) == f"http://h/x{character}") is is_unreserved


class TestJoin:
    @pytest.mark.parametrize(
        ("location", "text"),
        [
            ("d", "http://example.org/a/b/d"),
            ("./d", "http://example.org/a/b/d"),
            ("../d?e", "http://example.org/a/d?e"),
            ("../../../../d", "http://example.org/d"),
            ("/d/./e", "http://example.org/d/e"),
            ("?new=2", "http://example.org/a/b/c?new=2"),
            ("?", "http://example.org/a/b/c?"),
            ("", "http://example.org/a/b/c?old=1"),
            ("#fragment", "http://example.org/a/b/c?old=1"),
            ("d#?e", "http://example.org/a/b/d"),
            ("//other.org/d", "http://other.org/d"),
            ("https://other.org", "https://other.org/"),
            (" /d ", "http://example.org/d"),
            ("/\\other.org", "http://example.org/\\other.org"),
            ("/a b%|?%2c[]", "http://example.org/a%20b%|?%2c[]"),
            ("/café?é", "http://example.org/caf%E9?%E9"),
            ("/\x85", "http://example.org/%85"),
            (as_field("/café?☕"), "http://example.org/caf%C3%A9?%E2%98%95"),
            (as_field("http://☕.example/"), "http://xn--53h.example/"),
        ],
    )
    def test_resolves_as_rfc_3986_says(self, location: str, text: str) -> None:
        assert join(BASE, location).text == text

    def test_relative_location_keeps_the_credentials(self) -> None:
        assert join(BASE, "/d").credentials == "user:pass"

    def test_location_with_a_host_loses_the_credentials(self) -> None:
        assert join(BASE, "//example.org/d").credentials is None
        assert join(BASE, "http://example.org/d").credentials is None

    @pytest.mark.parametrize(
        "location",
        [
            *["ftp://example.org/", "javascript:alert(1)", "file:///etc/passwd"],
            *["http://", "http:a", "///a", "//a\x00b/", "/" + "a" * MAX_LENGTH],
        ],
    )
    def test_refuses_what_is_no_http_url(self, location: str) -> None:
        with pytest.raises(InvalidUrl):
            join(BASE, location)

    def test_message_shows_the_letters_that_the_bytes_stand_for(self) -> None:
        with pytest.raises(InvalidUrl, match=re.escape("'http://a*☕/'")):
            join(BASE, as_field("http://a*☕/"))

    def test_refuses_what_is_too_long_only_as_it_is_sent(self) -> None:
        with pytest.raises(InvalidUrl, match="36019 characters long as it is sent"):
            join(BASE, as_field("/" + "é" * 6000))
        with pytest.raises(InvalidUrl, match="36009 characters long as it is sent"):
            join(BASE, as_field("http://h/" + "é" * 6000))

    @given(URLS, TARGETS.map("x/{}".format) | TARGETS.map("?{}".format))
    @settings(deadline=None)
    def test_result_reads_as_itself(self, base: Url, location: str) -> None:
        url = join(base, as_field(location))

        assert parse(url.text).target == url.target


# Of lines in which a user name, a colon and a password follow.
BEGINNINGS = [
    *[
        "http://",
        "HTTPS://",
        "ftp://",
        "a://",
        "//",
        "http:/",
        "https:",
        "http:///",
        "",
    ],
    *[
        "ht\ttp://",
        "\x00http://",
        "http:\\\\",
        "http://https:/",
        "https//",
        "\ufeffhttp://",
    ],
    *[" ", "\t", "x ", "x http://", "'", "<http://", "http://h/ ", "http://h/\thttp:/"],
]


class TestRedact:
    @pytest.mark.parametrize(
        ("line", "shown"),
        [
            ("http://u:p@h/", "http://u:***@h/"),
            ("HTTPS://u:p@h", "HTTPS://u:***@h"),
            ("ftp://u:p@h/", "ftp://u:***@h/"),
            ("http://u:p w@h/", "http://u:***@h/"),
            ("http://u:p\nw@h/", "http://u:***@h/"),
            ("http://u:p%2Fw@h:80/", "http://u:***@h:80/"),
            ("http://u%3Ap@h/", "http://u:***@h/"),
            ("http://u\uff1ap@h/", "http://u:***@h/"),
            ("http://[u:p@h/", "http://[u:***@h/"),
            ("http://u:p@[::1]/", "http://u:***@[::1]/"),
            ("http://u@v:p@h/", "http://u@v:***@h/"),
            ("http://u:p@@h/x", "http://u:***@h/x"),
            ("  http://u:p@h/", "  http://u:***@h/"),
            ("http://u:p@h/x http://v:q/r@h", "http://u:***@h/x ***@h"),
            ("http://h/x u:p w@g/y", "http://h/x ***@g/y"),
        ],
    )
    def test_hides_the_password_and_keeps_the_user(self, line: str, shown: str) -> None:
        assert redact(line) == shown

    @pytest.mark.parametrize(
        ("line", "shown"),
        [
            ("http://u:p/w@h/x", "***@h/x"),
            ("http://u:p#w?@h/x", "***@h/x"),
            ("http://u:123456/w@h/", "***@h/"),
            ("http://u:p@h:999999/w@g", "***@g"),
            ("http://u:p@h /x", "***@h /x"),
            ("http://u:p@", "***@"),
            ("http://u:p\\w@h/", "***@h/"),
            ("http://u:p%40h/", "***@h/"),
            ("http://u:p%2540h/", "***@h/"),
            ("http://u:p\uff20h/", "***@h/"),
            ("http:///u:p@h/", "***@h/"),
            ("http://https:/u:p@h/", "***@h/"),
            ("http:/u:p@h/", "***@h/"),
            ("http:u:p@h/", "***@h/"),
            ("ht\ttp://u:p@h/", "***@h/"),
            ("\x00http://u:p@h/", "***@h/"),
            ("http:\\\\u:p@h/", "***@h/"),
            ("//u:p@h:999999/", "***@h:999999/"),
            ("https//u:p@h/", "***@h/"),
            ("u:p@h/x", "***@h/x"),
            ("u:p:w@h/x", "***@h/x"),
            ("u p@h/x", "***@h/x"),
            ("javascript:x('u:p@h')", "***@h')"),
            ("x http://u:p@h/ http://v:q/r@h", "***@h"),
            ("http-passwd=secret", "http-passwd=***"),
            ("header=Authorization: Bearer secret", "header=Authorization:***"),
            ("https://h/a http-passwd=secret", "https://h/a http-passwd=***"),
            (
                "https://h/?password=1 -H 'Authorization: Bearer secret'",
                "https://h/?password=1 -H 'Authorization:***",
            ),
            ('{"password": "secret"}', '{"password":***'),
        ],
    )
    def test_hides_all_up_to_the_last_at_sign_of_what_is_no_plain_url(
        self, line: str, shown: str
    ) -> None:
        assert redact(line) == shown

    @pytest.mark.parametrize(
        "line",
        [
            *["http://h/a@b", "http://h:80/a@b:c@d", "http://[::1]:80/a@b", ""],
            *["http://user@h/", "http://h/a:b@c", "http://h/my file@2x.png"],
            *["http://h/a%40b", "http://b%C3%BCcher.de/?a@b", "u:p"],
            *["http://h/?token=1", "https://h/?password=1", "no password"],
        ],
    )
    def test_leaves_a_line_without_a_password_alone(self, line: str) -> None:
        assert redact(line) == line

    @given(
        st.sampled_from(BEGINNINGS),
        st.text(st.characters(exclude_characters="/?#:\\"), max_size=5),
        st.text(max_size=5),
        st.sampled_from(["@", "%40", "\uff20"]),
        st.text(max_size=3) | st.sampled_from(["h/", "h:99999/x", "[::1]/", "h/ w@g"]),
    )
    @settings(deadline=None, max_examples=500)
    @example("http://", "u", "/", "@", "h/")
    @example("http://h/ ", "u", " ", "@", "h/")
    def test_no_password_survives(
        self, before: str, user: str, odd: str, mark: str, rest: str
    ) -> None:
        # A good URL without a password: `http://u:80/hunter@h`.
        assume(not re.match(r"[0-9]{0,5}[/?#]", odd))
        line = f"{before}{user}:{odd}hunter{odd}two{mark}{rest}"

        for shown in (redact(line), redact_secrets(redact(f"'{line}' is wrong"))):
            assert "hunter" not in shown
            assert "two" not in shown

    @given(st.text() | TEXTS)
    def test_never_raises_and_is_stable(self, line: str) -> None:
        once = redact(line)

        assert redact(once) == once

    @given(URLS)
    @settings(deadline=None)
    def test_a_url_without_password_is_shown_as_it_is(self, url: Url) -> None:
        # Only a second URL with a password inside the first one may change.
        assume("://" not in url.target)

        assert redact(url.text) == url.text


class TestRedactSecrets:
    @pytest.mark.parametrize(
        "key",
        [
            *["token", "key", "api_key", "apikey", "API-Key", "access_token", "sig"],
            *["signature", "X-Amz-Signature", "X-Amz-Credential", "x-goog-signature"],
            *["X-Amz-Security-Token", "password", "passwd", "pwd", "secret", "auth"],
            *["session", "sessionid", "PHPSESSIONID", "code", "AWSAccessKeyId", "jwt"],
            *["client_secret", "refresh_token", "sid"],
        ],
    )
    def test_hides_values_that_sound_secret(self, key: str) -> None:
        text = f"http://h/a?x=1&{key}=s3cr3t&y=2"

        assert redact_secrets(text) == f"http://h/a?x=1&{key}=***&y=2"

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("http://u:p@h/?token=x#y", "http://u:***@h/?token=***#y"),
            ("at 'http://h/?sig=a%2Fb': refused", "at 'http://h/?sig=***': refused"),
            ("(http://h/?sig=ab), then", "(http://h/?sig=***), then"),
            ("http://h/#access_token=x", "http://h/#access_token=***"),
            ("http://h/?a=1;sid=x", "http://h/?a=1;sid=***"),
            (
                "u=http%3A%2F%2Fh%3Fkey%3Dx%26b%3D1",
                "u=http%3A%2F%2Fh%3Fkey%3D***%26b%3D1",
            ),
            ("http://h/?token=", "http://h/?token=***"),
        ],
    )
    def test_hides_no_more_than_the_value(self, text: str, shown: str) -> None:
        assert redact_secrets(text) == shown

    @pytest.mark.parametrize("line", ["foo@bar", "http://h:80/a@b", "git@h:x"])
    def test_leaves_the_place_of_a_line_alone(self, line: str) -> None:
        text = f"urls.txt:2: {line!r}: no URL"

        assert redact_secrets(text) == text
        assert redact_secrets(f"urls.txt:2: {line}") == f"urls.txt:2: {line}"

    @pytest.mark.parametrize(
        "line", ["http://u:s3cr3t@h/", "'ftp://u:s3/cr3t@h'", "(//u:s3cr3t@h:1)"]
    )
    def test_hides_a_password_behind_the_place_of_its_line(self, line: str) -> None:
        shown = redact_secrets(f"urls.txt:2: {line}: refused")

        assert shown.startswith("urls.txt:2: ")
        assert "***@h" in shown
        assert "cr3t" not in shown

    @pytest.mark.parametrize(
        "text",
        ["http://h/?page=2&monkey=3&decode=4", "http://h/token=5", "key=6", "?token"],
    )
    def test_leaves_other_text_alone(self, text: str) -> None:
        assert redact_secrets(text) == text

    @pytest.mark.timeout(20)
    @pytest.mark.parametrize(
        "unit",
        [
            *["@://a:b", "://a:b", " ", "\\", "/", "x", "&a-b=", "?a-", "?token=)"],
            *["token", "%3F", "u:p@"],
        ],
    )
    def test_time_is_linear_in_the_length(self, unit: str) -> None:
        text = unit * 200_000

        assert redact_secrets(f"@?token={text}=")
        assert redact_secrets(f"{text} @").endswith("@")
        assert redact(f"http://h/{text} :{text}@").endswith("@")


class TestPrintable:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("café ~/日本", "café ~/日本"),
            ("a\x1b[31mb\r\n\x7f", r"a\x1b[31mb\x0d\x0a\x7f"),
            ("\x9b\xa0\u202e\u2028", r"\x9b\xa0\u202e\u2028"),
            ("\udce9\U000e0001", r"\udce9\U000e0001"),
        ],
    )
    def test_escapes_what_a_terminal_might_obey(self, text: str, shown: str) -> None:
        assert printable(text) == shown

    @given(st.text())
    def test_result_is_printable(self, text: str) -> None:
        assert printable(text).isprintable()


@pytest.mark.parametrize("text", ["http://h/a # why", "http://h/a  #", "http://h/a#b"])
def test_white_space_before_a_fragment_goes_with_it(text: str) -> None:
    assert parse(text).text == "http://h/a"

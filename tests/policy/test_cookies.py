from datetime import UTC, datetime

import pytest

from downloader.models import Chain
from downloader.policy import cookies
from downloader.policy.urls import parse

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
URL = "https://www.a.test/dir/file?x=/y"


def after(*lines: str, url: str = URL, chain: Chain | None = None) -> Chain:
    """The chain once an answer has set these cookies."""
    return cookies.follow(chain, parse(url), {"set-cookie": "\n".join(lines)}, NOON)


def sent(chain: Chain | None, url: str = URL, own: str = "") -> str:
    return cookies.field(chain, parse(url), own)


def refusal(line: str, url: str = URL) -> str:
    chain = after(line, url=url)
    assert not chain.cookies
    return chain.refusal or ""


def test_without_a_chain_the_users_own_goes_out_alone() -> None:
    assert sent(None) == ""
    assert sent(None, own="a=1") == "a=1"


@pytest.mark.parametrize(
    ("line", "pair"),
    [
        ("a=1", "a=1"),
        (" a = 1 ; Path=/", "a=1"),
        ('a="1 2"', 'a="1 2"'),
        ("a=", "a="),
        ("a=b=c", "a=b=c"),
        ("a=1; HttpOnly; SameSite=Strict; odd; Priority=High", "a=1"),
        ("a=1; Domain=; Path=; Max-Age=; Expires=", "a=1"),
        ("a=1; Max-Age=5; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "a=1"),
        ("a=1; Expires=Wed, 25-Nov-2026 12:00:00 GMT", "a=1"),
        ("a=1; Expires=garbage", "a=1"),
        ("a=1; Max-Age=0x0", "a=1"),
        ("a=1; Secure", "a=1"),
        ("__Host-a=1; Secure; Path=/", "__Host-a=1"),
        ("__Secure-a=1; Secure; Domain=a.test", "__Secure-a=1"),
        ("a=" + "x" * 4095, "a=" + "x" * 4095),
    ],
)
def test_a_cookie_goes_back(line: str, pair: str) -> None:
    chain = after(line)

    assert (sent(chain), chain.refusal) == (pair, None)


@pytest.mark.parametrize("line", ["", "a", "=1", ";a=1", " ; Path=/"])
def test_what_sets_nothing_is_passed_over(line: str) -> None:
    assert after(line) == Chain((), None, after().seen)


@pytest.mark.parametrize(
    ("domain", "goes"),
    [
        ("", ["www.a.test"]),
        ("a.test", ["a.test", "www.a.test", "b.www.a.test", "other.a.test"]),
        (".a.test", ["a.test", "www.a.test", "b.www.a.test", "other.a.test"]),
        ("WWW.A.test", ["www.a.test", "b.www.a.test"]),
    ],
)
def test_a_cookie_goes_to_its_domain(domain: str, goes: list[str]) -> None:
    chain = after(f"a=1; Domain={domain}")
    hosts = [
        "a.test",
        "www.a.test",
        "b.www.a.test",
        "other.a.test",
        "xa.test",
        "b.test",
    ]

    assert [h for h in hosts if sent(chain, f"https://{h}/dir/")] == goes


@pytest.mark.parametrize(
    "domain", ["b.test", "b.www.a.test", "test", ".test", "w.a.test"]
)
def test_a_cookie_for_another_domain_is_refused(domain: str) -> None:
    assert refusal(f"a=1; Domain={domain}") == "it is for another domain"


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
def test_a_host_without_parents_keeps_its_cookies_to_itself(host: str) -> None:
    own = after(f"a=1; Path=/; Domain={host.strip('[]')}", url=f"https://{host}/")

    assert sent(own, f"https://{host}/") == "a=1"
    assert not sent(own, f"https://x.{host}/" if host == "localhost" else URL)
    assert refusal("a=1; Domain=0.0.1", "https://127.0.0.1/")


@pytest.mark.parametrize(
    ("path", "goes"),
    [
        ("", ["/dir", "/dir/", "/dir/x?y"]),
        ("relative", ["/dir", "/dir/", "/dir/x?y"]),
        ("/", ["/", "/dir", "/dir/", "/dir/x?y", "/dirt"]),
        ("/dir", ["/dir", "/dir/", "/dir/x?y"]),
        ("/dir/", ["/dir/", "/dir/x?y"]),
        ("/dir/x", ["/dir/x?y"]),
    ],
)
def test_a_cookie_goes_to_its_path(path: str, goes: list[str]) -> None:
    chain = after(f"a=1; Path={path}")
    targets = ["/", "/dir", "/dir/", "/dir/x?y", "/dirt"]

    assert [t for t in targets if sent(chain, f"https://www.a.test{t}")] == goes


def test_a_cookie_of_the_root_goes_everywhere() -> None:
    assert (
        sent(after("a=1", url="https://a.test/file"), "https://a.test/dir/x") == "a=1"
    )


def test_a_secure_cookie_goes_over_https_alone() -> None:
    chain = after("a=1; Secure; Path=/", "b=2; Path=/")

    assert sent(chain) == "a=1; b=2"
    assert sent(chain, "http://www.a.test/") == "b=2"


@pytest.mark.parametrize(
    ("line", "url", "why"),
    [
        ("a=1; Secure", "http://a.test/", "it is for https, and came over http"),
        ("a=" + "x" * 4096, URL, "it has more than 4,096 bytes"),
        ("a=\xfc", URL, "it has bytes that no cookie may have"),
        ("a=1\t2", URL, "it has bytes that no cookie may have"),
        ("__Secure-a=1", URL, "it is not what its name promises"),
        ("__host-a=1; Path=/", URL, "it is not what its name promises"),
        ("__Host-a=1; Secure; Path=/dir", URL, "it is not what its name promises"),
        (
            "__Host-a=1; Secure; Path=/; Domain=a.test",
            URL,
            "it is not what its name promises",
        ),
    ],
)
def test_what_no_browser_keeps_is_refused(line: str, url: str, why: str) -> None:
    assert refusal(line, url) == why


def test_their_number_is_bounded() -> None:
    chain = after(*(f"c{number}=1" for number in range(51)))

    assert len(chain.cookies) == 50
    assert chain.refusal == "there are 50 already"
    assert len(after("c7=2", chain=chain).cookies) == 50


def test_a_later_one_replaces_that_of_its_name_domain_and_path() -> None:
    chain = after("b=3", chain=after("a=1", "b=2", "a=9; Path=/"))

    assert sent(chain) == "a=1; b=3; a=9"


@pytest.mark.parametrize(
    "end",
    [
        *("Max-Age=0", "Max-Age=-1", "Max-Age=00"),
        *(
            "Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            "expires=Tue, 24-Nov-26 12:00:00 GMT",
        ),
    ],
)
def test_one_that_has_expired_is_deleted(end: str) -> None:
    chain = after("a=1", "b=2")

    assert sent(after(f"a=; {end}", chain=chain)) == "b=2"
    assert sent(after(f"c=; {end}", chain=chain)) == "a=1; b=2"


def test_longer_paths_go_first_and_equals_as_they_came() -> None:
    chain = after("a=1; Path=/", "b=2; Path=/dir", "c=3; Path=/", "d=4; Path=/dir")

    assert sent(chain) == "b=2; d=4; a=1; c=3"


def test_the_users_own_value_goes_before_one_of_the_same_name() -> None:
    assert sent(after("a=1", "b=2"), own="a=mine; x=y") == "a=mine; x=y; b=2"


def test_a_loop_says_where_it_leads_and_what_was_refused() -> None:
    target = parse(URL)

    assert not cookies.loop_fault(after(), parse("https://b.test/"))
    assert cookies.loop_fault(after(), target) == f": they lead back to {URL}"
    assert cookies.loop_fault(after("a=1; Domain=b.test"), target) == (
        f": they lead back to {URL}; a cookie on the way was refused: "
        "it is for another domain"
    )

import pytest

from downloader.models import Failure, Proxies, Proxy
from downloader.policy import proxies as policy
from downloader.policy.urls import parse

PROXY = Proxy("http://proxy.test:3128", "ALL_PROXY")


def proxy_for(text: str, **by_scheme: Proxy) -> Proxy | None:
    return policy.proxy_for(parse(text), Proxies(by_scheme))


def is_exempt(url: str, exceptions: str) -> bool:
    proxies = Proxies({"all": PROXY}, exceptions)
    return policy.proxy_for(parse(url), proxies) is None


def test_without_proxies_all_goes_straight() -> None:
    assert proxy_for("http://a.test/") is None


def test_exceptions_alone_make_no_proxy() -> None:
    proxies = Proxies({}, "b.test")

    assert policy.proxy_for(parse("http://a.test/"), proxies) is None


def test_scheme_has_its_own_proxy() -> None:
    one, two = Proxy("http://one.test", "a"), Proxy("http://two.test", "b")

    assert proxy_for("http://a.test/", http=one, https=two) is one
    assert proxy_for("https://a.test/", http=one, https=two) is two


def test_all_serves_the_schemes_without_one() -> None:
    two = Proxy("http://two.test", "b")

    assert proxy_for("http://a.test/", https=two, all=PROXY) is PROXY
    assert proxy_for("https://a.test/", https=two, all=PROXY) is two


@pytest.mark.parametrize(
    ("url", "exceptions"),
    [
        ("http://a.test/", "*"),
        ("http://a.test/", "a.test"),
        ("http://a.test/", "A.Test"),
        ("http://a.test/", "b.test,a.test"),
        ("http://a.test/", " b.test , a.test "),
        ("http://a.test/", "b.test a.test"),
        ("http://a.test/", ".a.test"),
        ("http://x.a.test/", ".a.test"),
        ("http://x.a.test/", "a.test"),
        ("http://a.test/", "a.test:80"),
        ("https://a.test/", "a.test:443"),
        ("http://x.a.test:8080/", ".a.test:8080"),
        ("http://127.0.0.1/", "127.0.0.1"),
        ("http://127.0.0.1/", "127.0.0.0/8"),
        ("http://127.0.0.1/", "127.1.2.3/8"),
        ("http://10.1.2.3:81/", "10.0.0.0/8:81"),
        ("http://[::1]/", "::1"),
        ("http://[::1]/", "[::1]"),
        ("http://[::1]:8080/", "[::1]:8080"),
        ("http://[fd00::7]/", "fd00::/8"),
        ("http://[fd00::7]:81/", "[fd00::/8]:81"),
    ],
)
def test_exception_goes_straight(url: str, exceptions: str) -> None:
    assert is_exempt(url, exceptions)


@pytest.mark.parametrize(
    ("url", "exceptions"),
    [
        ("http://a.test/", ""),
        ("http://a.test/", " , ,"),
        ("http://ba.test/", "a.test"),
        ("http://a.test/", "x.a.test"),
        ("http://a.test.evil/", "a.test"),
        ("http://a.test/", "a.test:81"),
        ("https://a.test/", "a.test:80"),
        ("http://a.test/", "a.test:²"),
        ("http://a.test./", "."),
        ("http://a.test./", ":80"),
        ("http://128.0.0.1/", "127.0.0.0/8"),
        ("http://10.1.2.3/", "10.0.0.0/8:81"),
        ("http://10.1.2.3/", "10.0.0.0/99"),
        ("http://a.test/", "10.0.0.0/8"),
        ("http://[::1]:81/", "[::1]:8080"),
        ("http://[::1]/", "127.0.0.0/8"),
        ("http://[::2]/", "::1"),
    ],
)
def test_others_go_through_the_proxy(url: str, exceptions: str) -> None:
    assert not is_exempt(url, exceptions)


@pytest.mark.parametrize(
    ("url", "origin", "credentials"),
    [
        ("http://p", "http://p:80", None),
        ("https://p", "https://p:443", None),
        ("socks5://p", "socks5://p:1080", None),
        ("SOCKS5H://p:9", "socks5h://p:9", None),
        ("http://[::1]:9", "http://[::1]:9", None),
        ("http://me@p:9", "http://p:9", "me:"),
        ("http://me:a%40b@p:9", "http://p:9", "me:a@b"),
        ("http://me:a@b@p:9", "http://p:9", "me:a@b"),
        ("http://m\xfc:%FF@p:9", "http://p:9", "m\xfc:\udcff"),
        ("http://@p:9", "http://p:9", None),
    ],
)
def test_a_proxys_url_is_taken_apart(
    url: str, origin: str, credentials: str | None
) -> None:
    found = policy.server(url)

    assert (found.origin, found.credentials) == (origin, credentials)
    assert found.is_socks == origin.startswith("socks")
    assert found.is_tls == origin.startswith("https")


def named(kind: str, status: int | None, url: str = "http://p:1") -> str:
    failure = Failure(kind, "it broke")
    return policy.name_failure(failure, Proxy(url, "--proxy"), status).detail


@pytest.mark.parametrize(
    ("kind", "status"),
    [("connect", None), ("connect", 302), ("dns", None), ("timeout", None)],
)
def test_a_failure_before_an_answer_names_the_proxy(kind: str, status: int) -> None:
    text = named(kind, status, "http://me:s3cret@p:1")

    assert text == "proxy p:1 (from --proxy): it broke"


@pytest.mark.parametrize(
    ("kind", "status"), [("timeout", 200), ("http_404", 404), ("tls", None)]
)
def test_a_failure_of_the_hosts_own_does_not(kind: str, status: int) -> None:
    assert named(kind, status) == "it broke"


def test_an_answer_that_may_be_the_proxys_names_it() -> None:
    assert named("http_503", 503) == "it broke, through proxy p:1 (from --proxy)"


def test_a_proxy_that_wants_a_password_is_told_from_one_that_refuses_it() -> None:
    assert "wants a user name and password" in named("http_407", 407)
    assert "refused the user name" in named("http_407", 407, "http://me:x@p:1")

import pytest

from downloader.policy.proxies import proxy_for
from downloader.policy.urls import parse

PROXY = "http://proxy.test:3128"


def is_exempt(url: str, exceptions: str) -> bool:
    return proxy_for(parse(url), {"all": PROXY, "no": exceptions}) is None


def test_without_proxies_all_goes_straight() -> None:
    assert proxy_for(parse("http://a.test/"), {}) is None


def test_exceptions_alone_make_no_proxy() -> None:
    assert proxy_for(parse("http://a.test/"), {"no": "b.test"}) is None


def test_scheme_has_its_own_proxy() -> None:
    proxies = {"http": "http://one.test", "https": "http://two.test"}

    assert proxy_for(parse("http://a.test/"), proxies) == "http://one.test"
    assert proxy_for(parse("https://a.test/"), proxies) == "http://two.test"


def test_all_serves_the_schemes_without_one() -> None:
    proxies = {"https": "http://two.test", "all": PROXY}

    assert proxy_for(parse("http://a.test/"), proxies) == PROXY
    assert proxy_for(parse("https://a.test/"), proxies) == "http://two.test"


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

import contextlib
import socket
import threading

import pytest

from downloader.errors import TransportError
from downloader.transfer import resolver as module
from downloader.transfer.resolver import Address, Resolver

FOUND = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.2", 80))]


class Names:
    """A name service that answers when it is let go, and counts the questions."""

    def __init__(self):
        self.asked = []
        self.released = threading.Event()
        self.released.set()
        self.error = None

    def __call__(self, host, port, **_):
        self.asked.append((host, port))
        assert self.released.wait(60)
        if self.error is not None:
            raise self.error
        return FOUND


@pytest.fixture
def names(monkeypatch):
    names = Names()
    monkeypatch.setattr(module.socket, "getaddrinfo", names)
    yield names
    names.released.set()


@pytest.fixture
def resolver():
    with contextlib.closing(Resolver()) as resolver:
        yield resolver


def test_localhost_is_a_loopback_address(resolver):
    found = resolver.resolve("localhost", 80, 60)

    assert {address.sockaddr[0] for address in found} <= {"127.0.0.1", "::1"}
    assert found[0].sockaddr[1] == 80


@pytest.mark.parametrize(
    ("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)]
)
def test_an_address_asks_nobody(resolver, names, host, family):
    assert resolver.resolve(host, 8080, 60) == [Address(family, (host, 8080))]
    assert names.asked == []


def test_an_answer_serves_everyone_who_asks_again(resolver, names):
    first = resolver.resolve("a.test", 80, 60)

    assert resolver.resolve("a.test", 80, 60) == first
    assert names.asked == [("a.test", 80)]


def test_who_asks_meanwhile_waits_for_the_same_answer(resolver, names):
    names.released.clear()
    answers = [resolver.ask("a.test", 80) for _ in range(20)]
    names.released.set()

    assert [answer.result(60)[0].sockaddr for answer in answers] == [
        ("127.0.0.2", 80)
    ] * 20
    assert names.asked == [("a.test", 80)]


def test_ports_are_asked_for_one_by_one(resolver, names):
    resolver.resolve("a.test", 80, 60)
    resolver.resolve("a.test", 81, 60)

    assert names.asked == [("a.test", 80), ("a.test", 81)]


def test_an_answer_grows_old(resolver, names, monkeypatch):
    monkeypatch.setattr(module, "KEPT_SECONDS", 0.0)
    resolver.resolve("a.test", 80, 60)
    resolver.resolve("a.test", 80, 60)

    assert len(names.asked) == 2


def test_a_name_that_does_not_exist_is_a_dns_failure(resolver, names):
    names.error = socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(TransportError, match=r"a\.test: Name or service") as caught:
        resolver.resolve("a.test", 80, 60)
    assert caught.value.kind == "dns"


def test_a_failure_is_asked_again(resolver, names):
    names.error = socket.gaierror(socket.EAI_AGAIN, "try again")
    with pytest.raises(TransportError):
        resolver.resolve("a.test", 80, 60)
    names.error = None

    assert resolver.resolve("a.test", 80, 60)[0].sockaddr == ("127.0.0.2", 80)


def test_a_name_that_the_system_cannot_encode_is_a_dns_failure(resolver):
    with pytest.raises(TransportError) as caught:
        resolver.resolve("a" * 300 + ".test", 80, 60)

    assert caught.value.kind == "dns"


def test_no_answer_in_time_is_a_timeout_and_the_question_lives_on(resolver, names):
    names.released.clear()
    with pytest.raises(
        TransportError, match=r"no address for a\.test within"
    ) as caught:
        resolver.resolve("a.test", 80, 0.01)
    names.released.set()

    assert caught.value.kind == "timeout"
    assert resolver.resolve("a.test", 80, 60)
    assert len(names.asked) == 1


def test_who_does_not_want_an_answer_any_more_waits_no_longer(resolver, names):
    names.released.clear()
    looks = iter([False, False, True])
    with pytest.raises(TransportError) as caught:
        resolver.resolve("a.test", 80, 600, lambda: next(looks))

    assert caught.value.kind == "timeout"
    assert next(looks, None) is None
    assert not names.released.is_set()


def test_a_name_that_hangs_holds_no_other_up(resolver, names):
    names.released.clear()
    hanging = resolver.ask("slow.test", 80)

    assert resolver.resolve("127.0.0.1", 80, 60)
    answers = [resolver.ask(f"{number}.test", 80) for number in range(3)]
    names.released.set()
    assert all(answer.result(60) for answer in [hanging, *answers])


def test_questions_run_at_once_up_to_a_bound(resolver, names):
    names.released.clear()
    before = set(threading.enumerate())
    answers = [resolver.ask(f"{number}.test", 80) for number in range(40)]
    started = set(threading.enumerate()) - before
    names.released.set()

    assert len(started) == module.THREADS
    assert all(answer.result(60) for answer in answers)


def test_questions_one_after_another_need_few_threads(resolver, names):
    before = set(threading.enumerate())
    for number in range(20):
        resolver.resolve(f"{number}.test", 80, 60)

    # A thread that has just answered may not have said so yet.
    assert 1 <= len(set(threading.enumerate()) - before) <= 4


def test_closing_ends_the_threads(names):
    resolver = Resolver()
    before = set(threading.enumerate())
    resolver.resolve("a.test", 80, 60)
    started = set(threading.enumerate()) - before
    resolver.close()
    for thread in started:
        thread.join(60)

    assert started
    assert not any(thread.is_alive() for thread in started)

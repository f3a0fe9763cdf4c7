import inspect
import pickle

import msgspec
import pytest

from downloader import models
from downloader.models import (
    Attempt,
    AttemptResult,
    Chain,
    Cookie,
    Entry,
    Fact,
    Failure,
    Known,
    Moved,
    Outcome,
    Partial,
    Phases,
    Proxies,
    Proxy,
    Request,
    Returned,
    Saved,
    Status,
    WorkerUsage,
    http_kind,
)

PARTIAL = Partial(10, '"tag"', 20)
FAILURE = Failure("http_503", "busy", 2.5, True)
SAVED = Saved(3, "ab" * 32, True, '"tag"', None, 1_700_000_000_000_000_000)
COOKIE = Cookie("a", "1", "h.test", "/", True, False)
CHAIN = Chain((COOKIE,), "it is for another domain", (1, 2))
PROXY = Proxy("http://p:1", "--proxy")
VALUES = [
    Request("http://h/a", "urls.txt:12"),
    Entry(0, "http://h/a#x", "http://h/a", "http://h/a", "h:80", "h/a", "me:pw"),
    PARTIAL,
    Known('W/"tag"', None, "http://h/a"),
    Attempt(7, "http://h/a", "h/a", 2, 1, "me:pw", PARTIAL, "http://h:80"),
    FAILURE,
    SAVED,
    AttemptResult(7, SAVED, None, None, 200, 1, 0.5, 3),
    AttemptResult(7, failure=FAILURE, partial=PARTIAL),
    AttemptResult(7, SAVED, phases=Phases(7.0, 0.1, 0.2, 0.3)),
    Phases(7.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7),
    AttemptResult(7, redirect="http://other/", chain=CHAIN),
    Attempt(7, "http://h/a", "h/a", hops=1, chain=CHAIN),
    CHAIN,
    COOKIE,
    PROXY,
    Proxies({"all": PROXY}, "localhost"),
    Moved(7, 1 << 40, None),
    Returned(7),
    Outcome(seq=0, url="http://h/a", status=Status.OK, path="h/a", bytes=3),
    WorkerUsage(4711, 1.5, 1 << 30),
]
of_value = pytest.mark.parametrize(
    "value", VALUES, ids=[f"{i}-{type(v).__name__}" for i, v in enumerate(VALUES)]
)


@of_value
def test_a_value_cannot_be_changed(value):
    with pytest.raises(AttributeError):
        setattr(value, value.__struct_fields__[0], None)


@of_value
def test_a_value_survives_pickling(value):
    assert pickle.loads(pickle.dumps(value)) == value


@of_value
def test_a_value_survives_the_pipe(value):
    sent = msgspec.msgpack.encode(value)

    assert msgspec.msgpack.decode(sent, type=type(value)) == value


def test_every_kind_of_value_is_among_these():
    kinds = {
        member
        for _, member in inspect.getmembers(models, inspect.isclass)
        if issubclass(member, msgspec.Struct)
    }

    assert kinds == {type(value) for value in VALUES}


def test_the_facts_of_a_strategy_are_three():
    assert Fact == AttemptResult | Moved | Returned


def test_a_status_codes_kind_names_it():
    assert http_kind(404) == "http_404"


@pytest.mark.parametrize(
    ("status", "is_there"),
    [("ok", True), ("unchanged", True), ("skipped", True), ("failed", False)],
)
def test_a_file_is_there_unless_the_line_failed(status, is_there):
    assert Outcome(seq=0, url="u", status=Status(status)).is_there is is_there


def test_the_words_of_the_report_are_fixed():
    assert sorted(Status) == ["failed", "ok", "skipped", "unchanged"]
    assert set(models.ErrorKind) == {
        "timeout", "too_slow", "connect", "dns", "tls", "truncated", "protocol",
        "too_large", "checksum", "redirects", "invalid_url", "blocked", "robots",
        "exists", "disk", "worker_lost", "interrupted", "internal", "not_tried",
    }  # fmt: skip

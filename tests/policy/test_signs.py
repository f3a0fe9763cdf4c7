import pytest

from downloader.models import AttemptResult, ErrorKind, Failure
from downloader.policy.signs import Sign, sign_of


@pytest.mark.parametrize(
    ("kind", "is_unconnected", "sign"),
    [
        ("connect", True, Sign.AWAY),
        ("dns", True, Sign.AWAY),
        ("timeout", True, Sign.AWAY),
        ("connect", False, Sign.SILENT),
        ("timeout", False, Sign.SILENT),
        ("http_429", False, Sign.REFUSED),
        ("http_503", False, Sign.BUSY),
        ("http_403", False, Sign.ANSWERED),
        ("http_500", False, Sign.ANSWERED),
        ("truncated", False, Sign.ANSWERED),
        ("tls", True, Sign.ANSWERED),
        *(
            (kind, False, Sign.NOTHING)
            for kind in ("worker_lost", "internal", "blocked")
        ),
        *((kind, False, Sign.NOTHING) for kind in ("interrupted", "not_tried")),
    ],
)
def test_a_failure_says_how_its_host_is(kind, is_unconnected, sign):
    failure = Failure(kind, "scripted")
    result = AttemptResult(1, failure=failure, is_unconnected=is_unconnected)

    assert sign_of(result) is sign


@pytest.mark.parametrize("kind", ["http_403", "http_202", "http_503", "http_416"])
def test_whatever_asks_for_a_pause_is_a_refusal(kind):
    result = AttemptResult(1, failure=Failure(kind, "scripted", 0.0))

    assert sign_of(result) is Sign.REFUSED


def test_a_file_is_an_answer():
    assert sign_of(AttemptResult(1, has_helped=True)) is Sign.ANSWERED


def test_a_reused_connection_that_was_dead_says_nothing():
    failure = Failure(ErrorKind.CONNECT, "lost", stale=True)

    assert sign_of(AttemptResult(1, failure=failure)) is Sign.NOTHING

"""Where a body ends, by what its head says."""

import pytest

from downloader.policy.framing import Framing, frame


@pytest.mark.parametrize(
    ("answer", "length", "is_chunked"),
    [
        ({}, None, False),
        ({"content-length": "7"}, 7, False),
        ({"transfer-encoding": " Chunked "}, None, True),
    ],
)
def test_a_plain_head_says_it_in_one_way(answer, length, is_chunked):
    framing = frame("1.1", 200, answer)

    assert (framing.length, framing.is_chunked, framing.is_plain) == (
        length,
        is_chunked,
        True,
    )


@pytest.mark.parametrize(
    ("answer", "length", "is_chunked"),
    [
        ({"content-length": "7, 7"}, 7, False),
        ({"content-length": "7,007 , 7"}, 7, False),
        ({"transfer-encoding": "chunked", "content-length": "7"}, None, True),
        ({"transfer-encoding": "chunked", "content-length": "7, 7"}, None, True),
        ({"transfer-encoding": "identity"}, None, False),
        ({"transfer-encoding": "Identity", "content-length": "7"}, 7, False),
        ({"transfer-encoding": "identity, chunked"}, None, True),
        ({"transfer-encoding": "", "content-length": "7"}, 7, False),
    ],
)
def test_an_odd_head_without_doubt_is_read_and_costs_the_connection(
    answer, length, is_chunked
):
    framing = frame("1.1", 200, answer)

    assert (framing.length, framing.is_chunked, framing.is_plain) == (
        length,
        is_chunked,
        False,
    )


@pytest.mark.parametrize(
    "answer",
    [
        {"content-length": "7, 8"},
        {"content-length": "7,"},
        {"content-length": ""},
        {"content-length": "-1"},
        {"content-length": "9" * 19},
        {"transfer-encoding": "gzip"},
        {"transfer-encoding": "gzip, chunked"},
        {"transfer-encoding": "chunked, chunked"},
        {"transfer-encoding": "chunked", "content-length": "7, 8"},
    ],
)
def test_a_head_that_leaves_doubt_is_refused(answer):
    with pytest.raises(ValueError):  # noqa: PT011 - its text is the field
        frame("1.1", 200, answer)


@pytest.mark.parametrize(
    ("version", "field", "keeps"),
    [
        ("1.1", None, True),
        ("1.1", "Close", False),
        ("1.0", None, False),
        ("1.0", "keep-alive", True),
        ("2", None, True),
    ],
)
def test_a_connection_is_kept_by_version_and_field(version, field, keeps):
    answer = {"content-length": "7"} | ({"connection": field} if field else {})

    assert frame(version, 200, answer).keeps_connection is keeps


@pytest.mark.parametrize(
    ("version", "status", "keeps"),
    [("1.1", 200, False), ("1.1", 204, True), ("2", 200, True)],
)
def test_a_body_that_the_connections_end_ends_keeps_none(version, status, keeps):
    assert frame(version, status, {}).keeps_connection is keeps


def test_what_follows_a_switch_of_protocols_is_no_body():
    with pytest.raises(ValueError, match="101"):
        frame("1.1", 101, {"content-length": "7"})


@pytest.mark.parametrize("status", [204, 304])
def test_some_answers_end_with_their_head(status):
    assert frame("1.1", status, {"content-length": "7"}) == Framing(
        0, False, True, True
    )

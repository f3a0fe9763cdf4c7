"""Answers read from bytes, cut in every way that a network may cut them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.errors import TransportError
from downloader.policy.answers import (
    MOST_HEAD_BYTES,
    MOST_HEAD_FIELDS,
    MOST_INTERIM_ANSWERS,
    AnswerReader,
    Head,
    parse_head,
)

HEAD = b"HTTP/1.1 200 OK\r\n"
FIVE = HEAD + b"Content-Length: 5\r\n\r\nhello"
CHUNKS = HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
HINT = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"


def read(*pieces):
    """(the reader, the content) after some bytes."""
    reader, content = AnswerReader(), b""
    for piece in pieces:
        rest = piece if reader.head else reader.read_head(piece)
        if reader.head:
            content += b"".join(reader.body.read(rest))
    return reader, content


@pytest.mark.parametrize("answer", [FIVE, CHUNKS, HINT + FIVE, b"\r\n\n" + FIVE])
@given(data=st.data())
def test_it_reads_the_same_wherever_it_is_cut(answer, data):
    cuts = data.draw(st.sets(st.integers(1, len(answer) - 1)))
    edges = [0, *sorted(cuts), len(answer)]
    reader, content = read(*(answer[a:b] for a, b in pairwise(edges)))

    assert (reader.head.status, content) == (200, b"hello")
    assert reader.body.is_over
    assert reader.keeps_connection
    assert not reader.body.is_followed


@pytest.mark.parametrize("answer", [FIVE, CHUNKS])
def test_it_is_not_over_before_its_last_byte(answer):
    reader, _ = read(answer[:-1])
    reader.body.end(is_clean=True)

    assert not reader.body.is_over


def test_only_chunks_can_be_told_to_be_cut():
    assert read(CHUNKS[:-1])[0].body.is_cut
    assert not read(CHUNKS)[0].body.is_cut
    assert not read(FIVE[:-1])[0].body.is_cut


@pytest.mark.parametrize("is_clean", [True, False])
def test_a_clean_end_of_the_connection_ends_a_body_without_another_end(is_clean):
    reader, content = read(HEAD + b"\r\nhel", b"lo")
    reader.body.end(is_clean=is_clean)

    assert (content, reader.body.is_over) == (b"hello", is_clean)


def test_a_body_whose_end_is_in_doubt_is_not_read():
    reader, content = read(HEAD + b"Content-Length: 5, 6\r\n\r\nhello")
    reader.body.end(is_clean=True)

    assert (content, reader.body.is_over) == (b"", False)
    assert not reader.body.keeps_connection


@pytest.mark.parametrize("surplus", [b"\r\n", b"\n", b"\r", b"\r\n\r\n"])
def test_line_ends_behind_a_body_cost_the_connection_alone(surplus):
    reader, content = read(FIVE + surplus)

    assert content == b"hello"
    assert reader.body.is_over
    assert not reader.body.keeps_connection
    assert not reader.body.is_followed


@pytest.mark.parametrize("surplus", [FIVE, b"\r\n" + FIVE, b"HTT", b"HTTP/1.0 408 X"])
@pytest.mark.parametrize("answer", [FIVE, CHUNKS])
def test_another_answer_behind_a_body_is_remembered(answer, surplus):
    reader, content = read(answer + surplus)

    assert content == b"hello"
    assert reader.body.is_over
    assert not reader.body.keeps_connection
    assert reader.body.is_followed


def test_another_answer_behind_one_without_a_body_is_remembered():
    reader, content = read(b"HTTP/1.1 204 No Content\r\n\r\n" + FIVE)

    assert (content, reader.body.is_followed) == (b"", True)


@pytest.mark.parametrize("surplus", [b" world", b"\r\n world", b"HTTP is", b"http/1.1"])
def test_other_bytes_put_a_declared_length_in_doubt(surplus):
    with pytest.raises(TransportError, match="not valid"):
        read(FIVE + surplus)


def test_nothing_puts_chunks_in_doubt():
    reader, content = read(CHUNKS + b" world")

    assert (content, reader.body.is_over) == (b"hello", True)
    assert not reader.body.keeps_connection


def test_chunk_lines_that_end_in_lf_alone_cost_the_connection():
    reader, content = read(CHUNKS.replace(b"5\r\n", b"5\n"))

    assert (content, reader.body.is_over) == (b"hello", True)
    assert not reader.body.keeps_connection


@pytest.mark.parametrize(
    "head",
    [
        b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"\0\1",
        b"HTTP/2 200 OK\r\n\r\n",
        HEAD + b"no colon\r\n\r\n",
        HEAD + b"A: 1\r\n" * (MOST_HEAD_FIELDS + 1) + b"\r\n",
        HINT * (MOST_INTERIM_ANSWERS + 1),
    ],
)
def test_what_is_no_head_is_refused(head):
    with pytest.raises(TransportError, match="not valid") as caught:
        read(head)
    assert caught.value.kind == "protocol"


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"A: " + b"x" * MOST_HEAD_BYTES + b"\r\n\r\n",
        HEAD + b"A: " + b"x" * MOST_HEAD_BYTES,
        b"\r\n" * MOST_HEAD_BYTES,
        HEAD + b"A: 1\r\n" * 20_000,
    ],
)
def test_a_head_beyond_its_bound_is_called_too_large(head):
    with pytest.raises(TransportError, match="too large: more than 64 KiB") as caught:
        read(head)
    assert caught.value.kind == "too_large"


def test_a_head_of_almost_its_bound_is_taken():
    field = b"A: " + b"x" * (MOST_HEAD_BYTES - len(HEAD) - 5) + b"\r\n"

    assert parse_head([HEAD, field]).status == 200


def test_only_a_few_statuses_are_interim():
    statuses = (100, 101, 103, 199, 200)
    heads = [Head("1.1", status, {}) for status in statuses]

    assert [head.is_interim for head in heads] == [True, False, True, True, False]

"""Throw mutated texts at every pure parser and see that each keeps its promises.

    python tests/fuzz_parsers.py --inputs 1000000 --seed 1

A seeded generator mutates a corpus of good and evil texts: a million inputs take some
minutes. Every parser may raise only what its docstring says; what it returns must hold
what is written beside it. The suite runs a short form.
"""

import argparse
import random
import sys
import time
from datetime import UTC, datetime

from downloader.errors import InvalidUrl
from downloader.models import Attempt, Failure, Known, Partial
from downloader.policy import (
    checksums,
    digests,
    headers,
    list_lines,
    naming,
    redaction,
    urls,
)
from downloader.policy.exchange import Exchange
from downloader.policy.headers import HeaderRules
from downloader.sources import lines

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DATE = "Mon, 23 Nov 2026 12:00:00 GMT"
CORPUS = (
    "http://example.org/a/b.html?x=1&y=%20#top",
    "https://user:secret@[::1]:8443/..%2f../%e4%b8%ad/./x;y=1",
    "HTTP://EXAMPLE.org:080/%7Efoo//bar",
    "http://xn--mnchen-3ya.de/größe.txt?q=ä",
    "http://0x7f.1/aux.txt",
    "http://2130706433/nul",
    "https://example.org/" + "x" * 300 + "/con.part",
    "//evil.test\\@good.test/",
    "javascript:alert(1)",
    "http://a.test/?token=abcdef&signature=123456",
    f"http://a.test/ sha256={'ab' * 32}",
    f"http://a.test/ MD5 : {'ab' * 16}",
    f"{'ab' * 32} *images/a.iso",
    f"SHA256 (a b) = {'cd' * 32}",
    "bytes 100-299/300",
    "bytes */300",
    "bytes 0-0/*",
    DATE,
    "Sunday, 06-Nov-94 08:49:37 GMT",
    "120",
    "-5",
    '"abc"',
    'W/"abc"',
    "gzip, identity",
    "chunked",
    "\x1b]0;owned\x07\x1b[2J",
    "\ufeff\u202e\ud800\x00\x85",
    "text/html; charset=utf-8",
)
PIECES = (
    *("%", "%2e", "%00", "%ff", "..", "/", "\\", "//", ":", "@", "?", "#", "&", "="),
    *(
        "[",
        "]",
        "\t",
        "\r\n",
        "\n",
        " ",
        "\0",
        "\x1b",
        "\x7f",
        "\x9b",
        "ä",
        "中",
        "\u0130",
    ),
    *(
        "\ud83d",
        "\ud83d\ude00",
        "0",
        "9" * 20,
        "-",
        ",",
        ";",
        '"',
        "W/",
        "*",
        "~f",
        ".part",
    ),
    *("http://", "https://", "a.test", "127.0.0.1", "::1", "sha256=", "bytes ", "GMT"),
)


def mutated(chance):
    """A text of the corpus with a few changes, or two of them crossed."""
    text = chance.choice(CORPUS)
    for _ in range(chance.randint(0, 6)):
        place = chance.randint(0, len(text))
        match chance.randint(0, 4):
            case 0:
                text = text[:place] + chance.choice(PIECES) + text[place:]
            case 1:
                text = text[:place] + text[place + chance.randint(1, 8) :]
            case 2:
                text = text[:place] + chr(chance.randrange(0x250)) + text[place + 1 :]
            case 3:
                other = chance.choice(CORPUS)
                text = text[:place] + other[chance.randint(0, len(other)) :]
            case _:
                begin = chance.randint(0, place)
                text = (
                    text[:place]
                    + text[begin:place] * chance.randint(1, 3)
                    + text[place:]
                )
    return text[:4000]


def check_url(text):
    try:
        url = urls.parse(text)
    except InvalidUrl as error:
        check_shown(str(error))
        return
    again = urls.parse(url.text)
    assert again.text == url.text
    assert url.text.isascii()
    assert not any(ord(c) <= 32 or ord(c) == 127 for c in url.text)
    assert urls.identity(again) == urls.identity(url)
    check_name(url)


def check_shown(text):
    assert redaction.printable(text) == text


def check_name(url):
    for layout in ("tree", "flat"):
        for portable in (False, True):
            name = naming.name(url, layout, portable)
            assert name == naming.name(urls.parse(url.text), layout, portable)
            for component in name.split("/"):
                assert component not in {"", ".", "..", ".downloader"}
                assert len(component.encode()) <= 255
                assert component[-1] not in ". "
                assert not component.lower().endswith(".part")
                assert not any(ord(c) < 32 or c in '\\:*?"<>|' for c in component)


def as_value(text):
    """The text as a field's value: UTF-8, or no encoding at all, read as Latin-1."""
    return text.encode("utf-8", "surrogatepass").decode("latin-1")


def check_join(text):
    base = urls.parse("https://base.test/a/b?c")
    try:
        url = urls.join(base, as_value(text))
    except InvalidUrl:
        return
    assert url.scheme in {"http", "https"}
    assert urls.parse(url.text).text == url.text


def check_fields(text):
    name, _, value = text.partition(":")
    try:
        found = headers.fields([(name, value), ("X-A", text), ("x-a", "b")])
    except ValueError:
        return
    assert all(
        "\r" not in v and "\n" not in v and "\0" not in v for v in found.values()
    )


def check_numbers(text):
    found = headers.content_range(text)
    if found is not None and found.first is not None:
        assert 0 <= found.first <= found.last
        assert found.total_bytes is None or found.last < found.total_bytes
    try:
        length = headers.content_length(text)
    except ValueError:
        length = 0
    assert length is not None
    assert length >= 0
    moment = headers.date(text)
    assert moment is None or moment.tzinfo is not None
    wait = headers.retry_after_seconds(text, NOON)
    assert wait is None or wait >= 0


def check_validators(text):
    sent = headers.conditions(Known(text, text, "http://a.test/"))
    validator = headers.strong_validator(
        {"etag": text, "last-modified": text, "date": DATE}
    )
    for value in (*sent.values(), validator or ""):
        assert value.isascii()
        assert "\r" not in value
        assert "\n" not in value


def check_head(text):
    text = as_value(text)
    partial = Partial(100, '"v1"', 300, "http://a.test/x")
    answer = {
        "content-range": text,
        "content-length": text[-3:],
        "location": text,
        "retry-after": text,
        "etag": text[:20],
        "content-encoding": text[:9],
        "transfer-encoding": text[:7] if len(text) % 3 == 0 else "",
    }
    for status in (200, 204, 206, 302, 304, 416, 429, 503):
        attempt = Attempt(0, "http://a.test/x", "x", partial=partial)
        codings = ("gzip", "deflate", "br") if len(text) % 2 else ()
        talk = Exchange(attempt, HeaderRules(), 20, 10**6, codings)
        fields = talk.request_fields()
        assert all("\n" not in value for value in fields.values())
        verdict = talk.judge_head(status, answer, NOON)
        if isinstance(verdict, Failure):
            assert "\x1b" not in verdict.detail
        talk.validator()
        talk.is_worth_draining()


def check_texts(text):
    shown = redaction.printable(text)
    assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in shown)
    redaction.redact_secrets(text)
    assert "hunter2" not in redaction.redact(
        f"http://u:hunter2@{text.split('@')[0][:50]}"
    )


def check_list_lines(text):
    line = list_lines.trim(text)
    try:
        url, checksum = list_lines.read(line)
    except InvalidUrl:
        return
    assert url in line
    if checksum is not None:
        assert digests.hexadecimal(checksum) in line.lower()
        length = digests.DIGITS[digests.algorithm(checksum)]
        assert len(digests.hexadecimal(checksum)) == length


def check_checksums(text):
    try:
        sums = checksums.Sums(text.split("\n"))
    except ValueError:
        return
    sums.find(urls.parse("http://a.test/images/a.iso"))


def check_lines(text):
    blocks = iter(
        [text.encode("utf-8", "surrogatepass")[i : i + 7] for i in range(0, 400, 7)]
    )
    for line in lines(lambda: next(blocks, b"")):
        assert "\n" not in line


# Each parser with what it must hold to; a new one goes in here.
CHECKS = (
    check_url,
    check_join,
    check_fields,
    check_numbers,
    check_validators,
    check_head,
    check_texts,
    check_list_lines,
    check_checksums,
    check_lines,
)


def fuzz(inputs, seed):
    """So many inputs, each to one parser in turn; the faults found, as (check, text, error)."""
    chance = random.Random(seed)
    faults = []
    for number in range(inputs):
        check = CHECKS[number % len(CHECKS)]
        text = mutated(chance)
        try:
            check(text)
        except Exception as error:  # noqa: BLE001 - every one is a find
            faults.append((check.__name__, text, repr(error)))
            if len(faults) >= 20:
                break
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    began = time.perf_counter()
    faults = fuzz(given.inputs, given.seed)
    for fault in faults:
        print(*map(ascii, fault))
    seconds = time.perf_counter() - began
    print(f"{given.inputs:,} inputs, {len(faults)} faults, {seconds:.0f} s")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()

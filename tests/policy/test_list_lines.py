# ruff: noqa: RUF001 - quotation marks of many languages are its subject
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from downloader.errors import InvalidUrl
from downloader.policy import urls
from downloader.policy.list_lines import read, trim

URL = "http://h/b.txt"
HEX = "ab" * 32

HIDDEN = (
    *("\ufeff", "\u200b", "\u200c", "\u200d", "\u200e", "\u200f", "\u2060", "\xad"),
    *("\xa0", "\u202a", "\u202c", "\u2066", "\u2069", "\u3000", "\u2028"),
)
WRAPPERS = (
    *('"{}"', "'{}'", "`{}`", "<{}>", "({})", "“{}”", "”{}”", "„{}“", "‘{}’", "‚{}‘"),
    *("«{}»", "»{}«", "‹{}›", "›{}‹", '"<{}>"', "- <{}>"),
)


def url_of(line):
    return read(trim(line))[0]


def refused(line):
    with pytest.raises(InvalidUrl) as caught:
        urls.parse(url_of(line))
    return str(caught.value)


@pytest.mark.parametrize("mark", HIDDEN, ids=ascii)
def test_what_shows_nothing_at_the_ends_is_no_part_of_a_line(mark):
    assert trim(f"{mark} {URL}{mark}") == URL
    assert url_of(f"{URL}{mark} # why") == URL
    assert read(trim(f"{URL}{mark} sha256={HEX}{mark}")) == (URL, HEX)


@pytest.mark.parametrize(
    "line",
    [
        *(wrapper.format(URL) for wrapper in WRAPPERS),
        f'"{URL}",',
        f'"{URL}";',
        f"{URL},",
        f"- {URL}",
        f"* {URL}",
        f"+ {URL}",
        f"• {URL}",
        f"12. {URL}",
        f"3) {URL}",
        f'- "{URL}",',
        f'"{URL}\u200b",',
        f"{URL} # a comment",
        f"{URL}\t# don't",
        f'"{URL}", # "a" comment, with {URL}',
    ],
)
def test_the_url_is_taken_out_of_marks_around_it(line):
    assert read(line) == (URL, None)


@pytest.mark.parametrize(
    "url",
    [
        "http://h/it's",
        "http://h/a'",
        "http://h/a_(b)",
        "http://h/a,b",
        "http://h/a;b;",
        "http://h/a,b#c,d",
        'http://h/?q="a"',
        "http://h/„a“",
        "http://h/%2C%22",
        "http://h/?u=http://i/",
        "http://h/a|b",
        "http://h/می\u200cخواهم",
        "http://h/?a[]=1",
        "HTTPS://h",
    ],
)
def test_marks_that_belong_to_a_url_stay(url):
    assert read(url) == (url, None)
    assert read(f'"{url}"' if '"' not in url else f"<{url}>") == (url, None)


@pytest.mark.parametrize(
    ("line", "checksum"),
    [
        (f"{URL} sha256={HEX}", HEX),
        (f"{URL} \t SHA-256 = {HEX.upper()}", HEX),
        (f"{URL}\xa0sha256: {HEX}", HEX),
        (f"<{URL}> blake3:{HEX}", f"blake3:{HEX}"),
        (f'"{URL} sha256={HEX}"', HEX),
        (f"{URL}, sha256={HEX}", HEX),
        (f"{URL} sha256={HEX},", HEX),
        (f"{URL} md5={HEX[:32]} # why", f"md5:{HEX[:32]}"),
    ],
)
def test_a_checksum_stands_behind_the_url(line, checksum):
    assert read(line) == (URL, checksum)


@pytest.mark.parametrize("url", [f"{URL}?sha256={HEX}", f"{URL}%20md5={HEX}"])
def test_what_looks_like_a_checksum_within_a_url_is_none(url):
    assert read(url) == (url, None)


def test_a_fragment_may_be_a_checksum_as_package_indexes_write_it():
    url = f"{URL}#sha256={HEX}"

    assert read(url) == (url, HEX)
    assert read(f"<{url}>, SHA-256:{HEX}") == (url, HEX)
    assert "has two checksums" in refused(f"{url} md5={HEX[:32]}")
    assert "needs 64 hexadecimal digits" in refused(f"{URL}#sha256=abc")
    assert read(f"{URL}#part=1") == (f"{URL}#part=1", None)


@pytest.mark.parametrize(
    "behind",
    [
        *("more", HEX, f"sha256 {HEX}", f"crc32={HEX}", f"sha3-256={HEX}"),
        *(f"sha256={HEX} x", f"sha256={HEX} md5={HEX[:32]}", f"sha256-{HEX}", "-"),
    ],
)
@pytest.mark.parametrize("blank", [" ", "\xa0", "  "], ids=ascii)
def test_anything_else_behind_a_url_is_refused(behind, blank):
    found = refused(f"{URL}{blank}{behind}")

    assert "has something behind its URL that is no checksum" in found
    assert "a blank in a URL is written %20" in found


def test_a_checksum_of_the_wrong_length_is_refused():
    assert "needs 32 hexadecimal digits for its md5" in refused(f"{URL} md5={HEX}")


@pytest.mark.parametrize(
    "between",
    [
        " ",
        "\t",
        ",",
        ", ",
        "\r",
        "|",
        ";",
        '","',
        '", "',
        "','",
        "> <",
        "\u2028",
        " , ",
    ],
    ids=ascii,
)
def test_two_urls_on_a_line_are_refused(between):
    wrap = {'"': '"{}"', "'": "'{}'", ">": "<{}>"}.get(between[0], "{}")
    assert "has two URLs" in refused(wrap.format(f"{URL}{between}https://i/c"))


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (f"{URL}\tmore", "TSV"),
        (f"id\t{URL}", "TSV"),
        (f"1,{URL}", "CSV"),
        (f'"a","{URL}"', "CSV"),
        (f'{URL},"a"', "CSV"),
        (f'"{URL}","a"', "CSV"),
        (f"{URL}, a", "CSV"),
        (f'{URL} "a",b', "CSV"),
        ("url,size", "CSV"),
        (f'{{"url": "{URL}"}}', "JSON"),
        (f'"url": "{URL}",', "JSON"),
        (f"{{'url': '{URL}'}}", "JSON"),
        (f'["{URL}"]', "JSON"),
        *((mark, "JSON") for mark in ("[", "{", "]", "}", "],", "},", "}]")),
        ("out=b.txt", "an aria2 option"),
        ("  dir=/tmp", "an aria2 option"),
        ("header=Cookie: a=b", "an aria2 option"),
        (f"checksum=sha-256={HEX}", "an aria2 option"),
        (f"{URL} out=b.txt", "an aria2 option"),
        (f'<a href="{URL}">b</a>', "HTML or XML"),
        (f'{URL}">b</a>', "HTML or XML"),
        (f"{URL}</loc>", "HTML or XML"),
        ("<?xml version='1.0'?>", "HTML or XML"),
    ],
)
def test_a_line_of_another_kind_of_file_is_called_that(line, kind):
    assert f"looks like {kind}: give one URL a line" in refused(line)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (f"wget {URL}", "has something in front of its URL"),
        (f"(see {URL})", "has something in front of its URL"),
        (f"[b]({URL})", "has something in front of its URL"),
        (f'"{URL}', 'begins with ", which nothing closes'),
        (f'“{URL}"', "begins with “, which nothing closes"),
        (f'{URL}"', 'ends in ", which nothing opens'),
        (f"{URL}”", "ends in ”, which nothing opens"),
        (f"{URL}>", "ends in >, which nothing opens"),
        ("http://h/a\u200bb", "has an invisible character in its URL"),
        ("http://h/a\ufeffb", "has an invisible character in its URL"),
        ("nonsense", "has no scheme"),
        ("example.org/a,b", "has no scheme"),
        ("example.org:80/a,b", "has no scheme"),
        ("javascript:alert(1,2)", "has another scheme"),
        ("<ftp://h/a>", "has another scheme"),
        ("http:/h/a,b", "has no // after http:"),
        ("'" * 10_000, "has no scheme"),
        (",", "has no scheme"),
        ("// a comment", "has no scheme"),
    ],
)
def test_what_is_odd_about_another_line_is_said(line, fault):
    assert fault in refused(line)


@pytest.mark.parametrize(
    "line",
    [
        "http://u:hunter2 x@h/",
        "http://u:x hunter2@h/",
        'http://u:hunter2"@h/ more',
        "<http://u:hunter2@h/> more",
        "wget http://u:hunter2@h/",
        "http://u:p sha256=hunter2@h/",
    ],
)
def test_a_refusal_quotes_no_password(line):
    assert "hunter2" not in refused(line)


CLEAN = st.builds(
    "{}://{}{}".format,
    st.sampled_from(["http", "https", "HTTP"]),
    st.sampled_from(["h", "example.org:8080", "[::1]", "u:pw@h"]),
    st.text("abcXYZ019-._~%/?#=&+:@!$*();'", max_size=20).map(lambda end: f"/{end}z"),
)
AROUND = st.sampled_from([wrapper for wrapper in WRAPPERS if "'" not in wrapper])
EDGE = st.text(["\t", " ", *HIDDEN], max_size=3)


@given(CLEAN, AROUND, EDGE, EDGE, st.sampled_from(["", ","]))
def test_a_clean_url_in_any_marks_is_that_url(url, around, before, behind, comma):
    line = before + around.format(before + url + behind) + comma + behind

    assert read(trim(url)) == (url, None)
    assert read(trim(line)) == (url, None)


@given(CLEAN, st.text(max_size=12))
@example(URL, "\u200b\u200bx")
@example(URL, ' "')
def test_no_text_behind_a_blank_gets_into_a_url(url, behind):
    try:
        found, checksum = read(trim(f"{url} {behind}"))
    except InvalidUrl:
        return

    assert (found, checksum) == (url, None)
    assert not trim(behind) or behind.lstrip().startswith(("#", ","))


@given(st.text(max_size=40))
@example("".join(dict.fromkeys("\"'`<(“”„‘’‚«»‹›[{")))
def test_any_text_is_one_url_of_it_or_a_refusal(text):
    line = trim(text)
    try:
        found, _ = read(line)
    except InvalidUrl:
        return

    assert found in line

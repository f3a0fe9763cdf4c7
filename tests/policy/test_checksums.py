import pytest

from downloader.errors import InvalidUrl
from downloader.policy.checksums import Sums, digest, split
from downloader.policy.urls import parse

SUM, OTHER = "ab" * 32, "cd" * 32


def found(sums, url):
    return sums.find(parse(url))


def test_a_sum_stands_behind_the_url():
    assert split(f"http://h/a \t sha256={SUM.upper()}") == ("http://h/a", SUM)
    assert split(f"http://h/a SHA256={SUM}") == ("http://h/a", SUM)


@pytest.mark.parametrize("line", ["http://h/a", f"http://h/a?sha256={SUM}", "a b"])
def test_a_line_without_one_stays_as_it_is(line):
    assert split(line) == (line, None)


@pytest.mark.parametrize("wrong", ["", "xyz", SUM[:-1], SUM + "0", "g" * 64])
def test_what_is_no_sum_is_refused(wrong):
    with pytest.raises(InvalidUrl, match="is no SHA-256"):
        split(f"http://h/a sha256={wrong}")
    with pytest.raises(InvalidUrl):
        digest(wrong)


@pytest.mark.parametrize(
    "line",
    [
        f"{SUM}  images/a b.iso",
        f"{SUM} *images/a b.iso",
        f"{SUM.upper()}  ./images/a b.iso\n",
        f"SHA256 (images/a b.iso) = {SUM}",
        f"\\{SUM}  images/a b.iso",
    ],
)
def test_every_form_of_sum_is_read(line):
    sums = Sums(["# a comment", "", line])

    assert len(sums) == 1
    assert found(sums, "http://h/pub/images/a%20b.iso?x=1") == SUM
    assert found(sums, "http://h/pub/a%20b.iso") is None


def test_the_longest_name_counts():
    sums = Sums([f"{SUM}  a.iso", f"{OTHER}  new/a.iso"])

    assert found(sums, "http://h/old/a.iso") == SUM
    assert found(sums, "http://h/new/a.iso") == OTHER


def test_a_name_with_a_backslash_is_read_as_coreutils_writes_it():
    assert found(Sums([f"\\{SUM}  a\\\\b"]), "http://h/a%5Cb") == SUM


@pytest.mark.parametrize("line", ["nonsense", f"{SUM}", "d41d8cd98f00  md5.txt"])
def test_another_line_is_named_with_its_number(line):
    with pytest.raises(ValueError, match=r"line 2: .* is no line of sha256sum"):
        Sums([f"{SUM}  a", line])


@pytest.mark.parametrize("name", ["./x/a", "../x/a", "/x/a", "x//a", "././x/./a"])
def test_where_sums_were_made_does_not_matter(name):
    sums = Sums([f"{SUM}  {name}"])

    assert not sums.has_matched
    assert found(sums, "http://h/x/a") == SUM
    assert sums.has_matched


def test_a_name_has_one_sum():
    assert len(Sums([f"{SUM}  a", f"{SUM}  a"])) == 1
    with pytest.raises(ValueError, match="line 2: 'a' has another sum further up"):
        Sums([f"{SUM}  a", f"{OTHER}  a"])

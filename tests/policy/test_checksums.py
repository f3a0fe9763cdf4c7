import pytest

from downloader.policy.checksums import Sums, read, read_any
from downloader.policy.digests import DIGITS, spell
from downloader.policy.urls import parse

SUM, OTHER = "ab" * 32, "cd" * 32
BY_NAME = {name: "ab" * (digits // 2) for name, digits in DIGITS.items()}
algorithms = pytest.mark.parametrize("name", list(DIGITS))


def found(sums, url):
    return sums.find(parse(url))


# A text


@algorithms
@pytest.mark.parametrize("form", ["{}={}", "{}:{}", "{} = {}", "{}: {}", "{}\t=\t{}"])
def test_a_checksum_names_its_algorithm(name, form):
    digits = BY_NAME[name]

    assert read(form.format(name, digits)) == spell(name, digits)
    assert read(form.format(name.upper(), digits.upper())) == spell(name, digits)


@pytest.mark.parametrize(
    ("text", "name"),
    [("sha-256", "sha256"), ("SHA-512", "sha512"), ("sha_1", "sha1"), ("MD-5", "md5")],
)
def test_an_algorithm_may_be_written_with_a_hyphen(text, name):
    assert read(f"{text}={BY_NAME[name]}") == spell(name, BY_NAME[name])


@pytest.mark.parametrize(
    "text", ["", "x", "sha256", SUM, f"crc32={SUM}", f"sha256={SUM} x", f"={SUM}"]
)
def test_another_text_is_no_checksum(text):
    assert read(text) is None


@algorithms
@pytest.mark.parametrize("count", [-1, 0, 1])
def test_a_digest_of_another_length_is_refused(name, count):
    digits = (BY_NAME[name] + "0")[: count and DIGITS[name] + count]
    with pytest.raises(ValueError, match=rf"needs {DIGITS[name]} .* for its {name}"):
        read(f"{name}={digits}")


@pytest.mark.parametrize("digits", ["g" * 64, "\uff10" * 64, "ab" * 31 + "=="])
def test_what_is_not_hexadecimal_is_refused(digits):
    with pytest.raises(ValueError, match="needs 64 hexadecimal digits"):
        read(f"sha256={digits}")


def test_a_digest_of_a_report_is_a_checksum():
    assert read_any(SUM.upper()) == SUM
    assert read_any(f"blake3:{SUM}") == f"blake3:{SUM}"


@pytest.mark.parametrize("text", ["", "x", "ab" * 16, "g" * 64, "xxh3:" + "ab" * 16])
def test_a_request_needs_a_checksum_of_a_known_form(text):
    with pytest.raises(ValueError, match="needs "):
        read_any(text)


# A file


@pytest.mark.parametrize(
    "line",
    [
        f"{SUM}  images/a b.iso",
        f"{SUM} *images/a b.iso",
        f"{SUM.upper()}  ./images/a b.iso\n",
        f"SHA256 (images/a b.iso) = {SUM}",
        f"SHA256(images/a b.iso)= {SUM}",
        f"SHA2-256(images/a b.iso)= {SUM}",
        f"\\{SUM}  images/a b.iso",
        f"\\SHA256 (images/a b.iso) = {SUM}",
    ],
)
def test_every_form_of_sum_is_read(line):
    sums = Sums(["# a comment", "", line])

    assert len(sums) == 1
    assert found(sums, "http://h/pub/images/a%20b.iso?x=1") == SUM
    assert found(sums, "http://h/pub/a%20b.iso") is None


@pytest.mark.parametrize("name", [name for name in DIGITS if name != "blake3"])
def test_the_length_of_a_digest_tells_its_algorithm(name):
    sums = Sums([f"{BY_NAME[name]}  a.iso"], "CHECKSUMS")

    assert found(sums, "http://h/a.iso") == spell(name, BY_NAME[name])


@algorithms
def test_a_tagged_line_names_its_algorithm(name):
    sums = Sums([f"{name.upper()} (a.iso) = {BY_NAME[name]}"])

    assert found(sums, "http://h/a.iso") == spell(name, BY_NAME[name])


@pytest.mark.parametrize(
    "file_name", ["B3SUMS", "a.iso.b3", "b3sum.txt", "x-BLAKE3SUMS.asc", "a.blake3"]
)
def test_the_name_of_a_file_tells_blake3_from_sha256(file_name):
    sums = Sums([f"{SUM}  a.iso", f"{BY_NAME['md5']}  b.iso"], file_name)

    assert found(sums, "http://h/a.iso") == f"blake3:{SUM}"
    assert found(sums, "http://h/b.iso") == f"md5:{BY_NAME['md5']}"


@pytest.mark.parametrize("file_name", ["SHA256SUMS", "web3.sha256", "a-b3.iso.sha256"])
def test_64_digits_are_a_sha256_in_other_files(file_name):
    assert found(Sums([f"{SUM}  a.iso"], file_name), "http://h/a.iso") == SUM


@pytest.mark.parametrize("file_name", ["B2SUMS", "a.b2", "BLAKE2b.txt"])
def test_a_digest_by_blake2_is_refused_and_not_taken_for_a_sha512(file_name):
    with pytest.raises(ValueError, match="line 1: "):
        Sums([f"{BY_NAME['sha512']}  a.iso"], file_name)


def test_the_longest_name_counts():
    sums = Sums([f"{SUM}  a.iso", f"{OTHER}  new/a.iso"])

    assert found(sums, "http://h/old/a.iso") == SUM
    assert found(sums, "http://h/new/a.iso") == OTHER


def test_the_strongest_checksum_of_a_name_counts():
    order = ["md5", "blake3", "sha512", "sha1", "sha256", "sha384"]
    lines = [f"{name} (a) = {BY_NAME[name]}" for name in order]

    assert found(Sums(lines), "http://h/a") == spell("sha512", BY_NAME["sha512"])
    assert found(Sums(lines[:2]), "http://h/a") == spell("blake3", SUM)


@pytest.mark.parametrize(
    ("written", "url"),
    [(r"a\\b", "a%5Cb"), (r"a\nb", "a%0Ab"), (r"a\rb", "a%0Db"), (r"a\\nb", "a%5Cnb")],
)
def test_a_name_with_escapes_is_read_as_coreutils_writes_it(written, url):
    assert found(Sums([f"\\{SUM}  {written}"]), f"http://h/{url}") == SUM


def test_a_backslash_in_other_names_is_one():
    assert found(Sums([rf"{SUM}  a\\b"]), "http://h/a%5C%5Cb") == SUM


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        f"{SUM}",
        "d41d8cd98f00  md5.txt",
        f"SHA256 (a) = {SUM}00",
        f"SHA3-256 (a) = {SUM}",
        "SIZE (a) = 12345678",
    ],
)
def test_another_line_is_named_with_its_number(line):
    with pytest.raises(ValueError, match=r"line 2: .* is no line of sha256sum"):
        Sums([f"{SUM}  a", line])


@pytest.mark.parametrize("name", ["./x/a", "../x/a", "/x/a", "x//a", "././x/./a"])
def test_where_sums_were_made_does_not_matter(name):
    sums = Sums([f"{SUM}  {name}"])

    assert not sums.has_matched
    assert found(sums, "http://h/x/a") == SUM
    assert sums.has_matched


def test_a_name_has_one_sum_by_an_algorithm():
    assert len(Sums([f"{SUM}  a", f"{SUM}  a"])) == 1
    lines = [f"{SUM}  a", f"{BY_NAME['sha512']}  a", f"{OTHER}  a"]
    with pytest.raises(ValueError, match="line 3: 'a' has another sha256 further up"):
        Sums(lines)


SIGNED = f"""\
-----BEGIN PGP SIGNED MESSAGE-----
Hash: SHA256
NotDashEscaped: no

{SUM}  a
- {OTHER}  b
-----BEGIN PGP SIGNATURE-----

iQIzBAEBCAAdFiEE
=abcd
-----END PGP SIGNATURE-----
"""


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_signed_message_is_read_without_its_signature(end):
    sums = Sums(SIGNED.replace("\n", end).splitlines(keepends=True))

    assert sums.is_signed
    assert len(sums) == 2
    assert found(sums, "http://h/a") == SUM
    assert found(sums, "http://h/b") == OTHER


def test_a_signature_may_follow_plain_lines_and_be_followed_by_more():
    signature = SIGNED[SIGNED.index("-----BEGIN PGP SIGNATURE") :].splitlines()
    sums = Sums([f"{SUM}  a", *signature, f"{OTHER}  b"])

    assert (sums.is_signed, len(sums)) == (True, 2)
    assert not Sums([f"{SUM}  a"]).is_signed

"""The same list again: what is skipped, asked about, verified, and left alone."""

import hashlib
import logging
import os
import sys

import blake3
import pytest
from odd_exchange import body
from odd_server import OddServer

from downloader import Request, UsageError, fetch
from downloader.cli import main
from downloader.models import Status
from downloader.policy.digests import spell
from downloader.strategies.contract import NAMES

pytestmark = pytest.mark.usefixtures("workdir")
QUICK = {"backoff_seconds": 0.001, "backoff_max_seconds": 0.01}


def rows(report):
    return [(row.status.value, row.error) for row in report]


def file_of(report, index=0):
    return f"downloads/{list(report)[index].path}"


def content(path):
    with open(path, "rb") as stream:
        return stream.read()


def written(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as stream:
        stream.write(data)


def strange(odd, data=b"theirs"):
    """A file that nobody fetched, where /versioned/10 belongs."""
    path = f"downloads/127.0.0.1_{odd.port}/versioned/10~f"
    written(path, data)
    return path


@pytest.mark.parametrize("strategy", NAMES)
def test_what_is_there_is_skipped_without_a_word_to_the_server(odd, strategy):
    urls = [odd.url(f"ok/{size}") for size in (0, 1, 70_000)]
    first = fetch(urls, strategy=strategy)
    before = dict(odd.hits)
    again = fetch(urls, strategy=strategy)

    assert first.summary.ok == again.summary.skipped == 3
    assert again.exit_code == 0
    assert [row.sha256 for row in again] == [row.sha256 for row in first]
    assert odd.hits == before


@pytest.mark.parametrize("strategy", NAMES)
def test_a_refresh_asks_and_takes_304_for_an_answer(odd, strategy):
    urls = [odd.url("versioned/10"), odd.url("ok/1")]
    fetch(urls, strategy=strategy)
    same = fetch(urls, strategy=strategy, refresh=True)
    odd.version = 2
    changed = fetch(urls, strategy=strategy, refresh=True)

    assert rows(same) == [("unchanged", None), ("ok", None)]
    assert rows(changed) == [("ok", None), ("ok", None)]
    assert content(file_of(changed)) == body("/versioned/10#2", 10)
    asked = [headers.get("if-none-match") for _, headers in odd.requests]
    assert sorted(filter(None, asked)) == ['"1"', '"1"']


def test_secrets_stay_with_the_lists_first_origin_though_its_file_is_there(
    odd, workdir
):
    with OddServer() as other:
        urls = [odd.url("ok/1"), other.url("status/404")]
        for _ in range(2):
            fetch(urls, headers=["Authorization: Bearer s3cret"])
        sent = [headers for _, headers in other.requests]

    assert len(sent) == 2
    assert not any("authorization" in headers for headers in sent)
    assert odd.hits.total() == 1


def test_an_unchanged_row_has_all_that_is_known_of_its_file(odd):
    (first,) = fetch([odd.url("versioned/10")])
    (again,) = fetch([odd.url("versioned/10")], refresh=True)

    assert (again.path, again.bytes, again.sha256) == (first.path, 10, first.sha256)
    assert again.http_status == 304


def test_a_condition_holds_only_for_where_the_file_came_from(odd):
    target = odd.url("versioned/10").replace(":", "%3A").replace("/", "%2F")
    fetch([odd.url(f"redirect-to/{target}")])
    (again,) = fetch([odd.url(f"redirect-to/{target}")], refresh=True)

    assert again.status is Status.UNCHANGED
    first_hops = [h for target, h in odd.requests if target.startswith("/redirect")]
    assert all("if-none-match" not in headers for headers in first_hops)


@pytest.mark.parametrize("change", ["missing", "longer", "other"])
def test_a_file_that_was_changed_is_fetched_again_with_a_word(odd, caplog, change):
    path = file_of(fetch([odd.url("ok/10")]))
    if change == "missing":
        os.unlink(path)
    elif change == "longer":
        written(path, b"x" * 11)
    else:
        written(path, b"x" * 10)
    with caplog.at_level(logging.WARNING, "downloader"):
        again = fetch([odd.url("ok/10")])

    assert rows(again) == [("ok", None)]
    assert content(path) == body("/ok/10", 10)
    word = "missing" if change == "missing" else "changed since it was fetched"
    assert word in caplog.text


@pytest.mark.parametrize("refresh", [False, True])
def test_a_copied_folder_is_known_though_its_times_are_not(odd, refresh):
    """As `cp -r` and `tar` leave it: one without the times, one without their fractions."""
    url = odd.url("versioned/10")
    (first,) = fetch([url])
    path = file_of([first])
    for moment in (0, os.stat(path).st_mtime_ns // 10**9 * 10**9):
        os.utime(path, ns=(moment, moment))
        (again,) = fetch([url], refresh=refresh)
        assert again.status is (Status.UNCHANGED if refresh else Status.SKIPPED)
        assert again.sha256 == first.sha256
    (known,) = fetch([url], refresh=True)

    assert known.status is Status.UNCHANGED
    bodies = [h for _, h in odd.requests if "if-none-match" not in h]
    assert len(bodies) == 1


def test_of_many_files_a_few_words_are_enough(odd, caplog):
    urls = [odd.url(f"ok/{size}") for size in range(9)]
    for row in fetch(urls):
        os.unlink(f"downloads/{row.path}")
    with caplog.at_level(logging.WARNING, "downloader"):
        fetch(urls)

    assert caplog.text.count("missing; fetching it") == 5
    assert "4 more files were missing or changed" in caplog.text


def test_a_failed_refresh_leaves_the_file_and_what_is_known_of_it(odd):
    url = odd.url("versioned/10")
    path = file_of(fetch([url]))
    odd.close()
    failed = fetch([url], refresh=True, retries=0)
    later = fetch([url])

    assert rows(failed) == [("failed", "connect")]
    assert rows(later) == [("skipped", None)]
    assert content(path) == body("/versioned/10#1", 10)


@pytest.mark.parametrize("strategy", NAMES)
def test_a_file_of_somebody_else_is_left_alone(odd, strategy):
    path = strange(odd)
    report = fetch([odd.url("versioned/10")], strategy=strategy)

    assert rows(report) == [("failed", "exists")]
    assert report.exit_code == 1
    assert content(path) == b"theirs"
    assert not odd.hits


@pytest.mark.parametrize("strategy", NAMES)
def test_it_is_replaced_if_that_was_asked_for(odd, strategy):
    path = strange(odd)
    report = fetch([odd.url("versioned/10")], strategy=strategy, overwrite=True)

    assert rows(report) == [("ok", None)]
    assert content(path) == body("/versioned/10#1", 10)


@pytest.mark.parametrize("strategy", NAMES)
def test_a_file_that_comes_up_meanwhile_is_left_alone_too(odd, strategy):
    def urls():
        yield odd.url("stall-head/5")
        odd.wait_for(lambda server: server.hits)
        written(f"downloads/127.0.0.1_{odd.port}/stall-head/5~f", b"theirs")
        odd.release()

    report = fetch(urls(), strategy=strategy)

    assert rows(report) == [("failed", "exists")]
    (name,) = os.listdir(f"downloads/127.0.0.1_{odd.port}/stall-head")
    assert content(f"downloads/127.0.0.1_{odd.port}/stall-head/{name}") == b"theirs"


def test_verifying_finds_what_size_and_time_do_not_show(odd):
    url = odd.url("ok/10")
    path = file_of(fetch([url]))
    stamp = os.stat(path).st_mtime_ns
    written(path, b"x" * 10)
    os.utime(path, ns=(stamp, stamp))
    plain, verified, again = (fetch([url], verify=v) for v in (False, True, True))

    assert [rows(r)[0][0] for r in (plain, verified, again)] == [
        "skipped",
        "ok",
        "skipped",
    ]
    assert content(path) == body("/ok/10", 10)


# Checksums

GOOD = hashlib.sha256(body("/ok/10", 10)).hexdigest()
BAD = "0" * 64


# Each with the size of the file that it is asked of.
KINDS = dict(enumerate(("sha512", "sha384", "sha256", "blake3", "sha1", "md5"), 10))


def digits(size, kind):
    made = blake3.blake3() if kind == "blake3" else hashlib.new(kind)
    made.update(body(f"/ok/{size}", size))
    return made.hexdigest()


@pytest.mark.parametrize("strategy", NAMES)
def test_every_checksum_is_enforced_whatever_hashes_the_other_files(odd, strategy):
    good = {size: digits(size, kind) for size, kind in KINDS.items()}
    lines = [f"{odd.url(f'ok/{n}')} {KINDS[n]}={hexa}" for n, hexa in good.items()]
    # 10 more bytes have another digest, whichever it is.
    lines += [
        f"{odd.url(f'ok/{n + 10}')} {KINDS[n]}={hexa}" for n, hexa in good.items()
    ]
    report = fetch(lines, strategy=strategy, hash="xxh3")

    assert rows(report) == [("ok", None)] * 6 + [("failed", "checksum")] * 6
    for row, (size, hexa) in zip(report, good.items(), strict=False):
        name = KINDS[size]
        assert (row.sha256 or row.digest) == spell(name, hexa)
    names = os.listdir(f"downloads/127.0.0.1_{odd.port}/ok")
    assert sorted(names) == [f"{size}~f" for size in KINDS]
    assert odd.hits.total() == 12


def asked(odd, sep, others=0):
    """Lines that ask each file for its checksum, or for that of another file."""
    return [
        f"{odd.url(f'ok/{size}')} {kind}{sep}{digits(size + others, kind)}"
        for size, kind in KINDS.items()
    ]


def are_told(reports):
    return all(
        f"its {kind} is {digits(size, kind)}, expected {digits(size + 1, kind)}"
        in row.detail
        for (size, kind), row in zip(KINDS.items(), reports, strict=True)
    )


@pytest.mark.parametrize("hash", ["sha256", "xxh3", "none"])
def test_every_checksum_is_enforced_for_files_that_are_there(odd, hash):
    fetch([odd.url(f"ok/{size}") for size in KINDS], hash=hash)
    same = fetch(asked(odd, "="))
    verified = fetch(asked(odd, " : "), verify=True)
    odd.hits.clear()
    other = fetch(asked(odd, "=", others=1))

    assert rows(same) == rows(verified) == [("skipped", None)] * 6
    assert rows(other) == [("failed", "checksum")] * 6
    assert are_told(other)
    assert odd.hits.total() == 6


def test_every_checksum_is_enforced_for_other_lines_of_the_url(odd):
    urls = [odd.url(f"ok/{size}") for size in KINDS]
    report = list(fetch([*urls, *asked(odd, ":"), *asked(odd, "=", others=1)]))

    assert rows(report[:12]) == [("ok", None)] * 6 + [("skipped", None)] * 6
    assert rows(report[12:]) == [("failed", "checksum")] * 6
    assert are_told(report[12:])
    assert odd.hits.total() == 6


def test_a_line_with_something_else_behind_its_url_is_refused(odd, workdir, capsys):
    (workdir / "list").write_text(f"{odd.url('ok/10')} crc32=12345678\n")

    assert main(["fetch", "list"]) == 1
    assert "something behind its URL that is no checksum" in capsys.readouterr().err
    assert not odd.hits


def test_a_checksum_that_cannot_be_computed_fails_its_row_alone(odd, monkeypatch):
    monkeypatch.setitem(sys.modules, "blake3", None)
    urls = [f"{odd.url('ok/10')} blake3={BAD}", odd.url("ok/11")]
    failed, other = fetch(urls)

    assert (failed.error, failed.attempts, other.error) == ("checksum", 0, None)
    assert "pip install 'downloader-engine[hash]'" in failed.detail


@pytest.mark.parametrize("strategy", NAMES)
def test_a_wrong_sum_of_a_resumed_file_gets_another_try_from_nothing(odd, strategy):
    path = "/truncated-once/200000"
    good = hashlib.sha256(body(path, 200_000)).hexdigest()
    part = f"downloads/127.0.0.1_{odd.port}/truncated-once/200000~f"
    fetch([odd.url(path)], strategy=strategy, retries=0)
    with open(f"{part}.part", "r+b") as stream:
        stream.write(b"damaged by somebody")
    report = fetch([f"{odd.url(path)} sha256={good}"], strategy=strategy, **QUICK)

    assert rows(report) == [("ok", None)]
    assert odd.hits[path] == 3
    assert content(part) == body(path, 200_000)


def test_a_request_may_have_its_sum(odd):
    report = fetch([Request(odd.url("ok/10"), checksum=f"sha-256:{BAD}")])

    assert rows(report) == [("failed", "checksum")]


def test_a_request_with_a_bad_sum_or_two_sums_is_refused(odd):
    line = f"{odd.url('ok/10')} sha256={GOOD}"
    bad, two, same = fetch(
        [
            Request(odd.url("ok/10"), checksum="md5:xyz"),
            Request(line, checksum=BAD),
            Request(line, checksum=GOOD),
        ]
    )

    assert (bad.error, two.error, same.error) == ("invalid_url", "invalid_url", None)
    assert "needs 32 hexadecimal digits for its md5" in bad.detail
    assert "has another checksum than its request" in two.detail


def test_a_known_file_with_another_sum_is_fetched_again(odd):
    fetch([odd.url("ok/10")])
    report = fetch([f"{odd.url('ok/10')} sha256={BAD}"])

    assert rows(report) == [("failed", "checksum")]
    assert rows(fetch([f"{odd.url('ok/10')} sha256={GOOD}"])) == [("skipped", None)]


def test_the_right_sum_makes_a_strange_file_known(odd):
    data = body("/versioned/10#1", 10)
    strange(odd, data)
    line = f"{odd.url('versioned/10')} sha256={hashlib.sha256(data).hexdigest()}"

    assert rows(fetch([line])) == [("skipped", None)]
    assert rows(fetch([odd.url("versioned/10")])) == [("skipped", None)]
    assert not odd.hits


def test_two_lines_may_not_ask_for_different_contents(odd):
    report = fetch([odd.url("ok/10"), f"{odd.url('ok/10')} sha256={BAD}"])

    assert rows(report) == [("ok", None), ("failed", "checksum")]
    assert odd.hits == {"/ok/10": 1}


def test_a_bad_sum_is_a_bad_line(odd, workdir, capsys):
    (workdir / "list").write_text(f"{odd.url('ok/10')} sha256=123\n")

    assert main(["fetch", "list"]) == 1
    assert (
        "sha256=123' needs 64 hexadecimal digits for its sha256"
        in capsys.readouterr().err
    )


def test_sums_of_which_none_is_of_use_are_told_about(odd, workdir, caplog):
    for name, content in (
        ("OTHER", f"{'0' * 64}  images\\\\10\n"),
        ("EMPTY", "# none\n"),
    ):
        (workdir / name).write_text(content)
    with caplog.at_level(logging.WARNING, "downloader"):
        assert rows(fetch([odd.url("ok/10")], checksums="OTHER")) == [("ok", None)]
        assert "nothing was checked by it" in caplog.text
    with pytest.raises(UsageError, match="has no checksum in it"):
        fetch([odd.url("ok/10")], checksums="EMPTY")


def test_sums_come_from_a_file_too(odd, workdir, capsys, caplog):
    (workdir / "SUMS").write_text(f"{GOOD}  ok/10\n{BAD} *11\n")
    urls = [odd.url("ok/10"), odd.url("ok/11"), odd.url("ok/12")]

    assert rows(fetch(urls, checksums="SUMS")) == [
        ("ok", None),
        ("failed", "checksum"),
        ("ok", None),
    ]
    signed = f"-----BEGIN PGP SIGNED MESSAGE-----\n\n{GOOD}  ok/10\n"
    (workdir / "SUMS").write_text(signed)
    assert rows(fetch(urls[:1], checksums="SUMS")) == [("skipped", None)]
    assert "its OpenPGP signature is not checked" in caplog.text
    (workdir / "SUMS").write_text("nonsense\n")
    assert main(["fetch", urls[0], "--checksums", "SUMS"]) == 2
    assert "SUMS, line 1: 'nonsense'" in capsys.readouterr().err
    assert main(["fetch", urls[0], "--checksums", "missing"]) == 2


# The manifest


def test_both_layouts_stay_known(odd):
    fetch([odd.url("ok/10")])
    fetch([odd.url("ok/10")], layout="flat")

    assert rows(fetch([odd.url("ok/10")])) == [("skipped", None)]
    assert rows(fetch([odd.url("ok/10")], layout="flat")) == [("skipped", None)]


def test_a_lost_manifest_is_made_again_from_the_files(odd, workdir, caplog):
    urls = [odd.url(f"ok/{size}") for size in range(5)]
    fetch(urls)
    manifest = workdir / "downloads/.downloader/manifest.sqlite"
    manifest.write_bytes(b"garbage" * 1000)
    before = dict(odd.hits)
    with caplog.at_level(logging.WARNING, "downloader"):
        again = fetch(urls)

    assert rows(again) == [("skipped", None)] * 5
    assert "the manifest was damaged" in caplog.text
    assert odd.hits == before
    assert rows(fetch(urls, verify=True)) == [("skipped", None)] * 5


def test_an_unknown_length_is_told(odd):
    (known, unknown, chunked) = fetch(
        [odd.url(p) for p in ("ok/1", "close/1", "chunked/1")]
    )

    assert (known.length_known, unknown.length_known, chunked.length_known) == (
        True,
        False,
        True,
    )

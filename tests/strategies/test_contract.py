"""The contract: every strategy meets the same servers and comes to the same end."""

import base64
import contextlib
import gzip
import json
import os
import re
import signal
import socket
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

import odd_raw
import pytest
from certificates import by_common_name
from cryptography.x509 import RFC822Name
from odd_server import OddServer, body
from strategy_rig import (
    WITH_PROCESSES,
    facts_until_results,
    files_below,
    is_alive,
    opened,
    running,
    side_by_side,
    wait_until,
    worker_pids,
)
from tunnel import Tunnel

from downloader import Downloader, Settings, fetch
from downloader.errors import StrategyUnavailable
from downloader.models import Attempt, AttemptResult, Failure, Moved
from downloader.strategies.contract import NAMES, default_workers, load

every_strategy = pytest.mark.parametrize("name", NAMES)
every_driver = pytest.mark.parametrize("name", ["threads", "asyncio", "curl"])
CONCURRENT = [name for name in NAMES if default_workers(name) > 1]


# One run over all behaviours


class Expected(NamedTuple):
    """The row that a behaviour must end with."""

    error: str | None = None
    http_status: int | None = 200
    attempts: int = 1
    content: bytes = b""

    @property
    def status(self):
        return "ok" if self.error is None else "failed"


def whole(size, path, **more):
    return Expected(content=body(path, size), **more)


def plain(*paths):
    """Paths that end in their size and bring it."""
    return {path: whole(int(path.rpartition("/")[2]), path) for path in paths}


def malformed(*paths):
    return dict.fromkeys(paths, Expected("protocol", None))


def refused(kind, http_status, *paths, attempts=1):
    return dict.fromkeys(paths, Expected(kind, http_status, attempts))


def second_try(path, http_status=200, version=""):
    expected = body(path + version, 1000)
    return {path: Expected(None, http_status, 2, expected)}


def target(path, sent):
    """A path that ends in that request target, which comes back as its body."""
    return {path: Expected(content=sent.encode())}


# A part that cannot be resumed: the file comes without Range, or its absence is told.
REFUSED = [
    f"/range-refused/{how}/1000"
    for how in (
        *("202", "204", "304", "400", "401", "403", "404", "405", "410", "500", "501"),
        *("503", "close", "reset", "malformed", "redirect-loop"),
        *("no-range", "no-unit", "unit-equals", "other-start", "other-total"),
        *("multipart", "multipart-chunked", "no-body", "too-short"),
    )
]
REFUSED_ALTOGETHER = [
    f"/range-refused/{how}/1000/404" for how in ("403", "404", "no-unit", "close")
]
REFUSED_IN_SILENCE = "/range-refused/stall/1000"
# Runs allow one retry. What depends on a connection being reused is tested further below.
ANSWERS = {
    **plain("/ok/1", "/ok/999", "/ok/300000", "/ok/2000000"),
    **plain(
        "/chunked/1000",
        "/chunked/300000",
        "/close/1000",
        "/unframed/1000",
        "/http10/1000",
    ),
    **plain("/continue/1000", "/range/200000"),
    "/empty": Expected(),
    "/no-content": Expected(None, 204),
    "/interim/3": whole(1000, "/interim/3"),
    "/slow/1000/0.3": whole(1000, "/slow/1000/0.3"),
    "/cookie": whole(100, "/cookie"),
    "/names": whole(100, "/names"),
    "/gzip/1000": Expected(content=gzip.compress(body("/gzip/1000", 1000), mtime=0)),
    "/redirect/3": whole(1000, "/redirect/0"),
    "/redirect-cross/ok/1002": whole(1002, "/ok/1002"),
    "/redirect-body": whole(1000, "/ok/1000"),
    "/cookie-gate/1000": whole(1000, "/cookie-gate/1000"),
    "/session/1000": whole(1000, "/session/1000"),
    "/redirect-raw-utf8": whole(1000, "/ok/1000/gr%C3%B6%C3%9Fe"),
    "/truncated-once/200000": Expected(
        None, 206, 2, body("/truncated-once/200000", 200_000)
    ),
    **second_try("/date/1000", 206),
    **second_try("/flaky/1/503/1000"),
    **second_try("/range-wrong/1000"),
    **second_try("/range-416/1000"),
    **second_try("/range-ignored/1000"),
    **{k: v for path in REFUSED for k, v in second_try(path).items()},
    **refused("http_404", 404, *REFUSED_ALTOGETHER, attempts=2),
    **second_try("/etag-weak/1000"),
    **second_try("/range-changed/1000", version="#2"),
    **second_try("/range-mixed/1000", version="#3"),
    **refused("http_404", 404, "/status/404"),
    **refused("http_500", 500, "/status/500", attempts=2),
    **refused("http_503", 503, "/status/503", "/flaky/2/503/1000", attempts=2),
    **refused("http_202", 202, "/status/202"),
    **refused("http_501", 501, "/status/501"),
    **refused("http_302", 302, "/redirect-no-location"),
    **refused("http_101", 101, "/status-101"),
    **refused("http_206", 206, "/status-206-unasked"),
    **refused("http_304", 304, "/status-304-unasked"),
    **refused("http_999", 999, "/status-999"),
    **refused("redirects", 302, "/redirect-loop", "/cookie-refused"),
    **refused("blocked", 302, "/redirect-ftp"),
    **refused("truncated", 200, "/truncated/1000", "/truncated/300000", attempts=2),
    **refused("truncated", 200, "/chunk-cut/1000", "/chunk-cut/300000", attempts=2),
    **refused("truncated", 200, "/reset-body/1000", attempts=2),
    **refused("truncated", 206, "/cut/100/1000", attempts=2),
    **refused("truncated", None, "/head-cut", attempts=2),
    **refused("connect", None, "/reset", "/close-early", attempts=2),
    **malformed("/chunk-bad/1000", "/chunk-bad/300000", "/interim-endless"),
    **malformed("/gzip-te/1000", "/http-09", "/lengths-differ/1000"),
    **malformed("/length-negative", "/length-plus", "/length-huge"),
    **refused("too_large", None, "/header-flood", "/header-long"),
}
RAW = {
    **{
        f"/raw/{name}": Expected(content=odd_raw.CONTENT)
        for name in (
            *("no-reason", "no-reason-no-blank", "fields-98", "value-of-escapes"),
            *("chunk-extension", "chunk-upper-case", "chunk-leading-zeros"),
            *("chunk-trailer", "chunk-trailer-length", "chunk-lf-alone"),
            *("length-twice-the-same", "length-list-the-same", "head-60-kib"),
            *("length-and-chunked", "chunked-and-length"),
            *("identity", "identity-and-length"),
            *("identity-and-chunked", "identity-chunked"),
            *("behind-line-end", "behind-cr-lf", "behind-line-end-and-answer"),
            *("behind-answer", "behind-answer-twice"),
            *("behind-identity", "behind-length-twice"),
            *("behind-chunks", "behind-chunks-bytes", "behind-chunks-cr-lf"),
        )
    },
    "/raw/behind-no-content": Expected(None, 204),
    **malformed(
        *(
            f"/raw/{name}"
            for name in (
                *("version-2", "version-lower-case", "version-none", "garbage"),
                *("status-two-digits", "status-four-digits", "status-no-number"),
                *("no-content-with-content", "ssh-banner", "field-without-colon"),
                *("field-without-name", "field-blank-before-colon", "field-with-nul"),
                *("field-with-bare-cr", "fields-many", "field-name-of-escapes"),
                *("length-list-differs", "length-empty"),
                *("length-hexadecimal", "length-fraction"),
                *("behind-line-end-and-bytes", "behind-identity-bytes"),
                "behind-length-twice-bytes",
                *("length-too-long", "coding-unknown", "coding-chunked-twice"),
                *("chunk-size-huge", "chunk-size-negative", "chunk-size-prefixed"),
                *("chunk-size-missing", "chunk-longer-than-said", "length-too-short"),
            )
        )
    ),
    **refused(
        "truncated",
        200,
        *(
            f"/raw/chunk-cut-{where}"
            for where in ("in-size", "before-end", "in-trailer", "at-once")
        ),
        attempts=2,
    ),
    **refused(
        "blocked",
        302,
        *(
            f"/raw/redirect-{where}"
            for where in (
                *("file", "data", "script", "gopher", "port-0", "no-host"),
                *("blank-host", "long", "escapes", "password", "password-odd"),
                "password-cut",
            )
        ),
    ),
    **refused(
        "too_large",
        None,
        *(f"/raw/head-{name}" for name in ("70-kib", "110-kib", "of-fields-70-kib")),
    ),
    **refused("redirects", 302, "/raw/redirect-empty", "/raw/redirect-fragment"),
    **refused("http_404", 404, "/raw/escapes-in-reason"),
    **refused("http_205", 205, "/raw/reset-content"),
    **target("/raw/redirect-target", "/target/%2c%7E|{}?%e2=[]|'\"<>\\^`%&"),
    **target("/raw/redirect-latin-1", "/target/a%20b%E9?c%20d%E9"),
    **target("/raw/redirect-utf-8", "/target/%C3%A9?%E2%98%95"),
    **target("/raw/redirect-empty-query", "/target/x?"),
    **target("/raw/redirect-slashes", "/target//a:99999999/b@c"),
    "/endless-trailer": Expected("protocol", None),
}
ANSWERS |= RAW
# Content codings that are none.
NO_CODINGS = [
    f"/coding/{name}" for name in ("aws-chunked", "UTF-8", "none", "binary", "identity")
]
# With --compressed and --max-file-size 1M.
LIMITED = {
    **{
        path: Expected(content=body(path, 1000))
        for path in ("/gzip/1000", "/deflate/1000", "/deflate-bare/1000", "/br/1000")
    },
    **{path: Expected(content=body(path, 100)) for path in NO_CODINGS},
    **{
        path: Expected(content=body(path, 1000))
        for path in ("/coded/aws-chunked,gzip/1000", "/coded/x-gzip/1000")
    },
    "/gzip-members/3000": Expected(content=body("/gzip-members/3000", 300_000)),
    "/gzip-twice/1000": Expected(content=2 * body("/gzip-twice/1000", 1000)),
    "/bomb/1048576": Expected(content=bytes(1 << 20)),
    "/br-bomb/1048576": Expected(content=bytes(1 << 20)),
    **malformed("/gzip-more/1000", "/gzip-damaged/1000", "/br-more/1000"),
    **malformed("/coding/br", "/coding/odd", "/coded/gzip,gzip/1000"),
    **malformed("/gzip-empty/100000"),
    **refused("truncated", 200, "/gzip-cut/1000", "/br-cut/1000", attempts=2),
    **refused(
        "too_large",
        200,
        "/bomb/1048577",
        "/br-bomb/1048577",
        "/bomb-endless",
        "/endless",
    ),
    **refused("too_large", 200, "/endless-chunks", "/ok/1048577"),
}
# These end by the clock, so they run apart from the others with a short timeout.
WAITS = {
    **refused("timeout", None, "/head-drip", "/stall-head", attempts=2),
    **refused("timeout", 200, "/stall-body/70000", attempts=2),
    **refused("timeout", 200, "/chunk-size-drip", attempts=2),
    **refused("too_slow", 200, "/drip/10"),
    **second_try(REFUSED_IN_SILENCE),
}
TABLE = ANSWERS | WAITS
# Requests that the server saw, where they are not as many as the tries: what did not fit
# its part was asked for once more, free of charge, and a redirect's hops are no tries.
HITS = {
    **dict.fromkeys([*REFUSED, *REFUSED_ALTOGETHER, REFUSED_IN_SILENCE], 3),
    "/range-refused/redirect-loop/1000": 23,
    "/range-wrong/1000": 3,
    "/range-416/1000": 3,
    "/range-mixed/1000": 3,
    "/cookie-gate/1000": 2,
    "/session/1000": 2,
    "/cookie-refused": 21,
    "/redirect-loop": 21,
    "/raw/redirect-empty": 21,
    "/raw/redirect-fragment": 21,
}
WITH_LIBCURL = ("curl", "multicore", "auto")
# libcurl only closes a connection on which more came than was declared, which may have
# another reason, as with a server that closes behind each answer: asked once more.
HITS_VARY_WITH_LIBCURL = {path for path in RAW if path.startswith("/raw/")}
# On a connection that was used before, the answer behind may be the one to the request.
HITS_VARY_BEHIND = {path for path in RAW if path.startswith("/raw/behind-")}
# A connection that was used before may end first, which gives a free try; that begins a
# chain of redirects anew.
HITS_VARY = {
    *("/reset", "/close-early", "/cookie-refused", "/cookie-gate/1000"),
    "/session/1000",
    *(path for path in TABLE if "/close/" in path or "/reset/" in path),
    *(path for path in TABLE if path.startswith(("/redirect", "/raw/redirect"))),
}
# The parts of these may be resumed in another run, and how much they hold.
LEAVE_A_PART = {"/cut/100/1000": 200, **dict.fromkeys(REFUSED_ALTOGETHER, 500)}


@dataclass
class Run:
    """What a strategy made of the table; ports are taken out, they differ by run."""

    rows: dict
    manifest: list
    summaries: list
    files: dict
    hits: dict


def run_table(name, folder):
    """All answers in one run; what waits in a run each, all at once."""
    folders = [f"{folder}/answers", *(f"{folder}/wait-{n}" for n in range(len(WAITS)))]
    with OddServer() as odd, ThreadPoolExecutor(len(WAITS)) as pool:
        answers = run_paths(odd, name, folders[0], ANSWERS, timeout=30.0)
        waits = [
            pool.submit(run_paths, odd, name, folder, [path], timeout=4.0)
            for folder, path in zip(folders[1:], WAITS, strict=True)
        ]
        reports = [answers, *(one.result() for one in waits)]
        port = str(odd.port)
        return Run(
            rows=dict(zip(TABLE, (row for one in reports for row in one), strict=True)),
            manifest=[manifest_rows(folder, port) for folder in folders],
            summaries=[report.summary for report in reports],
            files={
                without(port, path): file.read_bytes()
                for folder in folders
                for path, file in files_below(folder).items()
            },
            hits=dict(odd.hits),
        )


def run_paths(odd, name, folder, paths, timeout):
    return fetch(
        [odd.url(path) for path in paths],
        strategy=name,
        output=folder,
        workers=1 if name == "serial" else min(8, len(paths)),
        per_host=None,
        timeout=timeout,
        retries=1,
        backoff_seconds=0.01,
    )


def manifest_rows(folder, port):
    """The manifest without moments and the port."""
    database = Path(folder) / ".downloader" / "manifest.sqlite"
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        rows = [dict(row) for row in connection.execute("SELECT * FROM files")]
    moments = ("modified_ns", "recorded_at")
    kept = [{k: v for k, v in row.items() if k not in moments} for row in rows]
    return sorted(without(port, json.dumps(row)) for row in kept)


def without(port, text):
    """The text without a server's port; the same digits may stand in a digest."""
    return text.replace(f"_{port}", "_PORT").replace(f":{port}", ":PORT")


@pytest.fixture(scope="session")
def runs(tmp_path_factory, measured):
    """The table as each strategy sees it; side by side, as it consists of waiting."""
    folders = {name: str(tmp_path_factory.mktemp(f"table-{name}")) for name in NAMES}
    with measured(), ThreadPoolExecutor(len(NAMES)) as pool:
        made = pool.map(run_table, folders, folders.values())
        return dict(zip(NAMES, made, strict=True))


@pytest.fixture(scope="session")
def limited_runs(tmp_path_factory):
    """What is compressed or too large, as each strategy sees it."""

    def run(name):
        folder = str(tmp_path_factory.mktemp(f"limited-{name}"))
        with OddServer() as odd:
            urls = [odd.url(path) for path in LIMITED]
            report = fetch(
                urls,
                strategy=name,
                output=folder,
                workers=4,
                retries=1,
                backoff_seconds=0.01,
                compressed=True,
                max_file_size="1M",
            )
            return dict(zip(LIMITED, report, strict=True)), files_below(folder)

    with ThreadPoolExecutor(len(NAMES)) as pool:
        return dict(zip(NAMES, pool.map(run, NAMES), strict=True))


@every_strategy
@pytest.mark.parametrize("path", LIMITED)
def test_what_is_compressed_or_too_large_ends_in_its_row(limited_runs, name, path):
    row, expected = limited_runs[name][0][path], LIMITED[path]

    assert (row.status, row.error) == (expected.status, expected.error), row.detail
    assert (row.http_status, row.attempts) == (expected.http_status, expected.attempts)
    if row.error is None:
        (file,) = (f for p, f in limited_runs[name][1].items() if p == row.path)
        assert file.read_bytes() == expected.content


@every_strategy
def test_a_coding_that_is_none_is_noted_in_its_row(limited_runs, name):
    rows = limited_runs[name][0]
    noted = {path for path, row in rows.items() if row.error is None and row.detail}

    assert noted == set(NO_CODINGS)
    assert "'UTF-8' ignored: saved as sent" in rows["/coding/UTF-8"].detail


@every_strategy
def test_of_what_is_too_large_nothing_is_left(limited_runs, name):
    rows, files = limited_runs[name]

    assert sorted(files) == sorted(row.path for row in rows.values() if row.path)


@every_strategy
def test_nothing_of_a_server_reaches_a_row_unescaped(runs, name):
    rows = runs[name].rows.values()

    assert not any("\x1b" in (row.detail or "") for row in rows)


@every_strategy
def test_no_password_of_a_redirect_reaches_a_row(runs, name):
    assert not any("hunter2" in repr(row) for row in runs[name].rows.values())


def path_of(row):
    return row.path.replace("\\", "/").partition("/")[2]


@every_strategy
@pytest.mark.parametrize("path", TABLE)
def test_a_behaviour_ends_in_its_row(runs, name, path):
    row, expected = runs[name].rows[path], TABLE[path]

    assert (row.status, row.error) == (expected.status, expected.error), row.detail
    assert row.http_status == expected.http_status
    assert row.attempts == expected.attempts
    assert row.bytes == len(expected.content)


@every_strategy
@pytest.mark.parametrize("path", [path for path in TABLE if path not in HITS_VARY])
def test_every_try_is_one_request(runs, name, path):
    expected = HITS.get(path, TABLE[path].attempts)
    allowed = {expected}
    varies = name in WITH_LIBCURL and path in HITS_VARY_WITH_LIBCURL
    if varies or path in HITS_VARY_BEHIND:
        allowed.add(expected + 1)
    assert runs[name].hits[path] in allowed


@every_strategy
def test_only_libcurl_differs_and_only_in_what_it_does_not_show(name, tmp_path):
    """It takes what follows an empty line for HTTP/0.9; RFC 9112 §2.2 leaves that open.

    And it drops what follows a body on a connection that it closes.
    """
    with OddServer() as odd:
        urls = map(odd.url, ["/raw/empty-line-first", "/raw/behind-close-bytes"])
        report = fetch(urls, strategy=name, output=str(tmp_path))

    errors = ["protocol", None] if name in WITH_LIBCURL else [None, "protocol"]
    assert [row.error for row in report] == errors


@every_strategy
def test_files_have_the_bytes_that_were_sent_and_nothing_else_lies_there(runs, name):
    run = runs[name]
    expected = {
        f"127.0.0.1_PORT/{path_of(run.rows[path])}": row.content
        for path, row in TABLE.items()
        if row.error is None
    }
    there = {path: data for path, data in run.files.items() if ".part" not in path}

    assert there == expected


@every_strategy
def test_only_a_part_that_may_be_gone_on_with_is_left(runs, name):
    parts = {data for path, data in runs[name].files.items() if ".part" in path}

    assert parts == {body(path, 1000)[:held] for path, held in LEAVE_A_PART.items()}


@every_strategy
def test_a_file_whose_part_was_refused_says_so(runs, name):
    rows = runs[name].rows

    for path in (*REFUSED, REFUSED_IN_SILENCE):
        assert rows[path].detail.startswith("resuming was refused (")
        assert rows[path].detail.endswith("), so the file was fetched from its start")


@every_strategy
def test_a_file_that_is_refused_altogether_says_that_of_its_part_as_well(runs, name):
    details = [runs[name].rows[path].detail for path in REFUSED_ALTOGETHER]
    said = "the server answered 404 Not Found; resuming was refused ("

    assert all(detail.startswith(said) for detail in details)


@every_strategy
def test_every_failure_says_in_a_detail_what_happened(runs, name):
    assert all(row.detail for row in runs[name].rows.values() if row.error)


@every_strategy
def test_a_chain_that_loops_names_the_url_and_the_cookie_that_was_refused(runs, name):
    plain, refused = (
        runs[name].rows[p].detail for p in ("/redirect-loop", "/cookie-refused")
    )

    assert "they lead back to http://127.0.0.1" in plain
    assert "a cookie on the way was refused: it is for another domain" in refused


def comparable(row):
    fields = ("seq", "status", "http_status", "bytes", "sha256", "attempts", "error")
    # What was measured may differ, and the server's port; what it says may not.
    detail = re.sub(
        r"\d+ B/s on average over \d+ s|:\d{2,5}(?=/)", "", row.detail or ""
    )
    return (*(getattr(row, field) for field in fields), detail)


@pytest.mark.parametrize("name", NAMES[1:])
def test_all_strategies_have_the_same_rows(runs, name):
    first, other = runs[NAMES[0]].rows, runs[name].rows

    assert {p: comparable(r) for p, r in other.items()} == {
        p: comparable(r) for p, r in first.items()
    }


@pytest.mark.parametrize("name", NAMES[1:])
def test_all_strategies_leave_the_same_files_and_manifest(runs, name):
    first, other = runs[NAMES[0]], runs[name]

    assert other.manifest == first.manifest
    assert other.files == first.files


def counts(summary):
    names = ("lines", "rows", "duplicates", "ok", "unchanged", "skipped", "failed")
    more = ("bytes", "retries", "attempts", "errors", "list_complete", "per_host")
    return {name: getattr(summary, name) for name in (*names, *more)}


@pytest.mark.parametrize("name", NAMES[1:])
def test_all_strategies_sum_up_the_same(runs, name):
    first, other = runs[NAMES[0]].summaries, runs[name].summaries

    assert list(map(counts, other)) == list(map(counts, first))


@every_strategy
def test_the_summary_names_the_strategy_and_measures_it(runs, name):
    summary, *_ = runs[name].summaries

    assert summary.strategy == name
    assert summary.latency_p50_seconds <= summary.latency_p99_seconds
    assert summary.cpu_seconds > 0
    assert summary.peak_memory_bytes > 1 << 20


# Targets and hosts


@every_driver
def test_a_target_is_sent_as_it_stands(odd, tmp_path, name):
    targets = [
        *("/%2c%7E%e9~!$&'()*+,;:@=|[]{}\"<>^`\\%zz%", "//a//", "/?", "/x:999999/"),
        "/?sig=a%2bb%3d%3d&c=|[]{}\"<>^`\\'/%?",
    ]
    fetch([odd.origin + one for one in targets], strategy=name, output=tmp_path)

    assert sorted(odd.hits) == sorted(targets)


@every_driver
def test_a_proxy_gets_the_url_as_it_stands(odd, tmp_path, name):
    url = "http://nowhere.test./%2c|[]//?sig=%2b%3d&'\"[]{}?"
    fetch(url, strategy=name, output=tmp_path, proxy=odd.origin)
    ((target, fields),) = odd.requests

    assert (target, fields["host"]) == (url, "nowhere.test.")


@every_driver
@pytest.mark.parametrize("password", ["hünterř€", "h%C3%BCnter%40", "hünter\udcff"])
def test_a_proxys_password_of_any_letters_works_and_is_told_nowhere(
    odd, tmp_path, name, password
):
    proxy = odd.origin.replace("//", f"//me:{password}@")
    report = fetch("http://nowhere.test/", strategy=name, output=tmp_path, proxy=proxy)
    ((_, fields),) = odd.requests
    secret = b"me:" + unquote_to_bytes(password.encode("utf-8", "surrogateescape"))

    assert fields["proxy-authorization"] == f"Basic {base64.b64encode(secret).decode()}"
    assert "nter" not in repr(list(report))


@every_driver
def test_the_dot_behind_a_host_is_sent_and_no_part_of_its_certificate(
    odd_tls, authority, tmp_path, name, monkeypatch
):
    def look_up(host, *args, **more):
        return getaddrinfo(host.replace("localhost.", "127.0.0.1"), *args, **more)

    getaddrinfo = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    urls = [odd_tls.url(f"/echo/{n}").replace("127.0.0.1", "localhost.") for n in "ab"]
    report = fetch(urls[0], strategy=name, output=tmp_path, cacert=authority)
    with Tunnel() as proxy:
        tunnelled = fetch(
            urls[1],
            strategy=name,
            output=tmp_path,
            cacert=authority,
            proxy=proxy.url,
        )

    assert [row.error for row in (*report, *tunnelled)] == [None, None]
    assert [fields["host"] for _, fields in odd_tls.requests] == [
        f"localhost.:{odd_tls.port}"
    ] * 2


# Connections


@every_strategy
def test_a_reused_connection_that_died_costs_a_free_try(odd, tmp_path, name):
    urls = [odd.url("/stale/10"), odd.url("/ok/1000")]
    report = fetch(urls, strategy=name, output=tmp_path, workers=1, retries=0)

    assert [(row.error, row.attempts) for row in report] == [(None, 1)] * 2
    assert odd.hits["/ok/1000"] == 2


# What comes behind an answer once the client has it, before it asks again.
STRAYS = ("answer", "408", "bytes", "line-end", "answers", "answer")


@every_strategy
def test_bytes_that_nobody_asked_for_are_no_answer(odd, tmp_path, name):
    paths = [f"/stray/{kind}/{100 + n}" for n, kind in enumerate(STRAYS)]
    with Downloader(
        Settings.make(strategy=name, output=tmp_path, workers=1, retries=0)
    ) as downloader:
        for path in paths:
            outcome = downloader.submit(odd.url(path)).result(60)
            odd.let_stray()
            assert (outcome.error, outcome.attempts) == (None, 1)
    files = files_below(tmp_path).values()

    assert sorted(file.read_bytes() for file in files) == sorted(
        body(path, int(path.rpartition("/")[2])) for path in paths
    )
    assert set(odd.hits.values()) == {1}


@pytest.mark.parametrize("name", ["threads", "asyncio", "curl"])
def test_a_server_that_sent_such_bytes_gets_a_connection_for_each_request(
    odd, tmp_path, name
):
    with Downloader(Settings.make(strategy=name, output=tmp_path, workers=1)) as one:
        one.submit(odd.url("/stray/answer/10")).result(60)
        odd.let_stray()
        for size in range(20, 24):
            one.submit(odd.url(f"/ok/{size}")).result(60)

    assert odd.connections == 5


@pytest.mark.parametrize("name", ["threads", "asyncio", "curl"])
def test_such_bytes_within_tls_end_their_connection(odd_tls, tmp_path, name, caplog):
    with Downloader(
        Settings.make(strategy=name, output=tmp_path, workers=1, insecure=True)
    ) as downloader:
        first = downloader.submit(odd_tls.url("/stray/answer/10")).result(60)
        odd_tls.let_stray()
        second = downloader.submit(odd_tls.url("/ok/20")).result(60)

    assert (first.bytes, second.bytes) == (10, 20)
    assert odd_tls.connections == 2
    assert not [one for one in caplog.records if one.name == "asyncio"]


@every_strategy
def test_of_two_answers_on_a_reused_connection_neither_is_taken(odd, tmp_path, name):
    paths = ["/ok/10", "/late-stray/1000"]
    urls = [odd.url(path) for path in paths]
    report = fetch(urls, strategy=name, output=tmp_path, workers=1, retries=0)

    assert [(row.error, row.attempts) for row in report] == [(None, 1)] * 2
    files = files_below(tmp_path).values()
    assert {file.read_bytes() for file in files} == {
        body("/ok/10", 10),
        body("/late-stray/1000", 1000),
    }
    assert odd.hits["/late-stray/1000"] == 2


@every_strategy
def test_a_connection_that_was_closed_in_silence_harms_nothing(odd, tmp_path, name):
    urls = [odd.url(f"/keepalive-drop/{size}") for size in range(1000, 1006)]
    report = fetch(urls, strategy=name, output=tmp_path, workers=1, retries=0)

    assert [row.error for row in report] == [None] * 6


@every_strategy
def test_a_reset_instead_of_an_answer_is_tried_again(odd, tmp_path, name):
    urls = [odd.url("/reset-once/1000")]
    report = fetch(urls, strategy=name, output=tmp_path, backoff_seconds=0.01)
    (row,) = report

    assert (row.error, row.attempts, row.bytes) == (None, 2, 1000)


@every_strategy
def test_a_connection_serves_one_url_after_another(odd, tmp_path, name):
    urls = [odd.url(f"/ok/{size}") for size in range(1, 21)]
    fetch(urls, strategy=name, output=tmp_path, workers=1)

    assert odd.peak_connections == 1


# Politeness


@pytest.mark.parametrize("per_host", [1, 3])
def test_per_host_is_never_exceeded(tmp_path, per_host):
    def check(name):
        options = {"output": tmp_path / name, "workers": 8, "retries": 0}
        with OddServer() as odd:
            urls = [odd.url(f"/slow/{size}/0.01") for size in range(40)]
            report = fetch(urls, strategy=name, per_host=per_host, **options)

        assert report.summary.ok == 40
        assert odd.peak_in_flight <= per_host

    side_by_side(check)


@pytest.mark.parametrize("name", CONCURRENT)
def test_as_many_transfers_run_at_once_as_workers_and_host_allow(odd, tmp_path, name):
    urls = [odd.url(f"/stall-head/{size}") for size in range(1, 11)]
    with running(urls, strategy=name, output=tmp_path, workers=4, per_host=3) as (
        _,
        report,
    ):
        odd.wait_for(lambda counts: counts.in_flight == 3)
        odd.release()

        assert report.result(60).summary.ok == 10
    assert odd.peak_in_flight == 3


@pytest.mark.parametrize("name", CONCURRENT)
def test_a_redirect_to_another_host_waits_for_a_slot_there(odd, tmp_path, name):
    direct = odd.url("/stall-head/1").replace("127.0.0.1", "localhost")
    via = [odd.url(f"/redirect-cross/stall-head/{size}") for size in range(2, 6)]
    with running(
        [direct, *via], strategy=name, output=tmp_path, workers=8, per_host=1
    ) as (_, report):
        odd.wait_for(
            lambda counts: (
                sum(hit.startswith("/redirect") for hit in counts.hits) == len(via)
            )
        )
        at_the_goal = [hit for hit in list(odd.hits) if hit.startswith("/stall-head")]
        odd.release()

        assert report.result(60).summary.ok == 5
    assert len(at_the_goal) <= 1


@every_strategy
@pytest.mark.parametrize(("retries", "requests"), [(0, 1), (2, 3), (4, 4)])
def test_there_are_as_many_requests_as_retries_allow(
    odd, tmp_path, name, retries, requests
):
    path = "/flaky/3/500/10"
    (row,) = fetch(
        odd.url(path),
        strategy=name,
        output=tmp_path,
        retries=retries,
        backoff_seconds=0.01,
    )

    assert (odd.hits[path], row.attempts) == (requests, requests)
    assert row.is_there == (requests == 4)


@every_strategy
def test_a_retry_waits_in_the_frontier_and_not_in_a_worker(
    odd, tmp_path, monkeypatch, name
):
    monkeypatch.setattr("downloader.session.random.random", lambda: 1.0)
    paths = ["/flaky/1/503/10", "/ok/10", "/ok/11"]
    # Nothing but a stop ends this wait, so that the others cannot come too late for it.
    wait = {"backoff_seconds": 600, "backoff_max_seconds": 600}
    with running(
        map(odd.url, paths), strategy=name, output=tmp_path, workers=1, **wait
    ) as (session, report):
        odd.wait_for(lambda counts: counts.hits.keys() == set(paths))
        session.stop()
        report.result(60)

    assert [path for path, _ in odd.requests] == paths


def test_a_rate_holds_for_all_transfers_together(odd, tmp_path):
    urls = [odd.url(f"/ok/{size}") for size in range(60_000, 60_004)]

    def check(name):
        began = time.monotonic()
        options = {"strategy": name, "output": tmp_path / name, "workers": 4}
        report = fetch(urls, limit_rate="100000", **options)

        assert report.summary.ok == 4
        assert time.monotonic() - began >= 1.5

    side_by_side(check)


def test_a_wait_for_the_rate_is_not_taken_for_silence(odd, tmp_path):
    # All of it takes three times the timeout.
    urls = [odd.url(f"/ok/{size}") for size in range(56_250, 56_254)]
    options = {"limit_rate": "25000", "timeout": 3, "workers": 4, "retries": 0}

    def check(name):
        report = fetch(urls, strategy=name, output=tmp_path / name, **options)

        assert [row.error for row in report] == [None] * 4

    side_by_side(check, CONCURRENT)


# Who gets which headers


@every_strategy
def test_a_hosts_own_secrets_go_over_http_only_if_allowed(odd, tmp_path, name):
    here, there = f"127.0.0.1:{odd.port}", f"localhost:{odd.port}"
    secret = ["Authorization: Bearer s3cret", "X-Open: yes"]
    rows = fetch(
        [odd.url("/redirect-cross/ok/7"), elsewhere(odd, "/status/403")],
        strategy=name,
        output=tmp_path,
        host_headers={here: secret, there: secret},
        allow_http=[here],
    )

    (fields,) = sent(odd, "/redirect-cross/ok/7")
    assert fields["authorization"] == "Bearer s3cret"
    for path in ("/ok/7", "/status/403"):
        (fields,) = sent(odd, path)
        assert "authorization" not in fields
        assert fields["x-open"] == "yes"
    for row in rows:
        assert "table not sent over http: Authorization;" in row.detail


def sent(odd, path):
    """The header fields of each request for a path."""
    return [fields for target, fields in odd.requests if target == path]


def elsewhere(odd, path):
    return odd.url(path).replace("127.0.0.1", "localhost")


@every_strategy
def test_secret_headers_reach_the_first_urls_origin_only(odd, tmp_path, name):
    urls = [odd.url("/echo"), odd.url("/redirect-cross/ok/7"), elsewhere(odd, "/ok/8")]
    secrets = ["Authorization: Bearer s3cret", "Cookie: a=s3cret", "X-Open: yes"]
    report = fetch(urls, strategy=name, output=tmp_path, headers=secrets)

    assert report.summary.ok == 3
    for path in ("/echo", "/redirect-cross/ok/7"):
        (fields,) = sent(odd, path)
        assert fields["authorization"] == "Bearer s3cret"
        assert fields["cookie"] == "a=s3cret"
    for path in ("/ok/7", "/ok/8"):
        (fields,) = sent(odd, path)
        assert not {"authorization", "cookie"} & fields.keys()
        assert fields["x-open"] == "yes"


@every_strategy
def test_a_hosts_own_headers_reach_that_host_only(odd, tmp_path, name):
    fetch(
        [odd.url("/redirect-cross/ok/7")],
        strategy=name,
        output=tmp_path,
        host_headers={f"localhost:{odd.port}": ["Authorization: Bearer there"]},
        allow_http=[f"localhost:{odd.port}"],
    )

    assert "authorization" not in sent(odd, "/redirect-cross/ok/7")[0]
    assert sent(odd, "/ok/7")[0]["authorization"] == "Bearer there"


@every_strategy
def test_credentials_of_a_url_reach_its_origin_and_are_written_nowhere(
    odd, tmp_path, name
):
    url = odd.url("/redirect-cross/ok/7").replace("//", "//ada:s3cret@")
    report = fetch(url, strategy=name, output=tmp_path)
    basic = "Basic " + base64.b64encode(b"ada:s3cret").decode()
    (row,) = report
    written = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]

    assert row.is_there
    assert sent(odd, "/redirect-cross/ok/7")[0]["authorization"] == basic
    assert "authorization" not in sent(odd, "/ok/7")[0]
    assert "s3cret" not in repr(row)
    assert not any("s3cret" in str(file) for file in tmp_path.rglob("*"))
    assert not any(b"s3cret" in data for data in written)


@pytest.mark.parametrize("name", ["threads", "asyncio", "curl"])
def test_a_proxys_credentials_go_to_it_in_utf_8(odd, tmp_path, name):
    proxy = odd.origin.replace("//", "//\xfcser:hunt%C3%A4r@")
    (row,) = fetch(
        "http://behind.test/", strategy=name, output=tmp_path, proxy=proxy, retries=0
    )
    ((target, fields),) = odd.requests
    basic = "Basic " + base64.b64encode("\xfcser:hunt\xe4r".encode()).decode()

    assert target == "http://behind.test/"
    assert fields["proxy-authorization"] == basic
    assert "hunt" not in repr(row)


@every_strategy
def test_no_cookie_is_ever_sent_back(odd, tmp_path, name):
    paths = ["/cookie", "/echo", "/redirect-cross/cookie"]
    urls = [*map(odd.url, paths), elsewhere(odd, "/ok/9")]
    fetch(urls, strategy=name, output=tmp_path, workers=1)

    assert not any("cookie" in fields for _, fields in odd.requests)


@every_strategy
def test_requests_say_who_asks_and_want_no_coding(odd, tmp_path, name):
    fetch(odd.url("/ok/1"), strategy=name, output=tmp_path, user_agent="odd-bot/1")
    ((_, fields),) = odd.requests

    assert fields["user-agent"] == "odd-bot/1"
    assert fields["accept-encoding"] == "identity"
    assert fields["host"] == f"127.0.0.1:{odd.port}"
    assert fields.keys() <= {
        *("user-agent", "accept-encoding", "host", "accept", "connection")
    }


@every_strategy
def test_the_environment_is_read_for_the_settings_and_never_again(
    odd, tmp_path, monkeypatch, name
):
    settings = Settings.make(strategy=name, output=tmp_path / "out", timeout=10)
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login ada password s3cret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    with Downloader(settings) as downloader:
        outcome = downloader.submit(odd.url("/echo")).result(60)
    ((_, fields),) = odd.requests

    assert outcome.error is None
    assert not {"authorization", "proxy-authorization"} & fields.keys()


# TLS


@pytest.fixture
def authority(odd_tls, tmp_path):
    file = tmp_path / "authority.pem"
    file.write_bytes(odd_tls.ca_pem)
    return str(file)


@every_strategy
def test_a_trusted_certificate_is_taken_and_a_cut_is_no_end(
    odd_tls, authority, tmp_path, name
):
    paths = ("/ok/1000", "/unframed/1000", "/unframed-cut/1000")
    urls = [odd_tls.url(path) for path in paths]
    report = fetch(urls, strategy=name, output=tmp_path, cacert=authority, retries=0)

    assert [(row.error, row.bytes) for row in report] == [
        *[(None, 1000), (None, 1000)],
        ("truncated", 0),
    ]


@every_strategy
@pytest.mark.parametrize(
    "variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"]
)
def test_an_authority_of_the_environment_is_trusted(
    odd_tls, authority, tmp_path, variable, name
):
    settings = Settings.make({variable: authority}, strategy=name, output=tmp_path)
    with Downloader(settings) as downloader:
        outcome = downloader.submit(odd_tls.url("/ok/1000")).result(60)

    assert (outcome.error, outcome.bytes) == (None, 1000)


@every_strategy
def test_an_unknown_certificate_is_refused_once_and_for_all(odd_tls, tmp_path, name):
    (row,) = fetch(odd_tls.url("/ok/1000"), strategy=name, output=tmp_path, retries=3)

    assert (row.error, row.attempts) == ("tls", 1)
    assert not odd_tls.requests


@every_strategy
@pytest.mark.parametrize("alternatives", [(), (RFC822Name("a@localhost"),)])
def test_a_certificate_that_names_its_host_by_common_name_is_refused(
    tmp_path, name, alternatives
):
    pem = tmp_path / "common-name.pem"
    pem.write_bytes(by_common_name("localhost", *alternatives))
    with OddServer(tls=pem) as odd:
        urls = [elsewhere(odd, f"/ok/{size}") for size in range(4)]
        asked = {"cacert": pem, "workers": 2, "retries": 0}
        refused = fetch(urls, strategy=name, output=tmp_path / "a", **asked)
        hits = dict(odd.hits)
        taken = fetch(urls, strategy=name, output=tmp_path / "b", insecure=True)

    assert [row.error for row in refused] == ["tls"] * 4
    assert not hits
    assert taken.summary.ok == 4


@every_strategy
def test_insecure_takes_any_certificate(odd_tls, tmp_path, name):
    (row,) = fetch(
        odd_tls.url("/ok/1000"), strategy=name, output=tmp_path, insecure=True
    )

    assert (row.error, row.bytes) == (None, 1000)


# Stopping


def is_stalled(odd, count):
    """So many transfers have come to the middle of their body."""
    hits = sum(hit.startswith("/stall-body") for hit in odd.hits)
    return hits == odd.in_flight == count


@every_strategy
def test_a_stop_ends_stalled_transfers_within_five_seconds(odd, tmp_path, name):
    stalled = [odd.url(f"/stall-body/{size}") for size in range(1000, 1012)]
    urls = [odd.url("/ok/1"), odd.url("/ok/1"), *stalled]
    with running(urls, strategy=name, output=tmp_path, workers=3) as (session, report):
        stalled_at_once = 1 if name == "serial" else 3
        odd.wait_for(lambda counts: is_stalled(counts, stalled_at_once))
        wait_until(
            lambda: any(path.endswith("/ok/1~f") for path in files_below(tmp_path))
        )
        session.stop(15)
        made = report.result(5.0)
    rows = list(made)

    assert made.summary.interrupted_by == 15
    assert len(rows) + made.summary.duplicates == len(urls)
    assert rows[0].error is None
    assert {row.error for row in rows[1:]} == {"interrupted", "not_tried"}
    assert sum(row.error == "interrupted" for row in rows) >= stalled_at_once
    assert not worker_pids()
    # What had come of them is kept, and none has its final name.
    stalled_files = [path for path in files_below(tmp_path) if "stall-body" in path]
    assert all(path.endswith(".part") for path in stalled_files)


@every_strategy
def test_a_stop_at_the_very_beginning_gives_every_line_its_row(odd, tmp_path, name):
    urls = [odd.url(f"/ok/{size}") for size in range(300)]
    with running(urls, strategy=name, output=tmp_path) as (session, report):
        session.stop()
        rows = list(report.result(30))

    assert len(rows) == 300
    assert {row.error for row in rows} <= {None, "interrupted", "not_tried"}


# The mechanism itself


def attempt(odd, path, number=0):
    return Attempt(number, odd.url(path), f"file-{number}")


@every_strategy
def test_a_strategy_declares_what_may_differ(name):
    strategy = load(name)

    assert strategy.name == name
    assert isinstance(strategy.has_worker_processes, bool)
    assert isinstance(strategy.wakes_within_a_transfer, bool)


def test_an_unknown_strategy_is_not_available():
    with pytest.raises(StrategyUnavailable, match="asyncio"):
        load("teleport")


@every_strategy
def test_results_carry_the_ids_of_their_attempts(odd, tmp_path, name):
    started = []
    with opened(name, tmp_path) as strategy:
        while strategy.capacity and len(started) < 3:
            started.append(len(started))
            strategy.start([attempt(odd, f"/ok/{started[-1]}", started[-1])])
        facts = facts_until_results(strategy, len(started))
        capacity = strategy.capacity

    assert sorted(fact.attempt_id for fact in facts) == started
    assert capacity >= len(started)


@every_strategy
def test_a_wake_ends_the_next_wait_at_once(tmp_path, name):
    with opened(name, tmp_path) as strategy, ThreadPoolExecutor(1) as pool:
        strategy.wake()
        waited = pool.submit(strategy.wait, 30.0)

        assert waited.result(15.0) == []


@pytest.mark.parametrize(
    "name", [name for name in NAMES if load(name).wakes_within_a_transfer]
)
def test_a_wake_ends_a_wait_during_a_transfer(odd, tmp_path, name):
    with opened(name, tmp_path) as strategy, ThreadPoolExecutor(1) as pool:
        strategy.start([attempt(odd, "/stall-head")])
        while not odd.hits:
            strategy.wait(0.05)
        entered = threading.Event()

        def wait():
            entered.set()
            return strategy.wait(30.0)

        waited = pool.submit(wait)
        assert entered.wait(15.0)
        strategy.wake()
        try:
            assert waited.result(15.0) == []
        finally:
            odd.release()


def test_progress_of_a_large_body_is_told(odd, tmp_path):
    def check(name):
        (tmp_path / name).mkdir()
        with opened(name, tmp_path / name) as strategy:
            strategy.start([attempt(odd, "/slow/300000/1.2", 7)])
            facts = facts_until_results(strategy, 1)
        moved = [fact for fact in facts if isinstance(fact, Moved)]
        received = [fact.received_bytes for fact in moved]

        assert moved
        assert {(fact.attempt_id, fact.total_bytes) for fact in moved} == {(7, 300_000)}
        assert received == sorted(received)
        assert 0 < received[0] <= received[-1] <= 300_000

    side_by_side(check)


def test_progress_of_small_bodies_is_not_worth_telling(odd, tmp_path):
    def check(name):
        (tmp_path / name).mkdir()
        with opened(name, tmp_path / name) as strategy:
            strategy.start([attempt(odd, "/slow/60000/1.2")])
            facts = facts_until_results(strategy, 1)

        assert all(isinstance(fact, AttemptResult) for fact in facts)

    side_by_side(check)


@pytest.mark.parametrize("name", CONCURRENT)
def test_cancel_ends_what_is_under_way_with_its_failure(odd, tmp_path, name):
    with opened(name, tmp_path) as strategy:
        for number in range(2):
            strategy.start([attempt(odd, f"/stall-body/{number + 10}", number)])
        while odd.in_flight < 2:
            strategy.wait(0.05)
        strategy.cancel(Failure("interrupted", "the run was stopped"))
        facts = facts_until_results(strategy, 2, seconds=20)

    assert {fact.failure.kind for fact in facts} == {"interrupted"}
    assert sorted(fact.attempt_id for fact in facts) == [0, 1]


@pytest.mark.parametrize("name", CONCURRENT)
def test_cancel_brings_back_the_very_failure_it_was_given(odd, tmp_path, name):
    with opened(name, tmp_path) as strategy:
        strategy.start([attempt(odd, "/stall-body/10")])
        while not odd.in_flight:
            strategy.wait(0.05)
        strategy.cancel(Failure("timeout", "the whole run took too long"))
        (result,) = facts_until_results(strategy, 1, seconds=20)

    assert (result.failure.kind, result.failure.detail) == (
        "timeout",
        "the whole run took too long",
    )


def pool_threads():
    """The threads of all `threads` strategies of this process."""
    return {t for t in threading.enumerate() if t.name.startswith("downloader_")}


def test_closing_threads_waits_for_its_own_alone(odd, tmp_path, monkeypatch):
    joined = set()
    join = threading.Thread.join

    def record(thread, timeout=None):
        joined.add(thread)
        join(thread, timeout)

    with opened("threads", tmp_path) as idle:
        idle.start([attempt(odd, "/ok/1")])
        facts_until_results(idle, 1)
        others = pool_threads()
        with opened("threads", tmp_path) as strategy:
            strategy.start([attempt(odd, "/ok/2", 1)])
            facts_until_results(strategy, 1)
            own = pool_threads() - others
            monkeypatch.setattr(threading.Thread, "join", record)
        monkeypatch.undo()
        idle.start([attempt(odd, "/ok/3", 2)])
        (result,) = facts_until_results(idle, 1)

    assert own
    assert own <= joined
    assert not others & joined
    assert result.saved.size_bytes == 3


@every_strategy
def test_a_file_that_cannot_be_written_is_a_disk_failure(odd, tmp_path, name):
    (tmp_path / "file-0").mkdir()
    with opened(name, tmp_path) as strategy:
        strategy.start([attempt(odd, "/ok/1000")])
        (result,) = facts_until_results(strategy, 1)

    assert result.failure.kind == "disk"
    assert result.saved is None


@pytest.mark.parametrize("name", WITH_PROCESSES)
def test_close_ends_every_worker_process(odd, tmp_path, name):
    with opened(name, tmp_path) as strategy:
        strategy.start([attempt(odd, "/ok/1000")])
        facts_until_results(strategy, 1)
        told = [usage.pid for usage in strategy.usage()]
        workers = worker_pids()

    assert told
    assert set(told) <= set(workers)
    assert os.getpid() not in told
    wait_until(lambda: not any(map(is_alive, workers)), seconds=10)
    assert not worker_pids()


@pytest.mark.parametrize("name", WITH_PROCESSES)
def test_close_ends_worker_processes_in_the_middle_of_a_stalled_read(
    odd, tmp_path, name
):
    with opened(name, tmp_path) as strategy:
        strategy.start([attempt(odd, "/stall-body")])
        while not odd.in_flight:
            strategy.wait(0.05)
        workers = worker_pids()
        strategy.close(0.0)

        assert workers
        wait_until(lambda: not any(map(is_alive, workers)), seconds=10)


@pytest.mark.parametrize("name", WITH_PROCESSES)
def test_close_ends_a_worker_process_that_reacts_to_nothing(odd, tmp_path, name):
    with opened(name, tmp_path) as strategy:
        strategy.start([attempt(odd, "/ok/1000")])
        facts_until_results(strategy, 1)
        workers = worker_pids()
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        strategy.close(0.1)

        assert workers
        wait_until(lambda: not any(map(is_alive, workers)), seconds=10)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in WITH_PROCESSES])
def test_threads_of_this_process_have_no_usage_of_their_own(odd, tmp_path, name):
    with opened(name, tmp_path) as strategy:
        strategy.start([attempt(odd, "/ok/1000")])
        facts_until_results(strategy, 1)

        assert strategy.usage() == []
        assert not worker_pids()

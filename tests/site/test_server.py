import hashlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from downloader.demo import wrong_files
from downloader.site.process import Site, SiteError
from downloader.site.server import Representation, plan

STAMP = "Mon, 01 Jan 2024 00:00:00 GMT"
FILE = Representation(
    size_bytes=100,
    etag='"tag"',
    last_modified=datetime(2024, 1, 1, tzinfo=UTC),
    last_modified_text=STAMP,
)


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=90-", 90, 100),
        ("bytes=-10", 90, 100),
        ("bytes=-1000", 0, 100),
        ("bytes=95-1000", 95, 100),
        ("Bytes=99-99", 99, 100),
    ],
)
def test_a_range_gives_that_part(wanted, start, stop):
    planned = plan(FILE, {"Range": wanted})

    assert (planned.status, planned.start, planned.stop) == (206, start, stop)
    assert planned.headers["Content-Range"] == f"bytes {start}-{stop - 1}/100"


@pytest.mark.parametrize("wanted", ["bytes=100-", "bytes=200-300", "bytes=-0"])
def test_a_range_behind_the_end_is_416_and_tells_the_length(wanted):
    planned = plan(FILE, {"Range": wanted})

    assert (planned.status, planned.start, planned.stop) == (416, 0, 0)
    assert planned.headers == {"Content-Range": "bytes */100"}


@pytest.mark.parametrize(
    "wanted", ["bytes=-", "bytes=9-1", "lines=1-2", "bytes=0-1,5-6", "bytes=a-b", ""]
)
def test_a_range_that_cannot_be_read_gives_the_whole(wanted):
    planned = plan(FILE, {"Range": wanted})

    assert (planned.status, planned.start, planned.stop) == (200, 0, 100)


@pytest.mark.parametrize(
    ("condition", "status"),
    [('"tag"', 206), (STAMP, 206), ('"other"', 200), ('W/"tag"', 200)],
)
def test_a_range_holds_only_for_the_same_representation(condition, status):
    headers = {"Range": "bytes=10-", "If-Range": condition}

    assert plan(FILE, headers).status == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If-None-Match": '"tag"'}, 304),
        ({"If-None-Match": '"a", W/"tag"'}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": '"other"'}, 200),
        ({"If-None-Match": '"other"', "If-Modified-Since": STAMP}, 200),
        ({"If-Modified-Since": STAMP}, 304),
        ({"If-Modified-Since": "Sun, 31 Dec 2023 23:59:59 GMT"}, 200),
        ({"If-Modified-Since": "yesterday"}, 200),
        ({"If-None-Match": '"tag"', "Range": "bytes=0-1"}, 304),
    ],
)
def test_a_condition_that_still_holds_gives_304(headers, status):
    assert plan(FILE, headers).status == status


def ask(site, target, method="GET", **headers):
    """One request on a connection of its own: the answer, and its body."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection = http.client.HTTPConnection(
        site.url.removeprefix("http://"), timeout=60
    )
    try:
        connection.request(method, target, headers=names)
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def large_path(site):
    return max(site.catalogue, key=lambda entry: entry[1])[0]


def test_every_listed_file_comes_with_its_bytes(site):
    connection = http.client.HTTPConnection(
        site.url.removeprefix("http://"), timeout=60
    )
    digests = {}
    for path, _ in site.catalogue:
        connection.request("GET", path)
        digests[path] = hashlib.sha256(connection.getresponse().read()).hexdigest()
    connection.close()

    assert digests == {path: site.sha256(path) for path, _ in site.catalogue}


def test_the_connection_is_kept_alive(site):
    connection = http.client.HTTPConnection(
        site.url.removeprefix("http://"), timeout=60
    )
    connection.request("GET", "/n/1")
    connection.getresponse().read()
    local = connection.sock.getsockname()
    connection.request("GET", "/n/2")
    connection.getresponse().read()

    assert connection.sock.getsockname() == local
    connection.close()


def test_an_answer_carries_length_type_and_validators(site):
    answer, _ = ask(site, "/n/1")

    assert answer.getheader("Content-Length") == "200"
    assert answer.getheader("ETag") == site.catalogue.etag("/n/1")
    assert answer.getheader("Last-Modified") == site.catalogue.last_modified_text(
        "/n/1"
    )
    assert answer.getheader("Accept-Ranges") == "bytes"
    assert answer.getheader("Content-Type") == "application/octet-stream"


def test_a_range_of_a_large_file_is_that_part_of_it(site):
    path = large_path(site)

    answer, body = ask(site, path, Range="bytes=1000000-1999999")

    assert answer.status == 206
    assert body == site.catalogue.body(path)[1_000_000:2_000_000]


def test_head_tells_the_whole_length_without_a_body_even_for_a_range(site):
    path = large_path(site)

    answer, body = ask(site, path, "HEAD", Range="bytes=0-9")

    assert (answer.status, body) == (200, b"")
    assert answer.getheader("Content-Length") == str(site.catalogue.size_bytes(path))


def test_a_known_validator_is_answered_without_a_body(site):
    answer, body = ask(site, "/n/1", If_None_Match=site.catalogue.etag("/n/1"))

    assert (answer.status, body) == (304, b"")
    assert answer.getheader("ETag") == site.catalogue.etag("/n/1")


def test_another_spelling_of_a_path_is_the_same_file(site):
    path = next(path for path, _ in site.catalogue if "%C3%BC" in path)

    _, body = ask(site, path.replace("%C3%BC", "%c3%bc").replace("r", "%72"))

    assert body == site.catalogue.body(path)


def test_a_query_changes_nothing(site):
    _, body = ask(site, "/n/1?colour=blue")

    assert body == site.catalogue.body("/n/1")


def test_a_latency_can_be_asked_for_and_must_be_a_number(site):
    answered, body = ask(site, "/n/1?latency=0.01")
    refused, _ = ask(site, "/n/1?latency=nan")

    assert (answered.status, body) == (200, site.catalogue.body("/n/1"))
    assert refused.status == 400


def test_a_size_can_be_asked_for(site):
    answer, body = ask(site, "/s/300000/name.bin")

    assert answer.getheader("Content-Length") == "300000"
    assert body == site.catalogue.body("/s/300000/name.bin")


def test_a_rate_can_be_asked_for_and_must_be_a_number(site):
    began = time.perf_counter()
    answered, body = ask(site, "/s/100000?rate=1000000")
    seconds = time.perf_counter() - began
    refused, _ = ask(site, "/s/10?rate=-1")

    assert (answered.status, len(body), refused.status) == (200, 100_000, 400)
    assert seconds >= 0.09


def test_what_is_not_there_is_404(site):
    assert ask(site, "/nowhere")[0].status == 404


def test_only_get_and_head_are_allowed(site):
    answer, _ = ask(site, "/n/1", "POST")

    assert answer.status == 405
    assert answer.getheader("Allow") == "GET, HEAD"


def test_the_index_links_to_every_file(site):
    answer, body = ask(site, "/")

    assert answer.getheader("Content-Type").startswith("text/html")
    assert re.findall(r'href="(.*?)"', body.decode()) == [p for p, _ in site.catalogue]


def test_the_list_names_every_url(site):
    assert ask(site, "/urls.txt")[1].decode().splitlines() == site.urls()


def test_a_digest_can_be_asked_by_path_or_url(site):
    assert site.sha256(site.url + "/n/5") == site.sha256("/n/5")


def test_stopping_ends_the_child_and_forgets_the_address():
    site = Site(files=1)
    with site:
        pid = site.pid

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(SiteError, match="not started"):
        site.urls()


def test_ctrl_c_in_the_group_leaves_the_site_running():
    with Site(files=1) as site:
        os.kill(site.pid, signal.SIGINT)

        assert ask(site, "/n/1")[0].status == 200


ORPHAN = """
import os
from downloader.site.process import Site
site = Site(files=1)
site.start()
print(site.pid, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs pidfd_open (Linux)")
def test_the_site_ends_when_its_parent_is_killed():
    parent = subprocess.Popen([sys.executable, "-c", ORPHAN], stdout=subprocess.PIPE)
    with parent:
        pid = int(parent.stdout.readline())

    assert has_ended(pid, seconds=10)


def has_ended(pid, seconds):
    import select

    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    ready, _, _ = select.select([descriptor], [], [], seconds)
    os.close(descriptor)
    return bool(ready)


def test_a_site_that_cannot_start_says_why():
    with pytest.raises(SiteError, match=r"cannot be started: .*latency"):
        Site(latency_seconds=-1).start()


def test_a_site_that_does_not_start_in_time_says_so(monkeypatch):
    silent = [sys.executable, "-c", "import time; time.sleep(60)"]
    monkeypatch.setattr(Site, "_argv", lambda _: silent)

    with pytest.raises(SiteError, match=r"embedded site: .*start"):
        Site(start_seconds=0.001).start()


def test_the_first_line_is_the_address_and_the_end_of_input_ends_the_server():
    argv = [sys.executable, "-m", "downloader.site", "--files", "3"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        address = json.loads(child.stdout.readline())
        child.stdin.close()

        assert child.wait(timeout=30) == 0
    assert address["url"].startswith("http://127.0.0.1:")
    assert address["pid"] == child.pid


def test_wrong_and_missing_files_are_found_and_failures_left_out(site, tmp_path):
    body = site.catalogue.body("/n/1")
    for name in ("good", "bad"):
        (tmp_path / name).write_bytes(body if name == "good" else body[:-1])
    outcomes = [
        SimpleNamespace(url=f"{site.url}/n/1", path=path)
        for path in ("good", "bad", "missing", None)
    ]

    assert wrong_files(outcomes, site, tmp_path) == ["bad", "missing"]

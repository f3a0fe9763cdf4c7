"""httpbin under gunicorn: an HTTP test bench that others wrote."""

import json

import peers
import pytest
from strategy_rig import ONE_PER_DRIVER

from downloader import fetch

pytestmark = pytest.mark.usefixtures("workdir")
every_driver = pytest.mark.parametrize("strategy", ONE_PER_DRIVER)

OUTCOMES = {
    "/status/200": None,
    "/status/204": None,
    "/status/404": "http_404",
    "/status/418": "http_418",
    "/status/500": "http_500",
    "/redirect/5": None,
    "/relative-redirect/3": None,
    "/absolute-redirect/3": None,
    "/redirect/21": "redirects",
    "/cookies/set/a/b": None,
    "/bytes/1000?seed=1": None,
    "/stream-bytes/100000?seed=1": None,
    "/range/5000": None,
    "/etag/odd": None,
    "/cache": None,
    "/drip?duration=0.2&numbytes=10&delay=0": None,
    "/delay/0.2": None,
    "/image/png": None,
    "/encoding/utf8": None,
    "/gzip": None,
    "/deflate": None,
    "/basic-auth/u/secret": "http_401",
    "/bearer": "http_401",
    "/response-headers?Content-Disposition=attachment%3Bfilename%3D..%2Fevil": None,
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    pytest.importorskip(
        "httpbin", reason="needs httpbin (pip install httpbin gunicorn)"
    )
    with peers.httpbin(tmp_path_factory.mktemp("httpbin")) as peer:
        yield peer


def saved(row):
    with open(f"downloads/{row.path}", "rb") as stream:
        return stream.read()


@every_driver
def test_its_answers_end_as_they_should(bench, strategy):
    urls = [bench.origin + path for path in OUTCOMES]
    rows = list(fetch(urls, strategy=strategy, retries=1, backoff_seconds=0.01))
    by_path = dict(zip(OUTCOMES, rows, strict=True))

    assert {path: row.error for path, row in by_path.items()} == OUTCOMES
    assert json.loads(saved(by_path["/cookies/set/a/b"])) == {"cookies": {"a": "b"}}
    assert by_path["/bytes/1000?seed=1"].bytes == 1000
    assert by_path["/range/5000"].bytes == 5000
    assert saved(by_path["/gzip"])[:2] == b"\x1f\x8b"


@every_driver
def test_what_it_compresses_is_unpacked_on_request(bench, strategy):
    urls = [f"{bench.origin}/{coding}" for coding in ("gzip", "deflate")]
    gzipped, deflated = fetch(urls, strategy=strategy, compressed=True)

    assert json.loads(saved(gzipped))["gzipped"] is True
    assert json.loads(saved(deflated))["deflated"] is True


@every_driver
def test_a_password_opens_and_is_written_nowhere(bench, workdir, strategy):
    url = f"{bench.origin}/basic-auth/u/secret".replace("//", "//u:hunter2@")
    with fetch([url], strategy=strategy) as report:
        report.write_json("report.json")
        wrong = list(report)
    right = list(fetch([url.replace("hunter2", "secret")], strategy=strategy))

    assert [row.error for row in wrong] == ["http_401"]
    assert json.loads(saved(right[0]))["authenticated"] is True
    for path in workdir.rglob("*"):
        assert "hunter2" not in str(path)
        assert not path.is_file() or b"hunter2" not in path.read_bytes()


@every_driver
def test_an_etag_is_asked_about(bench, strategy):
    fetch([f"{bench.origin}/cache"], strategy=strategy)
    (again,) = fetch([f"{bench.origin}/cache"], strategy=strategy, refresh=True)

    assert again.status == "unchanged"

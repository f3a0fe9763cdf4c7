"""The drivers differ in nothing that a user can see, whatever bytes a server sends."""

import socket

import pytest
from driver_rig import DRIVERS, Script, run, run_attempts
from odd_server import body
from strategy_rig import named_proxies, side_by_side

from downloader.models import Attempt, Partial
from downloader.transfer.folder import Folder
from downloader.transfer.part_file import PartFile

every_driver = pytest.mark.parametrize("driver", DRIVERS)


def judged(driver, answer, root):
    """(error or None, status, bytes on disk) of one raw answer."""
    with Script(answer) as server:
        (result,) = run(driver, [server.url], root)
    error = result.failure.kind if result.failure else None
    return error, result.http_status, result.saved.size_bytes if result.saved else 0


HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
FIVE = b"Content-Length: 5\r\n\r\nhello"


@every_driver
@pytest.mark.parametrize(
    ("answer", "size"),
    [
        (HEAD + FIVE, 5),
        (b"HTTP/1.1 200\r\n" + FIVE, 5),
        (b"HTTP/1.1 200 \r\n" + FIVE, 5),
        (b"HTTP/1.0 200 OK\r\n" + FIVE, 5),
        (HEAD + b"content-LENGTH:5\r\n\r\nhello", 5),
        (HEAD + b"Content-Length:   5  \r\n\r\nhello", 5),
        (HEAD + b"Content-Length: 0\r\n\r\n", 0),
        (HEAD + b"Content-Length: 0005\r\n\r\nhello", 5),
        (HEAD + b"X-Empty:\r\n" + FIVE, 5),
        (HEAD + b"Content-Type: multipart/mixed\r\n" + FIVE, 5),
        (HEAD + b"X-Latin: gr\xfcn\r\n" + FIVE, 5),
        (HEAD + b"X-Utf8: gr\xc3\xbcn\r\n" + FIVE, 5),
        (HEAD + b"".join(b"X-%d: y\r\n" % n for n in range(98)) + FIVE, 5),
        (HEAD + b"Set-Cookie: a=b\r\nSet-Cookie: c=d\r\n" + FIVE, 5),
        (HEAD + b"Connection: close\r\n\r\nto the end", 10),
        (HEAD + b"\r\n", 0),
        (CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", 5),
        (CHUNKED + b"0\r\n\r\n", 0),
        (CHUNKED + b"A\r\n0123456789\r\n0\r\n\r\n", 10),
        (CHUNKED + b"a\r\n0123456789\r\n0\r\n\r\n", 10),
        (CHUNKED + b"0005\r\nhello\r\n0\r\n\r\n", 5),
        (CHUNKED + b"5;name=value\r\nhello\r\n0\r\n\r\n", 5),
        (CHUNKED + b"5\r\nhello\r\n0\r\nX-Trailer: yes\r\n\r\n", 5),
        (HEAD + b"Transfer-Encoding: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 5),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + HEAD + FIVE, 5),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + HEAD + FIVE, 5),
        (b"HTTP/1.1 203 Other\r\n" + FIVE, 5),
    ],
)
def test_a_good_answer_is_taken(driver, answer, size, tmp_path):
    error, _, size_bytes = judged(driver, answer, tmp_path)

    assert (error, size_bytes) == (None, size)


@every_driver
@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
        b"HTTP/1.1 20 Short\r\n" + FIVE,
        b"HTTP/1.1 2000 Long\r\n" + FIVE,
        b"HTTP/1.1 two Words\r\n" + FIVE,
        HEAD + b"Content-Length: five\r\n\r\nhello",
        HEAD + b"Content-Length: -5\r\n\r\nhello",
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        HEAD + b"Content-Length: 5, 6\r\n\r\nhello",
        HEAD + b"Content-Length: 0x5\r\n\r\nhello",
        HEAD + b"Content-Length: \r\n\r\nhello",
        HEAD + b"Transfer-Encoding: gzip\r\n\r\nhello",
        HEAD + b"A line without its colon\r\n" + FIVE,
        CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"+5\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"1_0\r\n0123456789012345\r\n0\r\n\r\n",
        CHUNKED + b"five\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 40 + HEAD + FIVE,
        HEAD + b"".join(b"X-%d: y\r\n" % n for n in range(150)) + FIVE,
        HEAD + b"".join(b"X-%d: y\r\n" % n for n in range(99)) + FIVE,
        HEAD + b"X-Nul: a\0b\r\n" + FIVE,
        HEAD + b": no name\r\n" + FIVE,
        HEAD + b"X: y\r\nFrom here: x\r\n" + FIVE,
        b"HTTP/2.0 200 OK\r\n" + FIVE,
        b"HTTP/1.2 200 OK\r\n" + FIVE,
    ],
)
def test_an_answer_that_is_no_proper_http_is_a_protocol_failure(
    driver, answer, tmp_path
):
    assert judged(driver, answer, tmp_path) == ("protocol", None, 0)
    assert not (tmp_path / "file-0").exists()


@every_driver
def test_a_file_keeps_what_its_head_says_of_it(driver, tmp_path):
    fields = b'ETag: "e"\r\nLast-Modified: then\r\n'
    with Script(HEAD + fields + FIVE) as server:
        (result,) = run(driver, [server.url], tmp_path)

    assert result.http_status == 200
    assert (result.saved.etag, result.saved.last_modified) == ('"e"', "then")
    assert (tmp_path / "file-0").read_bytes() == b"hello"


@every_driver
@pytest.mark.parametrize(
    "rest",
    [
        b"5\r\nhelloXX0\r\n\r\n",
        b"5\r\nhello world\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\r\nno trailer\r\n\r\n",
    ],
)
def test_chunks_that_are_no_proper_http_are_a_protocol_failure(driver, rest, tmp_path):
    error, _, size_bytes = judged(driver, CHUNKED + rest, tmp_path)

    assert (error, size_bytes) == ("protocol", 0)
    assert not (tmp_path / "file-0").exists()


@every_driver
@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (HEAD + b"Content-Length: 6\r\n\r\nhello", 200),
        (HEAD + b"Content-Length: 100000\r\n\r\nhello", 200),
        (HEAD + b"Content-Length: 5\r\n\r\n", 200),
        (CHUNKED + b"5\r\nhel", 200),
        (CHUNKED + b"5\r\nhello\r\n", 200),
        (CHUNKED + b"5\r\nhello\r\n0", 200),
        (CHUNKED + b"5\r\nhello\r\n0\r\n", 200),
        (CHUNKED + b"5\r\nhello\r\n0\r\nX-Trailer: yes\r\n", 200),
        (CHUNKED, 200),
        (HEAD, None),
        (HEAD + b"Content-Length: 5", None),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD, None),
    ],
)
def test_an_answer_that_breaks_off_is_truncated(driver, answer, status, tmp_path):
    assert judged(driver, answer, tmp_path) == ("truncated", status, 0)
    assert not (tmp_path / "file-0").exists()


@every_driver
def test_no_answer_at_all_is_a_lost_connection(driver, tmp_path):
    assert judged(driver, b"", tmp_path) == ("connect", None, 0)


@every_driver
@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_body_ends_with_its_head(driver, status, tmp_path):
    answer = f"HTTP/1.1 {status} Odd\r\nContent-Length: 5\r\n\r\n".encode()
    error, seen, size_bytes = judged(driver, answer, tmp_path)

    assert (seen, size_bytes) == (status, 0)
    assert error == (None if status == 204 else "http_304")


@every_driver
def test_a_port_where_nobody_listens_is_a_connect_failure(driver, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    (result,) = run(driver, [f"http://127.0.0.1:{port}/"], tmp_path)

    assert result.failure.kind == "connect"
    assert "Connection refused" in result.failure.detail
    assert not result.failure.stale


@every_driver
def test_a_name_without_an_address_is_a_dns_failure(driver, tmp_path, monkeypatch):
    def look_up(host, port, **_):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("downloader.transfer.resolver.socket.getaddrinfo", look_up)
    (result,) = run(driver, ["http://nowhere.invalid/"], tmp_path)

    assert result.failure.kind == "dns"
    assert "nowhere.invalid" in result.failure.detail


@every_driver
def test_a_second_address_is_tried_when_the_first_refuses(
    driver, odd, tmp_path, monkeypatch
):
    real = socket.getaddrinfo
    with socket.create_server(("127.0.0.2", 0)) as listener:
        assert listener.getsockname()[1] != odd.port

    def look_up(host, port, **_):
        found = (real(address, port, type=socket.SOCK_STREAM) for address in addresses)
        return [one for some in found for one in some]

    addresses = ("127.0.0.2", "127.0.0.1")
    monkeypatch.setattr("downloader.transfer.resolver.socket.getaddrinfo", look_up)
    (result,) = run(driver, [f"http://two.example:{odd.port}/ok/1000"], tmp_path)

    assert result.failure is None


@every_driver
def test_a_short_answer_of_no_interest_keeps_its_connection(driver, odd, tmp_path):
    urls = map(odd.url, ["/status/404", "/redirect/2", "/status/500", "/ok/10"])
    results = run(driver, urls, tmp_path)

    assert [result.http_status for result in results] == [404, 200, 500, 200]
    assert odd.peak_connections == 1
    assert len(odd.requests) == 6


@every_driver
def test_a_dead_connection_is_told_apart_from_a_server_that_hangs_up(
    driver, odd, tmp_path
):
    urls = map(odd.url, ["/close-early", "/stale/10", "/ok/10", "/ok/10"])
    early, _, stale, fine = run(driver, urls, tmp_path)

    assert (early.failure.kind, early.failure.stale) == ("connect", False)
    assert (stale.failure.kind, stale.failure.stale) == ("connect", True)
    assert fine.failure is None


@every_driver
def test_no_library_asks_again_by_itself(driver, odd, tmp_path):
    urls = [odd.url("/ok/1"), odd.url("/reset-once/10"), odd.url("/status/503/0")]
    _, reset, busy = run(driver, urls, tmp_path)

    assert reset.failure.kind == "connect"
    assert busy.failure.retry_after_seconds == 0
    assert set(odd.hits.values()) == {1}


@every_driver
def test_a_redirect_to_another_host_is_left_to_the_frontier(driver, odd, tmp_path):
    (result,) = run(driver, [odd.url("/redirect-cross/ok/10")], tmp_path)

    assert result.redirect == f"http://localhost:{odd.port}/ok/10"
    assert (result.hops, result.http_status) == (1, 302)
    assert odd.hits == {"/redirect-cross/ok/10": 1}


@every_driver
def test_a_cut_body_leaves_a_part_that_the_next_attempt_goes_on_with(
    driver, odd, tmp_path
):
    url = odd.url("/truncated-once/200000")
    (cut,) = run(driver, [url], tmp_path)
    again = Attempt(1, url, "file-0", number=2, partial=cut.partial)
    (whole,) = run_attempts(driver, [again], tmp_path)

    assert cut.partial == Partial(100_000, '"odd"', 200_000, url)
    assert odd.requests[1][1]["range"] == "bytes=100000-"
    assert odd.requests[1][1]["if-range"] == '"odd"'
    assert (whole.received_bytes, whole.saved.size_bytes) == (100_000, 200_000)
    data = (tmp_path / "file-0").read_bytes()
    assert data == body("/truncated-once/200000", 200_000)


@every_driver
def test_a_part_shorter_than_it_should_be_is_not_gone_on_with(driver, odd, tmp_path):
    folder = Folder(str(tmp_path))
    part = PartFile(folder, "file-0")
    part.open(0)
    part.write(b"x" * 10)
    part.keep()
    folder.close()
    partial = Partial(500, '"odd"', 1000, odd.url("/range/1000"))
    attempt = Attempt(0, odd.url("/range/1000"), "file-0", partial=partial)
    (result,) = run_attempts(driver, [attempt], tmp_path)

    assert result.failure.refuses_range
    assert result.partial is None
    assert not (tmp_path / "file-0").exists()


def test_patience_ends_alike(odd, tmp_path):
    # Less than the five seconds after which a body so short is too slow as well.
    head = "no complete response head within 4 s"
    complaints = {
        "/stall-head": head,
        "/head-drip": head,
        "/stall-body/100": "no more of the body within 4 s",
    }

    def check(case):
        driver, path = case
        root = tmp_path / driver / path.split("/")[1]
        root.mkdir(parents=True)
        (result,) = run(driver, [odd.url(path)], root, timeout_seconds=4)
        failure = result.failure

        assert (failure.kind, failure.detail) == ("timeout", complaints[path])

    side_by_side(check, [(one, path) for one in DRIVERS for path in complaints])


@every_driver
def test_a_stalled_tls_handshake_ends_with_patience(driver, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        (result,) = run(driver, [url], tmp_path, timeout_seconds=0.5)

    assert result.failure.kind == "timeout"
    assert result.failure.detail == "no connection within 0.5 s"


@every_driver
def test_a_proxy_gets_the_whole_url_and_its_answer_counts(driver, tmp_path):
    with Script(HEAD + FIVE) as proxy:
        proxies = named_proxies(http=proxy.url.removesuffix("/file"))
        (result,) = run(driver, ["http://behind.test/a"], tmp_path, proxies=proxies)

    assert (result.failure, result.saved.size_bytes) == (None, 5)


@every_driver
def test_a_proxy_that_nobody_answers_at_is_a_connect_failure(driver, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        place = f"127.0.0.1:{listener.getsockname()[1]}"
    proxies = named_proxies(http=f"http://me:s3cret@{place}")
    (result,) = run(driver, ["http://behind.test/a"], tmp_path, proxies=proxies)

    assert result.failure.kind == "connect"
    assert result.failure.detail == f"proxy {place} (from --proxy): connection refused"


@every_driver
@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        (403, "connect", "refused to connect to the host: it answered 403"),
        (407, "http_407", "wants a user name and password"),
    ],
)
def test_a_refusal_of_a_tunnel_names_the_proxy(driver, tmp_path, status, kind, said):
    with Script(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode()) as proxy:
        proxies = named_proxies(https=proxy.url.removesuffix("/file"))
        (result,) = run(driver, ["https://behind.test/a"], tmp_path, proxies=proxies)

    assert result.failure.kind == kind
    assert "(from --proxy): " + said in result.failure.detail

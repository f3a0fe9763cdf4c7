import gzip
import http.client
import json
import socket
import ssl
import threading

import odd_behaviours
import pytest
from odd_server import OddServer, body


def ask(server, target, **headers):
    """One request on a connection of its own: the answer, and its body."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        connection.request("GET", target, headers=names)
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def raw(server, target, size=None):
    """All bytes (or the first `size`) that come for a request, as they come."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
        client.sendall(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        received = b""
        while size is None or len(received) < size:
            chunk = client.recv(65536)
            if not chunk:
                return received
            received += chunk
        return received


@pytest.mark.parametrize(
    "target",
    [
        *("/ok/1000", "/ok/0", "/chunked/1000", "/close/1000", "/http10/1000"),
        *("/slow/1000/0.01", "/interim/0", "/continue/1000", "/redirect/0"),
        *("/range/1000", "/stale/1000", "/keepalive-drop/1000"),
    ],
)
def test_a_whole_answer_carries_the_paths_bytes(odd, target):
    size = 0 if target == "/ok/0" else 1000

    assert ask(odd, target)[1] == body(target, size)


def test_bodies_are_deterministic_and_differ_by_path():
    assert body("/ok/5", 5) == body("/ok/5", 5) != body("/ok/6", 5)


@pytest.mark.parametrize("name", odd_behaviours.names())
def test_every_behaviour_ends_when_the_server_closes(name):
    with OddServer() as server:
        client = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        client.sendall(f"GET /{name} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        server.wait_for(lambda counts: counts.hits[f"/{name}"] == 1)
    client.close()

    assert server.in_flight == 0
    assert server.open_connections == 0


def test_an_unknown_behaviour_is_404(odd):
    assert ask(odd, "/nonsense")[0].status == 404


def test_a_status_brings_its_retry_after(odd):
    answer, _ = ask(odd, "/status/503/Mon%2C%2001%20Jan%202024%2000:00:00%20GMT")

    assert answer.status == 503
    assert answer.getheader("Retry-After") == "Mon, 01 Jan 2024 00:00:00 GMT"


def test_flaky_fails_as_often_as_asked_and_then_works(odd):
    answers = [ask(odd, "/flaky/2/503/10")[0].status for _ in range(4)]

    assert answers == [503, 503, 200, 200]


def test_truncated_sends_half_of_what_it_declares(odd):
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(odd, "/truncated/1000")

    assert caught.value.partial == body("/truncated/1000", 1000)[:500]


def test_a_cut_answer_can_be_gone_on_with(odd):
    path = "/truncated-once/1000"
    with pytest.raises(http.client.IncompleteRead):
        ask(odd, path)
    answer, rest = ask(odd, path, Range="bytes=500-", If_Range='"odd"')

    assert answer.status == 206
    assert answer.getheader("Content-Range") == "bytes 500-999/1000"
    assert rest == body(path, 1000)[500:]


def test_every_answer_of_cut_stops_after_its_bytes(odd):
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(odd, "/cut/300/1000", Range="bytes=300-")

    assert caught.value.partial == body("/cut/300/1000", 1000)[300:600]
    assert ask(odd, "/cut/300/1000", Range="bytes=900-")[0].status == 206


@pytest.mark.parametrize("target", ["/chunk-cut/1000", "/chunk-bad/1000"])
def test_chunks_without_a_proper_end_are_incomplete(odd, target):
    with pytest.raises(http.client.IncompleteRead):
        ask(odd, target)


@pytest.mark.parametrize("target", ["/reset", "/reset-once", "/reset-body"])
def test_reset_tears_the_connection_down(odd, target):
    # Not through http.client: its RemoteDisconnected is a ConnectionResetError too.
    with pytest.raises(ConnectionResetError):
        raw(odd, target)


def test_reset_once_works_the_second_time(odd):
    with pytest.raises(ConnectionResetError):
        raw(odd, "/reset-once/10")

    assert ask(odd, "/reset-once/10")[1] == body("/reset-once/10", 10)


def test_close_early_sends_nothing(odd):
    assert raw(odd, "/close-early") == b""


def test_head_cut_ends_inside_the_header_block(odd):
    received = raw(odd, "/head-cut")

    assert received.startswith(b"HTTP/1.1 200 ")
    assert b"\r\n\r\n" not in received


def test_http_09_has_no_status_line(odd):
    assert not raw(odd, "/http-09").startswith(b"HTTP/")


@pytest.mark.parametrize(
    ("target", "line"),
    [
        ("/lengths-differ/5", b"Content-Length: 6\r\nContent-Length: 5\r\n"),
        ("/length-negative", b"Content-Length: -5\r\n"),
        ("/length-plus", b"Content-Length: +5\r\n"),
        ("/length-huge", b"Content-Length: 1000000000000000000\r\n"),
        ("/status-101", b"HTTP/1.1 101 "),
        ("/status-206-unasked/10", b"Content-Range: bytes 0-9/20\r\n"),
        ("/status-304-unasked", b"HTTP/1.1 304 "),
        ("/status-999", b"HTTP/1.1 999 "),
        ("/redirect-ftp", b"Location: ftp://127.0.0.1/file\r\n"),
        ("/redirect-raw-utf8", "Location: /ok/1000/größe\r\n".encode()),
        ("/redirect-to/http%3A%2F%2Fa%2Fb%3Fc", b"Location: http://a/b?c\r\n"),
        ("/redirect-cross/ok/5", b"/ok/5\r\n"),
        ("/redirect-loop?x=1", b"Location: /redirect-loop?x=1\r\n"),
        ("/cookie", b"Set-Cookie: odd=1; Path=/\r\n"),
        ("/names/..%2Fx", b'filename="../x"\r\n'),
        ("/names/gr%C3%BCn", 'filename="grün"\r\n'.encode()),
        ("/etag-weak", b'ETag: W/"odd"\r\n'),
        ("/gzip", b"Content-Encoding: gzip\r\n"),
        ("/gzip-te", b"Transfer-Encoding: gzip, chunked\r\n"),
        ("/http10", b"HTTP/1.0 200 "),
        ("/no-content", b"HTTP/1.1 204 "),
        ("/interim/2", b"HTTP/1.1 103 "),
        ("/continue", b"HTTP/1.1 100 "),
    ],
)
def test_the_answer_holds_what_the_path_asks_for(odd, target, line):
    head = b""
    with socket.create_connection(("127.0.0.1", odd.port), timeout=60) as client:
        client.sendall(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        while b"\r\n\r\n" not in head:
            head += client.recv(65536)

    assert line in head


@pytest.mark.parametrize("target", ["/header-flood", "/interim-endless"])
def test_what_is_endless_goes_on_for_long(odd, target):
    assert len(raw(odd, target, size=5000)) >= 5000


def test_a_drip_goes_on_within_a_large_length(odd):
    received = raw(odd, "/drip/10000", size=2500)

    assert b"Content-Length: 1073741824" in received


def test_a_long_header_is_as_long_as_asked(odd):
    assert b"\r\nX-Long: " + b"x" * 100_000 + b"\r\n" in raw(
        odd, "/header-long/100000", size=100_100
    )


def test_redirects_count_down(odd):
    answer, _ = ask(odd, "/redirect/2")

    assert (answer.status, answer.getheader("Location")) == (302, "/redirect/1")


def test_a_cross_redirect_leads_to_the_other_name_of_the_host(odd):
    there = ask(odd, "/redirect-cross")[0].getheader("Location")
    back = ask(odd, "/redirect-cross", Host=f"localhost:{odd.port}")[0]

    assert there == f"http://localhost:{odd.port}/echo"
    assert back.getheader("Location") == f"http://127.0.0.1:{odd.port}/echo"


def test_gzip_bodies_unpack_to_the_paths_bytes(odd):
    assert gzip.decompress(ask(odd, "/gzip/1000")[1]) == body("/gzip/1000", 1000)


def test_echo_shows_the_headers_as_they_came(odd):
    seen = json.loads(ask(odd, "/echo?a=b", X_Odd="Yes")[1])

    assert seen["target"] == "/echo?a=b"
    assert ["X-Odd", "Yes"] in seen["headers"]


def test_if_range_decides_whether_a_range_holds(odd):
    changed, whole = ask(odd, "/range/1000", Range="bytes=10-", If_Range='"new"')
    same, part = ask(odd, "/range/1000", Range="bytes=10-19", If_Range='"odd"')

    assert (changed.status, len(whole)) == (200, 1000)
    assert (same.status, part) == (206, body("/range/1000", 1000)[10:20])


@pytest.mark.parametrize(
    ("name", "status"),
    [
        *(("range-wrong", 206), ("range-changed", 200), ("range-mixed", 206)),
        *(("range-416", 416), ("range-ignored", 200), ("etag-weak", 200)),
    ],
)
def test_the_second_answer_to_a_cut_first_path(odd, name, status):
    with pytest.raises(http.client.IncompleteRead):
        ask(odd, f"/{name}/1000")
    tag = '"1"' if name in {"range-changed", "range-mixed"} else '"odd"'

    answer, _ = ask(odd, f"/{name}/1000", Range="bytes=500-", If_Range=tag)

    assert answer.status == status


def test_a_wrong_range_begins_one_byte_late(odd):
    answer, _ = ask(odd, "/range-wrong/1000", Range="bytes=500-")

    assert answer.getheader("Content-Range") == "bytes 501-999/1000"


def test_changed_bytes_are_those_of_their_version(odd):
    ask(odd, "/range-changed/1000", Range="bytes=0-")
    answer, content = ask(odd, "/range-changed/1000")

    assert answer.getheader("ETag") == '"2"'
    assert content == body("/range-changed/1000#2", 1000)


def test_a_date_is_a_validator_too(odd):
    with pytest.raises(http.client.IncompleteRead):
        ask(odd, "/date/1000")
    modified = ask(odd, "/date/1000")[0].getheader("Last-Modified")

    answer, _ = ask(odd, "/date/1000", Range="bytes=500-", If_Range=modified)

    assert answer.status == 206


def test_a_connection_is_kept_for_the_next_request(odd):
    connection = http.client.HTTPConnection("127.0.0.1", odd.port, timeout=60)
    for _ in range(3):
        connection.request("GET", "/ok/10")
        connection.getresponse().read()
    connection.close()

    assert (odd.hits["/ok/10"], odd.peak_connections) == (3, 1)


def test_a_stale_connection_ends_when_it_is_used_again(odd):
    connection = http.client.HTTPConnection("127.0.0.1", odd.port, timeout=60)
    connection.request("GET", "/stale/10")
    connection.getresponse().read()
    connection.request("GET", "/ok/10")

    with pytest.raises(http.client.RemoteDisconnected):
        connection.getresponse()
    connection.close()


def test_a_stalled_head_goes_on_after_the_release(odd):
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(ask(odd, "/stall-head/10")[1]))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    odd.wait_for(lambda counts: counts.in_flight == 3)
    odd.release()
    for thread in threads:
        thread.join()

    assert answers == [body("/stall-head/10", 10)] * 3
    assert odd.peak_in_flight == 3


def test_a_stalled_body_sends_its_first_half_at_once(odd):
    connection = http.client.HTTPConnection("127.0.0.1", odd.port, timeout=60)
    connection.request("GET", "/stall-body/500")
    answer = connection.getresponse()
    first = answer.read(500)
    odd.release()
    second = answer.read()
    connection.close()

    assert first + second == body("/stall-body/500", 1000)


def test_requests_are_kept_with_their_headers(odd):
    ask(odd, "/ok/1", X_Odd="Yes")
    target, headers = odd.requests[0]

    assert target == "/ok/1"
    assert headers["x-odd"] == "Yes"


def test_tls_is_trusted_with_the_servers_own_authority(odd_tls):
    context = ssl.create_default_context(cadata=odd_tls.ca_pem.decode())
    connection = http.client.HTTPSConnection(
        "127.0.0.1", odd_tls.port, context=context, timeout=60
    )
    connection.request("GET", "/close/1000")

    assert odd_tls.url("x").startswith("https://127.0.0.1:")
    assert connection.getresponse().read() == body("/close/1000", 1000)
    connection.close()


def test_tls_that_stalls_ends_when_the_server_closes():
    with OddServer(tls=True) as server:
        silent = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        server.wait_for(lambda counts: counts.open_connections == 1)
    silent.close()

    assert server.open_connections == 0

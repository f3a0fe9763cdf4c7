import http.client
import time
from urllib.parse import urlsplit

import pytest

from downloader.site.process import Site


@pytest.fixture(scope="module")
def swift():
    with Site(files=8, is_swift=True) as site:
        yield site


def ask(site, *targets, method="GET"):
    connection = http.client.HTTPConnection(urlsplit(site.url).netloc, timeout=30)
    answers = []
    for target in targets:
        connection.request(method, target)
        answer = connection.getresponse()
        answers.append((answer.status, answer.read()))
    connection.close()
    return answers


@pytest.mark.parametrize("path", ["/n/7/anything", "/s/70000", "/s/0/x"])
def test_it_has_the_files_of_the_catalogue(swift, path):
    assert ask(swift, path) == [(200, swift.catalogue.body(path))]


def test_every_listed_file_comes_over_one_kept_connection(swift):
    paths = [path for path, _ in swift.catalogue]

    bodies = [body for _, body in ask(swift, *paths)]

    assert bodies == [swift.catalogue.body(path) for path in paths]


def test_the_index_links_to_every_file(swift):
    ((status, page),) = ask(swift, "/")

    assert status == 200
    assert page.count(b"<li>") == len(swift.catalogue)


def test_delay_and_rate_are_kept(swift):
    began = time.perf_counter()
    ((_, body),) = ask(swift, "/s/100000/1?latency=0.1&rate=1000000&block=3")

    assert time.perf_counter() - began >= 0.2
    assert body == swift.catalogue.body("/s/100000/1")


def test_what_it_does_not_know_is_refused_and_the_connection_stays(swift):
    told = ask(swift, "/nowhere", "/n/1?latency=x", "/n/1")

    assert [status for status, _ in told] == [404, 400, 200]
    assert ask(swift, "/n/1", method="PUT")[0][0] == 400


def test_a_head_without_an_end_ends_the_connection(swift):
    connection = http.client.HTTPConnection(urlsplit(swift.url).netloc, timeout=30)
    connection.connect()
    connection.sock.sendall(b"GET /" + b"x" * 100_000)

    assert connection.sock.recv(10) == b""
    connection.close()


def test_two_requests_in_one_write_are_answered_in_turn(swift):
    connection = http.client.HTTPConnection(urlsplit(swift.url).netloc, timeout=30)
    connection.connect()
    connection.sock.sendall(
        b"GET /n/1?latency=0.05 HTTP/1.1\r\n\r\nGET /n/2 HTTP/1.1\r\n\r\n"
    )

    with connection.sock.makefile("rb") as stream:
        bodies = [read_answer(stream) for _ in range(2)]
    connection.close()

    assert bodies == [swift.catalogue.body("/n/1"), swift.catalogue.body("/n/2")]


def read_answer(stream):
    size = 0
    while (line := stream.readline()) != b"\r\n":
        if line.startswith(b"Content-Length:"):
            size = int(line.split()[1])
    return stream.read(size)

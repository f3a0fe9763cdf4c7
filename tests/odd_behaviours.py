"""The table of the odd server's behaviours: the first component of a path -> an answer.

Every function takes an `Exchange` and returns what becomes of the connection. <n> is a
number of bytes, 1000 unless given. Those marked *cut first* break their first answer off
in the middle, so that a client has a part to come back with.
"""

import gzip
import itertools
import json
import re
import time
import zlib
from email.utils import formatdate

import brotli
import odd_raw
from odd_exchange import After, body

GIB = 1 << 30
_CUT_DATE = 1_700_000_000
_BEHAVIOURS = {}


def names():
    """Every behaviour there is."""
    return sorted(_BEHAVIOURS)


def answer(exchange):
    """Let the behaviour that the path names answer; an unknown one is a 404."""
    chosen = _BEHAVIOURS.get(exchange.name)
    if chosen is None:
        return exchange.reply(b"no such behaviour\n", 404)
    return chosen(exchange)


def behaviour(name):
    """Enter a function into the table."""

    def enter(function):
        _BEHAVIOURS[name] = function
        return function

    return enter


# Plain answers


@behaviour("ok")
def ok(x):
    """/ok/<n>: n bytes with their length."""
    return x.reply(x.body(x.number(0)))


@behaviour("chunked")
def chunked(x):
    """/chunked/<n>: chunked, with a last chunk."""
    _send_chunks(x, x.body(x.number(0)))
    x.send(b"0\r\n\r\n")
    return After.KEEP


@behaviour("close")
def close(x):
    """/close/<n>: no length; the connection's end is the body's."""
    x.head(headers=[("Connection", "close")])
    x.send(x.body(x.number(0)))
    return After.CLOSE


@behaviour("unframed")
def unframed(x):
    """/unframed/<n>: as /close, but nothing says beforehand that it will close."""
    x.head()
    x.send(x.body(x.number(0)))
    return After.CLOSE


@behaviour("unframed-cut")
def unframed_cut(x):
    """/unframed-cut/<n>: as /unframed, but TLS does not say that this is the end."""
    unframed(x)
    return After.CUT


@behaviour("http10")
def http10(x):
    """/http10/<n>: an HTTP/1.0 answer without a length."""
    x.head(version="HTTP/1.0")
    x.send(x.body(x.number(0)))
    return After.CLOSE


@behaviour("empty")
def empty(x):
    """/empty: 200 with a length of 0."""
    return x.reply()


@behaviour("no-content")
def no_content(x):
    """/no-content: 204."""
    x.head(204)
    return After.KEEP


@behaviour("slow")
def slow(x):
    """/slow/<n>/<seconds>: n bytes in ten pieces over that time, then well."""
    content = x.body(x.number(0))
    x.head(headers=[("Content-Length", len(content))])
    seconds = float(x.text(1, "1"))
    *pieces, last = _pieces(content, 10) or [b""]
    for piece in pieces:
        x.pause(seconds / 10)
        x.send(piece)
    x.pause(seconds / 10)
    x.send_last(last)
    return After.KEEP


@behaviour("echo")
def echo(x):
    """/echo: the request line and headers as they came, in JSON."""
    seen = {
        "method": x.method,
        "target": x.target,
        "version": x.version,
        "headers": x.fields,
    }
    return x.reply(json.dumps(seen).encode(), headers=[_JSON])


@behaviour("target")
def target(x):
    """/target/<anything>: the request target as it came."""
    return x.reply(x.target.encode("latin-1"))


_JSON = ("Content-Type", "application/json")


@behaviour("cookie")
def cookie(x):
    """/cookie: sets a cookie for the whole host; /echo shows whether it comes back."""
    return x.reply(x.body(100), headers=[("Set-Cookie", "odd=1; Path=/")])


@behaviour("cookie-gate")
def cookie_gate(x):
    """/cookie-gate/<n>: to itself with two cookies, until both of them come back."""
    if x.headers.get("cookie") == "gate=1; other=2":
        return x.reply(x.body(x.number(0)))
    return _redirect(
        x, x.target, cookies=["gate=1", "other=2; Expires=Fri, 01 Jan 2100"]
    )


@behaviour("cookie-refused")
def cookie_refused(x):
    """/cookie-refused: to itself with a cookie for another domain, for ever."""
    return _redirect(x, x.target, cookies=["gate=1; Domain=odd.test"])


@behaviour("session")
def session(x):
    """/session/<n>: by way of /login on the other host, which sets cookies of its own."""
    if x.headers.get("cookie") == "session=7":
        return x.reply(x.body(x.number(0)))
    return _redirect(x, _elsewhere(x, f"/login/{x.number(0)}"))


@behaviour("login")
def login(x):
    """/login/<n>: needs a cookie itself, then sends back to /token/<n> on the other host."""
    if x.headers.get("cookie") == "login=1":
        return _redirect(x, _elsewhere(x, f"/token/{x.number(0)}"))
    return _redirect(x, x.target, cookies=["login=1; Path=/"])


@behaviour("token")
def token(x):
    """/token/<n>: sets the cookie that /session/<n> needs, and sends there."""
    return _redirect(x, f"/session/{x.number(0)}", cookies=["session=7; Path=/"])


@behaviour("names")
def named(x):
    """/names/<filename>: Content-Disposition with that text, raw in UTF-8."""
    text = x.text(0, "../../evil.sh")
    value = f'attachment; filename="{text}"'.encode()
    return x.reply(x.body(100), headers=[("Content-Disposition", value)])


# Statuses


@behaviour("status")
def status(x):
    """/status/<code>[/<retry-after>]: that status, a short body, Retry-After."""
    return _fail(x, x.number(0, 500), x.text(1))


@behaviour("limited")
def limited(x):
    """/limited/<n>: n bytes, to ten requests in any quarter of a second; else 429."""
    return x.reply(x.body(x.number(0))) if x.server.grants(10, 0.25) else _fail(x, 429)


@behaviour("flaky")
def flaky(x):
    """/flaky/<k>/<status>/<n>: the first k requests get that status, the rest n bytes."""
    if x.hit <= x.number(0, 1):
        return _fail(x, x.number(1, 503))
    return x.reply(x.body(x.number(2)))


@behaviour("status-101")
def switching(x):
    """/status-101: switches to a protocol that nobody asked for."""
    x.head(101, [("Connection", "upgrade"), ("Upgrade", "odd")])
    x.send(b"odd bytes")
    return After.CLOSE


@behaviour("status-206-unasked")
def unasked_part(x):
    """/status-206-unasked/<n>: the first half of 2n bytes, though all was asked for."""
    size = x.number(0)
    content_range = f"bytes 0-{size - 1}/{2 * size}"
    return x.reply(x.body(size), 206, [("Content-Range", content_range)])


@behaviour("status-304-unasked")
def unasked_304(x):
    """/status-304-unasked: not modified, though there was no condition."""
    x.head(304, [("ETag", '"odd"')])
    return After.KEEP


@behaviour("status-999")
def unknown_status(x):
    """/status-999: a status of no class."""
    return x.reply(x.body(100), 999)


# Bodies cut short


@behaviour("truncated")
def truncated(x):
    """/truncated/<n>: declares n, sends half, closes."""
    return _cut(x, x.body(x.number(0)))


@behaviour("truncated-once")
def truncated_once(x):
    """/truncated-once/<n>: *cut first*, then well; ranges hold under a strong ETag."""
    return _cut_first(x, x.body(x.number(0)), [_ETAG])


@behaviour("cut")
def cut_always(x):
    """/cut/<m>/<n>: each answer stops after m bytes; ranges hold, so n come in the end."""
    content = x.body(x.number(1))
    return _represent(x, content, [_ETAG], sent_bytes=x.number(0, 100))


@behaviour("chunk-cut")
def chunk_cut(x):
    """/chunk-cut/<n>: chunked, closed before the last chunk."""
    _send_chunks(x, x.body(x.number(0)))
    return After.CLOSE


@behaviour("chunk-bad")
def chunk_bad(x):
    """/chunk-bad/<n>: after n bytes a chunk size that is no number."""
    _send_chunks(x, x.body(x.number(0)))
    x.send(b"zz\r\n")
    return After.CLOSE


@behaviour("reset-body")
def reset_body(x):
    """/reset-body/<n>: sends half of n, then RST."""
    _cut(x, x.body(x.number(0)))
    return After.RESET


# No proper head


@behaviour("reset")
def reset(x):
    """/reset: RST instead of an answer."""
    return After.RESET


@behaviour("reset-once")
def reset_once(x):
    """/reset-once/<n>: RST to the first request, then n bytes."""
    return After.RESET if x.hit == 1 else ok(x)


@behaviour("close-early")
def close_early(x):
    """/close-early: FIN instead of an answer."""
    return After.CLOSE


@behaviour("head-cut")
def head_cut(x):
    """/head-cut: closes inside the header block."""
    x.head(headers=[("Content-Length", 1000)], end=b"")
    x.send(b"X-Half: ha")
    return After.CLOSE


@behaviour("http-09")
def http_09(x):
    """/http-09: a body without any head."""
    x.send(b"odd: no status line\n" + x.body(100))
    return After.CLOSE


@behaviour("header-flood")
def header_flood(x):
    """/header-flood: headers without end, as fast as they are taken."""
    x.head(end=b"")
    for number in itertools.count():
        x.send(b"X-Flood-%d: %s\r\n" % (number, b"x" * 1000))
    raise AssertionError


@behaviour("header-long")
def header_long(x):
    """/header-long/<n>: one header of n bytes (1 MiB)."""
    value = "x" * x.number(0, 1 << 20)
    return x.reply(x.body(100), headers=[("X-Long", value)])


@behaviour("raw")
def raw(x):
    """/raw/<name>: the bytes of `odd_raw`, then the end."""
    x.send(odd_raw.ANSWERS[x.text(0, "garbage")])
    return After.CLOSE


# Interim answers


@behaviour("interim")
def interim(x):
    """/interim/<k>: k times 103, then 200."""
    for _ in range(x.number(0, 1)):
        x.head(103, [_HINT])
    return x.reply(x.body(1000))


@behaviour("interim-endless")
def interim_endless(x):
    """/interim-endless: 103 for ever."""
    while True:
        x.head(103, [_HINT])
        x.pause(0.01)


_HINT = ("Link", "</style.css>; rel=preload")


@behaviour("continue")
def unasked_continue(x):
    """/continue/<n>: 100, then 200."""
    x.head(100)
    return ok(x)


# Stalls and drips


@behaviour("stall-head")
def stall_head(x):
    """/stall-head/<n>: nothing until the release, then n bytes."""
    x.hold()
    return ok(x)


@behaviour("stall-body")
def stall_body(x):
    """/stall-body/<n>: n of 2n bytes, the others after the release."""
    size = x.number(0)
    content = x.body(2 * size)
    x.head(headers=[("Content-Length", len(content))])
    x.send(content[:size])
    x.hold()
    x.send(content[size:])
    return After.KEEP


@behaviour("stall-taken")
def stall_taken(x):
    """/stall-taken/<n>: as /stall-body, held only after the client took bytes in.

    The n bytes come in two pieces: a client that reads the second is done with the first.
    """
    size = x.number(0)
    content = x.body(2 * size)
    x.head(headers=[("Content-Length", len(content))])
    for piece in (content[: size // 2], content[size // 2 : size]):
        x.send(piece)
        x.wait_until_read()
    x.hold()
    x.send(content[size:])
    return After.KEEP


@behaviour("head-drip")
def head_drip(x):
    """/head-drip: a header that grows by a byte each 0.2 s for ever."""
    x.head(end=b"X-Drip: ")
    while True:
        x.pause(0.2)
        x.send(b"x")


@behaviour("drip")
def drip(x):
    """/drip/<n>: n bytes a second for ever, of a GiB that was declared."""
    rate = x.number(0, 10)
    x.head(headers=[("Content-Length", GIB)])
    while True:
        x.send(b"x" * max(rate // 10, 1))
        x.pause(max(0.1, 1 / rate))


# Codings nobody asked for


@behaviour("gzip")
def gzipped(x):
    """/gzip/<n>: Content-Encoding: gzip; n is the size before."""
    content = gzip.compress(x.body(x.number(0)), mtime=0)
    return x.reply(content, headers=[("Content-Encoding", "gzip")])


@behaviour("gzip-cut")
def gzip_cut(x):
    """/gzip-cut/<n>: gzip without its last 8 bytes, under a length that is right."""
    return _coded(x, gzip.compress(x.body(x.number(0)), mtime=0)[:-8])


@behaviour("gzip-more")
def gzip_more(x):
    """/gzip-more/<n>: gzip with something behind its end."""
    return _coded(x, gzip.compress(x.body(x.number(0)), mtime=0) + b"more")


@behaviour("gzip-twice")
def gzip_twice(x):
    """/gzip-twice/<n>: two members, of n bytes each."""
    return _coded(x, 2 * gzip.compress(x.body(x.number(0)), mtime=0))


@behaviour("gzip-damaged")
def gzip_damaged(x):
    """/gzip-damaged/<n>: gzip with a wrong checksum at its end."""
    return _coded(x, gzip.compress(x.body(x.number(0)), mtime=0)[:-8] + b"damaged!")


@behaviour("deflate")
def deflated(x):
    """/deflate/<n>: Content-Encoding: deflate, in zlib's format as it should be."""
    return _coded(x, zlib.compress(x.body(x.number(0))), "deflate")


@behaviour("deflate-bare")
def deflated_bare(x):
    """/deflate-bare/<n>: deflate without zlib's frame, as some servers send it."""
    stream = zlib.compressobj(wbits=-15)
    return _coded(x, stream.compress(x.body(x.number(0))) + stream.flush(), "deflate")


@behaviour("br")
def brotlied(x):
    """/br/<n>: Content-Encoding: br; n is the size before."""
    return _coded(x, brotli.compress(x.body(x.number(0))), "br")


@behaviour("br-cut")
def brotli_cut(x):
    """/br-cut/<n>: br without its last byte, under a length that is right."""
    return _coded(x, brotli.compress(x.body(x.number(0)))[:-1], "br")


@behaviour("br-more")
def brotli_more(x):
    """/br-more/<n>: br with something behind its end."""
    return _coded(x, brotli.compress(x.body(x.number(0))) + b"more", "br")


@behaviour("br-bomb")
def brotli_bomb(x):
    """/br-bomb/<n>: n zeros, which take a dozen bytes on the wire."""
    return _coded(x, brotli.compress(bytes(x.number(0))), "br")


@behaviour("coded")
def coded(x):
    """/coded/<codings>/<n>: gzip in truth, under another name."""
    return _coded(x, gzip.compress(x.body(x.number(1)), mtime=0), x.text(0))


@behaviour("gzip-empty")
def gzip_of_empty_members(x):
    """/gzip-empty/<n>: n members with nothing in them."""
    return _coded(x, x.number(0) * gzip.compress(b"", mtime=0))


@behaviour("gzip-members")
def gzip_of_members(x):
    """/gzip-members/<k>: k members of 100 bytes each."""
    content = x.body(100 * x.number(0))
    pieces = (content[at : at + 100] for at in range(0, len(content), 100))
    return _coded(x, b"".join(gzip.compress(piece, mtime=0) for piece in pieces))


@behaviour("coding")
def unknown_coding(x):
    """/coding/<name>: a content coding of that name, of 100 bytes."""
    return _coded(x, x.body(100), x.text(0))


@behaviour("bomb")
def bomb(x):
    """/bomb/<n>: n zeros, which take a thousandth of that on the wire."""
    return _coded(x, gzip.compress(bytes(x.number(0)), mtime=0))


@behaviour("bomb-endless")
def bomb_endless(x):
    """/bomb-endless: zeros without end, gzipped and chunked."""
    x.head(headers=[("Content-Encoding", "gzip"), ("Transfer-Encoding", "chunked")])
    stream = zlib.compressobj(wbits=31)
    while True:
        if piece := stream.compress(bytes(1 << 20)):
            x.send(b"%x\r\n%s\r\n" % (len(piece), piece))


@behaviour("endless")
def endless(x):
    """/endless: a body without length or end."""
    x.head()
    while True:
        x.send(bytes(1 << 16))


@behaviour("endless-chunks")
def endless_chunks(x):
    """/endless-chunks: chunks without end."""
    x.head(headers=[("Transfer-Encoding", "chunked")])
    while True:
        x.send(b"10000\r\n" + bytes(1 << 16) + b"\r\n")


@behaviour("endless-trailer")
def endless_trailer(x):
    """/endless-trailer: a chunk, then trailer fields without end."""
    x.head(headers=[("Transfer-Encoding", "chunked")])
    x.send(b"1\r\nx\r\n0\r\n")
    while True:
        x.send(b"X-Flood: 1\r\n" * 100)


@behaviour("chunk-size-drip")
def chunk_size_drip(x):
    """/chunk-size-drip: the size of a chunk, a zero each 0.5 s.

    Not more of them: of a number that is too long libcurl says so, and waits no more.
    """
    x.head(headers=[("Transfer-Encoding", "chunked")])
    while True:
        x.send(b"0")
        x.pause(0.5)


@behaviour("gzip-te")
def gzip_te(x):
    """/gzip-te/<n>: Transfer-Encoding: gzip, chunked."""
    content = gzip.compress(x.body(x.number(0)), mtime=0)
    _send_chunks(x, content, coding="gzip, chunked")
    x.send(b"0\r\n\r\n")
    return After.KEEP


# Redirects


@behaviour("redirect")
def redirect(x):
    """/redirect/<k>: k hops down to /redirect/0, which has 1000 bytes."""
    hops = x.number(0, 1)
    if hops == 0:
        return x.reply(x.body(1000))
    return _redirect(x, f"/redirect/{hops - 1}")


@behaviour("redirect-loop")
def redirect_loop(x):
    """/redirect-loop: to itself."""
    return _redirect(x, x.target)


@behaviour("redirect-to")
def redirect_to(x):
    """/redirect-to/<url-encoded>[/<status>]: to that."""
    return _redirect(x, x.text(0).encode(), x.number(1, 302))


@behaviour("redirect-cross")
def redirect_cross(x):
    """/redirect-cross/<path>: to that path (echo) under the server's other host name."""
    path = x.path.removeprefix("/redirect-cross").removeprefix("/") or "echo"
    return _redirect(x, _elsewhere(x, f"/{path}"))


@behaviour("redirect-no-location")
def redirect_no_location(x):
    """/redirect-no-location: 302 to nowhere."""
    return x.reply(b"elsewhere\n", 302)


@behaviour("redirect-ftp")
def redirect_ftp(x):
    """/redirect-ftp: to a scheme that is not fetched."""
    return _redirect(x, "ftp://127.0.0.1/file")


@behaviour("redirect-body")
def redirect_body(x):
    """/redirect-body/<n>: to /ok/1000, with n bytes (1 MiB) that nobody needs."""
    content = x.body(x.number(0, 1 << 20))
    return x.reply(content, 302, [("Location", "/ok/1000")])


@behaviour("redirect-raw-utf8")
def redirect_raw_utf8(x):
    """/redirect-raw-utf8: Location in raw UTF-8 instead of percent-encoding."""
    return _redirect(x, "/ok/1000/größe".encode())


# Lengths that are none


@behaviour("lengths-differ")
def lengths_differ(x):
    """/lengths-differ/<n>: two lengths, n and n + 1."""
    content = x.body(x.number(0))
    return x.reply(content, headers=[("Content-Length", len(content) + 1)])


@behaviour("length-negative")
def length_negative(x):
    """/length-negative: Content-Length: -5."""
    return _declare(x, "-5", 5)


@behaviour("length-plus")
def length_plus(x):
    """/length-plus: Content-Length: +5, and five bytes."""
    return _declare(x, "+5", 5)


@behaviour("length-huge")
def length_huge(x):
    """/length-huge[/<n>]: declares n (10**18), sends 1000 bytes."""
    return _declare(x, x.text(0, str(10**18)), 1000)


# Ranges and validators


@behaviour("range")
def ranged(x):
    """/range/<n>: honours Range and If-Range under a strong ETag."""
    return _represent(x, x.body(x.number(0)), [_ETAG])


@behaviour("versioned")
def versioned(x):
    """/versioned/<n>: the server's present `version` of n bytes; ranges, 304 and ETag."""
    content = body(f"{x.path}#{x.server.version}", x.number(0))
    return _represent(x, content, [("ETag", f'"{x.server.version}"')])


@behaviour("held")
def held(x):
    """/held/<n>: as /versioned, but half of what is asked for, the rest on the release."""
    content = body(f"{x.path}#{x.server.version}", x.number(0))
    validators = [("ETag", f'"{x.server.version}"')]
    if "range" in x.headers or x.server.released.is_set():
        return _represent(x, content, validators)
    x.head(headers=[*validators, ("Content-Length", len(content))])
    x.send(content[: len(content) // 2])
    x.hold()
    return After.CLOSE


@behaviour("steady")
def steady(x):
    """/steady/<n>[/<kind>[/<k>]]: n KiB, 16 of them every 5 ms until the release.

    With `plain` each range is answered with everything, with `limit` more than k answers
    at once are 503, with `changes` the version is another one from the k-th request on,
    with `slow` the k-th answer has 16 KiB every 100 ms, with `last` each answer's end comes
    on the release.
    """
    kind, k = x.text(1), x.number(2, 0)
    pause_seconds = 0.1 if kind == "slow" and x.hit == k else 0.005
    version = 1 + (kind == "changes" and sum(x.server.hits.values()) >= k)
    content = body(f"{x.path}#{version}", x.number(0) << 10)
    validators = [("ETag", f'"{version}"'), ("Accept-Ranges", "bytes")]
    if kind == "plain":
        x.headers.pop("range", None)
    if kind == "limit" and x.server.in_flight > k:
        return x.reply(b"", 503)
    size = len(content)
    start, stop = _wanted(x, validators[:1], size)
    if start is not None:
        where = f"bytes {start}-{stop - 1}/{size}"
        validators.append(("Content-Range", where))
    wanted = content[start:stop]
    x.head(
        206 if start is not None else 200,
        [*validators, ("Content-Length", len(wanted))],
    )
    for piece in range(0, len(wanted), 16 << 10):
        if kind == "last" and piece + (16 << 10) >= len(wanted):
            x.hold()
        x.send(wanted[piece : piece + (16 << 10)])
        if not x.server.released.is_set():
            x.pause(pause_seconds)
    return After.KEEP


@behaviour("range-wrong")
def range_wrong(x):
    """/range-wrong/<n>: *cut first*; a range is answered from one byte too late."""
    return _cut_first(x, x.body(x.number(0)), [_ETAG], skew=1)


@behaviour("range-changed")
def range_changed(x):
    """/range-changed/<n>: *cut first*; another ETag and other bytes at each request.

    The k-th answer's bytes are `body(path + "#k", n)`.
    """
    content, etag = _version(x)
    return _cut_first(x, content, [etag])


@behaviour("range-mixed")
def range_mixed(x):
    """/range-mixed/<n>: as /range-changed, but a range is a 206 whatever If-Range says."""
    content, etag = _version(x)
    x.headers.pop("if-range", None)
    return _cut_first(x, content, [etag])


@behaviour("range-416")
def range_416(x):
    """/range-416/<n>: *cut first*; every range is 416."""
    content = x.body(x.number(0))
    if "range" in x.headers:
        return x.reply(b"", 416, [("Content-Range", f"bytes */{len(content)}")])
    return _cut_first(x, content, [_ETAG])


@behaviour("range-refused")
def range_refused(x):
    """/range-refused/<how>/<n>[/<status>]: *cut first*; no range is of any use.

    <how> is a status or one of the names below. What comes without Range is well, or has
    that status.
    """
    content, how = x.body(x.number(1)), x.text(0)
    if "range" not in x.headers and x.hit > 1 and x.text(2):
        return _fail(x, x.number(2))
    if "range" not in x.headers:
        return _cut_first(x, content, [_ETAG])
    if how.isdigit():
        return _fail(x, int(how))
    if how in _NO_ANSWERS:
        return _NO_ANSWERS[how]
    if how == "redirect-loop":
        return _redirect(x, x.target)
    if how == "stall":
        x.hold()
    return _odd_part(x, content, how)


_NO_ANSWERS = {"close": After.CLOSE, "reset": After.RESET}


def _odd_part(x, content, how):
    """A 206 that has something wrong with it."""
    start, stop = _wanted(x, [_ETAG], len(content))
    rest, size = content[start:stop], len(content)
    right = f"bytes {start}-{stop - 1}/{size}"
    carried = {
        "no-unit": right.removeprefix("bytes "),
        "unit-equals": right.replace(" ", "="),
        "other-total": f"bytes {start}-{stop - 1}/{size + 1}",
        "other-start": f"bytes 0-{len(rest) - 1}/{size}",
    }
    fields = [_ETAG, ("Content-Range", carried.get(how, right))]
    if how == "malformed":
        fields.append(("Content-Length", "many"))
    if how.startswith("multipart"):
        rest = b"--x\r\nContent-Range: %s\r\n\r\n%s\r\n--x--" % (right.encode(), rest)
        fields.append(("Content-Type", "multipart/byteranges; boundary=x"))
    if how == "multipart-chunked":
        x.head(206, [*fields, ("Transfer-Encoding", "chunked")])
        x.send(b"%x\r\n%s\r\n0\r\n\r\n" % (len(rest), rest))
        return After.KEEP
    if how in {"multipart", "no-range"}:
        fields.pop(1)
    if how == "no-body":
        x.head(206, [*fields, ("Content-Length", len(rest))])
        return After.CLOSE
    if how == "too-short":
        rest = rest[:-1]
    return x.reply(rest, 206, fields)


@behaviour("range-ignored")
def range_ignored(x):
    """/range-ignored/<n>: *cut first*; a range is answered with 200 and everything."""
    content = x.body(x.number(0))
    if "range" in x.headers:
        return x.reply(content, headers=[_ETAG])
    return _cut_first(x, content, [_ETAG])


@behaviour("etag-weak")
def etag_weak(x):
    """/etag-weak/<n>: *cut first*; only a weak ETag, which no range may build on."""
    return _cut_first(x, x.body(x.number(0)), [("ETag", 'W/"odd"')])


@behaviour("date")
def dated(x):
    """/date/<n>[/<age>]: *cut first*; no ETag, Last-Modified `age` seconds before Date.

    A minute makes the date a strong validator (RFC 9110 §8.8.2.2); the default is a day.
    """
    now = time.time() if x.text(1) else _CUT_DATE + 86_400
    modified = now - x.number(1, 86_400)
    validators = [
        ("Last-Modified", formatdate(modified, usegmt=True)),
        ("Date", formatdate(now, usegmt=True)),
    ]
    return _cut_first(x, x.body(x.number(0)), validators)


# Connections


@behaviour("stale")
def stale(x):
    """/stale/<n>: well, but the next request on the connection meets its end."""
    ok(x)
    return After.STALE


@behaviour("stray")
def stray(x):
    """/stray/<kind>/<n>: well; then, at the test's word, bytes that nobody asks for."""
    x.reply(x.body(x.number(1)))
    kind = x.text(0, "answer")
    x.server.stray(x.connection, _STRAYS[kind])
    return After.CLOSE if kind == "408" else After.KEEP


_STRAY_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nSTRAY"
_STRAYS = {
    "408": b"HTTP/1.1 408 Late\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "answer": _STRAY_ANSWER,
    "answers": 2 * _STRAY_ANSWER,
    "bytes": b"\0\1\2",
    "line-end": b"\r\n",
}


@behaviour("late-stray")
def late_stray(x):
    """/late-stray/<n>: first, in one go, behind an answer that nobody asks for; then well."""
    if x.hit > 1:
        return ok(x)
    content = x.body(x.number(0))
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content)
    x.send_last(_STRAY_ANSWER + head + content)
    return After.KEEP


@behaviour("keepalive-drop")
def keepalive_drop(x):
    """/keepalive-drop/<n>: well, then closed without having said so."""
    ok(x)
    return After.CLOSE


_ETAG = ("ETag", '"odd"')


def _fail(x, code, retry_after=""):
    headers = [("Retry-After", retry_after)] if retry_after else []
    if code < 200 or code in {204, 304}:
        x.head(code, headers)
        return After.KEEP
    return x.reply(b"odd\n", code, headers)


def _coded(x, content, coding="gzip"):
    return x.reply(content, headers=[("Content-Encoding", coding)])


def _redirect(x, location, code=302, cookies=()):
    fields = [("Set-Cookie", cookie) for cookie in cookies]
    return x.reply(b"elsewhere\n", code, [("Location", location), *fields])


def _elsewhere(x, path):
    """The URL of a path under the server's other host name."""
    host, _, port = x.headers["host"].partition(":")
    other = "127.0.0.1" if host == "localhost" else "localhost"
    scheme = x.server.origin.partition(":")[0]
    return f"{scheme}://{other}:{port}{path}"


def _declare(x, length, sent_bytes):
    x.head(headers=[("Content-Length", length)])
    x.send(x.body(sent_bytes))
    return After.CLOSE


def _send_chunks(x, content, coding="chunked"):
    x.head(headers=[("Transfer-Encoding", coding)])
    for piece in _pieces(content, 3):
        x.send(b"%x\r\n%s\r\n" % (len(piece), piece))


def _pieces(content, count):
    size = -(-len(content) // count) or 1
    return [content[i : i + size] for i in range(0, len(content), size)]


def _cut(x, content, headers=()):
    x.head(headers=[*headers, ("Content-Length", len(content))])
    x.send(content[: len(content) // 2])
    return After.CLOSE


def _version(x):
    return body(f"{x.path}#{x.hit}", x.number(0)), ("ETag", f'"{x.hit}"')


def _cut_first(x, content, validators, skew=0):
    if x.hit == 1 and "range" not in x.headers:
        return _cut(x, content, [*validators, ("Accept-Ranges", "bytes")])
    return _represent(x, content, validators, skew=skew)


def _represent(x, content, validators, *, skew=0, sent_bytes=None):
    """Answer with content or the range of it that was asked for, if If-Range holds."""
    headers = [*validators, ("Accept-Ranges", "bytes")]
    if x.headers.get("if-none-match") in {value for _, value in validators}:
        return x.reply(b"", 304, headers)
    size = len(content)
    start, stop = _wanted(x, validators, size)
    if start is None:
        return _send_part(x, content, 200, headers, sent_bytes)
    if start >= size:
        return x.reply(b"", 416, [*headers, ("Content-Range", f"bytes */{size}")])
    start += skew
    headers.append(("Content-Range", f"bytes {start}-{stop - 1}/{size}"))
    return _send_part(x, content[start:stop], 206, headers, sent_bytes)


def _wanted(x, validators, size):
    """The range [start, stop) to send; (None, None) if all must be sent."""
    found = re.fullmatch(r"bytes=(\d+)-(\d*)", x.headers.get("range", ""))
    condition = x.headers.get("if-range")
    if found is None or condition not in {None, *dict(validators).values()}:
        return None, None
    first, last = found.groups()
    return int(first), min(int(last) + 1, size) if last else size


def _send_part(x, content, code, headers, sent_bytes):
    if sent_bytes is None or sent_bytes >= len(content):
        return x.reply(content, code, headers)
    x.head(code, [*headers, ("Content-Length", len(content))])
    x.send(content[:sent_bytes])
    return After.CLOSE

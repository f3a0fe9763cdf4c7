"""Answers of the odd server that are just bytes: what no library would let one send.

Each stands under `/raw/<name>`; after it the connection is closed, so that what is
missing stays missing.
"""

CONTENT = b"0123456789"
_LENGTH = b"Content-Length: 10\r\n"
_CHUNKED = b"Transfer-Encoding: chunked\r\n"
_IDENTITY = b"Transfer-Encoding: identity\r\n"
_TEN = b"a\r\n" + CONTENT + b"\r\n0\r\n\r\n"


def _answer(first=b"HTTP/1.1 200 OK\r\n", fields=_LENGTH, content=CONTENT):
    return first + fields + b"\r\n" + content


def _chunks(content):
    return _answer(fields=_CHUNKED, content=content)


def _redirect(location):
    fields = (
        b"Location: " + location + b"\r\nContent-Length: 0\r\nConnection: close\r\n"
    )
    return _answer(b"HTTP/1.1 302 Found\r\n", fields, b"")


ANSWERS = {
    # Status lines
    "no-reason": _answer(b"HTTP/1.1 200 \r\n"),
    "no-reason-no-blank": _answer(b"HTTP/1.1 200\r\n"),
    "escapes-in-reason": _answer(b"HTTP/1.1 404 \x1b]0;owned\x07\x1b[2J\r\n"),
    "version-2": _answer(b"HTTP/2.0 200 OK\r\n"),
    "version-lower-case": _answer(b"http/1.1 200 OK\r\n"),
    "version-none": _answer(b"HTTP 200 OK\r\n"),
    "status-two-digits": _answer(b"HTTP/1.1 99 Odd\r\n"),
    "status-four-digits": _answer(b"HTTP/1.1 2000 Odd\r\n"),
    "status-no-number": _answer(b"HTTP/1.1 abc OK\r\n"),
    "empty-line-first": b"\r\n" + _answer(),
    "garbage": b"\x00\x01\xff\xfe" * 64,
    "ssh-banner": b"SSH-2.0-OpenSSH_9.2\r\n",
    # Fields
    "field-without-colon": _answer(fields=b"odd\r\n" + _LENGTH),
    "field-without-name": _answer(fields=b": odd\r\n" + _LENGTH),
    "field-blank-before-colon": _answer(fields=b"Content-Length : 10\r\n"),
    "field-with-nul": _answer(fields=b"X-Odd: a\0b\r\n" + _LENGTH),
    "field-with-bare-cr": _answer(fields=b"X-Odd: a\rb\r\n" + _LENGTH),
    "fields-many": _answer(fields=b"X-Odd: 1\r\n" * 300 + _LENGTH),
    "fields-98": _answer(fields=b"X-Odd: 1\r\n" * 98 + _LENGTH),
    "field-name-of-escapes": _answer(fields=b"\x1b[2J: 1\r\n" + _LENGTH),
    "value-of-escapes": _answer(fields=b"Server: \x1b]0;owned\x07\r\n" + _LENGTH),
    # Lengths
    "length-twice-the-same": _answer(fields=_LENGTH + _LENGTH),
    "length-list-the-same": _answer(fields=b"Content-Length: 10, 10\r\n"),
    "length-list-differs": _answer(fields=b"Content-Length: 10, 11\r\n"),
    "length-and-chunked": _answer(fields=_LENGTH + _CHUNKED, content=_TEN),
    "chunked-and-length": _answer(
        fields=_CHUNKED + b"Content-Length: 3\r\n", content=_TEN
    ),
    "length-empty": _answer(fields=b"Content-Length: \r\n"),
    "length-hexadecimal": _answer(fields=b"Content-Length: 0x0a\r\n"),
    "length-fraction": _answer(fields=b"Content-Length: 10.0\r\n"),
    "length-too-long": _answer(fields=b"Content-Length: " + b"1" * 400 + b"\r\n"),
    "length-too-short": _answer(content=CONTENT + b"and more"),
    "no-content-with-content": _answer(b"HTTP/1.1 204 No Content\r\n"),
    "reset-content": _answer(b"HTTP/1.1 205 Reset Content\r\n"),
    "coding-unknown": _answer(fields=b"Transfer-Encoding: odd\r\n"),
    "coding-chunked-twice": _answer(
        fields=b"Transfer-Encoding: chunked, chunked\r\n", content=b"0\r\n\r\n"
    ),
    "identity": _answer(fields=_IDENTITY),
    "identity-and-length": _answer(fields=_IDENTITY + _LENGTH),
    "identity-and-chunked": _answer(fields=_IDENTITY + _CHUNKED, content=_TEN),
    "identity-chunked": _answer(
        fields=b"Transfer-Encoding: identity, chunked\r\n", content=_TEN
    ),
    # Behind a body
    "behind-line-end": _answer(content=CONTENT + b"\n"),
    "behind-cr-lf": _answer(content=CONTENT + b"\r\n"),
    "behind-answer": _answer() + _answer(content=b"STRAYSTRAY"),
    "behind-answer-twice": _answer() + 2 * _answer(content=b"STRAYSTRAY"),
    "behind-line-end-and-answer": _answer() + b"\r\n" + _answer(),
    "behind-line-end-and-bytes": _answer() + b"\r\nand more",
    "behind-identity": _answer(fields=_IDENTITY + _LENGTH) + _answer(),
    "behind-identity-bytes": _answer(fields=_IDENTITY + _LENGTH) + b"and more",
    "behind-length-twice": _answer(fields=_LENGTH + _LENGTH) + _answer(),
    "behind-length-twice-bytes": _answer(fields=_LENGTH + _LENGTH) + b"and more",
    "behind-chunks": _chunks(_TEN) + _answer(),
    "behind-chunks-bytes": _chunks(_TEN) + b"and more",
    "behind-chunks-cr-lf": _chunks(_TEN) + b"\r\n",
    "behind-close-bytes": _answer(fields=_LENGTH + b"Connection: close\r\n")
    + b"and more",
    "behind-no-content": _answer(b"HTTP/1.1 204 No Content\r\n", b"", b"") + _answer(),
    # Heads
    "head-60-kib": _answer(fields=b"X-Odd: " + b"x" * 60_000 + b"\r\n" + _LENGTH),
    "head-70-kib": _answer(fields=b"X-Odd: " + b"x" * 70_000 + b"\r\n" + _LENGTH),
    "head-110-kib": _answer(fields=b"X-Odd: " + b"x" * 110_000 + b"\r\n" + _LENGTH),
    "head-of-fields-70-kib": _answer(
        fields=(b"X-Odd: " + b"x" * 1_000 + b"\r\n") * 70 + _LENGTH
    ),
    # Chunks
    "chunk-lf-alone": _chunks(_TEN.replace(b"\r\n", b"\n")),
    "chunk-trailer-length": _chunks(
        b"a\r\n" + CONTENT + b"\r\n0\r\nContent-Length: 3\r\n\r\n"
    ),
    "chunk-extension": _chunks(b"a;name=value\r\n" + CONTENT + b"\r\n0\r\n\r\n"),
    "chunk-upper-case": _chunks(b"A\r\n" + CONTENT + b"\r\n0\r\n\r\n"),
    "chunk-leading-zeros": _chunks(b"000a\r\n" + CONTENT + b"\r\n0\r\n\r\n"),
    "chunk-trailer": _chunks(b"a\r\n" + CONTENT + b"\r\n0\r\nX-Odd: 1\r\n\r\n"),
    "chunk-size-huge": _chunks(b"f" * 17 + b"\r\n" + CONTENT),
    "chunk-size-negative": _chunks(b"-a\r\n" + CONTENT + b"\r\n0\r\n\r\n"),
    "chunk-size-prefixed": _chunks(b"0xa\r\n" + CONTENT + b"\r\n0\r\n\r\n"),
    "chunk-size-missing": _chunks(b"\r\n" + CONTENT + b"\r\n0\r\n\r\n"),
    "chunk-longer-than-said": _chunks(b"5\r\n" + CONTENT + b"\r\n0\r\n\r\n"),
    "chunk-cut-in-size": _chunks(b"a\r\n" + CONTENT + b"\r\n0"),
    "chunk-cut-before-end": _chunks(b"a\r\n" + CONTENT + b"\r\n0\r\n"),
    "chunk-cut-in-trailer": _chunks(b"a\r\n" + CONTENT + b"\r\n0\r\nX-Od"),
    "chunk-cut-at-once": _chunks(b""),
    # Redirects
    "redirect-file": _redirect(b"file:///etc/passwd"),
    "redirect-data": _redirect(b"data:text/plain,odd"),
    "redirect-script": _redirect(b"javascript:alert(1)"),
    "redirect-gopher": _redirect(b"gopher://127.0.0.1:25/_HELO"),
    "redirect-port-0": _redirect(b"http://127.0.0.1:0/"),
    "redirect-no-host": _redirect(b"http:///etc/passwd"),
    "redirect-blank-host": _redirect(b"http://a b/"),
    "redirect-long": _redirect(b"/" + b"x" * 20_000),
    "redirect-escapes": _redirect(b"ftp://\x1b]0;owned\x07/"),
    "redirect-password": _redirect(b"//u:hunter2@h:999999/"),
    "redirect-password-odd": _redirect(b"http:\\\\u:hun/ter2 hunter2@h/"),
    "redirect-password-cut": _redirect(b"x" * 190 + b":hunter2" + b"x" * 90 + b"@h/"),
    "redirect-target": _redirect(b"/target/%2c%7E|{}?%e2=[]|'\"<>\\^`%&"),
    "redirect-latin-1": _redirect(b"/target/a b\xe9?c d\xe9"),
    "redirect-utf-8": _redirect("/target/é?☕".encode()),
    "redirect-slashes": _redirect(b"/target//a:99999999/b@c"),
    "redirect-empty-query": _redirect(b"/target/x?"),
    "redirect-empty": _redirect(b""),
    "redirect-fragment": _redirect(b"#top"),
}

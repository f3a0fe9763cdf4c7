"""Files of the folder that it runs in, for an ASGI server; ranges are served.

Each request's HTTP version becomes a line of `versions` there.
"""

import hashlib
from pathlib import Path


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    body = _found(scope)
    if body is None:
        await _reply(send, 404, b"none\n")
        return
    tag = b'"%s"' % hashlib.sha256(body).hexdigest()[:16].encode()
    fields = [(b"etag", tag), (b"accept-ranges", b"bytes")]
    wanted = dict(scope["headers"]).get(b"range")
    if wanted is None:
        await _reply(send, 200, body, *fields)
        return
    first, _, last = wanted.removeprefix(b"bytes=").partition(b"-")
    end = int(last) + 1 if last else len(body)
    carried = b"bytes %d-%d/%d" % (int(first), end - 1, len(body))
    await _reply(
        send, 206, body[int(first) : end], (b"content-range", carried), *fields
    )


def _found(scope):
    with open("versions", "a") as log:
        log.write(scope["http_version"] + "\n")
    file = Path(scope["path"].lstrip("/"))
    return file.read_bytes() if file.is_file() else None


async def _live(receive, send):
    while (message := await receive())["type"] != "lifespan.shutdown":
        await send({"type": message["type"] + ".complete"})
    await send({"type": "lifespan.shutdown.complete"})


async def _reply(send, status, body, *fields):
    length = (b"content-length", b"%d" % len(body))
    start = {"type": "http.response.start", "status": status}
    await send(start | {"headers": [length, *fields]})
    await send({"type": "http.response.body", "body": body})

"""A server of the tests' own whose answers cost what their path says; in its own process.

    /wait/SECONDS/…     after so long, any number at once
    /queue/SECONDS/…    after so long, and only one of them at a time
    /size/BYTES/…       so many bytes
    /gzip/…             4 MiB, packed into a few kilobytes
    /refuse/SECONDS/…   after 50 ms, the first time each 503, with that Retry-After
    /once/SECONDS/…     the twentieth request of all 429, with that Retry-After

In its own process, since its CPU time must not count for the run that is measured.
"""

import asyncio
import gzip
import os
import subprocess
import sys
import threading

BODY = b"x" * 200


class PacedServer:
    """The server as the tests see it."""

    def __enter__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def urls(self, path, count):
        """So many different URLs of that behaviour."""
        return [f"http://127.0.0.1:{self.port}/{path}/{n}" for n in range(count)]


class _Server:
    def __init__(self):
        self._turn = asyncio.Lock()
        self._packed = gzip.compress(os.urandom(1024) * 4096, 1)
        self._seen = set()
        self._requests = 0

    async def serve(self, reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                _, kind, *rest = head.split()[1].decode().split("/")
                writer.write(await getattr(self, kind)(*rest))
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    async def wait(self, seconds, _number):
        await asyncio.sleep(float(seconds))
        return _answer(BODY)

    async def queue(self, seconds, _number):
        async with self._turn:
            await asyncio.sleep(float(seconds))
        return _answer(BODY)

    async def size(self, size_bytes, _number):
        return _answer(b"x" * int(size_bytes))

    async def gzip(self, _number):
        return _answer(self._packed, "Content-Encoding: gzip\r\n")

    async def refuse(self, seconds, number):
        await asyncio.sleep(0.05)
        if number in self._seen:
            return _answer(BODY)
        self._seen.add(number)
        return _refusal("503 Busy", seconds)

    async def once(self, seconds, _number):
        self._requests += 1
        if self._requests == 20:
            return _refusal("429 Slowly", seconds)
        return _answer(BODY)


def _answer(body, more=""):
    head = f"HTTP/1.1 200 OK\r\n{more}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _refusal(status, seconds):
    head = f"HTTP/1.1 {status}\r\nRetry-After: {seconds}\r\nContent-Length: 0\r\n\r\n"
    return head.encode()


async def _main():
    served = _Server()
    listener = await asyncio.start_server(served.serve, "127.0.0.1", 0, backlog=512)
    print(listener.sockets[0].getsockname()[1], flush=True)
    await listener.serve_forever()


def _end_with_parent():
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    asyncio.run(_main())

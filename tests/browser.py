"""A real headless Chromium, driven over its DevTools protocol by aiohttp's WebSocket."""

import asyncio
import contextlib
import json
import subprocess
import time

import aiohttp
from peers import program

START_SECONDS = 60
# A single process may not start in some containers; a sandbox needs rights that root in
# them lacks. What is loaded is our own file.
_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    # No name is ever resolved: what a page asks for must fail.
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--remote-debugging-port=0",
)


class Sheet:
    """A page as one sees it, at one width and in one colour scheme.

    Attributes:
        requests: The URL of everything that was asked for.
        complaints: What the browser's console and its security said.
    """

    def __init__(self, session, socket):
        self._session = session
        self._socket = socket
        self._number = 0
        self.requests = []
        self.complaints = []

    async def call(self, method, **params):
        self._number += 1
        await self._socket.send_json(
            {"id": self._number, "method": method, "params": params}
        )
        return await self._until(lambda message: message.get("id") == self._number)

    async def _until(self, is_wanted):
        async with asyncio.timeout(START_SECONDS):
            while True:
                message = json.loads((await self._socket.receive()).data)
                self._note(message)
                if is_wanted(message):
                    if "error" in message:
                        raise RuntimeError(message["error"])
                    return message.get("result", message.get("params"))

    def _note(self, message):
        params = message.get("params", {})
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Runtime.consoleAPICalled" | "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(params))
            case "Log.entryAdded":
                self.complaints.append(params["entry"]["text"])

    async def load(self, path, width, scheme, height=900):
        for domain in ("Page", "Network", "Runtime", "Log"):
            await self.call(f"{domain}.enable")
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        feature = {"name": "prefers-color-scheme", "value": scheme}
        await self.call("Emulation.setEmulatedMedia", features=[feature])
        await self.call("Page.navigate", url=path.as_uri())
        await self._until(
            lambda message: message.get("method") == "Page.loadEventFired"
        )

    async def ask(self, script):
        """What a script comes to in the page."""
        answer = await self.call(
            "Runtime.evaluate", expression=script, returnByValue=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"])
        return answer["result"].get("value")


@contextlib.contextmanager
def chromium(folder):
    """The port of a browser's DevTools, from its start to its end."""
    argv = [program("chromium"), *_OPTIONS, f"--user-data-dir={folder}", "about:blank"]
    with open(folder / "said", "wb") as said:
        child = subprocess.Popen(argv, stdout=said, stderr=said, cwd=folder)
    try:
        yield _port(folder, child)
    finally:
        child.terminate()
        child.wait(30)


def _port(folder, child):
    told = folder / "DevToolsActivePort"
    until = time.monotonic() + START_SECONDS
    while not (told.exists() and told.read_text().count("\n")):
        if child.poll() is not None or time.monotonic() > until:
            text = (folder / "said").read_text(errors="replace")
            raise RuntimeError(f"chromium did not start: {text}")
        time.sleep(0.05)
    return int(told.read_text().split()[0])


@contextlib.asynccontextmanager
async def sheet(port):
    """A new tab, closed at the end."""
    origin = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession() as session:
        async with session.put(f"{origin}/json/new?about:blank") as answer:
            tab = await answer.json(content_type=None)
        socket = await session.ws_connect(
            tab["webSocketDebuggerUrl"], max_msg_size=0, heartbeat=None
        )
        try:
            yield Sheet(session, socket)
        finally:
            await socket.close()
            async with session.get(f"{origin}/json/close/{tab['id']}"):
                pass

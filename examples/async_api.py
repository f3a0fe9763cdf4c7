"""Download inside async code: outcomes come as they come about, the loop stays free.

python examples/async_api.py [URL ...]      (without URLs: an embedded site's)
"""

import asyncio
import sys

from downloader import Downloader
from downloader.site.process import Site


async def tick(ticks: list[float]) -> None:
    while True:
        ticks.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.01)


async def download(urls: list[str]) -> None:
    ticks: list[float] = []
    ticker = asyncio.create_task(tick(ticks))
    async with Downloader(output="downloads") as downloader:
        async for outcome in downloader.astream(urls):
            print(outcome.status, outcome.path or outcome.error)
    ticker.cancel()
    print(f"meanwhile the loop ticked {len(ticks)} times")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(download(sys.argv[1:]))
    else:
        with Site(files=10, latency_seconds=0.1) as site:
            asyncio.run(download(site.urls()))

"""Submit URLs one by one and wait for futures, as with any executor.

python examples/futures_api.py [URL ...]      (without URLs: an embedded site's)
"""

import sys
from concurrent.futures import as_completed

from downloader import Downloader
from downloader.site.process import Site


def download(urls: list[str]) -> None:
    with Downloader(strategy="threads", output="downloads") as downloader:
        futures = {downloader.submit(url): url for url in urls}
        first = next(iter(futures))
        print("done at once?", first.done())
        for future in as_completed(futures):
            outcome = future.result()
            print(outcome.status, outcome.path or outcome.error)
        print("done now?", first.done())


if __name__ == "__main__":
    if len(sys.argv) > 1:
        download(sys.argv[1:])
    else:
        with Site(files=10) as site:
            download(site.urls())

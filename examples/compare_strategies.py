"""Run every strategy on the same list and print what each took.

python examples/compare_strategies.py [LIST]      (without a list: an embedded site's)

Each runs once, so small differences mean nothing; the order of magnitude does.
"""

import sys
import tempfile
from pathlib import Path

from downloader import fetch
from downloader.site.process import Site
from downloader.strategies.contract import NAMES


def compare(urls: list[str]) -> None:
    print(f"{'strategy':12}{'files/s':>10}{'CPU s':>9}{'MiB':>8}{'failed':>8}")
    for name in NAMES:
        with (
            tempfile.TemporaryDirectory() as folder,
            fetch(urls, strategy=name, output=folder) as report,
        ):
            figures = report.summary
            memory_mib = figures.peak_memory_bytes / 2**20
            print(
                f"{name:12}{figures.files_per_second:10.0f}{figures.cpu_seconds:9.2f}"
                f"{memory_mib:8.0f}{figures.failed:8}"
            )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        lines = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
        compare([line for line in lines if line.strip() and line[0] != "#"])
    else:
        with Site(files=100, latency_seconds=0.02) as site:
            compare(site.urls())

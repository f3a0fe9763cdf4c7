"""`python -m downloader.site`: serve the embedded site until standard input ends."""

from __future__ import annotations

from downloader.site.server import main

if __name__ == "__main__":
    main()

"""`python -m downloader`: the same as the command `downloader`."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    try:
        from downloader.cli import main
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(main())

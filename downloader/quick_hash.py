"""Hash functions for whoever hashes little: `hashlib` loads OpenSSL, which takes 4 ms.

The interpreter has its own, at half to a quarter of the speed. Modules with a leading underscore may
change with any Python: where they are missing, `hashlib` it is.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hashlib import blake2b, sha256
else:
    try:
        from _blake2 import blake2b  # what hashlib.blake2b is
    except ImportError:
        from hashlib import blake2b
    try:
        from _sha2 import sha256  # 3.12
    except ImportError:
        try:
            from _sha256 import sha256
        except ImportError:
            from hashlib import sha256

__all__ = ["blake2b", "sha256"]

"""What no driver takes from a server, whatever its library would; the same for all."""

from __future__ import annotations

# Interim answers (1xx) before the final one; RFC 9110 §15.2 allows any number, no server
# in the field sends more than a few.
MOST_INTERIM_ANSWERS = 32
# One line of a response head, and how many of them: http.client's own bounds.
MOST_LINE_BYTES = 65_536
MOST_HEAD_FIELDS = 99

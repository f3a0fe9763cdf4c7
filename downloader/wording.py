"""How figures and foreign texts are put for a person to read."""

from __future__ import annotations

from downloader.policy.redaction import printable, redact_secrets

_KIB = 1024


def shown(text: str, characters: int = 200) -> str:
    """A text from a list or a server, safe for a terminal and not without end."""
    # Redacted whole, since half a secret is no longer seen as one; cut again after
    # escaping, since an escape is longer than what it stands for.
    clean = printable(redact_secrets(text)[: characters + 1])
    return clean if len(clean) <= characters else clean[: characters - 1] + "…"


def plural(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun, `1 file` or `1,234 files`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def rate(per_second: float) -> str:
    """A rate with a digit after the point only where it says something."""
    return f"{per_second:,.1f}" if per_second < 9.95 else f"{per_second:,.0f}"  # noqa: PLR2004 - rounds to 10


def delay(seconds: float) -> str:
    """A time that is short as a rule, `21 ms`."""
    if seconds < 0.9995:  # noqa: PLR2004 - rounds to a second
        return f"{rate(seconds * 1000)} ms"
    return duration(seconds)


def duration(seconds: float) -> str:
    """A time in the unit that a person would choose for it, from seconds up."""
    if seconds < 0.995:  # noqa: PLR2004 - rounds to a second
        return f"{seconds:.2f} s"
    if seconds < 59.95:  # noqa: PLR2004 - rounds to a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes:02} min"
    return f"{minutes} min {rest:02} s"


def size(size_bytes: float) -> str:
    """A number of bytes in the largest unit that leaves it at least 1."""
    if size_bytes < _KIB:
        return f"{size_bytes:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        size_bytes /= _KIB
        if size_bytes < _KIB - 0.05:  # what rounds to 1024.0 goes to the next unit
            return f"{size_bytes:.1f} {unit}"
    return f"{size_bytes / _KIB:,.1f} TiB"

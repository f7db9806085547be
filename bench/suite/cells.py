"""How cells of a table are written."""

from __future__ import annotations

from suite.targets import KIB, MIB


def row(*cells: str) -> str:
    """Return a line of a table."""
    return f"| {' | '.join(cells)} |"


def size_text(size: int) -> str:
    """Write a number of bytes as people say it."""
    if size >= MIB:
        return f"{size // MIB} MiB"
    return f"{size // KIB} KiB" if size >= KIB else f"{size} B"

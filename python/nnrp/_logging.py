"""What the records of this package say beside their text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TypedDict

    class _Context(TypedDict):
        session_id: int | None
        frame_id: int | None
        view_id: int | None
        trace_id: int | None
        peer: str | None


def about(
    *,
    session: int | None = None,
    frame: int | None = None,
    view: int | None = None,
    trace: int | None = None,
    peer: tuple[str, int] | str | None = None,
) -> _Context:
    """Return the ``extra`` of a record. All records have all of these, so that a format may name any."""
    where = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else peer
    return {"session_id": session, "frame_id": frame, "view_id": view, "trace_id": trace, "peer": where}

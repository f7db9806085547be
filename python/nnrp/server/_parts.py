"""Results in parts: which tiles a part holds, and which are still to come."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from nnrp.core import PayloadKind, ResultClass, TensorSectionData

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nnrp.server.context import ReceivedSubmit

__all__ = ["part_arguments"]


def part_arguments(
    received: ReceivedSubmit,
    tile_ids: Sequence[int],
    sections: Sequence[TensorSectionData],
    *,
    last: bool,
) -> dict[str, Any]:
    """Return what ``send_result`` has to be told about this part of the answer.

    A partial result with tiles says which are missing (R-RES-7): they are listed behind those that are there,
    with an empty payload each, and counted as dropped.

    Raises:
        ValueError: it is not the last part, and no tile of the frame is missing in it; or the sections hold
            tiles and nobody says which.

    """
    arguments: dict[str, Any] = {
        "frame_id": received.frame_id,
        "view_id": received.view_id,
        "tile_ids": tile_ids,
        "sections": sections,
    }
    if not sections:
        # Without payload it would claim to be about tiles otherwise, which clients of tokens need not take.
        arguments["payload_kind_bitmap"] = PayloadKind.NONE
    if not last:
        arguments["result_class"] = ResultClass.PARTIAL
    if last or not sections:
        return arguments
    there = set(tile_ids)
    if not there:
        raise ValueError("tile_ids must say which tiles this part holds")
    missing = [tile_id for tile_id in received.request.tile_ids if tile_id not in there]
    if not missing:
        raise ValueError(
            f"this part holds all {len(there)} tiles of frame {received.frame_id}: it is a whole result, so "
            "send it with last=True; a part leaves tiles out (R-RES-7)"
        )
    absent = (b"",) * len(missing)
    arguments["tile_ids"] = (*tile_ids, *missing)
    arguments["sections"] = tuple(_with_tiles(section, absent) for section in sections)
    arguments["dropped_tile_count"] = len(missing)
    return arguments


def _with_tiles(section: TensorSectionData, more: tuple[bytes, ...]) -> TensorSectionData:
    """Return the section, which may be a view of a received one, with further tiles behind its own."""
    values = {field.name: getattr(section, field.name) for field in fields(TensorSectionData)}
    values["tile_payloads"] = (*section.tile_payloads, *more)
    if section.codec_ids:
        values["codec_ids"] = (*section.codec_ids, *(section.default_codec_id,) * len(more))
    return TensorSectionData(**values)

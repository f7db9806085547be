"""Frames that tests submit."""

from __future__ import annotations

from typing import Any

from nnrp.client import SubmitRequest
from nnrp.core import TensorDType, TensorSectionData

#: Seconds that no step of a test takes on a machine that is not broken.
STEP = 10.0


def section(*tiles: bytes, role_id: int = 1) -> TensorSectionData:
    return TensorSectionData(
        role_id=role_id, default_codec_id=0, dtype_id=TensorDType.UINT8, tile_payloads=tiles
    )


def frame(frame_id: int, *tiles: bytes, **fields: Any) -> SubmitRequest:
    """A frame with one section; one tile if nothing is said."""
    payloads = tiles or (b"tile",)
    fields.setdefault("tile_ids", tuple(range(len(payloads))))
    return SubmitRequest(frame_id=frame_id, sections=(section(*payloads),), **fields)


async def echo(session: Any) -> None:
    """Answer one frame with its own tiles."""
    received = await session.receive_submit(STEP)
    await session.send_result(frame_id=received.metadata.frame_id, sections=received.request.sections)

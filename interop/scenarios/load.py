"""Many frames at once, many results of one frame, large bodies."""

from __future__ import annotations

from interop.model import (
    OPAQUE_BYTES,
    TOKEN_CHUNK,
    Drop,
    Exchange,
    Push,
    Scenario,
    Section,
    Submit,
    Typed,
    content,
)
from interop.scenarios.frames import (
    ALLOW_PARTIAL,
    COMPLETE,
    FP16,
    GEOMETRY,
    PARTIAL,
    tensor_result,
    tensor_submit,
)

MIB = 1 << 20
BEYOND_STREAM_LIMIT = 300
"""Frames in flight: more than the 128 unidirectional streams rc2 lets a peer open at once."""
DISCARDABLE = 3
LAST = 31
"""Index of the last token of a stream."""


def _in_flight(count: int) -> Exchange:
    """All frames are submitted before the first, in reverse order, is answered."""
    return Exchange(
        tuple(tensor_submit(frame_id) for frame_id in range(1, count + 1)),
        tuple(tensor_result(frame_id) for frame_id in range(count, 0, -1)),
    )


def prompt(frame_id: int) -> Submit:
    """A frame that is answered token by token."""
    return Submit(frame_id, typed_payloads=(Typed(TOKEN_CHUNK, b"prompt"),))


def token(frame_id: int, index: int, *, last: bool = False) -> Push:
    """One of several results of a frame: partial, which without tiles drops none, until the last."""
    return Push(
        frame_id,
        typed_payloads=(Typed(TOKEN_CHUNK, f"frame {frame_id} token {index}".encode()),),
        result_class=COMPLETE if last else PARTIAL,
        applied_budget_policy=0 if last else ALLOW_PARTIAL,
        trace_id=index,
    )


def _large(frame_id: int, size: int) -> Exchange:
    """One typed payload and one tensor section of ``size`` bytes in all, each way."""
    tiles = tuple(content(f"large/{frame_id}/{tile}", size // 4) for tile in range(4))
    section = Section(1, FP16, tiles)
    tile_ids = (0, 1, 2, 3)
    typed = (Typed(OPAQUE_BYTES, content(f"large/{frame_id}", size)),)
    return Exchange(
        (
            Submit(frame_id, tile_ids=tile_ids, sections=(section,), **GEOMETRY),
            Submit(frame_id + 1, typed_payloads=typed, frame_class=DISCARDABLE),
        ),
        (Push(frame_id + 1, typed_payloads=typed), Push(frame_id, tile_ids=tile_ids, sections=(section,))),
    )


SCENARIOS = (
    Scenario("in-flight-16-reversed", steps=(_in_flight(16),)),
    Scenario("in-flight-16-reversed-router", steps=(_in_flight(16),), router=True),
    Scenario("in-flight-beyond-stream-limit", steps=(_in_flight(BEYOND_STREAM_LIMIT),)),
    Scenario(
        "in-flight-with-drops",
        steps=(
            Exchange(
                tuple(tensor_submit(frame_id) for frame_id in range(1, 9)),
                tuple(
                    Drop(frame_id) if frame_id % 3 == 0 else tensor_result(frame_id)
                    for frame_id in (5, 3, 8, 1, 6, 2, 7, 4)
                ),
            ),
        ),
    ),
    Scenario(
        "token-stream",
        steps=(
            Exchange((prompt(1),), tuple(token(1, index, last=index == LAST) for index in range(LAST + 1))),
        ),
    ),
    Scenario(
        "token-streams-interleaved",
        steps=(
            Exchange(
                tuple(prompt(frame_id) for frame_id in range(1, 5)),
                tuple(
                    token(frame_id, index, last=index == LAST)
                    for index in range(LAST + 1)
                    for frame_id in range(1, 5)
                ),
            ),
        ),
    ),
    Scenario(
        "token-stream-all-complete",
        steps=(Exchange((prompt(1),), tuple(token(1, index, last=True) for index in range(8))),),
    ),
    Scenario("body-1-mib", steps=(_large(1, MIB),)),
    Scenario("body-8-mib", steps=(_large(1, 8 * MIB),)),
)

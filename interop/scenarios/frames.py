"""Every kind of frame and result body."""

from __future__ import annotations

import dataclasses
from typing import Any

from interop.model import (
    AUDIO_CHUNK,
    BITSET,
    DELTA_U16,
    DENSE_RANGE,
    DTYPE_BYTES,
    OPAQUE_BYTES,
    RAW_U16,
    STRUCTURED_EVENT,
    TOKEN_CHUNK,
    TOOL_DELTA,
    VIDEO_CHUNK,
    Drop,
    Exchange,
    Prevented,
    Push,
    Reference,
    Scenario,
    Section,
    Server,
    Submit,
    Typed,
    content,
)

FP16, UINT8 = 0, 5
NCHW, ZERO_POINT = 1, 2
MIXED = 2
CAMERA_OBJECT, TILE_INDEX_OBJECT, SECTION_TABLE_OBJECT = 1, 2, 3
CAMERA_SLOT, TILE_INDEX_SLOT, SECTION_TABLE_SLOT = 1, 2, 4
COMPLETE, PARTIAL, STALE_REUSE, DEGRADED = range(4)
ALLOW_PARTIAL, ALLOW_STALE_REUSE, ALLOW_DEGRADED, ALLOW_DROP = 1, 2, 4, 8
FLAG_STALE, FLAG_FALLBACK, FLAG_PARTIAL = 1, 2, 4

#: Tile ids and base that each mode can carry.
TILES = {
    DENSE_RANGE: ((7, 8, 9), 7),
    RAW_U16: ((9, 0, 65535), 0),
    DELTA_U16: ((1, 5, 65535), 0),
    BITSET: ((0, 9, 700), 0),
}
MODE_NAMES = {DENSE_RANGE: "dense-range", RAW_U16: "raw-u16", DELTA_U16: "delta-u16", BITSET: "bitset"}
GEOMETRY: dict[str, Any] = {"src_width": 1920, "src_height": 1080, "tile_width": 16, "tile_height": 16}
ELEMENTS = 13
"""Elements per tile; odd, so that nothing falls on an alignment by chance."""


def section(label: str, tiles: int, *, role_id: int = 1, dtype_id: int = FP16) -> Section:
    """A section whose tiles all have the same size."""
    size = ELEMENTS * DTYPE_BYTES[dtype_id]
    return Section(
        role_id,
        dtype_id,
        tuple(content(f"{label}/{role_id}/{tile}", size) for tile in range(tiles)),
        element_count_per_tile=ELEMENTS,
    )


def tensor_submit(frame_id: int, mode: int = RAW_U16, *, dtype_id: int = FP16) -> Submit:
    """A frame with one section over the example tiles of ``mode``."""
    tile_ids, base = TILES[mode]
    sections = (section(f"submit/{frame_id}", len(tile_ids), dtype_id=dtype_id),)
    return Submit(
        frame_id,
        tile_ids=tile_ids,
        tile_base_id=base,
        tile_index_mode=mode,
        sections=sections,
        input_profile=1,
        **GEOMETRY,
    )


def tensor_result(frame_id: int, mode: int = RAW_U16, *, dtype_id: int = FP16) -> Push:
    """A result with one section; results know only dense_range and raw_u16."""
    tile_ids, base = TILES[mode]
    sections = (section(f"result/{frame_id}", len(tile_ids), role_id=100, dtype_id=dtype_id),)
    return Push(frame_id, tile_ids=tile_ids, tile_base_id=base, tile_index_mode=mode, sections=sections)


def one(submit: Submit, result: Push | Drop) -> Exchange:
    """One frame, one result."""
    return Exchange((submit,), (result,))


def _tile_mode(mode: int) -> Scenario:
    """One frame per dtype; the results alternate between the two modes a result can state."""
    steps = tuple(
        one(
            tensor_submit(1 + dtype, mode, dtype_id=dtype),
            tensor_result(1 + dtype, (RAW_U16, DENSE_RANGE)[dtype % 2], dtype_id=dtype),
        )
        for dtype in range(len(DTYPE_BYTES))
    )
    return Scenario(f"tensor-{MODE_NAMES[mode]}-all-dtypes", steps=steps)


def _sections(label: str, **changes: Any) -> Scenario:
    """One frame and one result whose section has other properties than the default."""
    submit, result = tensor_submit(1), tensor_result(1)
    return Scenario(
        f"tensor-{label}",
        steps=(
            one(
                dataclasses.replace(submit, sections=(dataclasses.replace(submit.sections[0], **changes),)),
                dataclasses.replace(result, sections=(dataclasses.replace(result.sections[0], **changes),)),
            ),
        ),
    )


def _typed(name: str, *payloads: Typed) -> Scenario:
    return Scenario(
        f"typed-{name}",
        steps=(one(Submit(1, typed_payloads=payloads), Push(1, typed_payloads=payloads[::-1])),),
    )


def _mixed(mode: int) -> Scenario:
    typed = (Typed(TOKEN_CHUNK, b"prompt"), Typed(STRUCTURED_EVENT, b'{"event": 1}', profile_id=4))
    result_mode = DENSE_RANGE if mode == DENSE_RANGE else RAW_U16
    submit = dataclasses.replace(tensor_submit(1, mode), typed_payloads=typed, camera_block=b"camera")
    return Scenario(
        f"mixed-{MODE_NAMES[mode]}",
        steps=(one(submit, dataclasses.replace(tensor_result(1, result_mode), typed_payloads=typed)),),
    )


def _referenced() -> Scenario:
    """References reach a server without a cache unresolved, whatever else the frame carries."""
    camera = Reference(CAMERA_OBJECT, 1, 2, 3)
    index = Reference(TILE_INDEX_OBJECT, 4, 5, 6)
    table = Reference(SECTION_TABLE_OBJECT, 7, 8, 9)
    plain = tensor_submit(1)
    mixed = dataclasses.replace(
        plain,
        submit_mode=MIXED,
        object_ref_mask=CAMERA_SLOT | TILE_INDEX_SLOT,
        camera_reference=camera,
        tile_index_reference=index,
    )
    reference = dataclasses.replace(
        tensor_submit(2),
        submit_mode=1,
        object_ref_mask=CAMERA_SLOT | TILE_INDEX_SLOT | SECTION_TABLE_SLOT,
        camera_reference=camera,
        tile_index_reference=index,
        tensor_section_table_reference=table,
    )
    return Scenario(
        "submit-references",
        steps=(one(mixed, tensor_result(1)), one(reference, tensor_result(2))),
        server=Server(enable_cache=False),
    )


def _many_tiles(frame_id: int, mode: int) -> Exchange:
    tile_ids = tuple(range(4096))
    sections = (section(f"many/{frame_id}", len(tile_ids), dtype_id=UINT8),)
    submit = Submit(frame_id, tile_ids=tile_ids, tile_index_mode=mode, sections=sections, **GEOMETRY)
    return one(submit, Push(frame_id, tile_ids=tile_ids, sections=sections))


def _result_classes() -> tuple[Exchange, ...]:
    """All classes and timings. Covered tiles are stated: rc2 does not work them out for a partial result."""
    base = tensor_result(1)
    variants: tuple[dict[str, Any], ...] = (
        {
            "result_class": PARTIAL,
            "applied_budget_policy": ALLOW_PARTIAL,
            "covered_tile_count": 2,
            "dropped_tile_count": 1,
            "result_flags": FLAG_PARTIAL,
        },
        {
            "result_class": STALE_REUSE,
            "applied_budget_policy": ALLOW_STALE_REUSE,
            "reused_frame_id": 1,
            "result_flags": FLAG_STALE,
        },
        {"result_class": DEGRADED, "applied_budget_policy": ALLOW_DEGRADED, "result_flags": FLAG_FALLBACK},
        {"result_class": COMPLETE, "applied_budget_policy": ALLOW_DEGRADED | ALLOW_PARTIAL},
        {
            "active_profile_id": 513,
            "inference_ms": 1,
            "queue_ms": 65535,
            "server_total_ms": 300,
            "status_code": 404,
        },
        {"flags": 0x2E, "view_id": 2, "route_id": 3, "trace_id": 2**64 - 1},
    )
    steps = []
    for frame_id, changes in enumerate(variants, start=1):
        view_id = changes.get("view_id", 0)
        submit = dataclasses.replace(tensor_submit(frame_id), view_id=view_id, budget_policy=15)
        steps.append(one(submit, dataclasses.replace(base, frame_id=frame_id, **changes)))
    return tuple(steps)


def _limits() -> Scenario:
    """What is over a limit ends as a drop by the library; the session goes on."""
    oversize = Submit(1, typed_payloads=(Typed(OPAQUE_BYTES, content("oversize", 4 << 20)),))
    wide = dataclasses.replace(
        tensor_submit(2), sections=tuple(section("wide", 3, role_id=role) for role in range(1, 4))
    )
    steps = tuple(
        Exchange(refused=(submit,), results=(Drop(submit.frame_id),)) for submit in (oversize, wide)
    )
    return Scenario(
        "submit-over-limits",
        steps=(*steps, one(tensor_submit(3), tensor_result(3))),
        server=Server(max_body_bytes=65_536, max_sections=2),
        prevented=(Prevented("server", "rc2's server enforces no limit (D-LIMITS)"),),
    )


EVERY_SUBMIT_FIELD = dataclasses.replace(
    tensor_submit(12),
    frame_class=2,
    input_profile=2,
    latency_budget_ms=60_000,
    target_fps_x100=5994,
    retry_of_frame=10,
    dependency_frame_id=10,
    budget_policy=ALLOW_PARTIAL | ALLOW_DROP,
    loss_tolerance_policy=2,
    view_id=3,
    route_id=0xBEEF,
    trace_id=2**64 - 2,
    flags=0x10,
)

SCENARIOS = (
    *(_tile_mode(mode) for mode in TILES),
    Scenario(
        "tensor-16-sections",
        steps=(
            one(
                dataclasses.replace(
                    tensor_submit(1), sections=tuple(section("s", 3, role_id=role) for role in range(16))
                ),
                dataclasses.replace(
                    tensor_result(1), sections=tuple(section("r", 3, role_id=role) for role in range(16))
                ),
            ),
        ),
    ),
    _sections("mixed-codec", default_codec_id=3, codec_ids=(3, 0, 255)),
    _sections(
        "fixed-stride",
        payload_stride_bytes=8,
        tile_payloads=(b"12345678", b"", b"123"),
        element_count_per_tile=0,
    ),
    _sections(
        "mixed-codec-fixed-stride",
        codec_ids=(1, 2, 0),
        payload_stride_bytes=4,
        tile_payloads=(b"1", b"22", b"4444"),
    ),
    _sections("layout-and-scale", layout_id=NCHW, scale_policy=ZERO_POINT, element_count_per_tile=2**32 - 1),
    _sections("empty-tiles", tile_payloads=(b"", b"", b"")),
    Scenario(
        "tensor-camera",
        steps=(
            one(dataclasses.replace(tensor_submit(1), camera_block=b"12345"), tensor_result(1)),
            one(dataclasses.replace(tensor_submit(2, BITSET), camera_block=b"12345678"), tensor_result(2)),
            one(Submit(3, camera_block=b"only a camera", **GEOMETRY), tensor_result(3)),
        ),
    ),
    Scenario(
        "tensor-4096-tiles",
        steps=(_many_tiles(1, RAW_U16), _many_tiles(2, BITSET), _many_tiles(3, DENSE_RANGE)),
    ),
    Scenario("tensor-no-tiles", steps=(one(Submit(1, **GEOMETRY), Push(1)),)),
    Scenario(
        "tensor-section-without-tiles",
        steps=(
            one(
                Submit(1, tile_index_mode=DENSE_RANGE, sections=(section("none", 0),), **GEOMETRY),
                Push(1, tile_index_mode=DENSE_RANGE, sections=(section("none", 0),)),
            ),
        ),
    ),
    Scenario(
        "submit-every-field",
        steps=(one(EVERY_SUBMIT_FIELD, dataclasses.replace(tensor_result(12), view_id=3)),),
    ),
    Scenario(
        "submit-views",
        steps=(
            Exchange(
                tuple(dataclasses.replace(tensor_submit(1), view_id=view) for view in range(3)),
                tuple(dataclasses.replace(tensor_result(1), view_id=view) for view in (2, 0, 1)),
            ),
        ),
    ),
    _referenced(),
    _typed("token-chunk", Typed(TOKEN_CHUNK, "t\u00f6ken".encode())),
    _typed("audio-chunk", Typed(AUDIO_CHUNK, content("audio", 333))),
    _typed("video-chunk", Typed(VIDEO_CHUNK, content("video", 4001))),
    _typed("structured-event", Typed(STRUCTURED_EVENT, b'{"a": 1}')),
    _typed("tool-delta", Typed(TOOL_DELTA, b"delta")),
    _typed("opaque-bytes", Typed(OPAQUE_BYTES, bytes(range(256)))),
    _typed(
        "all-kinds-in-order",
        Typed(OPAQUE_BYTES, b"z", profile_id=65535),
        Typed(TOKEN_CHUNK, b""),
        Typed(TOKEN_CHUNK, b"a"),
        Typed(AUDIO_CHUNK, b"bb", profile_id=1),
        Typed(VIDEO_CHUNK, b""),
        Typed(STRUCTURED_EVENT, b"{}"),
        Typed(TOOL_DELTA, b"ccc"),
    ),
    *(_mixed(mode) for mode in TILES),
    Scenario("result-classes", steps=_result_classes()),
    Scenario(
        "result-empty",
        steps=(
            one(tensor_submit(1), Push(1)),
            one(tensor_submit(2), Push(2, payload_kind_bitmap=0, status_code=7)),
            one(tensor_submit(3), Push(3, payload_kind_bitmap=TOKEN_CHUNK, status_code=8)),
        ),
    ),
    Scenario(
        "result-drop",
        steps=(
            one(tensor_submit(1), Drop(1)),
            one(dataclasses.replace(tensor_submit(2), view_id=4), Drop(2, view_id=4, trace_id=99)),
            one(tensor_submit(3), tensor_result(3)),
        ),
    ),
    _limits(),
)

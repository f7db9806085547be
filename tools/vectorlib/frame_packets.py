"""Valid submits and results: both layouts, every mode, references, typed payloads, extension frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

from nnrp import core
from nnrp.core import (
    BudgetPolicy,
    CacheObjectKind,
    MessageType,
    ObjectReferenceBlock,
    PayloadKind,
    SubmitMode,
    TensorDType,
    TensorLayout,
    TileIndexMode,
)
from nnrp.core import TensorSectionData as Section

from vectorlib.vector import U16, U32, U64, Vector, build, frame_corners


def sections_for(random: Random, tiles: int, count: int = 1, **changes: Any) -> tuple[Section, ...]:
    """Sections with ascending roles and tiles of random length."""
    roles = sorted(random.sample(range(U16 + 1), count))
    made = []
    for role in roles:
        section = Section(
            role_id=role,
            default_codec_id=0,
            dtype_id=random.choice(list(TensorDType)),
            tile_payloads=tuple(random.randbytes(random.randrange(0, 12)) for _ in range(tiles)),
        )
        made.append(replace(section, **changes))
    return tuple(made)


IDS: dict[TileIndexMode, tuple[int, ...]] = {
    TileIndexMode.DENSE_RANGE: (7, 8, 9),
    TileIndexMode.RAW_U16: (65535, 0, 3, 3),
    TileIndexMode.DELTA_U16: (0, 3, 9, 65535),
    TileIndexMode.BITSET: (0, 3, 9, 63, 64),
}

PICTURE: dict[str, Any] = {"src_width": 256, "src_height": 32, "tile_width": 32, "tile_height": 32}


def submit(name: str, random: Random, **changes: Any) -> Vector:
    """A FRAME_SUBMIT from the peer's tensor builder."""
    values = {**PICTURE, **frame_corners(random), "tile_ids": (), "sections": (), **changes}
    return Vector(f"frame_submit-{name}", core.build_frame_submit_packet(**values).pack())


def reference(kind: int, key: int) -> ObjectReferenceBlock:
    """A reference to an object."""
    return ObjectReferenceBlock(CacheObjectKind(kind), 0, 1, key, U32 - key)


TYPED_KINDS = [kind for kind in PayloadKind if kind.value > 1]


def typed(random: Random, count: int) -> tuple[Any, ...]:
    """Typed payloads of changing kinds, some of them empty."""
    return tuple(
        core.build_typed_payload_frame(
            TYPED_KINDS[n % 6],
            random.randbytes(random.choice([0, 5, 16])),
            profile_id=random.choice([0, 3, U16]),
        )
        for n in range(count)
    )


def submit_packets(random: Random) -> Iterator[Vector]:
    """FRAME_SUBMIT: plain, by reference, typed, mixed, with extension frames, and without payload."""
    for mode, ids in IDS.items():
        base = ids[0] if mode == TileIndexMode.DENSE_RANGE else random.getrandbits(32)
        shared = {"tile_ids": ids, "tile_index_mode": mode, "tile_base_id": base}
        name = mode.name.lower()
        sections = sections_for(random, len(ids), 2)
        yield submit(f"plain-{name}", random, sections=sections, **shared)
        yield submit(f"plain-{name}-camera", random, sections=sections, camera_block=b"camera!", **shared)
        yield submit(f"plain-{name}-index-only", random, **shared)
        mixed = core.build_frame_submit_mixed_packet(
            **PICTURE, **frame_corners(random), sections=sections, frames=typed(random, 2), **shared
        )
        yield Vector(f"frame_submit-mixed-{name}", mixed.pack())
        yield submit(
            f"reference-camera-{name}",
            random,
            sections=sections,
            submit_mode=SubmitMode.MIXED,
            object_ref_mask=1,
            camera_reference=reference(1, 5),
            **shared,
        )
    for dtype in TensorDType:
        layout = TensorLayout(int(dtype) % 2)
        sections = sections_for(
            random, 2, dtype_id=dtype, layout_id=layout, scale_policy=core.ScalePolicy(dtype % 3)
        )
        yield submit(f"plain-{dtype.name.lower()}", random, tile_ids=(1, 2), sections=sections)
    strided: dict[str, Any] = {"tile_payloads": (b"\x01\x02\x03", b"", b"\x04"), "payload_stride_bytes": 4}
    yield submit("stride", random, tile_ids=(1, 2, 3), sections=sections_for(random, 3, **strided))
    codecs: dict[str, Any] = {"codec_ids": (0, 1, 255), "default_codec_id": 1, "element_count_per_tile": U32}
    yield submit("mixed-codec", random, tile_ids=(1, 2, 3), sections=sections_for(random, 3, **codecs))
    both = sections_for(random, 3, 3, **strided, **codecs)
    yield submit("stride-mixed-codec", random, tile_ids=(1, 2, 3), sections=both, camera_block=b"12345678")
    yield submit("no-tiles", random, sections=sections_for(random, 0, 2))
    yield submit("nothing", random)
    yield submit("camera-only", random, camera_block=b"cam")
    many = tuple(range(0, 2000, 2))
    yield submit("thousand-tiles", random, tile_ids=many, sections=sections_for(random, 1000))
    yield submit(
        "every-field",
        random,
        tile_ids=(1,),
        sections=sections_for(random, 1, 16),
        frame_class=2,
        input_profile=core.InputProfile.DENSE_LUMA_FRAME,
        latency_budget_ms=U16,
        target_fps_x100=U16,
        retry_of_frame=U32,
        budget_policy=BudgetPolicy(15),
        dependency_frame_id=U32,
        loss_tolerance_policy=3,
        src_width=U16,
        src_height=U16,
        tile_width=U16,
        tile_height=U16,
    )
    yield submit("other-kind", random, payload_kind_bitmap=PayloadKind.AUDIO_CHUNK)
    sections = sections_for(random, 2)
    yield submit(
        "all-by-reference",
        random,
        tile_ids=(5, 6),
        sections=sections,
        submit_mode=SubmitMode.REFERENCE,
        object_ref_mask=7,
        camera_reference=reference(1, 1),
        tile_index_reference=reference(2, 2),
        tensor_section_table_reference=reference(3, 3),
    )
    yield submit(
        "table-by-reference",
        random,
        tile_ids=(5, 6),
        sections=sections,
        camera_block=b"camera",
        submit_mode=SubmitMode.MIXED,
        object_ref_mask=4,
        tensor_section_table_reference=reference(3, 3),
    )
    for kind in TYPED_KINDS:
        frame = core.build_typed_payload_frame(kind, random.randbytes(5), profile_id=2)
        packet = core.build_frame_submit_typed_payload_packet(**frame_corners(random), frames=(frame,))
        yield Vector(f"frame_submit-typed-{kind.name.lower()}", packet.pack())
    packet = core.build_frame_submit_typed_payload_packet(**frame_corners(random), frames=typed(random, 40))
    yield Vector("frame_submit-typed-many", packet.pack())
    yield from _composed_submits(random)


def _frame_submit_metadata(**changes: Any) -> core.FrameSubmitMetadata:
    values: dict[str, Any] = dict.fromkeys(
        (
            "src_width",
            "src_height",
            "tile_width",
            "tile_height",
            "tile_count",
            "section_count",
            "frame_class",
            "reserved0",
            "latency_budget_ms",
            "target_fps_x100",
            "retry_of_frame",
            "tile_base_id",
            "camera_bytes",
            "tile_index_bytes",
        ),
        0,
    )
    values["input_profile"] = core.InputProfile.UNSPECIFIED
    values["tile_index_mode"] = TileIndexMode.RAW_U16
    return core.FrameSubmitMetadata(**{**values, **changes})


def _composed_submits(random: Random) -> Iterator[Vector]:
    """Submits whose bodies the peer's builders do not make but its decoder reads."""
    message = MessageType.FRAME_SUBMIT
    token = PayloadKind.TOKEN_CHUNK
    zero = _frame_submit_metadata(payload_kind_bitmap=token)
    yield build("frame_submit-zero-prelude", message, zero, core.pack_body(), **frame_corners(random))
    frames, payloads = core.pack_typed_payload_frames((core.build_token_chunk_frame(b"hello"),))
    extension = core.pack_extension_frames(
        (
            core.build_extension_frame(
                9, b"zz", profile_id=1, extension_flags=core.ExtensionFrameFlags.CRITICAL
            ),
            core.build_extension_frame(10, b"unknown"),
        )
    )
    body = core.pack_body(
        typed_payload_descriptor_region=frames,
        typed_payload_frame_region=payloads,
        extension_descriptor_region=extension[0],
        extension_payload_region=extension[1],
    )
    metadata = _frame_submit_metadata(payload_kind_bitmap=token, payload_frame_count=1)
    vector = build("frame_submit-extension-frames", message, metadata, body, **frame_corners(random))
    yield replace(vector, known=(9,))
    objects = b"".join(
        core.pack_inline_object_block(
            core.InlineObjectBlockHeader(CacheObjectKind(kind), 0, kind, 0, kind), random.randbytes(kind)
        )
        for kind in (6, 7, 8, 8, 9)
    )
    body = core.pack_body(
        inline_object_region=objects,
        typed_payload_descriptor_region=frames,
        typed_payload_frame_region=payloads,
    )
    yield build("frame_submit-other-objects", message, metadata, body, **frame_corners(random))
    template = _frame_submit_metadata(
        payload_kind_bitmap=token, submit_mode=SubmitMode.REFERENCE, object_ref_mask=8, payload_frame_count=1
    )
    body = core.pack_body(
        object_reference_region=core.pack_object_reference_blocks((reference(6, 4),)),
        typed_payload_descriptor_region=frames,
        typed_payload_frame_region=payloads,
    )
    yield build("frame_submit-template-by-reference", message, template, body, **frame_corners(random))
    reserved = _frame_submit_metadata(
        payload_kind_bitmap=PayloadKind.NONE,
        reserved0=255,
        reserved1=U64,
        reserved2=1,
        reserved3=2,
        reserved4=U16,
    )
    yield build("frame_submit-reserved", message, reserved, **frame_corners(random))


def result_packets(random: Random) -> Iterator[Vector]:
    """RESULT_PUSH: every class, plain, typed, mixed, by reference and without payload."""
    for mode, ids in ((TileIndexMode.DENSE_RANGE, (7, 8, 9)), (TileIndexMode.RAW_U16, (9, 1, 65535))):
        shared = {"tile_ids": ids, "tile_index_mode": mode, "tile_base_id": 7}
        name = mode.name.lower()
        sections = sections_for(random, 3, 2)
        tensor = {**shared, "sections": sections}
        header = frame_corners(random)
        builders = {
            "plain": core.build_result_push_packet(**header, **tensor, inference_ms=12, queue_ms=2),
            "degraded": core.build_degraded_result_push_packet(**header, **tensor, server_total_ms=U16),
            "stale": core.build_stale_reuse_result_push_packet(**header, **tensor, reused_frame_id=41),
            "partial": core.build_partial_result_push_packet(
                **header, **tensor, covered_tile_count=2, dropped_tile_count=1
            ),
            "mixed": core.build_result_push_mixed_packet(**header, **tensor, frames=typed(random, 3)),
            "index-only": core.build_result_push_packet(**header, **shared, sections=(), status_code=U16),
        }
        for variant, packet in builders.items():
            yield Vector(f"result_push-{variant}-{name}", packet.pack())
    for dtype in TensorDType:
        stride = 16 if int(dtype) % 2 else 0
        sections = sections_for(random, 2, dtype_id=dtype, payload_stride_bytes=stride)
        packet = core.build_result_push_packet(**frame_corners(random), tile_ids=(1, 2), sections=sections)
        yield Vector(f"result_push-plain-{dtype.name.lower()}", packet.pack())
    for kind in TYPED_KINDS:
        frame = core.build_typed_payload_frame(kind, random.randbytes(7), profile_id=U16)
        packet = core.build_result_push_typed_payload_packet(
            **frame_corners(random), frames=(frame,), result_flags=core.ResultFlags.FALLBACK
        )
        yield Vector(f"result_push-typed-{kind.name.lower()}", packet.pack())
    nothing = core.build_result_push_packet(**frame_corners(random), tile_ids=(), sections=())
    yield Vector("result_push-nothing", nothing.pack())
    empty = core.build_result_push_packet(
        **frame_corners(random), tile_ids=(), sections=(), payload_kind_bitmap=PayloadKind.NONE, status_code=3
    )
    yield Vector("result_push-status-only", empty.pack())
    yield from _composed_results(random)


def _result_push_metadata(**changes: Any) -> core.ResultPushMetadata:
    values: dict[str, Any] = dict.fromkeys(
        (
            "status_code",
            "section_count",
            "tile_count",
            "active_profile_id",
            "reserved0",
            "inference_ms",
            "queue_ms",
            "server_total_ms",
            "reserved1",
            "tile_base_id",
            "tile_index_bytes",
        ),
        0,
    )
    values["result_flags"] = core.ResultFlags.NONE
    return core.ResultPushMetadata(**{**values, **changes})


def _composed_results(random: Random) -> Iterator[Vector]:
    message = MessageType.RESULT_PUSH
    token = PayloadKind.TOKEN_CHUNK
    zero = _result_push_metadata(payload_kind_bitmap=token)
    yield build("result_push-zero-prelude", message, zero, core.pack_body(), **frame_corners(random))
    frames, payloads = core.pack_typed_payload_frames((core.build_token_chunk_frame(b"hello"),))
    references = (reference(2, 1), reference(3, 1), reference(3 + 2, 9))
    both = _result_push_metadata(
        payload_kind_bitmap=token | PayloadKind.TENSOR,
        payload_frame_count=1,
        tile_count=3,
        covered_tile_count=3,
        section_count=2,
    )
    body = core.pack_body(
        object_reference_region=core.pack_object_reference_blocks(references),
        typed_payload_descriptor_region=frames,
        typed_payload_frame_region=payloads,
    )
    yield build("result_push-by-reference", message, both, body, **frame_corners(random))
    skipped = _result_push_metadata(payload_kind_bitmap=PayloadKind.NONE)
    yield build("result_push-skipped-body", message, skipped, b"not looked at", **frame_corners(random))
    reserved = _result_push_metadata(
        payload_kind_bitmap=PayloadKind.NONE,
        reserved0=1,
        reserved1=2,
        reserved2=U64,
        reserved3=3,
        reserved4=4,
        reserved5=U16,
    )
    yield build("result_push-reserved", message, reserved, **frame_corners(random))

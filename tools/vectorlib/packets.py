"""Valid packets: every message, both body layouts, every mode and the corners of their fields."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from nnrp import core
from nnrp.core import (
    BudgetPolicy,
    CacheObjectKind,
    HeaderFlags,
    MessageType,
    ObjectReferenceBlock,
    PayloadKind,
    SubmitMode,
    TensorDType,
    TensorLayout,
    TileIndexMode,
)
from nnrp.core import TensorSectionData as Section

U16 = 0xFFFF
U32 = 0xFFFFFFFF
U64 = 0xFFFFFFFFFFFFFFFF


@dataclass(frozen=True)
class Vector:
    """One packet with its name, and the extension frame kinds its reader knows."""

    name: str
    raw: bytes
    known: tuple[int, ...] = field(default=())


def build(name: str, message: MessageType, metadata: Any = None, body: bytes = b"", **header: Any) -> Vector:
    """Put a packet together from its parts."""
    packet = core.NnrpPacket.build(
        version_major=1,
        wire_format=core.WireFormat.CURRENT,
        msg_type=message,
        metadata=metadata.pack() if metadata else b"",
        body=body,
        **header,
    )
    return Vector(name, packet.pack())


def corners(random: Random) -> dict[str, Any]:
    """Header fields with large values now and then."""
    pick = random.choice
    return {
        "session_id": pick([1, 7, U32, random.getrandbits(32) or 1]),
        "route_id": pick([0, 1, U16]),
        "trace_id": pick([0, 1, 0x1122334455667788, U64, random.getrandbits(64)]),
        "flags": HeaderFlags(pick([0, 1, 2, 4, 8, 16, 32, 63])),
    }


def frame_corners(random: Random) -> dict[str, Any]:
    """Header fields of a message about a frame."""
    return {
        **corners(random),
        "frame_id": random.choice([1, 42, U32, random.getrandbits(32)]),
        "view_id": random.choice([0, 3, U16]),
    }


def hello(**changes: Any) -> core.ClientHelloMetadata:
    """Metadata of an ordinary CLIENT_HELLO."""
    values: dict[str, Any] = {
        "min_version_major": 1,
        "max_version_major": 1,
        "supported_wire_format_bitmap": 1,
        "supported_profile_bitmap": 1,
        "supported_payload_kind_bitmap": 1,
        "supported_codec_bitmap": 3,
        "supported_compression_bitmap": 3,
        "supported_dtype_bitmap": 0x1F,
        "supported_layout_bitmap": 3,
        "cache_digest_bitmap": 1,
        "cache_object_bitmap": 7,
        "cache_namespace_count": 1,
        "max_lane_count": 1,
        "max_cache_entries": 256,
        "max_cache_bytes": 8388608,
        "target_cadence_x100": 6000,
        "latency_budget_ms": 50,
        "quality_tier": 2,
        "degrade_policy": 0,
        "requested_session_id": 1,
        "auth_bytes": 0,
        "control_extension_bytes": 0,
    }
    return core.ClientHelloMetadata(**{**values, **changes})


def hello_ack(**changes: Any) -> core.ServerHelloAckMetadata:
    """Metadata of an ordinary SERVER_HELLO_ACK."""
    values: dict[str, Any] = {
        "selected_version_major": 1,
        "selected_wire_format": 0,
        "auth_status": 0,
        "session_id": 7,
        "accepted_profile_bitmap": 1,
        "accepted_payload_kind_bitmap": 0x7F,
        "accepted_codec_bitmap": 3,
        "accepted_compression_bitmap": 3,
        "accepted_dtype_bitmap": 0x1F,
        "accepted_layout_bitmap": 3,
        "cache_digest_bitmap": 0,
        "cache_object_bitmap": 0,
        "max_cache_entries": 0,
        "max_cache_bytes": 0,
        "max_lane_count": 1,
        "max_concurrent_frames": 1,
        "target_cadence_x100": 0,
        "latency_budget_ms": 0,
        "quality_tier": 0,
        "degrade_policy": 0,
        "max_body_bytes": 33554432,
        "token_ttl_ms": 0,
        "retry_after_ms": 0,
        "control_extension_bytes": 0,
        "server_flags": 0,
    }
    return core.ServerHelloAckMetadata(**{**values, **changes})


def handshake_packets() -> Iterator[Vector]:
    """CLIENT_HELLO and SERVER_HELLO_ACK with extensions, auth blocks and model names."""
    entry = core.ControlExtensionEntry
    critical = core.ControlExtensionFlags.CRITICAL
    policy = core.build_client_hello_transport_policy_extension(
        core.ClientHelloTransportPolicyExtension(core.TransportPolicy.PREFER_TCP, core.TransportId.TCP)
    )
    loss = core.build_client_hello_loss_tolerance_extension(
        core.ClientHelloLossToleranceExtension(core.LossTolerance.LOW_LATENCY)
    )
    kinds = core.build_client_hello_payload_capabilities_extension(
        core.ClientHelloPayloadCapabilitiesExtension(PayloadKind(0x7F))
    )
    hellos: dict[str, tuple[list[Any], bytes, dict[str, Any]]] = {
        "bare": ([], b"", {}),
        "auth": ([], b"token", {"requested_session_id": U32}),
        "policy": ([policy], b"", {"cache_object_bitmap": 0, "max_cache_entries": 0}),
        "all-three": ([policy, loss, kinds], b"secret!!", {"supported_payload_kind_bitmap": 0x7F}),
        "vendor": ([entry(0x8001, payload=b"abc"), entry(0x4000)], b"\x00", {"degrade_policy": 3}),
        "known-critical": ([entry(0x0103, critical, b"\x00" * 8)], b"", {"max_version_major": 255}),
        "other-versions": ([], b"", {"min_version_major": 2, "max_version_major": 9}),
        "maxima": ([], b"a" * 300, {"max_lane_count": U16, "max_cache_bytes": U32, "quality_tier": U16}),
    }
    for length in range(1, 9):
        hellos[f"padding-{length}"] = ([entry(0xC000 + length, payload=bytes(range(length)))], b"x", {})
    for name, (entries, auth, changes) in hellos.items():
        block = core.pack_control_extension_block(entries)
        metadata = hello(auth_bytes=len(auth), control_extension_bytes=len(block), **changes)
        yield build(
            f"client_hello-{name}",
            MessageType.CLIENT_HELLO,
            metadata,
            block + auth,
            flags=HeaderFlags.ACK_REQUIRED,
        )

    policy_ack = core.build_server_hello_ack_transport_policy_extension(
        core.ServerHelloAckTransportPolicyExtension(
            core.TransportPolicy.PREFER_QUIC, core.TransportPolicy.AUTO, core.TransportId.QUIC
        )
    )
    loss_ack = core.build_server_hello_ack_loss_tolerance_extension(
        core.ServerHelloAckLossToleranceExtension(core.LossTolerance.STRICT)
    )
    kinds_ack = core.build_server_hello_ack_payload_capabilities_extension(
        core.ServerHelloAckPayloadCapabilitiesExtension(PayloadKind.TENSOR | PayloadKind.TOKEN_CHUNK)
    )
    acks: dict[str, tuple[list[Any], bytes, dict[str, Any]]] = {
        "bare": ([], b"", {}),
        "model": ([], b"engine-sr", {}),
        "utf8-model": ([], "modèle-größe".encode(), {"reserved0": 255}),
        "all-three": ([policy_ack, loss_ack, kinds_ack], b"engine", {"server_flags": 7}),
        "vendor": ([entry(0x9000, payload=b"12345")], b"", {"server_flags": U32, "max_body_bytes": 0}),
        "cache": ([], b"", {"cache_object_bitmap": 0x1FF, "max_cache_entries": 64, "max_cache_bytes": U32}),
        "refused": ([], b"", {"auth_status": 1, "retry_after_ms": 1000}),
    }
    for name, (entries, model, changes) in acks.items():
        block = core.pack_control_extension_block(entries)
        metadata = hello_ack(control_extension_bytes=len(block), **changes)
        yield build(
            f"server_hello_ack-{name}",
            MessageType.SERVER_HELLO_ACK,
            metadata,
            block + model,
            session_id=7,
            flags=HeaderFlags.ACK_REQUIRED,
        )


def control_packets(random: Random) -> Iterator[Vector]:
    """Every other message that is neither a submit nor a result."""
    clamp = (64, 32, 3840, 2160)
    for mask, block in ((1, None), (0x3F, None), (0x40, clamp), (0x7F, clamp), (0, None)):
        metadata = core.SessionPatchMetadata(
            0, core.SessionPatchField(mask), 9000, 3, 2, U64, 3, 1, 16 if block else 0, random.getrandbits(16)
        )
        body = core.pack_session_patch_body(
            profile_patch_block=core.TensorProfilePatchBlock(*block) if block else None
        )
        yield build(f"session_patch-{mask:02x}", MessageType.SESSION_PATCH, metadata, body, **corners(random))
    for reason in core.SessionPatchRejectReason:
        status = core.SessionPatchAckStatus(int(reason) % 3)
        block = clamp if int(reason) % 2 else None
        metadata = core.SessionPatchAckMetadata(
            status,
            reason,
            core.SessionPatchField(0x0B),
            core.SessionPatchField(0x10),
            random.getrandbits(32),
            1,
            9000,
            2,
            3,
            3,
            1,
            3,
            16 if block else 0,
        )
        body = core.pack_session_patch_ack_body(
            profile_patch_ack_block=core.TensorProfilePatchAckBlock(*block) if block else None
        )
        name = f"session_patch_ack-{reason.name.lower()}"
        yield build(name, MessageType.SESSION_PATCH_ACK, metadata, body, **corners(random))
    for name, reason_text in (("empty", b""), ("text", b"going away"), ("utf8", "fertig – tschüss".encode())):
        yield build(f"close-{name}", MessageType.CLOSE, body=reason_text, **corners(random))
    for code in core.ErrorCode:
        text = f"because of {code.name}".encode() if int(code) % 3 else b""
        metadata = core.ErrorMetadata(
            int(code), core.ErrorScope(int(code) % 3), int(code) % 2, 40, 7, 42, 3, len(text)
        )
        yield build(f"error-{code.name.lower()}", MessageType.ERROR, metadata, text, **corners(random))
    for kind in range(1, 10):
        data = random.randbytes(kind * 3 - 3)
        metadata = core.CachePutMetadata(
            kind,
            random.getrandbits(32),
            U32,
            CacheObjectKind(kind),
            15000,
            len(data),
            1,
            core.CachePutFlags(kind % 4),
        )
        yield build(f"cache_put-{kind}", MessageType.CACHE_PUT, metadata, data, **corners(random))
    for status in core.CacheAckStatus:
        metadata = core.CacheAckMetadata(1, 2, U32, status, 0, 2048, 7 * int(status))
        yield build(f"cache_ack-{status.name.lower()}", MessageType.CACHE_ACK, metadata, **corners(random))
    for scope in core.CacheInvalidateScope:
        metadata = core.CacheInvalidateMetadata(scope, 1, 0x01020304, 0x05060708, int(scope))
        name = f"cache_invalidate-{scope.name.lower()}"
        yield build(name, MessageType.CACHE_INVALIDATE, metadata, **corners(random))
    for reason in core.FlowUpdateReason:
        for scope in core.FlowUpdateScopeKind:
            yield _flow_update(random, scope, reason)
    for reason in core.ResultHintReason:
        metadata = core.ResultHintMetadata(
            core.ResultHintBudgetPolicy(int(reason)),
            core.ResultHintCongestionState(int(reason) % 4),
            reason,
            random.getrandbits(32),
        )
        yield build(
            f"result_hint-{reason.name.lower()}", MessageType.RESULT_HINT, metadata, **frame_corners(random)
        )
    for size in (0, 1, 300):
        metadata = core.TransportProbeMetadata(random.getrandbits(32), size, random.getrandbits(64))
        yield build(f"transport_probe-{size}", MessageType.TRANSPORT_PROBE, metadata, b"P" * size, trace_id=5)
    for reserved in (0, U32):
        metadata = core.TransportProbeAckMetadata(9, reserved, U64)
        yield build(f"transport_probe_ack-{reserved:x}", MessageType.TRANSPORT_PROBE_ACK, metadata)
    for old, new, token in ((1, 2, b""), (2, 1, b"token"), (1, 1, b"\x00\xff")):
        metadata = core.SessionMigrateMetadata(core.TransportId(old), core.TransportId(new), U64, 1000000)
        yield build(
            f"session_migrate-{old}{new}", MessageType.SESSION_MIGRATE, metadata, token, **corners(random)
        )
    for accept, body in ((0, b""), (1, b""), (0x0002, b"why")):
        metadata = core.SessionMigrateAckMetadata(accept, 822, 50, U64)
        yield build(
            f"session_migrate_ack-{accept}",
            MessageType.SESSION_MIGRATE_ACK,
            metadata,
            body,
            **corners(random),
        )
    for message in (MessageType.FRAME_CANCEL, MessageType.RESULT_DROP, MessageType.PING, MessageType.PONG):
        yield build(f"{message.name.lower()}-plain", message, **frame_corners(random))


def _flow_update(random: Random, scope: Any, reason: Any) -> Vector:
    credit = random.choice([0, 1, U16])
    level = core.FlowUpdateBackpressureLevel(int(reason) % 3)
    flags = core.FlowUpdateFlags(random.randrange(16))
    metadata = core.FlowUpdateMetadata(
        scope,
        reason,
        level,
        connection_credit=credit if scope == core.FlowUpdateScopeKind.CONNECTION else 0,
        session_credit=credit if scope == core.FlowUpdateScopeKind.SESSION else 0,
        operation_credit=credit if scope == core.FlowUpdateScopeKind.OPERATION else 0,
        operation_id=(3 << 32 | 42) if scope == core.FlowUpdateScopeKind.OPERATION else 0,
        retry_after_ms=40 if flags & core.FlowUpdateFlags.RETRY_AFTER_VALID else 0,
        credit_epoch=random.getrandbits(32),
        flags=flags,
    )
    header = corners(random)
    if scope == core.FlowUpdateScopeKind.CONNECTION:
        header["session_id"] = 0
    name = f"flow_update-{scope.name.lower()}-{reason.name.lower()}"
    return build(name, MessageType.FLOW_UPDATE, metadata, **header)


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
    strided = {"tile_payloads": (b"\x01\x02\x03", b"", b"\x04"), "payload_stride_bytes": 4}
    yield submit("stride", random, tile_ids=(1, 2, 3), sections=sections_for(random, 3, **strided))
    codecs = {"codec_ids": (0, 1, 255), "default_codec_id": 1, "element_count_per_tile": U32}
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


def all_packets(random: Random) -> list[Vector]:
    """Every valid packet, in a fixed order."""
    return [
        *handshake_packets(),
        *control_packets(random),
        *submit_packets(random),
        *result_packets(random),
    ]

"""Valid control messages: the handshake with its extensions, and every other message that is not a frame."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from nnrp import core
from nnrp.core import CacheObjectKind, HeaderFlags, MessageType, PayloadKind

from vectorlib.vector import U16, U32, U64, Vector, build, corners, frame_corners


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
    for name, reason_text in (
        ("empty", b""),
        ("text", b"going away"),
        ("utf8", "fertig \N{EN DASH} tschüss".encode()),
    ):
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

"""What the generated half of `nnrp.core` says that the tables of the wire do not know.

The tables decide names, values, offsets, sizes, reserved space and rules. This file decides only what is
Python's own: the order of constructor arguments, defaults, which coded fields stay plain integers, and second
names of attributes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

HIDDEN = frozenset({"DegradePolicy", "ServerFlags", "ObjectRefMask"})
"""Code tables without a Python class: the fields that carry them are plain integers in Python."""

HEX_DIGITS = {"MessageType": 2, "ErrorCode": 4, "CacheObjectKind": 4}
"""Enumerations whose values read best in hexadecimal, with the number of digits."""

SATURATING = frozenset({"inference_ms", "queue_ms", "server_total_ms", "latency_budget_ms"})
"""Durations that are written as the highest number when they are longer than it can say."""


@dataclass(frozen=True)
class Alias:
    """A second, read-only name of an attribute."""

    name: str
    type: str
    expression: str
    doc: str


@dataclass(frozen=True)
class Extra:
    """A keyword-only attribute that is not on the wire and not compared."""

    name: str
    doc: str


@dataclass(frozen=True)
class Overlay:
    """What Python adds to one layout."""

    defaults: dict[str, str] = field(default_factory=dict)
    """Default values, as expressions; a field without one is required."""
    plain: frozenset[str] = frozenset()
    """Coded fields that are plain integers in Python."""
    last: tuple[str, ...] = ()
    """Fields that the constructor takes after all others instead of in the order of the wire."""
    renamed: dict[str, str] = field(default_factory=dict)
    """Names on the wire to names in Python."""
    unseen: frozenset[str] = frozenset()
    """Reserved fields without an attribute: written as 0, lost on reading."""
    checked: bool = False
    """Whether the rules are applied on construction, not only by `pack()` and `unpack()`."""
    aliases: tuple[Alias, ...] = ()
    extras: tuple[Extra, ...] = ()
    init_alias: tuple[str, str] | None = None
    """A keyword that the constructor takes in place of a field, and that field."""
    base: str = "Metadata"


def _zero(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, "0")


OVERLAYS: dict[str, Overlay] = {
    "ClientHelloMetadata": Overlay(
        plain=frozenset({"supported_payload_kind_bitmap", "degrade_policy"}),
        aliases=(
            Alias("session_id", "int", "self.requested_session_id", "The session id that is asked for."),
            Alias("max_views", "int", "self.max_lane_count", "The number of logical lanes."),
            Alias(
                "enable_cache",
                "bool",
                "self.cache_namespace_count > 0",
                "Whether the client can cache objects.",
            ),
            Alias(
                "payload_kind_mask",
                "PayloadKind",
                "PayloadKind(self.supported_payload_kind_bitmap)",
                "The declared payload kinds as a flag.",
            ),
        ),
    ),
    "ServerHelloAckMetadata": Overlay(
        plain=frozenset(
            {"accepted_payload_kind_bitmap", "degrade_policy", "server_flags", "selected_wire_format"}
        ),
        defaults=_zero("reserved0"),
        last=("reserved0",),
        aliases=(
            Alias("enable_cache", "bool", "self.server_flags & 1 != 0", "Whether the server caches objects."),
            Alias(
                "payload_kind_mask",
                "PayloadKind",
                "PayloadKind(self.accepted_payload_kind_bitmap)",
                "The accepted payload kinds as a flag.",
            ),
        ),
    ),
    "SessionPatchMetadata": Overlay(
        plain=frozenset({"degrade_policy"}),
        defaults=_zero("reserved0"),
        last=("reserved0",),
        aliases=(
            Alias("patch_fields", "SessionPatchField", "self.patch_mask", "The fields that are meant."),
            Alias("target_cadence", "int", "self.target_cadence_x100 // 100", "Whole frames per second."),
            Alias("preferred_codec", "int", "self.preferred_codec_bitmap", "The preferred codecs."),
            Alias(
                "preferred_compression",
                "int",
                "self.preferred_compression_bitmap",
                "The preferred compressions.",
            ),
        ),
    ),
    "SessionPatchAckMetadata": Overlay(
        plain=frozenset({"effective_degrade_policy"}),
        defaults=_zero("reserved0"),
        last=("reserved0",),
        aliases=(
            Alias("status", "SessionPatchAckStatus", "self.ack_status", "How much of the patch was applied."),
            Alias(
                "patch_fields",
                "SessionPatchField",
                "self.applied_patch_mask & ~self.rejected_patch_mask",
                "The fields now in force; one that is also named as refused is not (R-PACK-2).",
            ),
            Alias(
                "rejected_fields",
                "dict[SessionPatchField, SessionPatchRejectReason]",
                "dict.fromkeys(SessionPatchField(self.rejected_patch_mask), self.reject_reason)",
                "Each refused field with the reason.",
            ),
        ),
    ),
    "TensorProfilePatchBlock": Overlay(),
    "TensorProfilePatchAckBlock": Overlay(),
    "ErrorMetadata": Overlay(
        plain=frozenset({"error_code"}),
        aliases=(
            Alias("session_id", "int", "self.related_session_id", "The session concerned, or 0."),
            Alias("frame_id", "int", "self.related_frame_id", "The frame concerned, or 0."),
        ),
    ),
    "FrameSubmitMetadata": Overlay(
        plain=frozenset({"frame_class", "object_ref_mask"}),
        # Programs name the first fields by position; the published package has these two behind the policies.
        last=(
            "reserved1",
            "reserved2",
            "loss_tolerance_policy",
            "reserved3",
            "object_ref_mask",
            "dependency_frame_id",
            "payload_kind_bitmap",
            "payload_frame_count",
            "reserved4",
        ),
        defaults={
            "submit_mode": "SubmitMode.INLINE",
            "budget_policy": "BudgetPolicy.NONE",
            **_zero("reserved1", "reserved2"),
            "loss_tolerance_policy": "INHERIT_LOSS_TOLERANCE",
            **_zero("reserved3", "object_ref_mask", "dependency_frame_id"),
            "payload_kind_bitmap": "PayloadKind.TENSOR",
            **_zero("payload_frame_count", "reserved4"),
        },
        checked=True,
        init_alias=("inference_budget_ms", "latency_budget_ms"),
        aliases=(
            Alias(
                "inference_budget_ms", "int", "self.latency_budget_ms", "Another name of `latency_budget_ms`."
            ),
        ),
        extras=(
            Extra("frame_id", "The frame id, which the wire has in the header; 0 when it is not known."),
            Extra(
                "deadline_ms", "Unix time in milliseconds at which the budget runs out; 0 for no deadline."
            ),
        ),
    ),
    "ResultPushMetadata": Overlay(
        defaults={
            **_zero("reserved2", "reserved3"),
            "result_class": "ResultClass.COMPLETE",
            "applied_budget_policy": "BudgetPolicy.NONE",
            **_zero("reserved4", "reused_frame_id", "covered_tile_count", "dropped_tile_count"),
            "payload_kind_bitmap": "PayloadKind.TENSOR",
            **_zero("payload_frame_count", "reserved5"),
        },
        checked=True,
        aliases=(
            Alias(
                "tile_index_mode",
                "TileIndexMode",
                "TileIndexMode.RAW_U16 if self.tile_index_bytes else TileIndexMode.DENSE_RANGE",
                "How the tile ids are written; the length of the tile index tells.",
            ),
        ),
    ),
    "CachePutMetadata": Overlay(defaults={"flags": "CachePutFlags.NONE"}, checked=True),
    "CacheAckMetadata": Overlay(
        aliases=(
            Alias(
                "key", "tuple[int, int]", "(self.cache_key_hi, self.cache_key_lo)", "Both halves of the key."
            ),
        ),
    ),
    "CacheInvalidateMetadata": Overlay(
        checked=True,
        aliases=(Alias("scope", "CacheInvalidateScope", "self.invalidate_scope", "What is invalidated."),),
    ),
    "FlowUpdateMetadata": Overlay(
        defaults={
            "scope_kind": "FlowUpdateScopeKind.SESSION",
            "update_reason": "FlowUpdateReason.GRANT",
            "backpressure_level": "FlowUpdateBackpressureLevel.NONE",
            **_zero("connection_credit", "session_credit", "operation_credit"),
            **_zero("operation_id", "retry_after_ms", "credit_epoch"),
            "flags": "FlowUpdateFlags.NONE",
        },
        renamed={"flow_flags": "flags"},
        unseen=frozenset({"reserved0", "reserved1"}),
        aliases=(
            Alias("reason", "FlowUpdateReason", "self.update_reason", "Why the update was sent."),
            Alias(
                "backpressure",
                "FlowUpdateBackpressureLevel",
                "self.backpressure_level",
                "How urgently the sender should slow down.",
            ),
        ),
    ),
    "ResultHintMetadata": Overlay(
        defaults={
            "applied_budget_policy": "ResultHintBudgetPolicy.NONE",
            "congestion_state": "ResultHintCongestionState.NONE",
            "reason": "ResultHintReason.NONE",
            "retry_after_ms": "0",
        },
        base="FrameNote",
        aliases=(
            Alias(
                "budget_policy",
                "ResultHintBudgetPolicy",
                "self.applied_budget_policy",
                "What the server did to save work.",
            ),
            Alias(
                "estimated_wait_ms", "int", "self.retry_after_ms", "Milliseconds to wait; 0 for no advice."
            ),
        ),
    ),
    "TransportProbeMetadata": Overlay(),
    "TransportProbeAckMetadata": Overlay(),
    "SessionMigrateMetadata": Overlay(),
    "SessionMigrateAckMetadata": Overlay(),
    "BodyRegionPrelude": Overlay(defaults=_zero("body_flags", "reserved"), checked=True),
    "InlineObjectBlockHeader": Overlay(defaults=_zero("reserved1"), checked=True),
    "ObjectReferenceBlock": Overlay(checked=True),
    "TypedPayloadDescriptor": Overlay(defaults=_zero("reserved"), checked=True),
    "ExtensionFrameDescriptor": Overlay(checked=True),
    "TensorSectionDesc": Overlay(defaults=_zero("reserved")),
}

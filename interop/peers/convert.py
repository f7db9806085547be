"""Scenario values to ``nnrp`` objects, and what arrived back to scenario values."""

from __future__ import annotations

import dataclasses
from typing import Any

from nnrp import core
from nnrp.client import SubmitRequest, TypedPayload

from interop.model import RAW_U16, Control, Drop, Extension, Push, Reference, Section, Submit, Typed

#: Parameters that take an enum member, by name.
ENUMS: dict[str, Any] = {
    "dtype_id": core.TensorDType,
    "layout_id": core.TensorLayout,
    "scale_policy": core.ScalePolicy,
    "input_profile": core.InputProfile,
    "tile_index_mode": core.TileIndexMode,
    "submit_mode": core.SubmitMode,
    "budget_policy": core.BudgetPolicy,
    "applied_budget_policy": core.BudgetPolicy,
    "payload_kind_bitmap": core.PayloadKind,
    "result_flags": core.ResultFlags,
    "result_class": core.ResultClass,
    "object_kind": core.CacheObjectKind,
    "payload_kind": core.PayloadKind,
}

#: Metadata class of each control message that has one.
METADATA: dict[str, Any] = {
    "FLOW_UPDATE": core.FlowUpdateMetadata,
    "RESULT_HINT": core.ResultHintMetadata,
    "SESSION_PATCH": core.SessionPatchMetadata,
    "SESSION_PATCH_ACK": core.SessionPatchAckMetadata,
    "CACHE_PUT": core.CachePutMetadata,
    "CACHE_ACK": core.CacheAckMetadata,
}

CONTROL_ENUMS: dict[str, dict[str, Any]] = {
    "FLOW_UPDATE": {
        "scope_kind": core.FlowUpdateScopeKind,
        "update_reason": core.FlowUpdateReason,
        "backpressure_level": core.FlowUpdateBackpressureLevel,
        "flags": core.FlowUpdateFlags,
    },
    "RESULT_HINT": {
        "applied_budget_policy": core.ResultHintBudgetPolicy,
        "congestion_state": core.ResultHintCongestionState,
        "reason": core.ResultHintReason,
    },
    "SESSION_PATCH": {"patch_mask": core.SessionPatchField},
    "CACHE_PUT": {"object_kind": core.CacheObjectKind, "flags": core.CachePutFlags},
}


def arguments(value: Any, *without: str) -> dict[str, Any]:
    """The fields of a scenario value as keyword arguments of the API call with the same names."""
    return {
        field.name: _argument(field.name, getattr(value, field.name))
        for field in dataclasses.fields(value)
        if field.name not in without
    }


def _argument(name: str, value: Any) -> Any:
    if name == "sections":
        return tuple(core.TensorSectionData(**arguments(section)) for section in value)
    if name == "typed_payloads":
        return tuple(TypedPayload(**arguments(payload)) for payload in value)
    if isinstance(value, Reference):
        return core.ObjectReferenceBlock(ref_flags=0, **arguments(value))
    if name == "flags":
        return core.HeaderFlags(value)
    return ENUMS[name](value) if name in ENUMS else value


def submit_request(submit: Submit) -> SubmitRequest:
    """The request that sends ``submit``."""
    return SubmitRequest(**arguments(submit))


def control_metadata(control: Control) -> Any:
    """The metadata object of a control message."""
    enums = CONTROL_ENUMS.get(control.message, {})
    fields = {name: enums[name](value) if name in enums else value for name, value in control.fields}
    return METADATA[control.message](**fields)


def control_packet(control: Control, session_id: int) -> core.NnrpPacket:
    """The whole packet of a control message."""
    metadata = control_metadata(control).pack() if control.message in METADATA else b""
    return core.NnrpPacket.build(
        msg_type=core.MessageType[control.message],
        version_major=1,
        wire_format=core.WireFormat.CURRENT,
        session_id=session_id,
        frame_id=control.frame_id,
        view_id=control.view_id,
        trace_id=control.trace_id,
        metadata=metadata,
        body=control.body,
    )


def control_seen(packet: core.NnrpPacket, expected: Control) -> Control:
    """What arrived, reduced to the fields the scenario names. The session id is for the caller to check."""
    name = packet.header.msg_type.name
    fields: tuple[tuple[str, int], ...] = ()
    if name == expected.message and name in METADATA:
        metadata = METADATA[name].unpack(packet.metadata)
        fields = tuple((field, int(getattr(metadata, field))) for field, _ in expected.fields)
    header = packet.header
    return Control(
        name,
        fields,
        bytes(packet.body),
        header.frame_id,
        header.view_id,
        header.trace_id,
        expected.connection_scope,
    )


def submit_seen(received: Any) -> Submit:
    """A ``ReceivedSubmit`` as a scenario value, header and metadata included."""
    request, header, metadata = received.request, received.packet.header, received.metadata
    values = {field.name: getattr(request, field.name) for field in dataclasses.fields(Submit)}
    for name in ("frame_id", "view_id", "route_id", "trace_id", "flags"):
        values[name] = int(getattr(header, name))
        if values[name] != int(getattr(request, name)):
            raise AssertionError(
                f"request.{name} differs from the header: {getattr(request, name)} and {values[name]}"
            )
    for name, value in values.items():
        if name in ENUMS or name == "latency_budget_ms":
            values[name] = int(value)
            if int(getattr(metadata, name)) != int(value):
                raise AssertionError(
                    f"request.{name} differs from the metadata: {value} and {getattr(metadata, name)}"
                )
    values["camera_block"] = bytes(values["camera_block"])
    values["tile_ids"] = tuple(values["tile_ids"])
    values["sections"] = tuple(_section_seen(section) for section in request.sections)
    values["typed_payloads"] = tuple(_typed_seen(payload) for payload in request.typed_payloads)
    for name in ("camera_reference", "tile_index_reference", "tensor_section_table_reference"):
        values[name] = _reference_seen(values[name])
    return Submit(**values)


def result_seen(result: Any) -> Push | Drop:
    """A client's ``Result`` as a scenario value."""
    header = result.packet.header
    ids = {
        name: int(getattr(header, name)) for name in ("frame_id", "view_id", "route_id", "trace_id", "flags")
    }
    if result.is_drop:
        return Drop(**ids)
    metadata = result.metadata
    special = {*ids, "tile_ids", "sections", "typed_payloads", "tile_index_mode"}
    values = {
        field.name: int(getattr(metadata, field.name))
        for field in dataclasses.fields(Push)
        if field.name not in special
    }
    return Push(
        tile_ids=tuple(result.tile_ids),
        sections=tuple(_section_view_seen(section) for section in result.sections),
        typed_payloads=tuple(_typed_seen(payload) for payload in result.typed_payloads),
        tile_index_mode=RAW_U16 if metadata.tile_index_bytes else 0,
        **ids,
        **values,
    )


def extension_seen(entry: Any) -> Extension:
    """One control extension entry."""
    return Extension(entry.ext_type, bytes(entry.payload), int(entry.ext_flags))


def extension_block(extensions: tuple[Extension, ...]) -> bytes:
    """The extension block a client hands to its connect function."""
    return core.pack_control_extension_block(
        core.ControlExtensionEntry(entry.ext_type, core.ControlExtensionFlags(entry.ext_flags), entry.payload)
        for entry in extensions
    )


def _section_seen(section: Any) -> Section:
    codecs = tuple(section.codec_ids)
    if all(codec == section.default_codec_id for codec in codecs):
        codecs = ()
    return Section(
        section.role_id,
        int(section.dtype_id),
        tuple(bytes(payload) for payload in section.tile_payloads),
        section.default_codec_id,
        codecs,
        int(section.layout_id),
        int(section.scale_policy),
        section.payload_stride_bytes,
        section.element_count_per_tile,
    )


def _section_view_seen(view: Any) -> Section:
    desc = view.desc
    return Section(
        desc.role_id,
        int(desc.dtype_id),
        tuple(bytes(payload) for payload in view.payload_slices()),
        desc.codec_id,
        tuple(bytes(view.codec_table)),
        int(desc.layout_id),
        int(desc.scale_policy),
        desc.payload_stride_bytes,
        desc.element_count_per_tile,
    )


def _typed_seen(payload: Any) -> Typed:
    return Typed(int(payload.payload_kind), bytes(payload.payload), payload.profile_id)


def _reference_seen(block: Any) -> Reference | None:
    if block is None:
        return None
    return Reference(int(block.object_kind), block.cache_namespace, block.cache_key_hi, block.cache_key_lo)

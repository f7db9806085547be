"""The documentation's names work on objects whose fields have the reference package's names."""

import dataclasses

import pytest

from nnrp.core import (
    CacheAckMetadata,
    CacheAckStatus,
    CacheInvalidateMetadata,
    CacheInvalidateScope,
    ClientHelloMetadata,
    ControlExtensionEntry,
    ControlExtensionFlags,
    ErrorMetadata,
    FlowUpdateBackpressureLevel,
    FlowUpdateMetadata,
    FlowUpdateReason,
    FrameSubmitMetadata,
    PayloadKind,
    ResultHintBudgetPolicy,
    ResultHintMetadata,
    ResultPushMetadata,
    ServerHelloAckMetadata,
    SessionPatchAckMetadata,
    SessionPatchAckStatus,
    SessionPatchField,
    SessionPatchMetadata,
    SessionPatchRejectReason,
    TileIndexMode,
)


def numbered(cls, **changes):
    """An object whose fields are 0 except for `changes`."""
    required = {f.name: 0 for f in dataclasses.fields(cls) if f.default is dataclasses.MISSING and f.init}
    return cls(**(required | changes))


def test_client_hello():
    hello = numbered(
        ClientHelloMetadata,
        requested_session_id=7,
        max_lane_count=3,
        cache_namespace_count=1,
        supported_payload_kind_bitmap=3,
    )
    assert (hello.session_id, hello.max_views, hello.enable_cache) == (7, 3, True)
    assert hello.payload_kind_mask == PayloadKind.TENSOR | PayloadKind.TOKEN_CHUNK
    assert isinstance(hello.payload_kind_mask, PayloadKind)
    assert numbered(ClientHelloMetadata).enable_cache is False


def test_server_hello_ack():
    ack = numbered(ServerHelloAckMetadata, server_flags=3, accepted_payload_kind_bitmap=0x7F)
    assert ack.enable_cache is True
    assert ack.payload_kind_mask == PayloadKind(0x7F)
    assert numbered(ServerHelloAckMetadata, server_flags=2).enable_cache is False


def test_session_patch():
    patch = numbered(
        SessionPatchMetadata,
        patch_mask=SessionPatchField.TARGET_CADENCE,
        target_cadence_x100=5990,
        preferred_codec_bitmap=2,
        preferred_compression_bitmap=1,
    )
    assert patch.patch_fields is SessionPatchField.TARGET_CADENCE
    assert (patch.target_cadence, patch.preferred_codec, patch.preferred_compression) == (59, 2, 1)


def test_session_patch_ack():
    ack = numbered(
        SessionPatchAckMetadata,
        ack_status=1,
        reject_reason=3,
        applied_patch_mask=0x0B,
        rejected_patch_mask=0x30,
    )
    assert ack.status is SessionPatchAckStatus.PARTIALLY_APPLIED
    assert ack.patch_fields == SessionPatchField(0x0B)
    ack.rejected_patch_mask |= SessionPatchField(0x01)
    assert ack.patch_fields == SessionPatchField(0x0A), "both is refused (R-PACK-2)"
    ack.rejected_patch_mask = SessionPatchField(0x30)
    reason = SessionPatchRejectReason.UNSUPPORTED_STRATEGY
    assert ack.rejected_fields == {
        SessionPatchField.PREFERRED_CODEC: reason,
        SessionPatchField.PREFERRED_COMPRESSION: reason,
    }


def test_error_and_cache():
    error = numbered(ErrorMetadata, related_session_id=7, related_frame_id=42)
    assert (error.session_id, error.frame_id) == (7, 42)
    ack = CacheAckMetadata(1, 2, 3, CacheAckStatus.ACCEPTED, 0, 0, 0)
    assert ack.key == (2, 3)
    assert CacheInvalidateMetadata(3, 0, 0, 0, 0).scope is CacheInvalidateScope.OBJECT_KEY


def test_flow_update_and_result_hint():
    update = FlowUpdateMetadata(update_reason=2, backpressure_level=2)
    assert update.reason is FlowUpdateReason.PAUSE
    assert update.backpressure is FlowUpdateBackpressureLevel.HARD
    hint = ResultHintMetadata(applied_budget_policy=4, retry_after_ms=60)
    assert hint.budget_policy is ResultHintBudgetPolicy.DROP
    assert hint.estimated_wait_ms == 60
    assert hint.frame_id == 0


def test_control_extension_entry():
    entry = ControlExtensionEntry(0x8001, 1, b"x")
    assert (entry.type_id, entry.flags) == (0x8001, ControlExtensionFlags.CRITICAL)


def test_inference_budget_is_the_latency_budget():
    by_docs = numbered(FrameSubmitMetadata, latency_budget_ms=50)
    fields = {name: getattr(by_docs, name) for name in FrameSubmitMetadata.__slots__}
    fields["inference_budget_ms"] = fields.pop("latency_budget_ms")
    assert FrameSubmitMetadata(**fields) == by_docs
    assert by_docs.inference_budget_ms == 50


def test_frame_id_and_deadline_are_notes_beside_the_wire():
    plain = numbered(FrameSubmitMetadata)
    noted = numbered(FrameSubmitMetadata, frame_id=9, deadline_ms=1_700_000_000_000)
    assert noted == plain
    assert noted.pack() == plain.pack()
    with pytest.raises(TypeError):
        FrameSubmitMetadata(*range(29))


def test_result_tile_index_mode_follows_from_the_length():
    assert numbered(ResultPushMetadata).tile_index_mode is TileIndexMode.DENSE_RANGE
    assert numbered(ResultPushMetadata, tile_index_bytes=4).tile_index_mode is TileIndexMode.RAW_U16


@pytest.mark.parametrize("name", ["session_id", "max_views", "payload_kind_mask"])
def test_aliases_are_read_only(name):
    with pytest.raises(AttributeError):
        setattr(numbered(ClientHelloMetadata), name, 1)

"""What a fixed layout refuses, and when it does."""

import dataclasses

import pytest
from strategies import LAYOUTS

from nnrp import core
from nnrp.core import (
    CachePutMetadata,
    ErrorMetadata,
    FlowUpdateMetadata,
    FrameSubmitMetadata,
    ObjectReferenceBlock,
    PayloadKind,
    ResultClass,
    ResultHintMetadata,
    ResultPushMetadata,
    TensorProfilePatchBlock,
    TypedPayloadDescriptor,
    validate_result_push_tensor_coverage,
)


def zeros(cls, **changes):
    """An object whose required fields are 0 except for `changes`."""
    required = {field.name: 0 for field in dataclasses.fields(cls) if field.default is dataclasses.MISSING}
    return cls(**(required | changes))


def submit(**changes):
    return zeros(FrameSubmitMetadata, **changes)


def result(**changes):
    return zeros(ResultPushMetadata, **changes)


@pytest.mark.parametrize("name", LAYOUTS)
def test_wrong_length(name):
    cls = getattr(core, name)
    length = cls.STRUCT.size
    for wrong in (0, 1, length - 1, length + 1):
        with pytest.raises(ValueError, match=f"expected {length} bytes, got {wrong}"):
            cls.unpack(bytes(wrong))


@pytest.mark.parametrize("bad", [-1, 1 << 16])
def test_number_that_does_not_fit_its_field_is_named(bad):
    with pytest.raises(ValueError, match="src_width must be between 0 and 65535"):
        submit(src_width=bad).pack()


def test_float_is_a_type_error():
    with pytest.raises(TypeError, match="min_width must be an integer, not float"):
        TensorProfilePatchBlock(1.0, 2, 3, 4).pack()
    with pytest.raises(TypeError, match="input_profile"):
        submit(input_profile=1.0).pack()


def test_text_is_a_type_error():
    with pytest.raises(TypeError):
        ResultHintMetadata.unpack("0" * 16)


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        (submit(latency_budget_ms=70_000), "latency_budget_ms"),
        (result(inference_ms=70_000), "inference_ms"),
        (result(queue_ms=70_000), "queue_ms"),
        (result(server_total_ms=70_000), "server_total_ms"),
    ],
)
def test_durations_saturate_on_the_wire(metadata, field):
    assert getattr(type(metadata).unpack(metadata.pack()), field) == 0xFFFF


def test_plain_numbers_become_members_on_construction():
    assert result(result_class=1).result_class is ResultClass.PARTIAL
    assert ResultHintMetadata(reason=2).reason is core.ResultHintReason.SERVER_BUSY
    metadata = submit(payload_kind_bitmap=1)
    assert metadata.payload_kind_bitmap is PayloadKind.TENSOR


@pytest.mark.parametrize(
    "make",
    [
        lambda: submit(submit_mode=3),
        lambda: submit(budget_policy=0x10),
        lambda: submit(loss_tolerance_policy=4),
        lambda: submit(payload_kind_bitmap=0x80),
        lambda: submit(payload_kind_bitmap=2, tile_count=1),
        lambda: result(result_class=4),
        lambda: result(payload_kind_bitmap=2, covered_tile_count=1),
        lambda: TypedPayloadDescriptor(3, 0, 0, 0, 0),
        lambda: TypedPayloadDescriptor(PayloadKind.TOKEN_CHUNK, 1, 0, 0, 0),
        lambda: ObjectReferenceBlock(99, 0, 0, 0, 0),
        lambda: core.BodyRegionPrelude(0, 0, 1, 0, 0, 0),
        lambda: core.InlineObjectBlockHeader(1, 1, 0, 0, 0),
        lambda: core.ExtensionFrameDescriptor(1, 2, 0, 0, 0, 0),
        lambda: core.CacheInvalidateMetadata(4, 0, 0, 0, 0),
        lambda: CachePutMetadata(0, 0, 0, 99, 0, 0, 0),
    ],
)
def test_data_plane_blocks_are_checked_on_construction(make):
    with pytest.raises(ValueError, match=r"R-"):
        make()


@pytest.mark.parametrize(
    "metadata",
    [
        FlowUpdateMetadata(connection_credit=1),
        FlowUpdateMetadata(retry_after_ms=1),
        FlowUpdateMetadata(flags=16),
        ResultHintMetadata(reason=5),
        ErrorMetadata(1, 3, 0, 0, 0, 0, 0, 0),
        core.SessionMigrateMetadata(0, 1, 0, 0),
        core.TensorSectionDesc(1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0),
    ],
)
def test_control_metadata_is_checked_when_packed(metadata):
    with pytest.raises(ValueError, match=r"R-"):
        metadata.pack()


def test_changed_fields_are_checked_when_packed():
    metadata = submit()
    metadata.budget_policy = 0x80
    with pytest.raises(ValueError, match="budget_policy contains unknown bits"):
        metadata.pack()


def test_bytes_of_a_broken_object_can_be_made_with_struct():
    raw = ResultHintMetadata.STRUCT.pack(0, 0, 9, 0)
    with pytest.raises(ValueError, match="9 is not a valid ResultHintReason"):
        ResultHintMetadata.unpack(raw)


def test_error_codes_without_a_name_are_kept():
    assert ErrorMetadata.unpack(ErrorMetadata(0x99, 0, 0, 0, 0, 0, 0, 0).pack()).error_code == 0x99


def test_tile_counts_are_judged_apart_from_the_metadata():
    short = result(tile_count=2, covered_tile_count=1)
    assert ResultPushMetadata.unpack(short.pack()) == short
    with pytest.raises(ValueError, match="R-RES-6"):
        validate_result_push_tensor_coverage(short)
    with pytest.raises(ValueError, match="R-RES-7"):
        validate_result_push_tensor_coverage(result(tile_count=1, covered_tile_count=1, result_class=1))
    validate_result_push_tensor_coverage(
        result(tile_count=2, covered_tile_count=1, dropped_tile_count=1, result_class=1)
    )

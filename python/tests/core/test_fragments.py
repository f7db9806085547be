"""The parts of error texts that programs match on."""

import struct

import pytest

from nnrp import core
from nnrp.core import (
    ControlExtensionEntry,
    FlowUpdateMetadata,
    FlowUpdateScopeKind,
    PayloadKind,
    TensorDType,
    TensorSectionData,
    TileIndexMode,
)

TWO = TensorSectionData(5, 0, TensorDType.UINT8, (b"abc", b"de"))
EARLIER = TensorSectionData(4, 0, TensorDType.UINT8, (b"abc", b"de"))
CAMERA = core.build_camera_inline_object_block(b"cam")
TOKEN = core.build_token_chunk_frame(b"hi")


def flow(**fields):
    return lambda: FlowUpdateMetadata(**fields).pack()


def extension(kind, ext_type, payload):
    parse = getattr(core, f"parse_{kind}_extension")
    return lambda: parse(ControlExtensionEntry(ext_type, payload=payload))


def submit(**fields):
    return lambda: core.build_frame_submit_packet(7, 42, **fields)


def result(**fields):
    return lambda: core.build_result_push_packet(7, 42, **fields)


CASES = [
    ("expected header-only control packet type", lambda: core.build_header_only_packet(msg_type=0x12)),
    ("3 is not a valid TransportId", lambda: core.SessionMigrateMetadata(3, 1, 0, 0).pack()),
    ("transport id must not be unspecified", lambda: core.SessionMigrateMetadata(0, 1, 0, 0).pack()),
    ("expected 16 bytes, got 3", lambda: core.ResultHintMetadata.unpack(b"123")),
    ("truncated control extension", lambda: core.unpack_control_extension_block(b"123")),
    ("truncated control extension", lambda: core.unpack_control_extension_block(b"\1\0\0\0\x09\0\0\0")),
    ("session-scope FLOW_UPDATE", flow(connection_credit=1)),
    (
        "session-scope",
        lambda: core.build_flow_update_packet(metadata=FlowUpdateMetadata(FlowUpdateScopeKind.SESSION)),
    ),
    ("unknown FLOW_UPDATE flags", flow(flags=16)),
    ("retry_after_ms requires RETRY_AFTER_VALID", flow(retry_after_ms=1)),
    (
        "expected empty SESSION_PATCH body",
        lambda: core.unpack_session_patch_body(b"x", profile_patch_bytes=0),
    ),
    ("must be 0 or 16", lambda: core.unpack_session_patch_body(b"", profile_patch_bytes=8)),
    (
        "expected 16 SESSION_PATCH_ACK body bytes",
        lambda: core.unpack_session_patch_ack_body(b"", profile_patch_ack_bytes=16),
    ),
    ("budget_policy contains unknown bits", submit(budget_policy=0x80)),
    ("budget_policy contains unknown bits", result(applied_budget_policy=0x80)),
    ("payload_kind_bitmap contains unknown bits", submit(payload_kind_bitmap=PayloadKind(0x80))),
    (
        "typed_payload_descriptor_bytes must be a multiple",
        lambda: core.pack_body(typed_payload_descriptor_region=b"x"),
    ),
    ("payload_kind must contain exactly one", lambda: core.build_typed_payload_frame(3, b"")),
    ("payload_kind must contain exactly one", lambda: core.build_typed_payload_frame(0x80, b"")),
    ("extension_flags contains unknown bits", lambda: core.build_extension_frame(1, b"", extension_flags=2)),
    (
        "unknown critical extension frame kind",
        lambda: core.unpack_extension_frames(
            *core.pack_extension_frames([core.build_extension_frame(9, b"", extension_flags=1)]),
            known_extension_kinds={8},
        ),
    ),
    ("tensor payloads must be encoded", lambda: core.build_typed_payload_frame(PayloadKind.TENSOR, b"")),
    ("expected AUDIO_CHUNK", lambda: core.parse_audio_chunk_frame(TOKEN)),
    ("expected CAMERA_BLOCK", lambda: core.parse_camera_reference_block(b"\2" + bytes(15))),
    ("expected TILE_INDEX_BLOCK", lambda: core.parse_tile_index_inline_object_block(CAMERA)),
    ("zero", lambda: core.unpack_inline_object_block(CAMERA[:-1] + b"x")),
    ("zero", lambda: core.unpack_tensor_body(b"\5\0\1" + bytes(5), 1, tile_index_bytes=2)),
    (
        "dense_range tile ids must be contiguous",
        lambda: core.pack_tile_index_block((1, 3), mode=TileIndexMode.DENSE_RANGE, tile_base_id=1),
    ),
    (
        "bitset decoded 1 tile ids, expected 2",
        lambda: core.unpack_tile_index_block(b"\1", TileIndexMode.BITSET, tile_count=2),
    ),
    ("tensor sections must be ordered", submit(tile_ids=(1, 2), sections=(TWO, EARLIER))),
    (
        "exceeds fixed stride",
        lambda: core.pack_tensor_section_data(
            TensorSectionData(1, 0, TensorDType.UINT8, (b"abc",), payload_stride_bytes=2)
        ),
    ),
    (
        "non-tensor RESULT_PUSH current builder does not accept tile_ids",
        result(payload_kind_bitmap=PayloadKind.TOKEN_CHUNK, tile_ids=(1,)),
    ),
    (
        "non-tensor RESULT_PUSH current builder does not accept covered_tile_count",
        result(payload_kind_bitmap=PayloadKind.TOKEN_CHUNK, covered_tile_count=1),
    ),
    ("reserved fields must be zero", extension("client_hello_loss_tolerance", 0x103, b"\1" * 8)),
    (
        "reserved fields must be zero",
        extension("server_hello_ack_loss_tolerance", 0x104, b"\1\0\0\0\0\0\0\1"),
    ),
    ("unknown payload kind bits", extension("client_hello_payload_capabilities", 0x105, b"\x80" + bytes(7))),
    (
        "critical extension frame bitmap must be zero",
        extension("server_hello_ack_payload_capabilities", 0x106, struct.pack("<II", 1, 1)),
    ),
    *(
        (
            f"unexpected {side} {what} extension type",
            extension(f"{side.replace(' ', '_')}_{name}", 0x7777, bytes(8)),
        )
        for side in ("client hello", "server hello ack")
        for what, name in (
            ("transport", "transport_policy"),
            ("loss tolerance", "loss_tolerance"),
            ("payload capabilities", "payload_capabilities"),
        )
    ),
]


@pytest.mark.parametrize(("fragment", "provoke"), CASES)
def test_fragment(fragment, provoke):
    with pytest.raises(ValueError, match=fragment):
        provoke()


@pytest.mark.parametrize("field", ["tile_count", "covered_tile_count"])
def test_tensor_counts_without_tensor(field):
    fields = dict.fromkeys(core.ResultPushMetadata.__slots__, 0) | {"payload_kind_bitmap": 2, field: 1}
    with pytest.raises(ValueError, match=f"{field} must be 0"):
        core.ResultPushMetadata(**fields)


def test_texts_that_are_compared_as_a_whole():
    with pytest.raises(ValueError, match="zero") as refused:
        core.unpack_control_extension_block(b"\1\0\0\0\1\0\0\0ab" + bytes(6))
    assert str(refused.value) == "control extension padding must be zero"
    block = core.pack_control_extension_block([ControlExtensionEntry(0x8002, 1)])
    with pytest.raises(ValueError, match="0x8002") as refused:
        core.unpack_control_extension_block(block, known_types={0x101})
    assert str(refused.value) == "unknown critical control extension type: 0x8002"

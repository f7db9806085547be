"""The parts of composed bodies: objects, references, typed payloads, extension frames, the six regions."""

import dataclasses

import pytest

from nnrp import core
from nnrp.core import CacheObjectKind, ExtensionFrameFlags, PayloadKind, TileIndexMode

KEY = {"cache_namespace": 1, "cache_key_hi": 0xAABBCCDD, "cache_key_lo": 0x11223344}
TOKEN = core.build_token_chunk_frame(b"hello", profile_id=3)
DELTA = core.build_tool_delta_frame(b"{}")


def test_inline_objects_divide_into_views():
    blocks = [
        core.build_camera_inline_object_block(b"cam"),
        core.build_tile_index_inline_object_block((5, 6), mode=TileIndexMode.RAW_U16),
        core.build_tensor_section_table_inline_object_block(b"whatever", profile_id=4),
    ]
    region = b"".join(blocks)
    camera, index, table = core.unpack_inline_object_blocks(region)
    assert [bytes(view.payload) for view in (camera, index, table)] == [b"cam", b"\5\0\6\0", b"whatever"]
    assert table.header.profile_id == 4
    assert camera.payload.readonly
    assert camera.payload.obj is region
    assert core.parse_camera_inline_object_block(blocks[0]) == camera
    assert core.parse_tile_index_inline_object_block(blocks[1]) == index
    assert core.parse_tensor_section_table_inline_object_block(blocks[2]) == table


def test_inline_objects_are_padded():
    assert core.build_camera_inline_object_block(b"cam")[16:] == b"cam" + bytes(5)
    assert (
        len(core.build_tile_index_inline_object_block((5,), mode=TileIndexMode.DENSE_RANGE, tile_base_id=5))
        == 16
    )


@pytest.mark.parametrize("cut", [1, 10, 16, 23])
def test_inline_object_that_is_cut(cut):
    block = core.build_camera_inline_object_block(b"cam")
    with pytest.raises(ValueError, match="bytes"):
        core.unpack_inline_object_block(block[:cut])
    with pytest.raises(ValueError, match=r"bytes|region"):
        core.unpack_inline_object_blocks(block[:cut])


def test_inline_object_whose_length_is_wrong():
    header = core.InlineObjectBlockHeader(CacheObjectKind.CAMERA_BLOCK, 0, 0, 0, 5)
    with pytest.raises(ValueError, match="length mismatch: expected 5, got 3"):
        core.pack_inline_object_block(header, b"cam")


def test_references():
    blocks = (
        core.build_camera_reference_block(**KEY),
        core.build_tile_index_reference_block(**KEY),
        core.build_tensor_section_table_reference_block(**KEY),
    )
    region = core.pack_object_reference_blocks(blocks)
    assert region[:16].hex() == "0100000001000000ddccbbaa44332211"
    assert core.unpack_object_reference_blocks(region) == blocks
    assert core.parse_camera_reference_block(blocks[0]) is blocks[0]
    assert core.parse_tile_index_reference_block(memoryview(region)[16:32]) == blocks[1]
    assert core.parse_tensor_section_table_reference_block(region[32:]) == blocks[2]
    with pytest.raises(ValueError, match="multiple of 16"):
        core.unpack_object_reference_blocks(region[:-1])


def test_cache_object_bitmap():
    assert core.build_cache_object_bitmap() == 0
    assert core.build_cache_object_bitmap(1, CacheObjectKind.TILE_INDEX_BLOCK, 3) == 7
    assert core.TENSOR_PROFILE_CACHE_OBJECT_BITMAP == 7
    with pytest.raises(ValueError, match="99 is not a valid CacheObjectKind"):
        core.build_cache_object_bitmap(99)


def test_typed_payloads():
    descriptors, payloads = core.pack_typed_payload_frames((TOKEN, DELTA))
    assert payloads == b"hello{}"
    assert core.unpack_typed_payload_frames(descriptors, payloads) == (TOKEN, DELTA)
    assert core.unpack_typed_payload_frames(memoryview(descriptors), bytearray(payloads)) == (TOKEN, DELTA)
    rows = core.unpack_typed_payload_descriptors(descriptors)
    assert [(row.payload_offset, row.payload_length) for row in rows] == [(0, 5), (5, 2)]
    assert core.pack_typed_payload_descriptors(rows) == descriptors
    assert core.pack_typed_payload_frames(()) == (b"", b"")


@pytest.mark.parametrize(
    "name", [kind.name.lower() for kind in PayloadKind if kind is not PayloadKind.TENSOR]
)
def test_each_kind_has_its_builder_and_parser(name):
    frame = getattr(core, f"build_{name}_frame")(bytearray(b"x"), profile_id=9)
    assert frame.payload_kind is PayloadKind[name.upper()]
    assert (frame.payload, frame.profile_id) == (b"x", 9)
    assert getattr(core, f"parse_{name}_frame")(frame) is frame
    other = DELTA if name != "tool_delta" else TOKEN
    with pytest.raises(ValueError, match=f"expected {name.upper()}"):
        getattr(core, f"parse_{name}_frame")(other)


def test_typed_payloads_may_leave_gaps_but_not_overlap():
    gap = [core.TypedPayloadDescriptor(PayloadKind.TOKEN_CHUNK, 0, 0, 2, 2)]
    region = core.pack_typed_payload_descriptors(gap)
    assert core.unpack_typed_payload_frames(region, b"12345")[0].payload == b"34"
    overlap = [core.TypedPayloadDescriptor(PayloadKind.TOKEN_CHUNK, 0, 0, start, 2) for start in (0, 1)]
    with pytest.raises(ValueError, match="R-TYP-4"):
        core.unpack_typed_payload_frames(core.pack_typed_payload_descriptors(overlap), b"12345")
    with pytest.raises(ValueError, match="R-TYP-4"):
        core.unpack_typed_payload_frames(region, b"123")


def test_frames_are_frozen_values():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TOKEN.payload = b""
    assert hash(TOKEN) == hash(dataclasses.replace(TOKEN))


def test_extension_frames():
    known = core.build_extension_frame(9, b"zz")
    critical = core.build_extension_frame(10, b"q", extension_flags=1)
    regions = core.pack_extension_frames((known, critical))
    assert critical.extension_flags is ExtensionFrameFlags.CRITICAL
    assert core.unpack_extension_frames(*regions) == (known, critical)
    assert core.unpack_extension_frames(*regions, known_extension_kinds={10}) == (critical,)
    with pytest.raises(ValueError, match="unknown critical extension frame kind"):
        core.unpack_extension_frames(*regions, known_extension_kinds={9})
    rows = core.unpack_extension_frame_descriptors(regions[0])
    assert core.pack_extension_frame_descriptors(rows) == regions[0]


def test_regions_of_a_body():
    typed = core.pack_typed_payload_frames((TOKEN,))
    extension = core.pack_extension_frames((core.build_extension_frame(9, b"zz"),))
    regions = {
        "inline_object_region": core.build_camera_inline_object_block(b"cam"),
        "object_reference_region": core.build_tile_index_reference_block(**KEY).pack(),
        "typed_payload_descriptor_region": typed[0],
        "typed_payload_frame_region": typed[1],
        "extension_descriptor_region": extension[0],
        "extension_payload_region": extension[1],
    }
    body = core.pack_body(**regions)
    view = core.unpack_body(body)
    for name, region in regions.items():
        assert bytes(getattr(view, name)) == region
        assert getattr(view, name).readonly
        assert getattr(view, name).obj is body
    assert view.prelude.typed_payload_frame_bytes == 5
    for damaged in (body[:-1], body + b"x", body[:20]):
        with pytest.raises(ValueError, match="bytes"):
            core.unpack_body(damaged)


def test_a_body_without_anything_is_a_prelude():
    assert core.pack_body() == bytes(32)

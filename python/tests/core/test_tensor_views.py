"""Views of received tensors: read-only, without copies, and equal to what was sent."""

import struct

import numpy as np
import pytest

from nnrp import core
from nnrp.core import ScalePolicy, TensorDType, TensorLayout, TensorSectionData, TileIndexMode

PLAIN = TensorSectionData(5, 0, TensorDType.UINT8, (b"abc", b"de"))
MIXED = TensorSectionData(6, 0, TensorDType.FP16, (b"abc", b"de"), codec_ids=(0, 1))
STRIDE = TensorSectionData(
    7,
    3,
    TensorDType.INT16,
    (b"abc", b""),
    layout_id=TensorLayout.NCHW,
    scale_policy=ScalePolicy.LINEAR,
    payload_stride_bytes=4,
    element_count_per_tile=9,
)


def body_of(*sections, tile_ids=(5, 6)):
    return core.build_result_push_packet(7, 42, tile_ids=tile_ids, sections=sections).body


def test_sections_come_back_as_they_were_sent():
    view = core.unpack_tensor_body(body_of(PLAIN, MIXED, STRIDE), 3, tile_index_bytes=4, tile_count=2)
    assert [section.to_data() for section in view.sections] == [PLAIN, MIXED, STRIDE]
    assert bytes(view.tile_index_block) == struct.pack("<2H", 5, 6)


@pytest.mark.parametrize("sent", [PLAIN, MIXED, STRIDE])
def test_a_view_has_the_attributes_of_the_data(sent):
    (section,) = core.unpack_tensor_body(core.pack_tensor_section_data(sent), 1).sections
    for name in TensorSectionData.__slots__:
        assert getattr(section, name) == getattr(sent, name), name
    assert section.tile_lengths() == tuple(map(len, sent.tile_payloads))
    assert tuple(map(bytes, section.payload_slices())) == sent.tile_payloads
    assert section.total_bytes == len(core.pack_tensor_section_data(sent))
    assert all(type(tile) is bytes for tile in section.tile_payloads)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_views_are_read_only_and_share_the_body(kind):
    body = kind(body_of(PLAIN, MIXED))
    view = core.unpack_tensor_body(body, 2, tile_index_bytes=4)
    owner = memoryview(body).obj
    parts = [view.tile_index_block]
    for section in view.sections:
        parts += [section.codec_table, section.length_table, section.payload, *section.payload_slices()]
    for part in parts:
        assert part.readonly
        assert part.obj is owner
        with pytest.raises(TypeError):
            part[:1] = b"x"


def test_numpy_reads_in_place():
    tiles = np.arange(8, dtype=np.float32).reshape(2, 4)
    sent = TensorSectionData(1, 0, TensorDType.FP32, tuple(tiles))
    body = np.frombuffer(body_of(sent), dtype=np.uint8)
    (section,) = core.unpack_tensor_body(body, 1, tile_index_bytes=4).sections
    array = np.frombuffer(section.payload, dtype=np.float32)
    assert np.array_equal(array, tiles.ravel())
    assert np.shares_memory(array, body)
    assert not array.flags.writeable


def test_payloads_of_any_bytes_like_become_bytes_once():
    sent = TensorSectionData(1, 0, 5, [bytearray(b"abc"), memoryview(b"de"), np.zeros(2, np.int16)])
    assert sent.tile_payloads == (b"abc", b"de", bytes(4))
    assert sent.dtype_id is TensorDType.UINT8
    assert sent.normalized_tile_payloads() == sent.tile_payloads
    untouched = b"payload"
    assert TensorSectionData(1, 0, 5, (untouched,)).tile_payloads[0] is untouched


def test_tile_count_is_taken_from_the_tables_when_it_is_not_given():
    body = core.pack_tensor_section_data(PLAIN)
    assert core.unpack_tensor_body(body, 1) == core.unpack_tensor_body(body, 1, tile_count=2)
    with pytest.raises(ValueError, match="R-SEC-2"):
        core.unpack_tensor_body(body, 1, tile_count=3)


def test_the_reference_packages_keywords_work():
    body = body_of(PLAIN)
    assert len(core.unpack_tensor_body(body, tile_index_bytes=4, section_count=1, tile_count=2).sections) == 1


@pytest.mark.parametrize(
    ("damage", "count"),
    [
        (lambda body: body[:-1], 1),
        (lambda body: body + b"\0", 1),
        (lambda body: body, 2),
        (lambda body: body, 0),
        (lambda body: body[:20], 1),
        (lambda body: body[:3], 1),
        (lambda body: body[:4] + b"\1" + body[5:], 1),
    ],
)
def test_bodies_that_are_not_exactly_that(damage, count):
    with pytest.raises(ValueError, match=r"bytes|zero"):
        core.unpack_tensor_body(damage(body_of(PLAIN)), count, tile_index_bytes=4, tile_count=2)


def test_a_section_from_its_parts():
    desc = core.TensorSectionDesc(5, 0, TensorDType.UINT8, 0, 0, 0, 0, 0, 8, 5, 0)
    lengths = struct.pack("<2I", 3, 2)
    packed = core.pack_tensor_section(desc, length_table=lengths, payload=b"abcde")
    assert packed == core.pack_tensor_section_data(PLAIN)
    for parts in (
        {"length_table": lengths, "payload": b"abcd"},
        {"length_table": lengths[:4], "payload": b"abcde"},
        {"codec_table": b"\0", "length_table": lengths, "payload": b"abcde"},
        {"length_table": struct.pack("<2I", 3, 3), "payload": b"abcde"},
    ):
        with pytest.raises(ValueError, match=r"length|payload_bytes"):
            core.pack_tensor_section(desc, **parts)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (TensorSectionData(70_000, 0, 0, ()), "role_id must be between 0 and 65535"),
        (TensorSectionData(1, 300, 0, ()), "default_codec_id must be between 0 and 255"),
        (TensorSectionData(1, 0, 33, ()), "33 is not a valid TensorDType"),
        (TensorSectionData(1, 0, 0, (b"a", b"b"), codec_ids=(1,)), "codec_ids"),
    ],
)
def test_sections_that_cannot_be_sent(section, message):
    with pytest.raises(ValueError, match=message):
        core.pack_tensor_section_data(section)


@pytest.mark.parametrize("mode", TileIndexMode)
@pytest.mark.parametrize("ids", [(), (7,), (7, 8, 9), tuple(range(7, 2000))])
def test_tile_index(mode, ids):
    block = core.pack_tile_index_block(ids, mode=mode, tile_base_id=7)
    assert core.unpack_tile_index_block(block, mode, tile_count=len(ids), tile_base_id=7) == ids
    if mode is not TileIndexMode.DENSE_RANGE:
        assert core.unpack_tile_index_block(block, mode) == ids


def test_tile_index_bytes():
    pack = core.pack_tile_index_block
    assert pack((0, 3, 9), mode=TileIndexMode.RAW_U16) == bytes.fromhex("000003000900")
    assert pack((0, 3, 9), mode=TileIndexMode.DELTA_U16) == bytes.fromhex("000003000600")
    assert pack((0, 3, 9), mode=TileIndexMode.BITSET) == bytes.fromhex("0902")
    assert pack(iter((7, 8, 9)), mode=TileIndexMode.DENSE_RANGE, tile_base_id=7) == b""
    assert pack(np.array([1, 2], np.uint16), mode=TileIndexMode.RAW_U16) == b"\1\0\2\0"


def test_tile_ids_that_cannot_be_said():
    for bad in ((-1,), (70_000,)):
        with pytest.raises(ValueError, match="tile ids must be between 0 and 65535"):
            core.pack_tile_index_block(bad, mode=TileIndexMode.RAW_U16)
    with pytest.raises(TypeError, match="tile ids must be an integer, not float"):
        core.pack_tile_index_block((1.5,), mode=TileIndexMode.RAW_U16)
    with pytest.raises(ValueError, match="strictly increasing"):
        core.pack_tile_index_block((5, 5), mode=TileIndexMode.DELTA_U16)


def test_a_dense_range_does_not_tell_how_long_it_is():
    with pytest.raises(TypeError, match="tile_count"):
        core.unpack_tile_index_block(b"", TileIndexMode.DENSE_RANGE)


@pytest.mark.parametrize("dtype", ["uint8", np.uint8, np.dtype("uint8"), 5.0, None])
def test_a_dtype_of_the_wrong_type_is_refused_with_the_names_there_are(dtype):
    with pytest.raises(TypeError, match=r"dtype_id must be a TensorDType \(FP16, .*UINT8.*\) or its"):
        TensorSectionData(1, 0, dtype, (b"tile",))
    with pytest.raises(TypeError, match=r"layout_id must be a TensorLayout \("):
        TensorSectionData(1, 0, TensorDType.UINT8, (b"tile",), layout_id=dtype)


def test_the_number_of_a_dtype_becomes_the_member():
    assert TensorSectionData(1, 0, np.int64(5), (b"tile",)).dtype_id is TensorDType.UINT8


@pytest.mark.parametrize("payloads", [b"tile", b"", bytearray(b"tile"), memoryview(b"tile"), "tile", 7, (7,)])
def test_tiles_come_in_a_sequence(payloads):
    with pytest.raises(TypeError, match="tile_payloads must be a sequence of bytes-like tiles"):
        TensorSectionData(1, 0, TensorDType.UINT8, payloads)


def test_a_section_shows_the_sizes_of_its_tiles():
    assert "role_id=5, default_codec_id=0" in repr(PLAIN)
    assert "tile_payloads=(<3 bytes>, <2 bytes>)" in repr(PLAIN)
    many = TensorSectionData(1, 0, TensorDType.UINT8, (b"ab",) * 100)
    assert "tile_payloads=<100 tiles, 200 bytes>" in repr(many)

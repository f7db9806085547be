"""Sections are arrays: dtype and shape from the wire, no copy on the way in, any array on the way out."""

import gc
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
from frames import STEP, frame

from nnrp.arrays import TileGrid, numpy_dtype, tensor_dtype, tensor_section
from nnrp.client import SubmitRequest
from nnrp.core import TensorDType, TensorLayout, TensorSectionData
from nnrp.core._tensor import pack_tensor_section_data, section_views

DTYPES = {
    TensorDType.FP16: np.float16,
    TensorDType.FP32: np.float32,
    TensorDType.FP8_E4M3: ml_dtypes.float8_e4m3fn,
    TensorDType.FP8_E5M2: ml_dtypes.float8_e5m2,
    TensorDType.INT8: np.int8,
    TensorDType.UINT8: np.uint8,
    TensorDType.INT16: np.int16,
    TensorDType.UINT16: np.uint16,
}


async def over_the_wire(network, *sections):
    async with network.pair() as (server, client):
        request = frame(1)
        await client.submit_frame(request)
        await server.receive_submit(STEP)
        await server.send_result(
            frame_id=1, sections=sections, tile_ids=range(len(sections[0].tile_payloads))
        )
        return (await client.receive_result(STEP)).tensor_body.sections


def view(section):
    """The section as a receiver sees it."""
    [seen] = section_views(memoryview(pack_tensor_section_data(section)), 0, 1)
    return seen


@pytest.mark.parametrize("dtype_id", TensorDType)
def test_every_dtype_of_the_wire_is_one_of_numpy_and_back(dtype_id):
    dtype = DTYPES[dtype_id]
    tiles = np.arange(24).astype(dtype).reshape(2, 3, 4)
    section = tensor_section(tiles, role_id=7)
    assert section.dtype_id is dtype_id
    assert tensor_dtype(dtype) is dtype_id
    assert numpy_dtype(dtype_id) == dtype
    array = view(section).numpy((3, 4))
    assert array.dtype == dtype
    np.testing.assert_array_equal(array, tiles)


async def test_an_array_is_a_view_of_the_received_body(network):
    tiles = np.arange(4096, dtype=np.float32).reshape(4, 32, 32)
    [section] = await over_the_wire(network, tensor_section(tiles, role_id=1))
    start = np.frombuffer(section.payload, np.uint8).ctypes.data
    for array in (
        section.numpy((32, 32)),
        np.asarray(section),
        np.from_dlpack(section),
        section.tile_arrays()[0],
    ):
        assert array.ctypes.data == start
        assert not array.flags.writeable
    del section
    gc.collect()
    np.testing.assert_array_equal(array, tiles[0].ravel())


def test_without_a_shape_tiles_are_flat():
    section = view(tensor_section(np.zeros((3, 2, 5), np.int16), role_id=1))
    assert section.numpy().shape == (3, 10)
    assert section.numpy((5, -1)).shape == (3, 5, 2)
    assert section.element_count_per_tile == 10


def test_tiles_in_slots_make_one_array_with_gaps():
    data = TensorSectionData(1, 0, TensorDType.UINT16, (b"abcd", b"efgh"), payload_stride_bytes=6)
    section = view(data)
    array = section.numpy()
    assert array.strides == (6, 2)
    assert array.tobytes() == b"abcdefgh"
    assert array.ctypes.data == np.frombuffer(section.payload, np.uint8).ctypes.data


def test_tiles_of_different_sizes_are_several_arrays():
    section = view(tensor_section([np.zeros(4, np.uint8), np.ones((2, 3), np.uint8)], role_id=1))
    with pytest.raises(ValueError, match=r"between 4 and 6 bytes.*tile_arrays"):
        section.numpy()
    assert [array.tolist() for array in section.tile_arrays()] == [[0] * 4, [1] * 6]


def test_a_dropped_tile_is_an_empty_array():
    section = view(TensorSectionData(1, 0, TensorDType.FP32, (b"\0" * 16, b"")))
    assert [array.shape for array in section.tile_arrays((2, 2))] == [(2, 2), (0,)]
    assert view(TensorSectionData(1, 0, TensorDType.FP32, (b"", b""))).numpy().shape == (2, 0)
    assert view(TensorSectionData(1, 0, TensorDType.FP32, ())).numpy().shape == (0, 0)


@pytest.mark.parametrize("read", ["numpy", "tile_arrays"])
def test_what_makes_no_array_says_what_to_do(read):
    compressed = view(TensorSectionData(1, 3, TensorDType.UINT8, (b"x",)))
    with pytest.raises(ValueError, match=r"codec 3.*payload_slices"):
        getattr(compressed, read)()
    mixed = view(TensorSectionData(1, 0, TensorDType.UINT8, (b"x", b"y"), codec_ids=(0, 1)))
    with pytest.raises(ValueError, match="codec 0, 1"):
        getattr(mixed, read)()
    broken = view(TensorSectionData(1, 0, TensorDType.FP32, (b"12345",)))
    with pytest.raises(ValueError, match="no whole elements of float32"):
        getattr(broken, read)()
    whole = view(TensorSectionData(1, 0, TensorDType.UINT8, (b"12345",)))
    with pytest.raises(ValueError, match=r"5 elements.*\(2, 2\)"):
        getattr(whole, read)((2, 2))


def test_asarray_converts_when_asked():
    section = view(tensor_section(np.arange(6, dtype=np.uint8).reshape(1, 6), role_id=1))
    assert np.asarray(section, np.float32).tolist() == [[0, 1, 2, 3, 4, 5]]
    assert np.array(section, copy=True).flags.writeable
    with pytest.raises(ValueError, match="without a copy"):
        np.asarray(section, np.float32, copy=False)


def test_dlpack_is_read_only_and_refused_by_who_cannot_promise_that():
    section = view(tensor_section(np.arange(6, dtype=np.float32).reshape(1, 6), role_id=1))
    assert section.__dlpack_device__() == (1, 0)
    assert not np.from_dlpack(section).flags.writeable
    with pytest.raises(BufferError, match="readonly"):
        section.__dlpack__()


class OnlyDlpack:
    """A CPU tensor of another library: DLPack and nothing else."""

    def __init__(self, array, device=(1, 0)):
        self.array, self.device = array, device

    def __dlpack__(self, **request):
        return self.array.__dlpack__(**request)

    def __dlpack_device__(self):
        return self.device


async def test_what_only_speaks_dlpack_can_be_sent(network):
    tensor = np.arange(12, dtype=np.int16).reshape(3, 4)
    sections = (
        TensorSectionData(1, 0, TensorDType.INT16, (OnlyDlpack(tensor.T),)),
        tensor_section(OnlyDlpack(tensor[None]), role_id=2),
    )
    first, second = await over_the_wire(network, *sections)
    np.testing.assert_array_equal(first.numpy((4, 3))[0], tensor.T)
    np.testing.assert_array_equal(second.numpy((3, 4))[0], tensor)


def test_memory_of_an_accelerator_is_refused_with_advice():
    with pytest.raises(TypeError, match=r"OnlyDlpack.*device 2.*cpu\(\)"):
        TensorSectionData(1, 0, TensorDType.INT16, (OnlyDlpack(np.zeros(4, np.int16), device=(2, 0)),))


@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.bool_, ml_dtypes.bfloat16])
def test_dtypes_the_wire_has_not_are_refused_by_name(dtype):
    with pytest.raises(TypeError, match=f"{np.dtype(dtype).name}; there are FP16, FP32"):
        tensor_section(np.zeros((1, 2), dtype), role_id=1)


def test_big_endian_arrays_are_turned_around():
    tiles = np.arange(4, dtype=">f4").reshape(1, 4)
    section = tensor_section(tiles, role_id=1)
    assert section.dtype_id is TensorDType.FP32
    np.testing.assert_array_equal(view(section).numpy(), tiles)


@pytest.mark.parametrize("layout", TensorLayout)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_survives_being_cut_and_put_together(layout, channels):
    grid = TileGrid(width=100, height=70, tile_width=32, tile_height=32)
    shape = (70, 100) if channels == 1 else ((70, 100, 3) if layout is TensorLayout.NHWC else (3, 70, 100))
    image = np.random.default_rng(1).integers(0, 255, shape, np.uint8)
    section = view(grid.section(image, role_id=1, layout_id=layout))
    assert len(grid) == 12
    assert grid.tile_ids == tuple(range(12))
    np.testing.assert_array_equal(grid.image(section), image)


async def test_a_server_has_the_picture_of_a_frame(network):
    photo = np.random.default_rng(2).integers(0, 255, (70, 100, 3), np.uint8)
    cut = TileGrid(width=100, height=70, tile_width=64, tile_height=64)
    in_tiles = SubmitRequest(
        frame_id=1, tile_ids=cut.tile_ids, sections=(cut.section(photo, role_id=1),), **cut.dimensions()
    )
    whole = SubmitRequest(
        frame_id=2,
        tile_ids=(0,),
        sections=(tensor_section([photo], role_id=1),),
        src_width=100,
        src_height=70,
    )
    async with network.pair() as (server, client):
        for frame in (in_tiles, whole):
            await client.submit_frame(frame)
            request = (await server.receive_submit(STEP)).request
            picture = TileGrid.of(request).image(request.sections[0], tile_ids=request.tile_ids)
            np.testing.assert_array_equal(picture, photo)
    with pytest.raises(ValueError, match="does not say how large its picture is"):
        TileGrid.of(SubmitRequest(frame_id=1))


def test_some_tiles_paint_their_places_only():
    grid = TileGrid(64, 64, 32, 32)
    image = np.full((64, 64), 9, np.uint8)
    section = view(grid.section(image, role_id=1, tile_ids=(3, 0)))
    painted = grid.image(section, tile_ids=(3, 0))
    assert painted[:32, :32].min() == painted[32:, 32:].min() == 9
    assert painted[:32, 32:].max() == painted[32:, :32].max() == 0
    canvas = np.ones((64, 64), np.uint8)
    assert grid.image(section, tile_ids=(3, 0), out=canvas) is canvas
    assert canvas[0, 63] == 1


def test_a_result_of_twice_the_size_fits_the_scaled_grid():
    grid = TileGrid(20, 10, 8, 8)
    large = np.arange(40 * 20, dtype=np.float32).reshape(20, 40)
    section = view(grid.scaled(2).section(large, role_id=100))
    np.testing.assert_array_equal(grid.scaled(2).image(section), large)


def test_a_grid_says_what_does_not_fit():
    grid = TileGrid(64, 64, 32, 32)
    with pytest.raises(ValueError, match=r"shape \(64, 32\), the grid is for \(64, 64\)"):
        grid.split(np.zeros((64, 32)))
    with pytest.raises(ValueError, match="4 tiles, but there are 1 tile ids"):
        grid.image(view(grid.section(np.zeros((64, 64), np.uint8), role_id=1)), tile_ids=(0,))
    with pytest.raises(ValueError, match="tile 4 is not in a grid of 2x2"):
        grid.split(np.zeros((64, 64)), tile_ids=(4,))
    with pytest.raises(ValueError, match="choose larger tiles"):
        TileGrid(1024, 1024, 2, 2)
    with pytest.raises(ValueError, match="tile_width must be between 1"):
        TileGrid(64, 64, 0, 2)
    with pytest.raises(ValueError, match="do not divide"):
        grid.image(view(TensorSectionData(1, 0, TensorDType.UINT8, (b"abc",))), tile_ids=(0,))


def test_numpy_is_imported_only_when_an_array_is_asked_for():
    program = "import sys, nnrp, nnrp.server, nnrp.client; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=30, check=False).returncode == 0


def test_pytorch_reads_without_a_copy():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    section = view(tensor_section(np.arange(6, dtype=np.float32).reshape(1, 6), role_id=1))
    tensor = torch.from_dlpack(section)
    assert tensor.data_ptr() == section.numpy().ctypes.data
    assert (
        tensor_section(tensor, role_id=1).tile_payloads
        == view(tensor_section(tensor, role_id=1)).tile_payloads
    )


def test_without_numpy_the_error_names_what_to_install(monkeypatch):
    section = view(tensor_section(np.zeros((1, 6), np.float32), role_id=1))
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(ImportError, match="pip install numpy"):
        section.numpy()

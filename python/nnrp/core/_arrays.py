"""Sections as arrays: what NumPy, PyTorch and whoever else speaks DLPack read without a copy.

NumPy is not needed to use this package; it is imported when the first array is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import prod
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, cast

from nnrp.core._base import BytesLike
from nnrp.core._enums import TensorDType

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import DTypeLike, NDArray

    Dtype: TypeAlias = np.dtype[Any]
    Array: TypeAlias = NDArray[Any]
else:
    # For get_type_hints(), which is no reason to import NumPy.
    Dtype = Array = DTypeLike = Any

__all__ = ["TileArrays", "dlpack_bytes", "numpy_dtype", "tensor_dtype"]

NUMPY_NAMES: Final[dict[TensorDType, str]] = {
    TensorDType.FP16: "<f2",
    TensorDType.FP32: "<f4",
    TensorDType.INT8: "i1",
    TensorDType.UINT8: "u1",
    TensorDType.INT16: "<i2",
    TensorDType.UINT16: "<u2",
}
"""NumPy's names of the formats it has itself; the wire is little-endian."""

ML_DTYPES_NAMES: Final[dict[TensorDType, str]] = {
    TensorDType.FP8_E4M3: "float8_e4m3fn",
    TensorDType.FP8_E5M2: "float8_e5m2",
}
"""The formats that the package `ml_dtypes` adds to NumPy. E4M3 is the variant without infinities, which is
what accelerators and PyTorch mean by the name."""

HOST_MEMORY: Final = frozenset({1, 3, 11})
"""DLPack's numbers of memory that the CPU reads: its own, and host memory pinned by CUDA and by ROCm."""

RAW_CODEC: Final = 0
"""The codec id of tiles that are not compressed."""


def _numpy() -> ModuleType:
    try:
        import numpy as np  # noqa: PLC0415  # optional, and 100 ms that not everybody needs to pay
    except ImportError:
        raise ImportError(
            "NumPy is needed to read a section as an array (pip install numpy); "
            "`payload_slices()` gives the same bytes without it"
        ) from None
    return np


@cache
def numpy_dtype(dtype_id: TensorDType | int) -> Dtype:
    """Return NumPy's dtype for the elements of a section.

    Raises:
        ImportError: NumPy is missing, or `ml_dtypes` for `FP8_E4M3` and `FP8_E5M2`.
        ValueError: `dtype_id` is no `TensorDType`.

    """
    numpy = _numpy()
    dtype_id = TensorDType(dtype_id)
    if dtype_id in NUMPY_NAMES:
        return cast("Dtype", numpy.dtype(NUMPY_NAMES[dtype_id]))
    try:
        import ml_dtypes  # noqa: PLC0415  # optional
    except ImportError:
        raise ImportError(
            f"NumPy has no {dtype_id.name} of its own; install ml_dtypes (pip install ml_dtypes), or read "
            "the bytes of the tiles from `payload_slices()`"
        ) from None
    return cast("Dtype", numpy.dtype(getattr(ml_dtypes, ML_DTYPES_NAMES[dtype_id])))


def tensor_dtype(dtype: DTypeLike) -> TensorDType:
    """Return the `TensorDType` whose elements `dtype` describes, whatever its byte order.

    Raises:
        TypeError: the wire has no such format: 64-bit numbers, booleans, bfloat16 and others have to be
            converted by the application, because only it knows how.

    """
    wanted = _numpy().dtype(dtype)
    names = [(kind, name.lstrip("<")) for kind, name in NUMPY_NAMES.items()]
    for kind, name in names:
        if wanted.kind + str(wanted.itemsize) == name:
            return kind
    for kind, name in ML_DTYPES_NAMES.items():
        if wanted.name == name:
            return kind
    known = ", ".join(f"{kind.name}" for kind in TensorDType)
    raise TypeError(f"no tensor on the wire has elements of dtype {wanted.name}; there are {known}")


def dlpack_bytes(array: Any) -> bytes:
    """Return the elements of `array` in C order, little-endian, as bytes.

    Args:
        array: what exports DLPack (a CPU tensor of PyTorch, JAX and others), or a NumPy array of a dtype that
            the buffer protocol has no letter for.

    Raises:
        TypeError: it is neither, or its memory is not the CPU's.

    """
    numpy = _numpy()
    if not isinstance(array, numpy.ndarray):
        array = _imported(numpy, array)
    return cast("bytes", array.tobytes())


def _imported(numpy: ModuleType, array: Any) -> Any:
    """Return a NumPy array over the memory of what exports DLPack."""
    kind = type(array).__name__
    device = int(array.__dlpack_device__()[0])
    if device not in HOST_MEMORY:
        raise TypeError(
            f"the {kind!r} is in the memory of an accelerator (DLPack device {device}), from where nothing "
            "can be sent; copy it first, for example with tensor.cpu()"
        )
    try:
        return numpy.from_dlpack(array)
    except (BufferError, RuntimeError, TypeError) as error:
        raise TypeError(
            f"the {kind!r} cannot be read through DLPack ({error}); convert it to a dtype that NumPy has, "
            "for example with tensor.detach().half()"
        ) from error


class _Section(Protocol):
    """What `TileArrays` needs to know of a section."""

    @property
    def role_id(self) -> int: ...
    @property
    def default_codec_id(self) -> int: ...
    @property
    def codec_ids(self) -> tuple[int, ...]: ...
    @property
    def dtype_id(self) -> TensorDType: ...

    def tile_buffers(self) -> Sequence[BytesLike]: ...
    def packed_tiles(self) -> tuple[BytesLike, int]: ...


def _refuse_compressed(section: _Section) -> None:
    codecs = set(section.codec_ids) or {section.default_codec_id}
    if codecs != {RAW_CODEC}:
        listed = ", ".join(map(str, sorted(codecs)))
        raise ValueError(
            f"section {section.role_id} is compressed with codec {listed}; decompress the bytes of "
            "`payload_slices()` and use numpy.frombuffer"
        )


class TileArrays:
    """Reading the tiles of a section as arrays.

    The arrays are read-only views of the received body wherever its bytes allow it: they stay valid as long
    as they are referenced, also when the session has ended.
    """

    __slots__ = ()

    def numpy(self: _Section, shape: Sequence[int] | None = None) -> Array:
        """Return all tiles as one read-only array, without a copy for a received section.

        Args:
            shape: of one tile, for example `(height, width, channels)`; one entry may be -1. A tile is flat
                when it is not given, as a section by itself does not say more.

        Returns:
            An array of shape `(tiles, *shape)` with the dtype of the section. Tiles in slots of
            `payload_stride_bytes` make an array with gaps, still without a copy.

        Raises:
            ValueError: the tiles have different sizes (use `tile_arrays()`), are compressed, do not hold
                whole elements, or do not have `shape`.
            ImportError: NumPy is missing, or `ml_dtypes` for an FP8 section.

        """
        _refuse_compressed(self)
        numpy, dtype = _numpy(), numpy_dtype(self.dtype_id)
        sizes = {memoryview(tile).nbytes for tile in self.tile_buffers()}
        count = len(self.tile_buffers())
        if len(sizes) > 1:
            raise ValueError(
                f"the tiles of section {self.role_id} have between {min(sizes)} and {max(sizes)} bytes, "
                "which makes no single array; `tile_arrays()` gives one for each tile"
            )
        size = sizes.pop() if sizes else 0
        if size % dtype.itemsize:
            raise ValueError(
                f"the tiles of section {self.role_id} have {size} bytes, which are no whole elements of "
                f"{dtype.name} ({dtype.itemsize} bytes)"
            )
        payload, stride = self.packed_tiles()
        if size == 0 or count == 0:
            array = numpy.empty((count, size // dtype.itemsize), dtype)
            array.flags.writeable = False
        else:
            # One element may start at any byte: NumPy reads unaligned memory correctly, only slower.
            array = numpy.ndarray(
                (count, size // dtype.itemsize), dtype, payload, strides=(stride, dtype.itemsize)
            )
        return cast("Array", array if shape is None else _shaped(array, self.role_id, shape))

    def tile_arrays(self: _Section, shape: Sequence[int] | None = None) -> tuple[Array, ...]:
        """Return one read-only array for each tile, in tile order; tiles may differ in size.

        Args:
            shape: of every tile that is not empty; one entry may be -1. Flat when not given. An empty tile,
                such as one that a partial result leaves out, stays flat, with size 0.

        Raises:
            ValueError: the tiles are compressed, do not hold whole elements, or do not have `shape`.
            ImportError: NumPy is missing, or `ml_dtypes` for an FP8 section.

        """
        _refuse_compressed(self)
        numpy, dtype = _numpy(), numpy_dtype(self.dtype_id)
        arrays: list[Array] = []
        for tile in self.tile_buffers():
            if memoryview(tile).nbytes % dtype.itemsize:
                raise ValueError(
                    f"a tile of section {self.role_id} has {memoryview(tile).nbytes} bytes, which are no "
                    f"whole elements of {dtype.name} ({dtype.itemsize} bytes)"
                )
            array = numpy.ndarray((memoryview(tile).nbytes // dtype.itemsize,), dtype, tile)
            arrays.append(
                array if shape is None or not array.size else _shaped(array, self.role_id, shape, tiles=False)
            )
        return tuple(arrays)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        array = cast("Any", self).numpy()
        if dtype is not None and array.dtype != dtype:
            if copy is False:
                raise ValueError(
                    f"elements of {array.dtype.name} cannot be read as another dtype without a copy"
                )
            return cast("Array", array.astype(dtype))
        return cast("Array", array.copy() if copy else array)

    def __dlpack__(self, **request: Any) -> Any:
        """Export `numpy()` through DLPack, read-only; what the arguments mean says the array API standard.

        Raises:
            BufferError: the consumer does not understand read-only memory (DLPack before 1.0); give it
                `section.numpy().copy()`. Or the dtype is none that DLPack of NumPy has, such as FP8.

        """
        return cast("Any", self).numpy().__dlpack__(**request)

    def __dlpack_device__(self) -> tuple[int, int]:
        """Return the device of the memory: the CPU."""
        return (1, 0)


def _shaped(array: Any, role_id: int, shape: Sequence[int], *, tiles: bool = True) -> Any:
    """Return `array` with each tile in `shape`, as a view."""
    shape = tuple(shape)
    elements = array.shape[-1]
    fixed = prod(length for length in shape if length != -1)
    if -1 in shape and fixed > 0 and elements % fixed == 0:
        shape = tuple(elements // fixed if length == -1 else length for length in shape)
    if prod(shape) != elements:
        raise ValueError(
            f"the tiles of section {role_id} have {elements} elements of {array.dtype.name}, which does not "
            f"make the shape {shape}"
        )
    return array.reshape((array.shape[0], *shape) if tiles else shape)

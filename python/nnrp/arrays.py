"""From arrays to sections and back: pictures and feature maps cut into tiles, and put together again.

    grid = TileGrid(width=512, height=512, tile_width=64, tile_height=64)
    tiles = grid.section(image, role_id=1)
    request = SubmitRequest(**grid.dimensions(), tile_ids=grid.tile_ids, sections=(tiles,))
    ...
    image = grid.scaled(2).image(result.tensor_body.sections[0], tile_ids=result.tile_ids)

A server has the picture of a frame from `TileGrid.of(request).image(section, tile_ids=request.tile_ids)`.

Reading needs no helper: `section.numpy()`, `numpy.asarray(section)` and `torch.from_dlpack(section)` are
views of the received body. This module needs NumPy; the rest of the package does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nnrp.client.request import SubmitRequest
from nnrp.core._arrays import numpy_dtype, tensor_dtype
from nnrp.core._base import Value
from nnrp.core._enums import TensorLayout
from nnrp.core._tensor import TensorSectionData, TensorSectionView

__all__ = ["TileGrid", "numpy_dtype", "tensor_dtype", "tensor_section"]

MAX_TILES = 1 << 16
"""A tile id is a u16 (R-TILE-4)."""

MAX_SIDE = 0xFFFF
"""The fields for widths and heights are u16."""


def tensor_section(
    tiles: ArrayLike | Sequence[ArrayLike],
    *,
    role_id: int,
    layout_id: TensorLayout = TensorLayout.NHWC,
) -> TensorSectionData:
    """Return a section with the elements of `tiles`, ready to be sent.

    Args:
        tiles: an array whose first axis counts the tiles, or a sequence of arrays, one for each tile, which
            may differ in shape but not in dtype. NumPy arrays and what exports DLPack or a buffer.
        role_id: what the section means to the application (u16).
        layout_id: order of the dimensions, for the reader's information; nothing is transposed.

    Returns:
        A section of uncompressed tiles with the `dtype_id` of the arrays. The elements are copied, in C order
        and little-endian: the arrays may be changed afterwards. `element_count_per_tile` is set when it is
        the same for all tiles.

    Raises:
        TypeError: the wire has no such dtype, or the tiles have different ones.

    """
    given = cast("Iterable[Any]", tiles)
    arrays = [_array(tile) for tile in (given if isinstance(tiles, list | tuple) else _array(given))]
    kinds = {tensor_dtype(array.dtype) for array in arrays}
    if len(kinds) > 1:
        names = ", ".join(sorted(kind.name for kind in kinds))
        raise TypeError(f"the tiles of a section have one dtype, these have {names}")
    if not kinds:
        kinds = {tensor_dtype(_array(tiles).dtype)}
    sizes = {array.size for array in arrays}
    return TensorSectionData(
        role_id=role_id,
        default_codec_id=0,
        dtype_id=kinds.pop(),
        tile_payloads=tuple(
            array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes() for array in arrays
        ),
        layout_id=layout_id,
        element_count_per_tile=sizes.pop() if len(sizes) == 1 else 0,
    )


def _array(given: Any) -> NDArray[Any]:
    """Return `given` as an array, over its own memory where that can be."""
    if isinstance(given, np.ndarray):
        return cast("NDArray[Any]", given)
    if hasattr(given, "__dlpack__"):
        try:
            return np.from_dlpack(given)
        except (BufferError, RuntimeError, TypeError):
            pass  # NumPy says below what it cannot read
    return np.asarray(given)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class TileGrid(Value):
    """A picture of `width` x `height` pixels in tiles, numbered row by row from the top left corner.

    The tiles of the last column and row are as much smaller as the picture ends earlier.

    Attributes:
        width: of the picture in pixels, 1 to 65535.
        height: of the picture in pixels, 1 to 65535.
        tile_width: of a tile in pixels, 1 to 65535.
        tile_height: of a tile in pixels, 1 to 65535.

    Raises:
        ValueError: a number is out of range, or the picture has more than 65536 tiles.

    """

    width: int
    height: int
    tile_width: int
    tile_height: int

    @classmethod
    def of(cls, request: SubmitRequest) -> TileGrid:
        """Return the grid by which a received frame is cut: one tile when it says no tile size.

        Args:
            request: `received.request`, or a `SubmitRequest` of one's own.

        Raises:
            ValueError: the frame does not say how large its picture is.

        """
        width, height = request.src_width, request.src_height
        if not width or not height:
            raise ValueError(
                "the frame does not say how large its picture is (src_width, src_height): "
                "read its tiles with section.tile_arrays()"
            )
        return cls(width, height, request.tile_width or width, request.tile_height or height)

    def __post_init__(self) -> None:
        for name, value in (*self._picture(), *self._tile()):
            if not 1 <= value <= MAX_SIDE:
                raise ValueError(f"{name} must be between 1 and {MAX_SIDE}, got {value}")
        if len(self) > MAX_TILES:
            raise ValueError(
                f"{self.width}x{self.height} pixels in tiles of {self.tile_width}x{self.tile_height} are "
                f"{len(self)} tiles; tile ids end at {MAX_TILES - 1}: choose larger tiles"
            )

    def _picture(self) -> tuple[tuple[str, int], ...]:
        return ("width", self.width), ("height", self.height)

    def _tile(self) -> tuple[tuple[str, int], ...]:
        return ("tile_width", self.tile_width), ("tile_height", self.tile_height)

    @property
    def columns(self) -> int:
        """Tiles in a row."""
        return -(-self.width // self.tile_width)

    @property
    def rows(self) -> int:
        """Tiles in a column."""
        return -(-self.height // self.tile_height)

    def __len__(self) -> int:
        """Return the number of tiles."""
        return self.columns * self.rows

    @property
    def tile_ids(self) -> tuple[int, ...]:
        """The ids of all tiles, in order."""
        return tuple(range(len(self)))

    def dimensions(self) -> dict[str, int]:
        """Return the arguments of a `SubmitRequest` that say how the picture is cut."""
        return {
            "src_width": self.width,
            "src_height": self.height,
            "tile_width": self.tile_width,
            "tile_height": self.tile_height,
        }

    def scaled(self, factor: int) -> TileGrid:
        """Return the grid of the same tiles in a picture `factor` times as wide and as high."""
        sides = (self.width, self.height, self.tile_width, self.tile_height)
        return TileGrid(*(side * factor for side in sides))

    def box(self, tile_id: int) -> tuple[slice, slice]:
        """Return the rows and columns of the picture that a tile covers.

        Raises:
            ValueError: the grid has no such tile.

        """
        if not 0 <= tile_id < len(self):
            raise ValueError(f"tile {tile_id} is not in a grid of {self.columns}x{self.rows} tiles")
        row, column = divmod(tile_id, self.columns)
        top, left = row * self.tile_height, column * self.tile_width
        bottom, right = min(top + self.tile_height, self.height), min(left + self.tile_width, self.width)
        return slice(top, bottom), slice(left, right)

    def split(
        self,
        image: ArrayLike,
        *,
        tile_ids: Iterable[int] | None = None,
        layout_id: TensorLayout = TensorLayout.NHWC,
    ) -> list[NDArray[Any]]:
        """Return the tiles of a picture as views of it, in the order of `tile_ids` (all by default).

        Args:
            image: of shape (height, width) or, as `layout_id` says, (height, width, channels) or
                (channels, height, width).
            tile_ids: which tiles.
            layout_id: where the channels are.

        Raises:
            ValueError: the picture has another size than the grid, or a tile is not in it.

        """
        array = _array(image)
        first = self._rows_axis(array.ndim, layout_id)
        if array.shape[first : first + 2] != (self.height, self.width):
            expected = f"({self.height}, {self.width})" if array.ndim == 2 else _described(self, layout_id)  # noqa: PLR2004
            raise ValueError(f"the picture has shape {array.shape}, the grid is for {expected}")
        leading = (slice(None),) * first
        return [array[(*leading, *self.box(tile_id))] for tile_id in self._ids(tile_ids)]

    def section(
        self,
        image: ArrayLike,
        *,
        role_id: int,
        tile_ids: Iterable[int] | None = None,
        layout_id: TensorLayout = TensorLayout.NHWC,
    ) -> TensorSectionData:
        """Return the tiles of a picture as a section: `split()` and `tensor_section()` in one."""
        tiles = self.split(image, tile_ids=tile_ids, layout_id=layout_id)
        return tensor_section(tiles, role_id=role_id, layout_id=layout_id)

    def image(
        self,
        section: TensorSectionView | TensorSectionData,
        *,
        tile_ids: Iterable[int] | None = None,
        out: NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        """Return the picture that the tiles of a section make.

        Args:
            section: the tiles, uncompressed; an empty one, which a partial result left out, paints nothing.
            tile_ids: the id of each tile, as `received.request.tile_ids` and `result.tile_ids` say them; all
                tiles in order when not given.
            out: paint here instead of on a new picture of zeros; see `split()` for its shape.

        Returns:
            `out`, or a new array of shape (height, width, channels) or, with `section.layout_id` NCHW,
            (channels, height, width); (height, width) with one channel.

        Raises:
            ValueError: there are not as many ids as tiles, an id is not in the grid, or a tile does not have
                the size of its place.

        """
        ids, tiles = self._ids(tile_ids), section.tile_arrays()
        if len(ids) != len(tiles):
            raise ValueError(f"the section has {len(tiles)} tiles, but there are {len(ids)} tile ids")
        for tile_id, tile in zip(ids, tiles, strict=True):
            if not tile.size:
                continue
            rows, columns = self.box(tile_id)
            height, width = rows.stop - rows.start, columns.stop - columns.start
            channels, rest = divmod(tile.size, height * width)
            if rest or not channels:
                raise ValueError(
                    f"tile {tile_id} has {tile.size} elements, which its {width}x{height} pixels do not "
                    "divide"
                )
            if out is None:
                out = np.zeros(self._shape(channels, section.layout_id), tile.dtype)
            first = self._rows_axis(out.ndim, section.layout_id)
            place = out[(*(slice(None),) * first, rows, columns)]
            if place.size != tile.size:
                raise ValueError(
                    f"tile {tile_id} has {tile.size} elements, its place in the picture {place.size}"
                )
            place[...] = tile.reshape(place.shape)
        return (
            np.zeros(self._shape(1, section.layout_id), numpy_dtype(section.dtype_id)) if out is None else out
        )

    def _ids(self, tile_ids: Iterable[int] | None) -> Sequence[int]:
        if tile_ids is None:
            return range(len(self))
        ids = tuple(tile_ids)
        if len(set(ids)) < len(ids):
            twice = next(tile_id for tile_id in ids if ids.count(tile_id) > 1)
            raise ValueError(f"tile {twice} is named twice; a picture has each tile once")
        return ids

    def _shape(self, channels: int, layout_id: TensorLayout) -> tuple[int, ...]:
        if channels == 1:
            return (self.height, self.width)
        if layout_id is TensorLayout.NCHW:
            return (channels, self.height, self.width)
        return (self.height, self.width, channels)

    @staticmethod
    def _rows_axis(ndim: int, layout_id: TensorLayout) -> int:
        """Return the axis of a picture that counts its rows; columns are the next one."""
        return 1 if ndim > 2 and layout_id is TensorLayout.NCHW else 0  # noqa: PLR2004  # (channels, height, width)


def _described(grid: TileGrid, layout_id: TensorLayout) -> str:
    if layout_id is TensorLayout.NCHW:
        return f"(channels, {grid.height}, {grid.width})"
    return f"({grid.height}, {grid.width}, channels)"

"""What client and server agree on: how a luma plane becomes tiles, and how the answer becomes a plane again.

A picture is cut into square tiles of `tile` pixels, numbered row by row from the top left corner, the last
column and row continued beyond the picture so that all tiles have one shape. The payload of a tile is the
tile *with a halo* of `HALO` pixels on all four sides, that is every pixel the network looks at (its layers
see 5x5, 3x3 and 3x3 pixels: 2 + 1 + 1). The server needs no neighbouring tile to answer one, tiles may be
sent in any subset and any frame, and no seam can appear, because each result pixel is computed from the same
pixels as it would be in one large picture. The price is (32 + 8)^2 / 32^2 = 1.56 times the pixels for tiles
of 32.

The answer to a tile is the *residual*: what has to be added to the bicubically enlarged luma. A tile that is
dropped therefore leaves a softer spot in the picture, not a hole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .photo import SCALE, FloatPlane, Plane

LUMA_ROLE = 5
"""Role of the submitted section (luma_hint): UINT8, one channel, halo included."""
RESIDUAL_ROLE = 100
"""Role of the section in the result (sr_residual): FP16, one channel, in luma levels, no halo."""

RAW_CODEC = 0
"""The payloads are the plain bytes of the tiles."""

HALO = 4
"""Pixels around a tile that the network needs to see."""
TILE = 32
"""Default side of a tile in low-resolution pixels: 64 tiles for a picture of 256x256."""
MAX_TILE_IDS = 1 << 16
"""A tile id is a u16."""

TOKEN_VARIABLE = "NNRP_DEMO_TOKEN"  # noqa: S105 - the name of a variable, not a secret
"""Environment variable with the token that clients show to the server; unset, everybody is admitted."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The tiles of a low-resolution picture of `width` x `height` pixels."""

    width: int
    height: int
    tile: int = TILE

    def __post_init__(self) -> None:
        """Refuse a picture that has no tiles, or more of them than there are ids."""
        if min(self.width, self.height, self.tile) < 1:
            raise ValueError(f"{self.width}x{self.height} pixels in tiles of {self.tile} is not a picture")
        if len(self) > MAX_TILE_IDS:
            raise ValueError(
                f"{self.width}x{self.height} pixels need {len(self)} tiles, more than {MAX_TILE_IDS}"
            )

    @property
    def columns(self) -> int:
        """Tiles in a row."""
        return -(-self.width // self.tile)

    @property
    def rows(self) -> int:
        """Tiles in a column."""
        return -(-self.height // self.tile)

    def __len__(self) -> int:
        """Tiles in the picture."""
        return self.columns * self.rows

    def batches(self, size: int) -> Iterator[tuple[int, ...]]:
        """All tile ids in order, at most `size` at a time."""
        for first in range(0, len(self), size):
            yield tuple(range(first, min(first + size, len(self))))

    def corner(self, tile_id: int) -> tuple[int, int]:
        """The top left pixel of a tile, as (x, y)."""
        row, column = divmod(tile_id, self.columns)
        return column * self.tile, row * self.tile


class Cutter:
    """Cuts one luma plane into tile payloads."""

    def __init__(self, luma: Plane, grid: Grid) -> None:
        """`luma` has the shape (`grid.height`, `grid.width`)."""
        if luma.shape != (grid.height, grid.width):
            raise ValueError(
                f"a plane of shape {luma.shape} does not fit a grid of {grid.width}x{grid.height}"
            )
        right = grid.columns * grid.tile - grid.width
        bottom = grid.rows * grid.tile - grid.height
        self._padded = np.pad(luma, ((HALO, HALO + bottom), (HALO, HALO + right)), mode="edge")
        self._grid = grid

    def payload(self, tile_id: int) -> bytes:
        """The tile and its halo, row by row, one byte a pixel."""
        x, y = self._grid.corner(tile_id)
        side = self._grid.tile + 2 * HALO
        return self._padded[y : y + side, x : x + side].tobytes()


class Canvas:
    """Collects the residuals of the tiles of one picture."""

    def __init__(self, grid: Grid) -> None:
        """Start with nothing: a residual of zero everywhere."""
        self._grid = grid
        self._residual: FloatPlane = np.zeros((grid.height * SCALE, grid.width * SCALE), np.float32)
        self._missing = set(range(len(grid)))

    @property
    def residual(self) -> FloatPlane:
        """The residual of the whole picture at its new size."""
        return self._residual

    @property
    def missing(self) -> frozenset[int]:
        """Ids of the tiles no answer has come for."""
        return frozenset(self._missing)

    def paint(self, tile_id: int, payload: bytes | memoryview) -> None:
        """Put the answer for one tile in its place. Raises `ValueError` if it does not fit."""
        side = self._grid.tile * SCALE
        if not 0 <= tile_id < len(self._grid):
            raise ValueError(f"there is no tile {tile_id} in a picture of {len(self._grid)} tiles")
        if len(payload) != side * side * np.dtype(np.float16).itemsize:
            raise ValueError(f"the answer for tile {tile_id} has {len(payload)} bytes")
        x, y = (SCALE * corner for corner in self._grid.corner(tile_id))
        target = self._residual[y : y + side, x : x + side]
        answer: npt.NDArray[np.float16] = np.frombuffer(payload, "<f2").reshape(side, side)
        target[...] = answer[: target.shape[0], : target.shape[1]]
        self._missing.discard(tile_id)

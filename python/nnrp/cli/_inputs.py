"""From a file to a frame."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nnrp.cli._common import USAGE, Failure, optional
from nnrp.client.request import SubmitRequest, TypedPayload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nnrp.arrays import TileGrid

__all__ = ["Input", "read_input"]

_IMAGES: Final = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"}
)
_TEXTS: Final = frozenset({".txt", ".md", ".json", ".csv", ".log", ""})

#: The section that holds what was in the file.
_ROLE: Final = 1

#: Axes of a picture: height, width, and perhaps channels.
_PICTURE_AXES: Final = (2, 3)
_MAX_CHANNELS: Final = 4
_MAX_SIDE: Final = 0xFFFF


@dataclass(frozen=True, slots=True)
class Input:
    """What is submitted for one file.

    Attributes:
        name: of the file, for messages and outputs.
        fields: those of the request that come from the file.
        grid: how a picture was cut, ``None`` if it is no picture.
        channels: of the picture; 0 without one.
        shape: of an array; empty if it is none.

    """

    name: str
    fields: dict[str, Any]
    grid: TileGrid | None = None
    channels: int = 0
    shape: tuple[int, ...] = ()

    def request(self, frame_id: int, budget_ms: int) -> SubmitRequest:
        """Return the frame under this id."""
        return SubmitRequest(frame_id=frame_id, latency_budget_ms=budget_ms, **self.fields)


def read_input(name: str, kind: str, *, shape: Sequence[int] | None, tiles: tuple[int, int] | None) -> Input:
    """Return what a file holds; ``-`` is standard input.

    Args:
        name: the file.
        kind: one of those of `nnrp submit --as`; ``auto`` looks at the end of its name, and at its contents.
        shape: what an array is reshaped to first.
        tiles: width and height of the tiles that a picture is cut into; one tile if ``None``.

    Raises:
        Failure: it holds something else, or NumPy or Pillow is missing.
        OSError: it cannot be read.

    """
    raw = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    label = "standard input" if name == "-" else Path(name).name
    match kind if kind != "auto" else _kind(name, raw):
        case "image":
            return _picture(label, _pixels(label, raw), shape, tiles)
        case "array":
            return _picture(label, _array(label, raw), shape, tiles)
        case "text":
            try:
                raw.decode()
            except UnicodeDecodeError:
                raise Failure(f"{label} is not UTF-8 text; --as bytes sends it as it is") from None
            payload = TypedPayload.token_chunk(raw)
        case _:
            payload = TypedPayload.opaque_bytes(raw)
    if tiles is not None or shape is not None:
        raise Failure(f"--tiles and --shape are for pictures and arrays, and {label} is neither", USAGE)
    return Input(label, {"typed_payloads": (payload,)})


def _kind(name: str, raw: bytes) -> str:
    suffix = Path(name).suffix.lower() if name != "-" else ""
    if suffix == ".npy" or raw.startswith(b"\x93NUMPY"):
        return "array"
    if suffix in _IMAGES:
        return "image"
    if suffix in _TEXTS:
        return "text"
    raise Failure(f"{name} may hold anything: say --as image, --as array, --as text or --as bytes", USAGE)


def _pixels(label: str, raw: bytes) -> NDArray[Any]:
    np, pillow = optional("numpy", "reading a picture"), optional("PIL.Image", "reading a picture")
    try:
        with pillow.open(io.BytesIO(raw)) as image:
            mode = image.mode if image.mode in {"L", "RGB", "RGBA"} else "RGB"
            pixels: NDArray[Any] = np.asarray(image.convert(mode))
    except (OSError, ValueError, pillow.DecompressionBombError):
        raise Failure(f"{label} is not a picture that Pillow can read") from None
    return pixels


def _array(label: str, raw: bytes) -> NDArray[Any]:
    np = optional("numpy", "reading an array")
    try:
        array: NDArray[Any] = np.load(io.BytesIO(raw), allow_pickle=False)
    except (ValueError, EOFError, OSError):
        raise Failure(f"{label} is not an array that numpy.save has written") from None
    return array


def _picture(
    label: str, array: NDArray[Any], shape: Sequence[int] | None, tiles: tuple[int, int] | None
) -> Input:
    from nnrp.arrays import TileGrid, tensor_section  # noqa: PLC0415  # needs NumPy

    if shape is not None:
        try:
            array = array.reshape(tuple(shape))
        except ValueError as error:
            raise Failure(f"{label}: {error}") from None
    try:
        grid = _grid(TileGrid, array, tiles)
        if grid is None:
            if tiles is not None:
                raise Failure(
                    f"--tiles is for pictures, and {label} has shape {array.shape}: "
                    "(height, width) or (height, width, channels) would be one",
                    USAGE,
                )
            section = tensor_section([array], role_id=_ROLE)
            return Input(label, {"tile_ids": (0,), "sections": (section,)}, shape=array.shape)
        section = grid.section(array, role_id=_ROLE)
    except (TypeError, ValueError) as error:
        raise Failure(f"{label} cannot be sent: {error}") from None
    channels = array.shape[2] if array.ndim > _PICTURE_AXES[0] else 1
    fields = {**grid.dimensions(), "tile_ids": grid.tile_ids, "sections": (section,)}
    return Input(label, fields, grid, channels, array.shape)


def _grid(make: type[TileGrid], array: NDArray[Any], tiles: tuple[int, int] | None) -> TileGrid | None:
    """Return how an array is cut if it is a picture."""
    if array.ndim not in _PICTURE_AXES or not array.size or max(array.shape[:2]) > _MAX_SIDE:
        return None
    if array.ndim == _PICTURE_AXES[1] and array.shape[2] > _MAX_CHANNELS:
        return None
    height, width = array.shape[:2]
    across, down = tiles if tiles is not None else (width, height)
    return make(width=width, height=height, tile_width=across, tile_height=down)

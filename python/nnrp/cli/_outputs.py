"""From results to files, or to the terminal."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any, Final

from nnrp.cli._common import Failure, optional
from nnrp.core import PayloadKind

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nnrp.cli._inputs import Input
    from nnrp.client import Result

__all__ = ["Output"]

#: Enlargements of a picture that are recognised: what super-resolution does.
_MAX_SCALE: Final = 16

#: Kinds whose bytes are text.
_TEXT_KINDS: Final = (PayloadKind.TOKEN_CHUNK, PayloadKind.STRUCTURED_EVENT, PayloadKind.TOOL_DELTA)

_PICTURES: Final = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})


class Output:
    """What comes back for one file.

    Text goes to standard output as it arrives; with ``path``, everything goes into files when the frame has
    ended.
    """

    def __init__(self, given: Input, path: Path | None, shape: Sequence[int] | None) -> None:
        """Take results of a frame.

        Args:
            given: what was submitted.
            path: where to: ``x.png``, ``x.npy``, ``x.txt``, or anything for the bytes as they are.
            shape: of an array that is written; as it was submitted if that fits.

        """
        self._given, self._path, self._shape = given, path, shape
        self._texts: list[bytes] = []
        self._payloads: list[bytes] = []
        self._tensors: list[tuple[Result, Any]] = []

    def take(self, result: Result) -> None:
        """Keep a result, and show its text."""
        for payload in result.typed_payloads:
            if payload.payload_kind in _TEXT_KINDS:
                self._texts.append(payload.payload)
                if self._path is None:
                    sys.stdout.write(payload.payload.decode("utf-8", "replace"))
                    sys.stdout.flush()
            else:
                self._payloads.append(payload.payload)
        self._tensors += [(result, section) for section in result.sections]

    def finish(self) -> list[str]:
        """Write the files; return what to say about the frame.

        Raises:
            Failure: the result does not fit into such a file.
            OSError: a file cannot be written.

        """
        if self._path is None:
            if self._texts and not self._texts[-1].endswith(b"\n"):
                sys.stdout.write("\n")
            return [
                *(_described(section) for _, section in self._tensors),
                *(f"{len(payload)} bytes" for payload in self._payloads),
            ]
        items: list[Any] = [
            *self._groups(),
            *([b"".join(self._texts)] if self._texts else []),
            *self._payloads,
        ]
        if not items:
            raise Failure(f"the result of {self._given.name} is empty: there is nothing to write")
        said: list[str] = []
        for index, item in enumerate(items):
            path = self._path if len(items) == 1 else self._path.with_stem(f"{self._path.stem}-{index + 1}")
            path.parent.mkdir(parents=True, exist_ok=True)
            said.append(self._write(path, item))
        return said

    def _groups(self) -> list[list[tuple[Result, Any]]]:
        """Return the sections by role: partial results paint one picture together."""
        roles: dict[int, list[tuple[Result, Any]]] = {}
        for result, section in self._tensors:
            roles.setdefault(section.role_id, []).append((result, section))
        return list(roles.values())

    def _write(self, path: Path, item: Any) -> str:
        if isinstance(item, bytes):
            if path.suffix.lower() in _PICTURES | {".npy"}:
                raise Failure(f"the result is {len(item)} bytes and no tensor: {path.name} cannot hold it")
            path.write_bytes(item)
            return f"{path}: {len(item)} bytes"
        array = self._array(item)
        if path.suffix.lower() in _PICTURES:
            _save_picture(path, array)
        elif path.suffix.lower() == ".npy":
            optional("numpy", "writing an array").save(path, array)
        else:
            raise Failure(f"the result is a tensor: {path.name} would have to end with .png or .npy")
        return f"{path}: {' x '.join(map(str, array.shape))} {array.dtype}"

    def _array(self, group: list[tuple[Result, Any]]) -> NDArray[Any]:
        """Return the tiles of one role as a picture, if they make one, and one after another if not."""
        np = optional("numpy", "writing a tensor")
        picture = self._painted(group)
        if picture is None:
            tiles = [tile for _, section in group for tile in section.tile_arrays()]
            same = len({tile.shape for tile in tiles}) == 1
            picture = np.stack(tiles) if same and len(tiles) > 1 else np.concatenate(tiles)
            if picture.size == math.prod(self._given.shape):
                picture = picture.reshape(self._given.shape)
        if self._shape is not None:
            try:
                picture = picture.reshape(tuple(self._shape))
            except ValueError as error:
                raise Failure(f"--out-shape does not fit the result: {error}") from None
        result: NDArray[Any] = picture
        return result

    def _painted(self, group: list[tuple[Result, Any]]) -> NDArray[Any] | None:
        grid, channels = self._given.grid, self._given.channels
        if grid is None:
            return None
        first = next((tile for _, section in group for tile in section.tile_arrays() if tile.size), None)
        ids = group[0][0].tile_ids
        if first is None or not ids or max(ids) >= len(grid):
            return None
        rows, columns = grid.box(ids[0])
        pixels = (rows.stop - rows.start) * (columns.stop - columns.start)
        for depth in dict.fromkeys((channels, 1, 3, 4)):
            for scale in range(1, _MAX_SCALE + 1):
                if first.size == pixels * depth * scale * scale:
                    picture: NDArray[Any] | None = None
                    for result, section in group:
                        picture = grid.scaled(scale).image(section, tile_ids=result.tile_ids, out=picture)
                    return picture
        return None


def _described(section: Any) -> str:
    sizes = section.payload_slices()
    tiles = "one tile" if len(sizes) == 1 else f"{len(sizes)} tiles"
    return f"role {section.role_id}: {tiles} of {section.dtype_id.name}, {sum(map(len, sizes))} bytes"


def _save_picture(path: Path, array: NDArray[Any]) -> None:
    np, pillow = optional("numpy", "writing a picture"), optional("PIL.Image", "writing a picture")
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):  # noqa: PLR2004
        shape = " x ".join(map(str, array.shape))
        raise Failure(f"a tensor of {shape} is no picture: write it to a .npy file, or say its --out-shape")
    if array.dtype.kind == "f":  # models give 0..1
        array = np.clip(array, 0, 1) * 255 + 0.5
    pixels = array.astype(np.uint8)
    pillow.fromarray(pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels).save(path)  # noqa: PLR2004

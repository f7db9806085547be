"""Tensor bodies: the tile index, and sections as data to send or as views of what was received."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, fields
from enum import IntEnum
from itertools import accumulate, pairwise
from operator import index
from typing import Final

from nnrp._native import codec
from nnrp.core._arrays import TileArrays
from nnrp.core._base import BytesLike, Value, as_bytes, as_member, as_view, filled_directly, octets
from nnrp.core._enums import ScalePolicy, TensorDType, TensorLayout, TileIndexMode
from nnrp.core._metadata import TENSOR_SECTION_DESC_LENGTH, TensorSectionDesc

__all__ = [
    "TensorBodyView",
    "TensorSectionData",
    "TensorSectionView",
    "pack_tensor_section",
    "pack_tensor_section_data",
    "pack_tile_index_block",
    "unpack_tensor_body",
    "unpack_tile_index_block",
]

BLOCK_ALIGNMENT: Final = 8
"""Blocks of a body start at multiples of this many bytes, counted from the start of the body."""

TILE_ID_BYTES: Final = 2
"""Size of one tile id or difference in a tile index block."""


_SHOWN_TILES: Final = 4
"""Tiles of a section whose sizes its `repr` lists; with more it says the total."""


def align(length: int) -> int:
    """Return `length` rounded up to where the next block may start."""
    return -(-length // BLOCK_ALIGNMENT) * BLOCK_ALIGNMENT


@filled_directly
@dataclass(frozen=True, slots=True, repr=False, eq=False)
class TensorSectionData(TileArrays, Value):
    """A tensor section: one array of bytes for each tile of the frame.

    Made by the application for sending. A received one, in `request.sections` of a server, copies its
    payloads when they are first read as `bytes`; `tensor_body.sections` has the same sections as
    `TensorSectionView`, which never copies and is what to give to NumPy.

    Plain numbers are accepted for the enumerations, and any bytes-like for the payloads; they become members
    and `bytes` on construction.

    Attributes:
        role_id: what the section means to the application (u16); a frame has its sections in ascending order
            of it.
        default_codec_id: how the tiles are compressed (u8), 0 for not at all; a number both ends agree on, as
            nothing is compressed or decompressed on the way.
        dtype_id: number format of the elements; their bytes are not looked at.
        tile_payloads: the bytes of each tile, in the order of the frame's tile ids; an empty one has no data.
        codec_ids: the codec of each tile (u8) when they differ; empty for `default_codec_id` everywhere.
        layout_id: order of the dimensions.
        scale_policy: how integers stand for real numbers.
        payload_stride_bytes: size in bytes of a slot when every tile gets the same room (u32); 0 to send the
            tiles back to back.
        element_count_per_tile: elements, not bytes, in a tile (u32), for information; 0 for not stated.

    Raises:
        TypeError: an enumeration is given as something else than a member or its number, or `tile_payloads`
            is no sequence of bytes-likes.

    """

    role_id: int
    default_codec_id: int
    dtype_id: TensorDType
    tile_payloads: tuple[bytes, ...]
    codec_ids: tuple[int, ...] = ()
    layout_id: TensorLayout = TensorLayout.NHWC
    scale_policy: ScalePolicy = ScalePolicy.NONE
    payload_stride_bytes: int = 0
    element_count_per_tile: int = 0

    def __post_init__(self) -> None:
        fix = object.__setattr__
        for name, kind in _ENUMERATIONS.items():
            given = getattr(self, name)
            if type(given) is not kind:
                fix(self, name, _member(kind, name, given))
        if type(self.tile_payloads) is not tuple or set(map(type, self.tile_payloads)) - {bytes}:
            fix(self, "tile_payloads", _tiles(self.tile_payloads))
        if type(self.codec_ids) is not tuple:
            fix(self, "codec_ids", tuple(self.codec_ids))

    def __repr__(self) -> str:
        given = {field.name: repr(getattr(self, field.name)) for field in fields(self)}
        sizes = ", ".join(map(octets, self.tile_payloads))
        given["tile_payloads"] = (
            f"({sizes})"
            if len(self.tile_payloads) <= _SHOWN_TILES
            else (f"<{len(self.tile_payloads)} tiles, {sum(map(len, self.tile_payloads))} bytes>")
        )
        return f"{type(self).__name__}({', '.join(f'{name}={text}' for name, text in given.items())})"

    def tile_buffers(self) -> tuple[bytes, ...] | tuple[memoryview, ...]:
        """Return the bytes of each tile."""
        return self.tile_payloads

    def packed_tiles(self) -> tuple[bytes | memoryview, int]:
        """Return tiles of one size back to back, copied if there are several, and their distance in bytes."""
        tiles = self.tile_payloads
        return (tiles[0] if len(tiles) == 1 else b"".join(tiles)), (len(tiles[0]) if tiles else 0)

    def normalized_tile_payloads(self) -> tuple[bytes, ...]:
        """Return the payloads as a tuple of `bytes`, which they are since construction."""
        return self.tile_payloads

    def normalized_codec_ids(self) -> tuple[int, ...]:
        """Return the codec ids as a tuple, which they are since construction."""
        return self.codec_ids


_ENUMERATIONS: Final[dict[str, type[IntEnum]]] = {
    "dtype_id": TensorDType,
    "layout_id": TensorLayout,
    "scale_policy": ScalePolicy,
}
"""The fields of `TensorSectionData` that hold a member."""


def _member(kind: type[IntEnum], name: str, value: object) -> int:
    """Return the member that a plain number stands for; what is neither is refused."""
    try:
        return as_member(kind, index(value))  # type: ignore[arg-type]  # that is what is found out here
    except TypeError:
        names = ", ".join(member.name for member in kind)
        given = type(value).__name__
        raise TypeError(f"{name} must be a {kind.__name__} ({names}) or its number, not {given!r}") from None


_WANTED_TILES: Final = "tile_payloads must be a sequence of bytes-like tiles, one for each tile id"


def _tiles(payloads: Iterable[BytesLike]) -> tuple[bytes, ...]:
    """Return the payload of each tile as `bytes`."""
    if isinstance(payloads, bytes | bytearray | memoryview | str):
        # Iterating over it would make every byte a tile, or nothing at all of an empty one.
        raise TypeError(f"{_WANTED_TILES}, not a single {type(payloads).__name__!r}; write (payload,)")
    try:
        tiles = tuple(payloads)
    except TypeError:
        raise TypeError(f"{_WANTED_TILES}, not {type(payloads).__name__!r}") from None
    return tuple(_tile(number, tile) for number, tile in enumerate(tiles))


def _tile(number: int, tile: BytesLike) -> bytes:
    try:
        return as_bytes(tile)
    except TypeError:
        if hasattr(tile, "__dlpack__"):
            raise  # it says what is wrong with this tensor
        kind = type(tile).__name__
        raise TypeError(f"{_WANTED_TILES}; number {number} is {kind!r}") from None


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class TensorSectionView(TileArrays, Value):
    """A tensor section inside a received body; nothing is copied until it is asked for as `bytes`."""

    desc: TensorSectionDesc
    codec_table: memoryview
    """One byte for each tile when the tiles have different codecs, else empty."""
    length_table: memoryview
    """One little-endian u32 for each tile: its bytes in `payload`."""
    payload: memoryview
    """All tiles, back to back or in slots of `desc.payload_stride_bytes`."""

    @property
    def total_bytes(self) -> int:
        """Size of the section, descriptor and tables included."""
        tables = self.codec_table.nbytes + self.length_table.nbytes
        return TENSOR_SECTION_DESC_LENGTH + tables + self.payload.nbytes

    def tile_lengths(self) -> tuple[int, ...]:
        """Return the number of bytes of each tile, in tile order."""
        return struct.unpack(f"<{self.length_table.nbytes // 4}I", self.length_table)

    def payload_slices(self) -> tuple[memoryview, ...]:
        """Return the bytes of each tile as read-only views, in tile order, without the padding of slots."""
        lengths, payload = self.tile_lengths(), self.payload
        stride = self.desc.payload_stride_bytes
        if stride:
            starts = range(0, stride * len(lengths), stride)
            return tuple(
                payload[start : start + length] for start, length in zip(starts, lengths, strict=True)
            )
        return tuple(payload[start:end] for start, end in pairwise(accumulate(lengths, initial=0)))

    def tile_buffers(self) -> tuple[memoryview, ...]:
        """Return the bytes of each tile, as `payload_slices()` does."""
        return self.payload_slices()

    def packed_tiles(self) -> tuple[memoryview, int]:
        """Return the payload, whose tiles have one size, and their distance in bytes."""
        lengths = self.tile_lengths()
        return self.payload, self.desc.payload_stride_bytes or (lengths[0] if lengths else 0)

    @property
    def role_id(self) -> int:
        """What the section means to the application."""
        return self.desc.role_id

    @property
    def default_codec_id(self) -> int:
        """The codec of every tile that `codec_ids` does not give another one."""
        return self.desc.codec_id

    @property
    def dtype_id(self) -> TensorDType:
        """Number format of the elements."""
        return self.desc.dtype_id

    @property
    def layout_id(self) -> TensorLayout:
        """Order of the dimensions."""
        return self.desc.layout_id

    @property
    def scale_policy(self) -> ScalePolicy:
        """How integers stand for real numbers."""
        return self.desc.scale_policy

    @property
    def payload_stride_bytes(self) -> int:
        """Size of a slot, or 0 when the tiles are back to back."""
        return self.desc.payload_stride_bytes

    @property
    def element_count_per_tile(self) -> int:
        """Elements in a tile as the sender states them, or 0."""
        return self.desc.element_count_per_tile

    @property
    def tile_payloads(self) -> tuple[bytes, ...]:
        """The bytes of each tile, copied."""
        return tuple(map(bytes, self.payload_slices()))

    @property
    def codec_ids(self) -> tuple[int, ...]:
        """The codec of each tile when they differ, else empty."""
        return tuple(self.codec_table)

    def to_data(self) -> TensorSectionData:
        """Return the same section as data of its own, which does not keep the received body alive."""
        return TensorSectionData(
            role_id=self.role_id,
            default_codec_id=self.default_codec_id,
            dtype_id=self.dtype_id,
            tile_payloads=self.tile_payloads,
            codec_ids=self.codec_ids,
            layout_id=self.layout_id,
            scale_policy=self.scale_policy,
            payload_stride_bytes=self.payload_stride_bytes,
            element_count_per_tile=self.element_count_per_tile,
        )


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class TensorBodyView(Value):
    """The tensor part of a received body, as views of it."""

    tile_index_block: memoryview
    """The tile ids as they are on the wire; empty for a dense range and for a referenced index."""
    sections: tuple[TensorSectionView, ...]


def section_views(body: memoryview, position: int, section_count: int) -> tuple[TensorSectionView, ...]:
    """Return the sections behind `position` of a body that the native rules have accepted."""
    sections: list[TensorSectionView] = []
    for _ in range(section_count):
        start = align(position)
        values = TensorSectionDesc.STRUCT.unpack_from(body, start)
        desc = TensorSectionDesc._from_wire(values)  # noqa: SLF001  # the cheap constructor is for us
        codecs = start + TENSOR_SECTION_DESC_LENGTH
        lengths = codecs + desc.codec_table_bytes
        payload = lengths + desc.length_table_bytes
        position = payload + desc.payload_bytes
        parts = body[codecs:lengths], body[lengths:payload], body[payload:position]
        sections.append(TensorSectionView(desc, *parts))
    return tuple(sections)


def unpack_tensor_body(
    body: BytesLike,
    section_count: int,
    *,
    tile_index_bytes: int = 0,
    tile_count: int | None = None,
) -> TensorBodyView:
    """Return the tile index and the sections of a plain tensor body without camera block.

    Args:
        body: a RESULT_PUSH body of the plain layout, or the part of a FRAME_SUBMIT body behind the camera
            block.
        section_count: number of sections in it.
        tile_index_bytes: length of the tile index block at its start.
        tile_count: number of tiles; taken from the first section's length table when not given.

    Raises:
        ValueError: the body is not exactly that (R-PLAIN, R-SEC).

    """
    view = as_view(body)
    codec.check_tensor_body(body, tile_index_bytes, section_count, tile_count)
    tile_index = view[:tile_index_bytes]
    return TensorBodyView(tile_index, section_views(view, tile_index_bytes, section_count))


def pack_tensor_section(
    desc: TensorSectionDesc,
    *,
    codec_table: BytesLike = b"",
    length_table: BytesLike,
    payload: BytesLike,
) -> bytes:
    """Return the bytes of a section from a descriptor and parts that go with it.

    Args:
        desc: the descriptor; its lengths have to be those of the parts.
        codec_table: one byte for each tile, or nothing.
        length_table: one little-endian u32 for each tile.
        payload: the bytes of all tiles.

    Raises:
        ValueError: a part has another length, or a rule about sections is broken (R-SEC).

    """
    lengths = (
        ("codec_table", codec_table, desc.codec_table_bytes),
        ("length_table", length_table, desc.length_table_bytes),
        ("payload", payload, desc.payload_bytes),
    )
    for name, part, expected in lengths:
        actual = memoryview(part).nbytes
        if actual != expected:
            raise ValueError(f"{name} length mismatch: expected {expected}, got {actual}")
    section = b"".join((desc.pack(), codec_table, length_table, payload))
    codec.check_tensor_body(section, 0, 1, None)
    return section


def pack_tensor_section_data(section: TensorSectionData) -> bytes:
    """Return the bytes of a section: descriptor, tables and payload.

    Raises:
        ValueError: a number does not fit, a tile is larger than its slot, or there are codec ids for another
            number of tiles.

    """
    return codec.encode_section(section)


def pack_tile_index_block(tile_ids: Iterable[int], *, mode: TileIndexMode, tile_base_id: int = 0) -> bytes:
    """Return the tile index block for `tile_ids`.

    Args:
        tile_ids: ids from 0 to 65535; strictly increasing for `DELTA_U16` and `BITSET`, a gapless run for
            `DENSE_RANGE`.
        mode: how to write them.
        tile_base_id: first id of a `DENSE_RANGE`, which has no bytes.

    Raises:
        ValueError: the mode cannot say these ids.

    """
    return codec.encode_tile_index(tile_ids, mode, tile_base_id)


def unpack_tile_index_block(
    payload: BytesLike,
    mode: TileIndexMode,
    *,
    tile_count: int | None = None,
    tile_base_id: int = 0,
) -> tuple[int, ...]:
    """Return the tile ids of a tile index block.

    Args:
        payload: the block.
        mode: how it is written.
        tile_count: number of ids in it; when not given, as many as the block holds.
        tile_base_id: first id of a `DENSE_RANGE`.

    Raises:
        ValueError: the block does not hold exactly `tile_count` ids in this mode (R-TILE).
        TypeError: no `tile_count` for a `DENSE_RANGE`, whose block does not tell.

    """
    if tile_count is None:
        tile_count = _count_tiles(as_view(payload), mode)
    return codec.decode_tile_index(payload, mode, tile_count, tile_base_id)


def _count_tiles(block: memoryview, mode: TileIndexMode) -> int:
    """Return the number of ids in a block."""
    match mode:
        case TileIndexMode.DENSE_RANGE:
            raise TypeError("a DENSE_RANGE tile index needs tile_count")
        case TileIndexMode.BITSET:
            return int.from_bytes(block, "little").bit_count()
        case _:
            return block.nbytes // TILE_ID_BYTES

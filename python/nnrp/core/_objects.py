"""Low-frequency objects of composed bodies: inline blocks, references into the cache, the bitmap of kinds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from nnrp._native import codec
from nnrp.core._base import BytesLike, Value, as_bytes, as_view
from nnrp.core._enums import CacheObjectKind, TileIndexMode
from nnrp.core._metadata import (
    INLINE_OBJECT_BLOCK_HEADER_LENGTH,
    InlineObjectBlockHeader,
    ObjectReferenceBlock,
)
from nnrp.core._tensor import align, pack_tile_index_block

__all__ = [
    "TENSOR_PROFILE_CACHE_OBJECT_BITMAP",
    "InlineObjectBlockView",
    "build_cache_object_bitmap",
    "build_camera_inline_object_block",
    "build_camera_reference_block",
    "build_tensor_section_table_inline_object_block",
    "build_tensor_section_table_reference_block",
    "build_tile_index_inline_object_block",
    "build_tile_index_reference_block",
    "pack_inline_object_block",
    "pack_object_reference_blocks",
    "parse_camera_inline_object_block",
    "parse_camera_reference_block",
    "parse_tensor_section_table_inline_object_block",
    "parse_tensor_section_table_reference_block",
    "parse_tile_index_inline_object_block",
    "parse_tile_index_reference_block",
    "unpack_inline_object_block",
    "unpack_inline_object_blocks",
    "unpack_object_reference_blocks",
]

_CAMERA: Final = CacheObjectKind.CAMERA_BLOCK
_TILE_INDEX: Final = CacheObjectKind.TILE_INDEX_BLOCK
_SECTION_TABLE: Final = CacheObjectKind.TENSOR_SECTION_TABLE


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class InlineObjectBlockView(Value):
    """An inline object in a received body."""

    header: InlineObjectBlockHeader
    payload: memoryview
    """The object without its padding, read-only."""


def build_cache_object_bitmap(*object_kinds: CacheObjectKind | int) -> int:
    """Return the bitmap of object kinds that the handshake carries: bit *kind - 1* for each kind.

    Raises:
        ValueError: a number is no object kind.

    """
    bitmap = 0
    for kind in object_kinds:
        bitmap |= 1 << CacheObjectKind(kind) - 1
    return bitmap


TENSOR_PROFILE_CACHE_OBJECT_BITMAP: Final = build_cache_object_bitmap(_CAMERA, _TILE_INDEX, _SECTION_TABLE)
"""The object kinds that tensor frames can reference."""


def pack_inline_object_block(header: InlineObjectBlockHeader, payload: BytesLike) -> bytes:
    """Return header, object and the zeros up to the next multiple of 8.

    Raises:
        ValueError: `payload` is not `header.object_bytes` long, or the header is refused (R-OBJ-2, R-OBJ-3).

    """
    payload = as_bytes(payload)
    if len(payload) != header.object_bytes:
        lengths = f"expected {header.object_bytes}, got {len(payload)}"
        raise ValueError(f"inline object payload length mismatch: {lengths}")
    return header.pack() + payload.ljust(align(len(payload)), b"\0")


def _inline_block(kind: CacheObjectKind, payload: BytesLike, profile_id: int) -> bytes:
    payload = as_bytes(payload)
    header = InlineObjectBlockHeader(
        object_kind=kind, object_flags=0, profile_id=profile_id, reserved0=0, object_bytes=len(payload)
    )
    return pack_inline_object_block(header, payload)


def build_camera_inline_object_block(payload: BytesLike, *, profile_id: int = 0) -> bytes:
    """Return the block for a camera block, whose contents are the application's.

    Raises:
        ValueError: `profile_id` is not a u16.

    """
    return _inline_block(_CAMERA, payload, profile_id)


def build_tile_index_inline_object_block(
    tile_ids: Iterable[int], *, mode: TileIndexMode, tile_base_id: int = 0, profile_id: int = 0
) -> bytes:
    """Return the block for a tile index; a dense range gives a block without contents.

    Raises:
        ValueError: the mode cannot say these ids, or `profile_id` is not a u16.

    """
    return _inline_block(
        _TILE_INDEX, pack_tile_index_block(tile_ids, mode=mode, tile_base_id=tile_base_id), profile_id
    )


def build_tensor_section_table_inline_object_block(payload: BytesLike, *, profile_id: int = 0) -> bytes:
    """Return the block for a table of tensor sections: packed sections, each starting at a multiple of 8.

    Raises:
        ValueError: `profile_id` is not a u16.

    """
    return _inline_block(_SECTION_TABLE, payload, profile_id)


def _inline_views(view: memoryview) -> Iterator[InlineObjectBlockView]:
    """Yield the blocks of a region that the native rules have accepted."""
    position = 0
    while position < len(view):
        values = InlineObjectBlockHeader.STRUCT.unpack_from(view, position)
        header = InlineObjectBlockHeader._from_wire(values)  # noqa: SLF001  # the cheap constructor is for us
        start = position + INLINE_OBJECT_BLOCK_HEADER_LENGTH
        end = start + header.object_bytes
        yield InlineObjectBlockView(header, view[start:end])
        position = align(end)


def unpack_inline_object_blocks(payload: BytesLike) -> tuple[InlineObjectBlockView, ...]:
    """Return the blocks of a region of inline objects, as views of it.

    Raises:
        ValueError: the region does not divide into blocks, or a header is refused (R-OBJ-1 to 3).

    """
    codec.check_inline_objects(payload)
    return tuple(_inline_views(as_view(payload)))


def unpack_inline_object_block(payload: BytesLike) -> InlineObjectBlockView:
    """Return the one block that `payload` is, as a view of it.

    Raises:
        ValueError: `payload` is not exactly one block, padding included (R-OBJ-1 to 3).

    """
    view = as_view(payload)
    if len(view) < INLINE_OBJECT_BLOCK_HEADER_LENGTH:
        least = INLINE_OBJECT_BLOCK_HEADER_LENGTH
        raise ValueError(f"expected at least {least} bytes for an inline object block, got {len(view)}")
    header = InlineObjectBlockHeader.unpack(view[:INLINE_OBJECT_BLOCK_HEADER_LENGTH])
    expected = align(INLINE_OBJECT_BLOCK_HEADER_LENGTH + header.object_bytes)
    if len(view) != expected:
        raise ValueError(f"expected {expected} bytes of inline object block, got {len(view)}")
    (block,) = unpack_inline_object_blocks(view)
    return block


def _parse_inline(payload: BytesLike, kind: CacheObjectKind) -> InlineObjectBlockView:
    block = unpack_inline_object_block(payload)
    if block.header.object_kind is not kind:
        raise ValueError(f"expected {kind.name} inline object block, got {block.header.object_kind.name}")
    return block


def parse_camera_inline_object_block(payload: BytesLike) -> InlineObjectBlockView:
    """Return the one camera block that `payload` is.

    Raises:
        ValueError: `payload` is not exactly one block, or one of another kind.

    """
    return _parse_inline(payload, _CAMERA)


def parse_tile_index_inline_object_block(payload: BytesLike) -> InlineObjectBlockView:
    """Return the one tile index block that `payload` is.

    Raises:
        ValueError: `payload` is not exactly one block, or one of another kind.

    """
    return _parse_inline(payload, _TILE_INDEX)


def parse_tensor_section_table_inline_object_block(payload: BytesLike) -> InlineObjectBlockView:
    """Return the one tensor section table that `payload` is.

    Raises:
        ValueError: `payload` is not exactly one block, or one of another kind.

    """
    return _parse_inline(payload, _SECTION_TABLE)


def _reference(kind: CacheObjectKind, namespace: int, key_hi: int, key_lo: int) -> ObjectReferenceBlock:
    return ObjectReferenceBlock(
        object_kind=kind, ref_flags=0, cache_namespace=namespace, cache_key_hi=key_hi, cache_key_lo=key_lo
    )


def build_camera_reference_block(
    *, cache_namespace: int, cache_key_hi: int, cache_key_lo: int
) -> ObjectReferenceBlock:
    """Return a reference to a camera block in the cache.

    Raises:
        ValueError: a number is not a u32.

    """
    return _reference(_CAMERA, cache_namespace, cache_key_hi, cache_key_lo)


def build_tile_index_reference_block(
    *, cache_namespace: int, cache_key_hi: int, cache_key_lo: int
) -> ObjectReferenceBlock:
    """Return a reference to a tile index in the cache.

    Raises:
        ValueError: a number is not a u32.

    """
    return _reference(_TILE_INDEX, cache_namespace, cache_key_hi, cache_key_lo)


def build_tensor_section_table_reference_block(
    *, cache_namespace: int, cache_key_hi: int, cache_key_lo: int
) -> ObjectReferenceBlock:
    """Return a reference to a tensor section table in the cache.

    Raises:
        ValueError: a number is not a u32.

    """
    return _reference(_SECTION_TABLE, cache_namespace, cache_key_hi, cache_key_lo)


def pack_object_reference_blocks(blocks: Sequence[ObjectReferenceBlock]) -> bytes:
    """Return the region of `blocks`, in the order given.

    Raises:
        ValueError: a block is refused (R-OBJ-2, R-OBJ-3).

    """
    return b"".join(block.pack() for block in blocks)


def unpack_object_reference_blocks(payload: BytesLike) -> tuple[ObjectReferenceBlock, ...]:
    """Return the references of a region.

    Raises:
        ValueError: the length is no multiple of 16, or a block is refused (R-BODY-5, R-OBJ-2, R-OBJ-3).

    """
    codec.check_object_references(payload)
    blocks = ObjectReferenceBlock.STRUCT.iter_unpack(as_view(payload))
    return tuple(ObjectReferenceBlock._from_wire(values) for values in blocks)  # noqa: SLF001  # the cheap one


def _parse_reference(
    payload: ObjectReferenceBlock | BytesLike, kind: CacheObjectKind
) -> ObjectReferenceBlock:
    block = payload if isinstance(payload, ObjectReferenceBlock) else ObjectReferenceBlock.unpack(payload)
    if block.object_kind is not kind:
        raise ValueError(f"expected {kind.name} reference block, got {block.object_kind.name}")
    return block


def parse_camera_reference_block(payload: ObjectReferenceBlock | BytesLike) -> ObjectReferenceBlock:
    """Return the reference to a camera block that `payload`, a block or its 16 bytes, is.

    Raises:
        ValueError: wrong length, refused (R-OBJ-2, R-OBJ-3), or of another kind.

    """
    return _parse_reference(payload, _CAMERA)


def parse_tile_index_reference_block(payload: ObjectReferenceBlock | BytesLike) -> ObjectReferenceBlock:
    """Return the reference to a tile index that `payload`, a block or its 16 bytes, is.

    Raises:
        ValueError: wrong length, refused (R-OBJ-2, R-OBJ-3), or of another kind.

    """
    return _parse_reference(payload, _TILE_INDEX)


def parse_tensor_section_table_reference_block(
    payload: ObjectReferenceBlock | BytesLike,
) -> ObjectReferenceBlock:
    """Return the reference to a tensor section table that `payload`, a block or its 16 bytes, is.

    Raises:
        ValueError: wrong length, refused (R-OBJ-2, R-OBJ-3), or of another kind.

    """
    return _parse_reference(payload, _SECTION_TABLE)

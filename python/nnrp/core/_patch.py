"""Bodies of SESSION_PATCH and SESSION_PATCH_ACK: nothing, or one block that clamps the size of tensors."""

from __future__ import annotations

from typing import TypeVar

from nnrp.core._base import BytesLike, Metadata, as_view
from nnrp.core._metadata import TensorProfilePatchAckBlock, TensorProfilePatchBlock

__all__ = [
    "pack_session_patch_ack_body",
    "pack_session_patch_body",
    "unpack_session_patch_ack_body",
    "unpack_session_patch_body",
]

_BlockT = TypeVar("_BlockT", bound=Metadata)


def pack_session_patch_body(*, profile_patch_block: TensorProfilePatchBlock | None = None) -> bytes:
    """Return the body of a SESSION_PATCH; `ValueError` when a number of the block is not a u32."""
    return b"" if profile_patch_block is None else profile_patch_block.pack()


def pack_session_patch_ack_body(
    *, profile_patch_ack_block: TensorProfilePatchAckBlock | None = None
) -> bytes:
    """Return the body of a SESSION_PATCH_ACK; `ValueError` when a number of the block is not a u32."""
    return b"" if profile_patch_ack_block is None else profile_patch_ack_block.pack()


def unpack_session_patch_body(body: BytesLike, *, profile_patch_bytes: int) -> TensorProfilePatchBlock | None:
    """Return the block of a SESSION_PATCH body.

    Args:
        body: the body.
        profile_patch_bytes: its length as the metadata states it.

    Raises:
        ValueError: the length is not 0 or 16, or not that of the body (R-PATCH-5).

    """
    return _unpack("SESSION_PATCH", "profile_patch_bytes", profile_patch_bytes, body, TensorProfilePatchBlock)


def unpack_session_patch_ack_body(
    body: BytesLike, *, profile_patch_ack_bytes: int
) -> TensorProfilePatchAckBlock | None:
    """Return the block of a SESSION_PATCH_ACK body.

    Args:
        body: the body.
        profile_patch_ack_bytes: its length as the metadata states it.

    Raises:
        ValueError: the length is not 0 or 16, or not that of the body (R-PACK-3).

    """
    stated = profile_patch_ack_bytes
    return _unpack("SESSION_PATCH_ACK", "profile_patch_ack_bytes", stated, body, TensorProfilePatchAckBlock)


def _unpack(message: str, field: str, stated: int, body: BytesLike, block: type[_BlockT]) -> _BlockT | None:
    view = as_view(body)
    length = block.STRUCT.size
    if stated not in {0, length}:
        raise ValueError(f"{message} {field} must be 0 or {length}, got {stated}")
    if stated == 0 and view:
        raise ValueError(f"expected empty {message} body, got {len(view)} bytes")
    if len(view) != stated:
        raise ValueError(f"expected {length} {message} body bytes, got {len(view)}")
    return block.unpack(view) if stated else None

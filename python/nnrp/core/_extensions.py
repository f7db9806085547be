"""Control extensions: blocks of typed entries. Those of the handshake are in `_hello_extensions.py`."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from nnrp._native import codec
from nnrp.core._base import BytesLike, Value, as_bytes, as_member
from nnrp.core._enums import (
    ControlExtensionFlags,
)

__all__ = [
    "CONTROL_EXTENSION_ALIGNMENT",
    "CONTROL_EXTENSION_HEADER_LENGTH",
    "ControlExtensionEntry",
    "pack_control_extension_block",
    "unpack_control_extension_block",
]

CONTROL_EXTENSION_HEADER_LENGTH: Final = 8
"""Bytes of type, flags and length before the payload of an entry."""

CONTROL_EXTENSION_ALIGNMENT: Final = 8
"""Entries are padded with zeros to a multiple of this many bytes."""


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class ControlExtensionEntry(Value):
    """One entry of an extension block. Any bytes-like is accepted for the payload and becomes `bytes`."""

    ext_type: int
    """What the payload is (u16)."""
    ext_flags: ControlExtensionFlags = ControlExtensionFlags.NONE
    """`CRITICAL` when a receiver that does not know the type must refuse the message (R-EXT-3)."""
    payload: bytes = b""
    """The contents, without padding."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "ext_flags", as_member(ControlExtensionFlags, self.ext_flags))
        object.__setattr__(self, "payload", as_bytes(self.payload))

    @property
    def type_id(self) -> int:
        """Another name of `ext_type`."""
        return self.ext_type

    @property
    def flags(self) -> ControlExtensionFlags:
        """Another name of `ext_flags`."""
        return self.ext_flags


def pack_control_extension_block(entries: Iterable[ControlExtensionEntry]) -> bytes:
    """Return the block of `entries`, each padded with zeros to a multiple of 8.

    Raises:
        ValueError: a number does not fit, or there are more entries than a block may have (R-LIM-13).

    """
    return codec.encode_extensions([(entry.ext_type, entry.ext_flags, entry.payload) for entry in entries])


def unpack_control_extension_block(
    payload: BytesLike, *, known_types: AbstractSet[int] | None = None
) -> tuple[ControlExtensionEntry, ...]:
    """Return the entries of a block.

    Args:
        payload: the block.
        known_types: the types the caller understands: entries of other types are left out, and a critical one
            is refused. When not given, every entry is returned.

    Raises:
        ValueError: the block does not divide into entries, padding is not zero, a critical type is unknown,
            or there are more entries than a block may have (R-EXT-1 to 3, R-LIM-13).

    """
    entries = codec.decode_extensions(payload, known_types)
    return tuple(
        ControlExtensionEntry(ext_type, ControlExtensionFlags(flags), contents)
        for ext_type, flags, contents in entries
        if known_types is None or ext_type in known_types
    )

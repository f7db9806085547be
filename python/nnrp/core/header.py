"""The 40 bytes that every packet starts with."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, Self

from nnrp._native import codec
from nnrp.core._base import BytesLike, Record, as_member, misfit
from nnrp.core._enums import HeaderFlags, MessageType, WireFormat
from nnrp.core._metadata import HEADER_LENGTH, HEADER_MAGIC

__all__ = ["HEADER_LENGTH", "HEADER_MAGIC", "NnrpHeader"]

_STRUCT: Final = struct.Struct("<4sBBBBIIIIIHHQ")
_FIELDS: Final = (
    ("version_major", 1),
    ("wire_format", 1),
    ("msg_type", 1),
    ("header_len", 1),
    ("flags", 4),
    ("meta_len", 4),
    ("body_len", 4),
    ("session_id", 4),
    ("frame_id", 4),
    ("view_id", 2),
    ("route_id", 2),
    ("trace_id", 8),
)
"""Names and sizes behind the magic, in the order of the wire."""

# Members by their numbers: asking the class for one takes ten times as long, and every frame has a header.
_WIRE_FORMATS: Final = {int(member): member for member in WireFormat}
_MESSAGE_TYPES: Final = {int(member): member for member in MessageType}
_NO_FLAGS: Final = HeaderFlags.NONE


@dataclass(slots=True, repr=False, eq=False)
class NnrpHeader(Record):
    """The common header.

    `pack()` writes what it is told as long as it fits, so that tests can make headers that a receiver
    refuses; `unpack()` applies the rules.
    """

    version_major: int
    """Protocol version (u8): 1 in this generation (R-HDR-2)."""
    wire_format: WireFormat
    """Wire format (u8, R-HDR-3)."""
    msg_type: MessageType
    """What the packet is (u8, R-HDR-4)."""
    flags: HeaderFlags
    """Hints about the packet (u32); bits without a name are kept."""
    meta_len: int
    """Bytes of metadata after the header (u32)."""
    body_len: int
    """Bytes of body after the metadata (u32)."""
    session_id: int
    """The session, or 0 for the whole connection (u32)."""
    frame_id: int
    """The frame, or 0 (u32)."""
    view_id: int
    """The lane of the frame, or 0 (u16)."""
    route_id: int
    """Carried unchanged (u16)."""
    trace_id: int
    """Carried unchanged; replies that the library makes by itself echo it (u64)."""
    header_len: int = HEADER_LENGTH
    """Size of the header (u8): 40 (R-HDR-5)."""

    def __post_init__(self) -> None:
        self.wire_format = as_member(WireFormat, self.wire_format)
        self.msg_type = as_member(MessageType, self.msg_type)
        self.flags = as_member(HeaderFlags, self.flags)

    def pack(self) -> bytes:
        """Return the 40 bytes.

        Raises:
            ValueError: `header_len` is not 40, or a number does not fit its field.
            TypeError: a field holds something that is not an integer.

        """
        if self.header_len != HEADER_LENGTH:
            raise ValueError(f"unexpected header_len: {self.header_len}, it must be {HEADER_LENGTH}")
        values = (
            self.version_major,
            self.wire_format,
            self.msg_type,
            self.header_len,
            self.flags,
            self.meta_len,
            self.body_len,
            self.session_id,
            self.frame_id,
            self.view_id,
            self.route_id,
            self.trace_id,
        )
        try:
            return _STRUCT.pack(HEADER_MAGIC, *values)
        except struct.error:
            raise misfit("NnrpHeader", _FIELDS, values) from None

    @classmethod
    def unpack(cls, payload: BytesLike, *, expected_wire_format: WireFormat | None = None) -> Self:
        """Return the header that `payload`, any bytes-like of exactly 40 bytes, describes.

        Args:
            payload: the header's bytes and nothing else.
            expected_wire_format: the only wire format to take; any known one when not given.

        Raises:
            ValueError: wrong length, magic, version, wire format, message type or `header_len`.

        """
        codec.check_header(payload)
        header = cls._from_wire(_STRUCT.unpack(payload)[1:])
        if expected_wire_format is not None and header.wire_format != expected_wire_format:
            raise ValueError(f"unexpected wire_format: {header.wire_format:d} != {expected_wire_format:d}")
        return header

    @classmethod
    def _from_wire(cls, values: tuple[int, ...]) -> Self:
        """Build a header from its numbers in the order of the wire, without the magic and without checks."""
        self = object.__new__(cls)
        (
            self.version_major,
            wire_format,
            msg_type,
            self.header_len,
            flags,
            self.meta_len,
            self.body_len,
            self.session_id,
            self.frame_id,
            self.view_id,
            self.route_id,
            self.trace_id,
        ) = values
        self.wire_format = _WIRE_FORMATS.get(wire_format) or WireFormat(wire_format)
        self.msg_type = _MESSAGE_TYPES.get(msg_type) or MessageType(msg_type)
        self.flags = HeaderFlags(flags) if flags else _NO_FLAGS
        return self

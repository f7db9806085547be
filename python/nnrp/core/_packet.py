"""Whole packets: header, metadata and body, each as bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from nnrp.core._base import BytesLike, Record, as_bytes, as_view, octets
from nnrp.core._enums import HeaderFlags, MessageType, WireFormat
from nnrp.core._metadata import FrameSubmitMetadata, ResultPushMetadata
from nnrp.core.header import HEADER_LENGTH, NnrpHeader

__all__ = ["VERSION_MAJOR", "NnrpPacket"]

VERSION_MAJOR: Final = 1
"""The protocol version that packets are built with unless another one is asked for."""


@dataclass(slots=True, repr=False, eq=False)
class NnrpPacket(Record):
    """One packet.

    A packet is a container: it keeps header and parts consistent in length and looks no further. What
    metadata and body mean is for the metadata classes and the body functions.
    """

    header: NnrpHeader
    metadata: bytes = b""
    """`header.meta_len` bytes; bytes-like objects are copied into `bytes` on construction."""
    body: bytes = b""
    """`header.body_len` bytes; bytes-like objects are copied into `bytes` on construction."""

    def __post_init__(self) -> None:
        self.metadata = as_bytes(self.metadata)
        self.body = as_bytes(self.body)

    def __repr__(self) -> str:
        parts = f"metadata={octets(self.metadata)}, body={octets(self.body)}"
        return f"{type(self).__name__}(header={self.header!r}, {parts})"

    @classmethod
    def build(
        cls,
        msg_type: MessageType,
        *,
        version_major: int = VERSION_MAJOR,
        wire_format: WireFormat = WireFormat.CURRENT,
        flags: HeaderFlags = HeaderFlags.NONE,
        session_id: int = 0,
        frame_id: int = 0,
        view_id: int = 0,
        route_id: int = 0,
        trace_id: int = 0,
        metadata: BytesLike = b"",
        body: BytesLike = b"",
    ) -> Self:
        """Return a packet whose header has the lengths of `metadata` and `body`.

        Args:
            msg_type: what the packet is.
            version_major: protocol version (u8).
            wire_format: wire format of that version.
            flags: hints in the header.
            session_id: the session (u32), 0 for the whole connection.
            frame_id: the frame (u32), 0 for none.
            view_id: the lane of the frame (u16).
            route_id: carried unchanged (u16).
            trace_id: carried unchanged (u64).
            metadata: the packed metadata, bytes-like.
            body: the body, bytes-like.

        """
        metadata, body = as_bytes(metadata), as_bytes(body)
        header = NnrpHeader(
            version_major=version_major,
            wire_format=wire_format,
            msg_type=msg_type,
            flags=flags,
            meta_len=len(metadata),
            body_len=len(body),
            session_id=session_id,
            frame_id=frame_id,
            view_id=view_id,
            route_id=route_id,
            trace_id=trace_id,
        )
        return cls(header, metadata, body)

    def pack(self) -> bytes:
        """Return the packet's bytes.

        Raises:
            ValueError: a length in the header is not that of its part, or a header field does not fit.

        """
        if self.header.meta_len != len(self.metadata):
            lengths = f"header={self.header.meta_len}, actual={len(self.metadata)}"
            raise ValueError(f"metadata length mismatch: {lengths}")
        if self.header.body_len != len(self.body):
            raise ValueError(f"body length mismatch: header={self.header.body_len}, actual={len(self.body)}")
        return b"".join((self.header.pack(), self.metadata, self.body))

    @classmethod
    def unpack(cls, payload: BytesLike) -> Self:
        """Return the packet that `payload`, any bytes-like, holds.

        Raises:
            ValueError: the header is refused, or `payload` is not exactly as long as the header says
                (R-PKT-3).

        """
        view = as_view(payload)
        if len(view) < HEADER_LENGTH:
            raise ValueError(f"expected at least {HEADER_LENGTH} bytes, got {len(view)}")
        header = NnrpHeader.unpack(view[:HEADER_LENGTH])
        body_start = HEADER_LENGTH + header.meta_len
        expected = body_start + header.body_len
        if len(view) != expected:
            raise ValueError(f"expected {expected} bytes, got {len(view)}")
        return cls(header, view[HEADER_LENGTH:body_start].tobytes(), view[body_start:].tobytes())


def summary(packet: NnrpPacket) -> str:
    """Return what the `repr` of an object that keeps a packet says about it."""
    kind = packet.header.msg_type
    size = HEADER_LENGTH + len(packet.metadata) + len(packet.body)
    return f"<{getattr(kind, 'name', kind)} of {size} bytes>"


def carried(metadata: FrameSubmitMetadata | ResultPushMetadata, body_bytes: int) -> str:
    """Return what the `repr` of a frame or result says about its content, without looking at it."""
    parts = [_several(body_bytes, "byte")]
    if metadata.payload_frame_count:
        parts.insert(0, _several(metadata.payload_frame_count, "typed payload"))
    if metadata.section_count:
        tiles, sections = _several(metadata.tile_count, "tile"), _several(metadata.section_count, "section")
        parts.insert(0, f"{tiles} in {sections}")
    return ", ".join(parts)


def _several(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"

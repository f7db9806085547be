"""Bodies against their metadata: what a whole FRAME_SUBMIT or RESULT_PUSH holds."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TypeAlias, overload

from nnrp._native import codec
from nnrp.core._base import BytesLike, Value, as_view
from nnrp.core._enums import MessageType, PayloadKind
from nnrp.core._metadata import FrameSubmitMetadata, ResultPushMetadata
from nnrp.core._packet import NnrpPacket
from nnrp.core._payloads import TypedPayloadFrame, typed_payload_views
from nnrp.core._regions import BodyView, region_views, unpack_regions
from nnrp.core._tensor import TensorBodyView, section_views

__all__ = [
    "PacketBody",
    "unpack_body",
    "validate_frame_submit_body",
    "validate_result_push_body",
    "validate_result_push_tensor_coverage",
]

_Range: TypeAlias = "tuple[int, int] | None"


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class PacketBody(Value):
    """What a FRAME_SUBMIT or RESULT_PUSH packet holds. Views are read-only and share the packet's body."""

    metadata: FrameSubmitMetadata | ResultPushMetadata
    tensor_body: TensorBodyView | None
    """The tensors; `None` when the metadata announces none. Referenced parts are empty."""
    typed_payloads: tuple[TypedPayloadFrame, ...]
    body_view: BodyView | None
    """The regions of a composed body; `None` for a plain or empty one."""
    camera_block: memoryview
    """The camera block of a submit; empty when there is none."""


@overload
def unpack_body(body: NnrpPacket, *, known_extension_kinds: AbstractSet[int] | None = None) -> PacketBody: ...
@overload
def unpack_body(body: BytesLike, *, known_extension_kinds: AbstractSet[int] | None = None) -> BodyView: ...
def unpack_body(
    body: NnrpPacket | BytesLike, *, known_extension_kinds: AbstractSet[int] | None = None
) -> PacketBody | BodyView:
    """Return the regions of a composed body, or everything that a whole packet holds.

    Args:
        body: a composed body as bytes; its regions are checked each by itself, without metadata. Or a
            FRAME_SUBMIT or RESULT_PUSH packet; then metadata and body are checked together.
        known_extension_kinds: the extension frame kinds that the caller understands; a critical frame of
            another kind is refused. When not given, every kind is taken.

    Raises:
        ValueError: a rule about metadata or bodies is broken, or the packet is another message.

    """
    if isinstance(body, NnrpPacket):
        return _unpack_packet(body, known_extension_kinds)
    return unpack_regions(body, known_extension_kinds)


def _unpack_packet(packet: NnrpPacket, known: AbstractSet[int] | None) -> PacketBody:
    metadata: FrameSubmitMetadata | ResultPushMetadata
    match packet.header.msg_type:
        case MessageType.FRAME_SUBMIT:
            metadata = FrameSubmitMetadata.unpack(packet.metadata)
            metadata.frame_id = packet.header.frame_id
            parts = codec.check_submit_body(packet.metadata, packet.body, composed=False, known=known)
        case MessageType.RESULT_PUSH:
            metadata = ResultPushMetadata.unpack(packet.metadata)
            parts = codec.check_result_body(packet.metadata, packet.body, composed=False, known=known)
        case other:
            raise ValueError(f"expected FRAME_SUBMIT or RESULT_PUSH, got {other.name}")
    view = as_view(packet.body)
    composed, camera, tile_index, table = parts
    tensors = None
    if metadata.payload_kind_bitmap & PayloadKind.TENSOR:
        sections = section_views(view, table[0], metadata.section_count) if table else ()
        tensors = TensorBodyView(_part(view, tile_index), sections)
    regions = region_views(view) if composed else None
    payloads: tuple[TypedPayloadFrame, ...] = ()
    if regions:
        payloads = typed_payload_views(
            regions.typed_payload_descriptor_region, regions.typed_payload_frame_region
        )
    return PacketBody(metadata, tensors, payloads, regions, _part(view, camera))


def _part(view: memoryview, where: _Range) -> memoryview:
    start, end = where or (0, 0)
    return view[start:end]


@overload
def validate_frame_submit_body(
    metadata: FrameSubmitMetadata, body: BytesLike, *, known_extension_kinds: AbstractSet[int] | None = None
) -> BodyView: ...
@overload
def validate_frame_submit_body(
    metadata: NnrpPacket, body: FrameSubmitMetadata, *, known_extension_kinds: AbstractSet[int] | None = None
) -> BodyView | None: ...
def validate_frame_submit_body(
    metadata: FrameSubmitMetadata | NnrpPacket,
    body: BytesLike | FrameSubmitMetadata,
    *,
    known_extension_kinds: AbstractSet[int] | None = None,
) -> BodyView | None:
    """Check the body of a FRAME_SUBMIT against its metadata and return its regions.

    Also callable as `validate_frame_submit_body(packet, metadata)`. Then the layout is the one that follows
    from the metadata, and the answer for a plain or empty body is `None`; with `(metadata, body)` the body
    has to be a composed one.

    Raises:
        ValueError: a rule about bodies is broken.

    """
    if isinstance(metadata, NnrpPacket):
        if not isinstance(body, FrameSubmitMetadata):
            raise TypeError("the body of a packet is validated against FrameSubmitMetadata")
        composed, *_ = codec.check_submit_body(
            body.pack(), metadata.body, composed=False, known=known_extension_kinds
        )
        return region_views(as_view(metadata.body)) if composed else None
    if isinstance(body, FrameSubmitMetadata):
        raise TypeError("metadata is validated against a bytes-like body")
    codec.check_submit_body(metadata.pack(), body, composed=True, known=known_extension_kinds)
    return region_views(as_view(body))


@overload
def validate_result_push_body(
    metadata: ResultPushMetadata, body: BytesLike, *, known_extension_kinds: AbstractSet[int] | None = None
) -> BodyView: ...
@overload
def validate_result_push_body(
    metadata: NnrpPacket, body: ResultPushMetadata, *, known_extension_kinds: AbstractSet[int] | None = None
) -> BodyView | None: ...
def validate_result_push_body(
    metadata: ResultPushMetadata | NnrpPacket,
    body: BytesLike | ResultPushMetadata,
    *,
    known_extension_kinds: AbstractSet[int] | None = None,
) -> BodyView | None:
    """Check the body of a RESULT_PUSH against its metadata and return its regions.

    Also callable as `validate_result_push_body(packet, metadata)`, with the same difference as for
    `validate_frame_submit_body`.

    Raises:
        ValueError: a rule about bodies is broken, or the tile counts contradict each other.

    """
    if isinstance(metadata, NnrpPacket):
        if not isinstance(body, ResultPushMetadata):
            raise TypeError("the body of a packet is validated against ResultPushMetadata")
        composed, *_ = codec.check_result_body(
            body.pack(), metadata.body, composed=False, known=known_extension_kinds
        )
        return region_views(as_view(metadata.body)) if composed else None
    if isinstance(body, ResultPushMetadata):
        raise TypeError("metadata is validated against a bytes-like body")
    codec.check_result_body(metadata.pack(), body, composed=True, known=known_extension_kinds)
    return region_views(as_view(body))


def validate_result_push_tensor_coverage(metadata: ResultPushMetadata) -> None:
    """Check that the tile counts of a tensor result agree with each other and with its class.

    Raises:
        ValueError: covered and dropped tiles are not all tiles (R-RES-6), or a partial result drops none
            (R-RES-7).

    """
    codec.check_coverage(metadata.pack())

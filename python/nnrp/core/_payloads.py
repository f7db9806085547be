"""Typed payloads and extension frames: a region of descriptors, and a region of the bytes they describe."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from nnrp._native import codec
from nnrp.core._base import BytesLike, Value, as_bytes, as_member, as_view
from nnrp.core._enums import ExtensionFrameFlags, PayloadKind
from nnrp.core._metadata import ExtensionFrameDescriptor, TypedPayloadDescriptor

__all__ = [
    "ExtensionFrame",
    "TypedPayloadFrame",
    "build_audio_chunk_frame",
    "build_extension_frame",
    "build_opaque_bytes_frame",
    "build_structured_event_frame",
    "build_token_chunk_frame",
    "build_tool_delta_frame",
    "build_typed_payload_frame",
    "build_video_chunk_frame",
    "pack_extension_frame_descriptors",
    "pack_extension_frames",
    "pack_typed_payload_descriptors",
    "pack_typed_payload_frames",
    "parse_audio_chunk_frame",
    "parse_opaque_bytes_frame",
    "parse_structured_event_frame",
    "parse_token_chunk_frame",
    "parse_tool_delta_frame",
    "parse_typed_payload_frame",
    "parse_video_chunk_frame",
    "unpack_extension_frame_descriptors",
    "unpack_extension_frames",
    "unpack_typed_payload_descriptors",
    "unpack_typed_payload_frames",
]


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class TypedPayloadFrame(Value):
    """One typed payload of a frame. Any bytes-like is accepted for the payload and becomes `bytes`."""

    payload_kind: PayloadKind
    """Exactly one kind, and not `TENSOR` (R-TYP-1, R-TYP-2)."""
    payload: bytes
    profile_id: int = 0
    """The application's profile (u16), 0 for none."""
    descriptor_flags: int = 0
    """Reserved: must be 0 (R-TYP-3)."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "payload_kind", as_member(PayloadKind, self.payload_kind))
        object.__setattr__(self, "payload", as_bytes(self.payload))


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class ExtensionFrame(Value):
    """One extension frame of a body. No kind is assigned in this generation."""

    extension_kind: int
    """What the frame is (u16)."""
    payload: bytes
    profile_id: int = 0
    """The application's profile (u16), 0 for none."""
    extension_flags: ExtensionFrameFlags = ExtensionFrameFlags.NONE
    """`CRITICAL` when a receiver that does not know the kind must refuse the body (R-XF-4)."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "extension_flags", as_member(ExtensionFrameFlags, self.extension_flags))
        object.__setattr__(self, "payload", as_bytes(self.payload))


def _typed_descriptor(frame: TypedPayloadFrame, offset: int) -> TypedPayloadDescriptor:
    return TypedPayloadDescriptor(
        payload_kind=frame.payload_kind,
        descriptor_flags=frame.descriptor_flags,
        profile_id=frame.profile_id,
        payload_offset=offset,
        payload_length=len(frame.payload),
    )


def build_typed_payload_frame(
    payload_kind: PayloadKind | int,
    payload: BytesLike,
    *,
    profile_id: int = 0,
    descriptor_flags: int = 0,
) -> TypedPayloadFrame:
    """Return a typed payload that has been checked.

    Args:
        payload_kind: exactly one kind, and not `TENSOR`.
        payload: its bytes; may be empty.
        profile_id: the application's profile (u16), 0 for none.
        descriptor_flags: reserved, 0.

    Raises:
        ValueError: the kind is not one that a typed payload can have, or a number does not fit (R-TYP-1 to
            3).

    """
    frame = TypedPayloadFrame(
        as_member(PayloadKind, payload_kind), as_bytes(payload), profile_id, descriptor_flags
    )
    _typed_descriptor(frame, 0)
    return frame


def build_token_chunk_frame(payload: BytesLike, *, profile_id: int = 0) -> TypedPayloadFrame:
    """Return a `TOKEN_CHUNK`, a piece of generated text; `profile_id` is a u16, else `ValueError`."""
    return build_typed_payload_frame(PayloadKind.TOKEN_CHUNK, payload, profile_id=profile_id)


def build_audio_chunk_frame(payload: BytesLike, *, profile_id: int = 0) -> TypedPayloadFrame:
    """Return an `AUDIO_CHUNK`, a piece of sound; `profile_id` is a u16, else `ValueError`."""
    return build_typed_payload_frame(PayloadKind.AUDIO_CHUNK, payload, profile_id=profile_id)


def build_video_chunk_frame(payload: BytesLike, *, profile_id: int = 0) -> TypedPayloadFrame:
    """Return a `VIDEO_CHUNK`, a piece of video; `profile_id` is a u16, else `ValueError`."""
    return build_typed_payload_frame(PayloadKind.VIDEO_CHUNK, payload, profile_id=profile_id)


def build_structured_event_frame(payload: BytesLike, *, profile_id: int = 0) -> TypedPayloadFrame:
    """Return a `STRUCTURED_EVENT`, for example JSON; `profile_id` is a u16, else `ValueError`."""
    return build_typed_payload_frame(PayloadKind.STRUCTURED_EVENT, payload, profile_id=profile_id)


def build_tool_delta_frame(payload: BytesLike, *, profile_id: int = 0) -> TypedPayloadFrame:
    """Return a `TOOL_DELTA`, a step of a tool call; `profile_id` is a u16, else `ValueError`."""
    return build_typed_payload_frame(PayloadKind.TOOL_DELTA, payload, profile_id=profile_id)


def build_opaque_bytes_frame(payload: BytesLike, *, profile_id: int = 0) -> TypedPayloadFrame:
    """Return `OPAQUE_BYTES`, which the application understands; `profile_id` is a u16, else `ValueError`."""
    return build_typed_payload_frame(PayloadKind.OPAQUE_BYTES, payload, profile_id=profile_id)


def parse_typed_payload_frame(
    frame: TypedPayloadFrame, *, expected_kind: PayloadKind | int | None = None
) -> TypedPayloadFrame:
    """Return `frame` after checking it.

    Args:
        frame: a typed payload.
        expected_kind: the kind it has to have; any when not given.

    Raises:
        ValueError: `frame` is no legal typed payload (R-TYP-1 to 3), or of another kind.

    """
    _typed_descriptor(frame, 0)
    if expected_kind is not None and frame.payload_kind != expected_kind:
        wanted = PayloadKind(expected_kind)
        raise ValueError(f"expected {wanted.name} typed payload, got {frame.payload_kind.name}")
    return frame


def parse_token_chunk_frame(frame: TypedPayloadFrame) -> TypedPayloadFrame:
    """Return `frame` if it is a `TOKEN_CHUNK`, else raise `ValueError`."""
    return parse_typed_payload_frame(frame, expected_kind=PayloadKind.TOKEN_CHUNK)


def parse_audio_chunk_frame(frame: TypedPayloadFrame) -> TypedPayloadFrame:
    """Return `frame` if it is an `AUDIO_CHUNK`, else raise `ValueError`."""
    return parse_typed_payload_frame(frame, expected_kind=PayloadKind.AUDIO_CHUNK)


def parse_video_chunk_frame(frame: TypedPayloadFrame) -> TypedPayloadFrame:
    """Return `frame` if it is a `VIDEO_CHUNK`, else raise `ValueError`."""
    return parse_typed_payload_frame(frame, expected_kind=PayloadKind.VIDEO_CHUNK)


def parse_structured_event_frame(frame: TypedPayloadFrame) -> TypedPayloadFrame:
    """Return `frame` if it is a `STRUCTURED_EVENT`, else raise `ValueError`."""
    return parse_typed_payload_frame(frame, expected_kind=PayloadKind.STRUCTURED_EVENT)


def parse_tool_delta_frame(frame: TypedPayloadFrame) -> TypedPayloadFrame:
    """Return `frame` if it is a `TOOL_DELTA`, else raise `ValueError`."""
    return parse_typed_payload_frame(frame, expected_kind=PayloadKind.TOOL_DELTA)


def parse_opaque_bytes_frame(frame: TypedPayloadFrame) -> TypedPayloadFrame:
    """Return `frame` if it is `OPAQUE_BYTES`, else raise `ValueError`."""
    return parse_typed_payload_frame(frame, expected_kind=PayloadKind.OPAQUE_BYTES)


def pack_typed_payload_descriptors(descriptors: Sequence[TypedPayloadDescriptor]) -> bytes:
    """Return the region of `descriptors`, in the order given.

    Raises:
        ValueError: a descriptor is refused (R-TYP-1 to 3).

    """
    return b"".join(descriptor.pack() for descriptor in descriptors)


def unpack_typed_payload_descriptors(payload: BytesLike) -> tuple[TypedPayloadDescriptor, ...]:
    """Return the descriptors of a region, without comparing them with the bytes they describe.

    Raises:
        ValueError: the length is no multiple of 16, or a descriptor is refused (R-BODY-5, R-TYP-1 to 3).

    """
    rows = _rows("typed_payload_descriptor_bytes", payload, TypedPayloadDescriptor.STRUCT.size)
    return tuple(map(TypedPayloadDescriptor.unpack, rows))


def pack_typed_payload_frames(frames: Sequence[TypedPayloadFrame]) -> tuple[bytes, bytes]:
    """Return the regions of descriptors and of bytes for `frames`, back to back in the order given.

    Raises:
        ValueError: a frame is no legal typed payload (R-TYP-1 to 3).

    """
    descriptors: list[TypedPayloadDescriptor] = []
    offset = 0
    for frame in frames:
        descriptors.append(_typed_descriptor(frame, offset))
        offset += len(frame.payload)
    return pack_typed_payload_descriptors(descriptors), b"".join(frame.payload for frame in frames)


def typed_payload_views(descriptors: memoryview, payloads: memoryview) -> tuple[TypedPayloadFrame, ...]:
    """Return the typed payloads of two regions that the native rules have accepted."""
    frames: list[TypedPayloadFrame] = []
    for kind, flags, profile_id, offset, length, _ in TypedPayloadDescriptor.STRUCT.iter_unpack(descriptors):
        payload = payloads[offset : offset + length].tobytes()
        frames.append(TypedPayloadFrame(PayloadKind(kind), payload, profile_id, flags))
    return tuple(frames)


def unpack_typed_payload_frames(
    descriptor_region: BytesLike, payload_region: BytesLike
) -> tuple[TypedPayloadFrame, ...]:
    """Return the typed payloads of a region of descriptors and the region of their bytes.

    Raises:
        ValueError: a descriptor is refused, they overlap, or one points past the region (R-BODY-5, R-TYP-1 to
            4).

    """
    codec.check_typed_payloads(descriptor_region, payload_region)
    return typed_payload_views(as_view(descriptor_region), as_view(payload_region))


def _extension_descriptor(frame: ExtensionFrame, offset: int) -> ExtensionFrameDescriptor:
    return ExtensionFrameDescriptor(
        extension_kind=frame.extension_kind,
        extension_flags=frame.extension_flags,
        profile_id=frame.profile_id,
        reserved0=0,
        payload_offset=offset,
        payload_length=len(frame.payload),
    )


def build_extension_frame(
    extension_kind: int,
    payload: BytesLike,
    *,
    profile_id: int = 0,
    extension_flags: ExtensionFrameFlags | int = ExtensionFrameFlags.NONE,
) -> ExtensionFrame:
    """Return an extension frame that has been checked.

    Args:
        extension_kind: what the frame is (u16).
        payload: its bytes.
        profile_id: the application's profile (u16), 0 for none.
        extension_flags: `CRITICAL` when receivers that do not know the kind must refuse the body.

    Raises:
        ValueError: a number does not fit, or there are unknown flags (R-XF-1).

    """
    flags = as_member(ExtensionFrameFlags, extension_flags)
    frame = ExtensionFrame(extension_kind, as_bytes(payload), profile_id, flags)
    _extension_descriptor(frame, 0)
    return frame


def pack_extension_frame_descriptors(descriptors: Sequence[ExtensionFrameDescriptor]) -> bytes:
    """Return the region of `descriptors`, in the order given.

    Raises:
        ValueError: a descriptor is refused (R-XF-1, R-XF-2).

    """
    return b"".join(descriptor.pack() for descriptor in descriptors)


def unpack_extension_frame_descriptors(payload: BytesLike) -> tuple[ExtensionFrameDescriptor, ...]:
    """Return the descriptors of a region, without comparing them with the bytes they describe.

    Raises:
        ValueError: the length is no multiple of 16, or a descriptor is refused (R-BODY-5, R-XF-1, R-XF-2).

    """
    rows = _rows("extension_descriptor_bytes", payload, ExtensionFrameDescriptor.STRUCT.size)
    return tuple(map(ExtensionFrameDescriptor.unpack, rows))


def pack_extension_frames(frames: Sequence[ExtensionFrame]) -> tuple[bytes, bytes]:
    """Return the regions of descriptors and of bytes for `frames`, back to back in the order given.

    Raises:
        ValueError: a number does not fit, or there are unknown flags (R-XF-1).

    """
    descriptors: list[ExtensionFrameDescriptor] = []
    offset = 0
    for frame in frames:
        descriptors.append(_extension_descriptor(frame, offset))
        offset += len(frame.payload)
    return pack_extension_frame_descriptors(descriptors), b"".join(frame.payload for frame in frames)


def unpack_extension_frames(
    descriptor_region: BytesLike,
    payload_region: BytesLike,
    *,
    known_extension_kinds: AbstractSet[int] | None = None,
) -> tuple[ExtensionFrame, ...]:
    """Return the extension frames of a region of descriptors and the region of their bytes.

    Args:
        descriptor_region: the descriptors.
        payload_region: the bytes they describe.
        known_extension_kinds: the kinds the caller understands: frames of other kinds are left out, and a
            critical one is refused. When not given, every frame is returned.

    Raises:
        ValueError: a descriptor is refused, they overlap, one points past the region, or a critical kind is
            unknown (R-BODY-5, R-XF-1 to 4).

    """
    codec.check_extension_frames(descriptor_region, payload_region, known_extension_kinds)
    descriptors, payloads = as_view(descriptor_region), as_view(payload_region)
    frames: list[ExtensionFrame] = []
    for kind, flags, profile_id, _, offset, length in ExtensionFrameDescriptor.STRUCT.iter_unpack(
        descriptors
    ):
        if known_extension_kinds is None or kind in known_extension_kinds:
            payload = payloads[offset : offset + length].tobytes()
            frames.append(ExtensionFrame(kind, payload, profile_id, ExtensionFrameFlags(flags)))
    return tuple(frames)


def _rows(name: str, payload: BytesLike, size: int) -> list[memoryview]:
    """Divide a region of descriptors."""
    view = as_view(payload)
    if len(view) % size:
        raise ValueError(f"{name} must be a multiple of {size}, got {len(view)}")
    return [view[start : start + size] for start in range(0, len(view), size)]

"""Builders of FRAME_SUBMIT packets. The bytes come from the native encoder, the one that sessions use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nnrp._native import codec
from nnrp.core._base import BytesLike
from nnrp.core._enums import (
    BudgetPolicy,
    HeaderFlags,
    InputProfile,
    MessageType,
    PayloadKind,
    SubmitMode,
    TileIndexMode,
    WireFormat,
)
from nnrp.core._metadata import INHERIT_LOSS_TOLERANCE, FrameSubmitMetadata, ObjectReferenceBlock
from nnrp.core._objects import (
    parse_camera_reference_block,
    parse_tensor_section_table_reference_block,
    parse_tile_index_reference_block,
)
from nnrp.core._packet import VERSION_MAJOR, NnrpPacket
from nnrp.core._payloads import TypedPayloadFrame
from nnrp.core._tensor import TensorSectionData

__all__ = [
    "build_frame_submit_mixed_packet",
    "build_frame_submit_packet",
    "build_frame_submit_typed_payload_packet",
]


def latency_budget(latency_budget_ms: int, inference_budget_ms: int) -> int:
    """Return the budget that was given under either name; `ValueError` for two different ones."""
    if latency_budget_ms and inference_budget_ms and latency_budget_ms != inference_budget_ms:
        values = f"{latency_budget_ms} and {inference_budget_ms}"
        raise ValueError(f"latency_budget_ms and inference_budget_ms are the same thing, got {values}")
    return latency_budget_ms or inference_budget_ms


def require_frames(frames: Sequence[TypedPayloadFrame]) -> None:
    """Raise `ValueError` when there is no typed payload."""
    if not frames:
        raise ValueError("typed payload packet builder requires at least one frame")


def refuse_tensor_arguments(message: str, given: dict[str, Any]) -> None:
    """Raise `ValueError` for the first argument in `given` that only a tensor frame can have."""
    for name, value in given.items():
        # An array of tile ids has no truth value, so its length is asked for.
        if value is not None and (len(value) if hasattr(value, "__len__") else value):
            raise ValueError(f"non-tensor {message} current builder does not accept {name}")


def _packed(
    reference: ObjectReferenceBlock | BytesLike | None, parse: Callable[..., ObjectReferenceBlock]
) -> bytes | None:
    """Return the bytes of a reference after checking that it is of the kind that `parse` takes."""
    return None if reference is None else parse(reference).pack()


def build_frame_submit_packet(
    session_id: int,
    frame_id: int,
    *,
    src_width: int = 0,
    src_height: int = 0,
    tile_width: int = 0,
    tile_height: int = 0,
    tile_ids: Sequence[int] = (),
    sections: Sequence[TensorSectionData] = (),
    camera_block: BytesLike = b"",
    frame_class: int = 0,
    input_profile: InputProfile = InputProfile.UNSPECIFIED,
    tile_index_mode: TileIndexMode = TileIndexMode.RAW_U16,
    latency_budget_ms: int = 0,
    target_fps_x100: int = 0,
    retry_of_frame: int = 0,
    tile_base_id: int = 0,
    submit_mode: SubmitMode = SubmitMode.INLINE,
    object_ref_mask: int = 0,
    camera_reference: ObjectReferenceBlock | BytesLike | None = None,
    tile_index_reference: ObjectReferenceBlock | BytesLike | None = None,
    tensor_section_table_reference: ObjectReferenceBlock | BytesLike | None = None,
    budget_policy: BudgetPolicy = BudgetPolicy.NONE,
    dependency_frame_id: int = 0,
    loss_tolerance_policy: int = INHERIT_LOSS_TOLERANCE,
    payload_kind_bitmap: PayloadKind = PayloadKind.TENSOR,
    payload_frame_count: int = 0,
    version_major: int = VERSION_MAJOR,
    wire_format: WireFormat = WireFormat.CURRENT,
    flags: HeaderFlags = HeaderFlags.NONE,
    view_id: int = 0,
    route_id: int = 0,
    trace_id: int = 0,
    inference_budget_ms: int = 0,
) -> NnrpPacket:
    """Return a FRAME_SUBMIT with tensors, or an empty one for a `payload_kind_bitmap` without `TENSOR`.

    Args:
        session_id: the session (u32).
        frame_id: the frame's id, chosen by the client (u32).
        src_width: width of the source in pixels (u16).
        src_height: height of the source in pixels (u16).
        tile_width: width of a tile in pixels (u16).
        tile_height: height of a tile in pixels (u16).
        tile_ids: the tiles of the frame, ids from 0 to 65535.
        sections: the tensors, in ascending order of `role_id`, each with one payload for every tile.
        camera_block: bytes that only the application understands.
        frame_class: a `FrameClass`.
        input_profile: what the tensors are a picture of.
        tile_index_mode: how the tile ids are written.
        latency_budget_ms: deadline counted from receipt, 0 for none; 65535 at most, more counts as that.
        target_fps_x100: wanted frames per second, times 100 (u16); 0 for not stated.
        retry_of_frame: the frame this one retries (u32), 0 for none.
        tile_base_id: first tile id of a `DENSE_RANGE` (u32).
        submit_mode: where camera block, tile index and section table are. A referenced one is not sent; its
            arguments only say how many tiles and sections it has.
        object_ref_mask: the slots that are referenced; 0 to take it from the references.
        camera_reference: the camera block in the peer's cache.
        tile_index_reference: the tile index in the peer's cache.
        tensor_section_table_reference: the section table in the peer's cache.
        budget_policy: what the client takes instead of a complete result.
        dependency_frame_id: the frame whose context this one needs (u32), 0 for none.
        loss_tolerance_policy: a `LossTolerance`, or 0xFF to take the session's.
        payload_kind_bitmap: the kinds that the metadata states.
        payload_frame_count: the number of typed payloads that the metadata states; the builder adds none.
        version_major: protocol version in the header.
        wire_format: wire format in the header.
        flags: hints in the header.
        view_id: the lane of the frame (u16).
        route_id: carried unchanged (u16).
        trace_id: carried unchanged (u64).
        inference_budget_ms: another name of `latency_budget_ms`.

    Raises:
        ValueError: a number does not fit, tiles and sections do not go together, the mode does not go with
            the references, or there are tensor arguments without the `TENSOR` kind.

    """
    references = {
        "camera_reference": _packed(camera_reference, parse_camera_reference_block),
        "tile_index_reference": _packed(tile_index_reference, parse_tile_index_reference_block),
        "section_table_reference": _packed(
            tensor_section_table_reference, parse_tensor_section_table_reference_block
        ),
    }
    has_tensor = bool(payload_kind_bitmap & PayloadKind.TENSOR)
    if not has_tensor:
        given = {"tile_ids": tile_ids, "sections": sections, "camera_block": camera_block}
        given |= {"payload_frame_count": payload_frame_count, **references}
        refuse_tensor_arguments("FRAME_SUBMIT", given)
    metadata, body = codec.encode_submit(
        {
            "src_width": src_width if has_tensor else 0,
            "src_height": src_height if has_tensor else 0,
            "tile_width": tile_width if has_tensor else 0,
            "tile_height": tile_height if has_tensor else 0,
            "tile_ids": tile_ids,
            "sections": sections,
            "camera_block": camera_block if camera_reference is None else b"",
            "frame_class": frame_class,
            "input_profile": input_profile,
            "tile_index_mode": tile_index_mode,
            "latency_budget_ms": latency_budget(latency_budget_ms, inference_budget_ms),
            "target_fps_x100": target_fps_x100,
            "retry_of_frame": retry_of_frame,
            "tile_base_id": tile_base_id,
            "submit_mode": submit_mode,
            "object_ref_mask": object_ref_mask,
            **references,
            "budget_policy": budget_policy,
            "dependency_frame_id": dependency_frame_id,
            "loss_tolerance_policy": loss_tolerance_policy,
            "payload_kind_bitmap": payload_kind_bitmap,
        }
    )
    if has_tensor and (payload_kind_bitmap, payload_frame_count) != (PayloadKind.TENSOR, 0):
        stated = FrameSubmitMetadata.unpack(metadata)
        stated.payload_kind_bitmap, stated.payload_frame_count = payload_kind_bitmap, payload_frame_count
        metadata = stated.pack()
    return NnrpPacket.build(
        MessageType.FRAME_SUBMIT,
        version_major=version_major,
        wire_format=wire_format,
        flags=flags,
        session_id=session_id,
        frame_id=frame_id,
        view_id=view_id,
        route_id=route_id,
        trace_id=trace_id,
        metadata=metadata,
        body=body,
    )


def build_frame_submit_mixed_packet(
    session_id: int,
    frame_id: int,
    *,
    src_width: int = 0,
    src_height: int = 0,
    tile_width: int = 0,
    tile_height: int = 0,
    tile_ids: Sequence[int] = (),
    sections: Sequence[TensorSectionData] = (),
    frames: Sequence[TypedPayloadFrame],
    camera_block: BytesLike = b"",
    frame_class: int = 0,
    input_profile: InputProfile = InputProfile.UNSPECIFIED,
    tile_index_mode: TileIndexMode = TileIndexMode.RAW_U16,
    latency_budget_ms: int = 0,
    target_fps_x100: int = 0,
    retry_of_frame: int = 0,
    tile_base_id: int = 0,
    budget_policy: BudgetPolicy = BudgetPolicy.NONE,
    dependency_frame_id: int = 0,
    loss_tolerance_policy: int = INHERIT_LOSS_TOLERANCE,
    version_major: int = VERSION_MAJOR,
    wire_format: WireFormat = WireFormat.CURRENT,
    flags: HeaderFlags = HeaderFlags.NONE,
    view_id: int = 0,
    route_id: int = 0,
    trace_id: int = 0,
    inference_budget_ms: int = 0,
) -> NnrpPacket:
    """Return a FRAME_SUBMIT with tensors and typed payloads.

    Args:
        session_id: the session (u32).
        frame_id: the frame's id, chosen by the client (u32).
        src_width: width of the source in pixels (u16).
        src_height: height of the source in pixels (u16).
        tile_width: width of a tile in pixels (u16).
        tile_height: height of a tile in pixels (u16).
        tile_ids: the tiles of the frame, ids from 0 to 65535.
        sections: the tensors, in ascending order of `role_id`, each with one payload for every tile.
        frames: the typed payloads, at least one.
        camera_block: bytes that only the application understands.
        frame_class: a `FrameClass`.
        input_profile: what the tensors are a picture of.
        tile_index_mode: how the tile ids are written.
        latency_budget_ms: deadline counted from receipt, 0 for none; 65535 at most, more counts as that.
        target_fps_x100: wanted frames per second, times 100 (u16); 0 for not stated.
        retry_of_frame: the frame this one retries (u32), 0 for none.
        tile_base_id: first tile id of a `DENSE_RANGE` (u32).
        budget_policy: what the client takes instead of a complete result.
        dependency_frame_id: the frame whose context this one needs (u32), 0 for none.
        loss_tolerance_policy: a `LossTolerance`, or 0xFF to take the session's.
        version_major: protocol version in the header.
        wire_format: wire format in the header.
        flags: hints in the header.
        view_id: the lane of the frame (u16).
        route_id: carried unchanged (u16).
        trace_id: carried unchanged (u64).
        inference_budget_ms: another name of `latency_budget_ms`.

    Raises:
        ValueError: a number does not fit, tiles and sections do not go together, there is no tensor content
            or no typed payload, or a payload is of a kind that it cannot have.

    """
    require_frames(frames)
    if not (len(tile_ids) or len(sections) or memoryview(camera_block).nbytes):
        raise ValueError("mixed FRAME_SUBMIT current builder requires tensor body content")
    metadata, body = codec.encode_submit(
        {
            "src_width": src_width,
            "src_height": src_height,
            "tile_width": tile_width,
            "tile_height": tile_height,
            "tile_ids": tile_ids,
            "sections": sections,
            "frames": frames,
            "camera_block": camera_block,
            "frame_class": frame_class,
            "input_profile": input_profile,
            "tile_index_mode": tile_index_mode,
            "latency_budget_ms": latency_budget(latency_budget_ms, inference_budget_ms),
            "target_fps_x100": target_fps_x100,
            "retry_of_frame": retry_of_frame,
            "tile_base_id": tile_base_id,
            "budget_policy": budget_policy,
            "dependency_frame_id": dependency_frame_id,
            "loss_tolerance_policy": loss_tolerance_policy,
            "payload_kind_bitmap": PayloadKind.TENSOR,
        }
    )
    return NnrpPacket.build(
        MessageType.FRAME_SUBMIT,
        version_major=version_major,
        wire_format=wire_format,
        flags=flags,
        session_id=session_id,
        frame_id=frame_id,
        view_id=view_id,
        route_id=route_id,
        trace_id=trace_id,
        metadata=metadata,
        body=body,
    )


def build_frame_submit_typed_payload_packet(
    session_id: int,
    frame_id: int,
    *,
    frames: Sequence[TypedPayloadFrame],
    frame_class: int = 0,
    latency_budget_ms: int = 0,
    target_fps_x100: int = 0,
    retry_of_frame: int = 0,
    budget_policy: BudgetPolicy = BudgetPolicy.NONE,
    dependency_frame_id: int = 0,
    loss_tolerance_policy: int = INHERIT_LOSS_TOLERANCE,
    version_major: int = VERSION_MAJOR,
    wire_format: WireFormat = WireFormat.CURRENT,
    flags: HeaderFlags = HeaderFlags.NONE,
    view_id: int = 0,
    route_id: int = 0,
    trace_id: int = 0,
    inference_budget_ms: int = 0,
) -> NnrpPacket:
    """Return a FRAME_SUBMIT with typed payloads and no tensors.

    Args:
        session_id: the session (u32).
        frame_id: the frame's id, chosen by the client (u32).
        frames: the typed payloads, at least one.
        frame_class: a `FrameClass`.
        latency_budget_ms: deadline counted from receipt, 0 for none; 65535 at most, more counts as that.
        target_fps_x100: wanted frames per second, times 100 (u16); 0 for not stated.
        retry_of_frame: the frame this one retries (u32), 0 for none.
        budget_policy: what the client takes instead of a complete result.
        dependency_frame_id: the frame whose context this one needs (u32), 0 for none.
        loss_tolerance_policy: a `LossTolerance`, or 0xFF to take the session's.
        version_major: protocol version in the header.
        wire_format: wire format in the header.
        flags: hints in the header.
        view_id: the lane of the frame (u16).
        route_id: carried unchanged (u16).
        trace_id: carried unchanged (u64).
        inference_budget_ms: another name of `latency_budget_ms`.

    Raises:
        ValueError: a number does not fit, there is no typed payload, or one is of a kind that it cannot have.

    """
    require_frames(frames)
    metadata, body = codec.encode_submit(
        {
            "frames": frames,
            "frame_class": frame_class,
            # What the reference implementation states for a frame without tiles.
            "tile_index_mode": TileIndexMode.RAW_U16,
            "latency_budget_ms": latency_budget(latency_budget_ms, inference_budget_ms),
            "target_fps_x100": target_fps_x100,
            "retry_of_frame": retry_of_frame,
            "budget_policy": budget_policy,
            "dependency_frame_id": dependency_frame_id,
            "loss_tolerance_policy": loss_tolerance_policy,
            "payload_kind_bitmap": PayloadKind.NONE,
        }
    )
    return NnrpPacket.build(
        MessageType.FRAME_SUBMIT,
        version_major=version_major,
        wire_format=wire_format,
        flags=flags,
        session_id=session_id,
        frame_id=frame_id,
        view_id=view_id,
        route_id=route_id,
        trace_id=trace_id,
        metadata=metadata,
        body=body,
    )

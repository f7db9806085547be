"""Builders of RESULT_PUSH packets. The bytes come from the native encoder, the one that sessions use."""

from __future__ import annotations

from collections.abc import Sequence

from nnrp._native import codec
from nnrp.core._enums import (
    BudgetPolicy,
    HeaderFlags,
    MessageType,
    PayloadKind,
    ResultClass,
    ResultFlags,
    TileIndexMode,
    WireFormat,
)
from nnrp.core._metadata import ResultPushMetadata
from nnrp.core._packet import VERSION_MAJOR, NnrpPacket
from nnrp.core._payloads import TypedPayloadFrame
from nnrp.core._submit import refuse_tensor_arguments, require_frames
from nnrp.core._tensor import TensorSectionData

__all__ = [
    "build_degraded_result_push_packet",
    "build_partial_result_push_packet",
    "build_result_push_mixed_packet",
    "build_result_push_packet",
    "build_result_push_typed_payload_packet",
    "build_stale_reuse_result_push_packet",
]


def _check_mode(mode: TileIndexMode) -> None:
    """Raise `ValueError` for a mode that a result has no field for."""
    if mode not in {TileIndexMode.RAW_U16, TileIndexMode.DENSE_RANGE}:
        name = TileIndexMode(mode).name
        raise ValueError(
            f"RESULT_PUSH has no tile index mode: RAW_U16 or DENSE_RANGE are possible, not {name}"
        )


def build_result_push_packet(
    session_id: int,
    frame_id: int,
    *,
    tile_ids: Sequence[int] = (),
    sections: Sequence[TensorSectionData] = (),
    result_flags: ResultFlags = ResultFlags.NONE,
    active_profile_id: int = 0,
    inference_ms: int = 0,
    queue_ms: int = 0,
    server_total_ms: int = 0,
    status_code: int = 0,
    tile_index_mode: TileIndexMode = TileIndexMode.RAW_U16,
    tile_base_id: int = 0,
    result_class: ResultClass = ResultClass.COMPLETE,
    applied_budget_policy: BudgetPolicy = BudgetPolicy.NONE,
    reused_frame_id: int = 0,
    covered_tile_count: int | None = None,
    dropped_tile_count: int = 0,
    payload_kind_bitmap: PayloadKind = PayloadKind.TENSOR,
    payload_frame_count: int = 0,
    version_major: int = VERSION_MAJOR,
    wire_format: WireFormat = WireFormat.CURRENT,
    flags: HeaderFlags = HeaderFlags.NONE,
    view_id: int = 0,
    route_id: int = 0,
    trace_id: int = 0,
) -> NnrpPacket:
    """Return a RESULT_PUSH with tensors, or an empty one for a `payload_kind_bitmap` without `TENSOR`.

    Args:
        session_id: the session (u32).
        frame_id: the frame this is a result of (u32).
        tile_ids: the tiles that the result describes, ids from 0 to 65535.
        sections: the tensors, in ascending order of `role_id`, each with one payload for every tile.
        result_flags: properties of the result.
        active_profile_id: the profile that was used (u16).
        inference_ms: milliseconds computing; 65535 at most, more counts as that.
        queue_ms: milliseconds in the queue, with the same limit.
        server_total_ms: milliseconds from receipt to sending, with the same limit.
        status_code: 0 for success; other numbers (u16) are the application's.
        tile_index_mode: `RAW_U16` or `DENSE_RANGE`; a result cannot say anything else.
        tile_base_id: first tile id of a `DENSE_RANGE` (u32).
        result_class: how complete the result is.
        applied_budget_policy: what the server made use of.
        reused_frame_id: the frame the content came from (u32), 0 for none.
        covered_tile_count: tiles with a result; all of them when not given.
        dropped_tile_count: tiles left out.
        payload_kind_bitmap: the kinds that the metadata states.
        payload_frame_count: the number of typed payloads that the metadata states; the builder adds none.
        version_major: protocol version in the header.
        wire_format: wire format in the header.
        flags: hints in the header.
        view_id: the lane of the frame (u16).
        route_id: carried unchanged (u16).
        trace_id: carried unchanged (u64).

    Raises:
        ValueError: a number does not fit, tiles and sections do not go together, the counts of tiles
            contradict each other, or there are tensor arguments without the `TENSOR` kind.

    """
    _check_mode(tile_index_mode)
    has_tensor = bool(payload_kind_bitmap & PayloadKind.TENSOR)
    if not has_tensor:
        given = {"tile_ids": tile_ids, "sections": sections, "tile_base_id": tile_base_id}
        given |= {"covered_tile_count": covered_tile_count, "dropped_tile_count": dropped_tile_count}
        given |= {"payload_frame_count": payload_frame_count}
        refuse_tensor_arguments("RESULT_PUSH", given)
    covered = len(tile_ids) if covered_tile_count is None else covered_tile_count
    metadata, body = codec.encode_result(
        {
            "tile_ids": tile_ids,
            "sections": sections,
            "result_flags": result_flags,
            "active_profile_id": active_profile_id,
            "inference_ms": inference_ms,
            "queue_ms": queue_ms,
            "server_total_ms": server_total_ms,
            "status_code": status_code,
            "tile_index_mode": tile_index_mode,
            "tile_base_id": tile_base_id,
            "result_class": result_class,
            "applied_budget_policy": applied_budget_policy,
            "reused_frame_id": reused_frame_id,
            "covered_tile_count": covered,
            "dropped_tile_count": dropped_tile_count,
            "payload_kind_bitmap": payload_kind_bitmap,
        }
    )
    if has_tensor and (payload_kind_bitmap, payload_frame_count) != (PayloadKind.TENSOR, 0):
        stated = ResultPushMetadata.unpack(metadata)
        stated.payload_kind_bitmap, stated.payload_frame_count = payload_kind_bitmap, payload_frame_count
        metadata = stated.pack()
    return NnrpPacket.build(
        MessageType.RESULT_PUSH,
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


def build_partial_result_push_packet(
    session_id: int,
    frame_id: int,
    *,
    tile_ids: Sequence[int] = (),
    sections: Sequence[TensorSectionData] = (),
    covered_tile_count: int,
    dropped_tile_count: int,
    active_profile_id: int = 0,
    inference_ms: int = 0,
    queue_ms: int = 0,
    server_total_ms: int = 0,
    status_code: int = 0,
    tile_index_mode: TileIndexMode = TileIndexMode.RAW_U16,
    tile_base_id: int = 0,
    version_major: int = VERSION_MAJOR,
    wire_format: WireFormat = WireFormat.CURRENT,
    flags: HeaderFlags = HeaderFlags.NONE,
    view_id: int = 0,
    route_id: int = 0,
    trace_id: int = 0,
) -> NnrpPacket:
    """Return a RESULT_PUSH of class `PARTIAL`: some tiles are left out.

    Args:
        session_id: the session (u32).
        frame_id: the frame this is a result of (u32).
        tile_ids: the tiles that the result describes, ids from 0 to 65535.
        sections: the tensors, in ascending order of `role_id`, each with one payload for every tile.
        covered_tile_count: tiles with a result.
        dropped_tile_count: tiles left out, at least one.
        active_profile_id: the profile that was used (u16).
        inference_ms: milliseconds computing; 65535 at most, more counts as that.
        queue_ms: milliseconds in the queue, with the same limit.
        server_total_ms: milliseconds from receipt to sending, with the same limit.
        status_code: 0 for success; other numbers (u16) are the application's.
        tile_index_mode: `RAW_U16` or `DENSE_RANGE`; a result cannot say anything else.
        tile_base_id: first tile id of a `DENSE_RANGE` (u32).
        version_major: protocol version in the header.
        wire_format: wire format in the header.
        flags: hints in the header.
        view_id: the lane of the frame (u16).
        route_id: carried unchanged (u16).
        trace_id: carried unchanged (u64).

    Raises:
        ValueError: as `build_result_push_packet`.

    """
    return build_result_push_packet(
        session_id,
        frame_id,
        tile_ids=tile_ids,
        sections=sections,
        result_flags=ResultFlags.PARTIAL,
        active_profile_id=active_profile_id,
        inference_ms=inference_ms,
        queue_ms=queue_ms,
        server_total_ms=server_total_ms,
        status_code=status_code,
        tile_index_mode=tile_index_mode,
        tile_base_id=tile_base_id,
        result_class=ResultClass.PARTIAL,
        applied_budget_policy=BudgetPolicy.ALLOW_PARTIAL,
        covered_tile_count=covered_tile_count,
        dropped_tile_count=dropped_tile_count,
        version_major=version_major,
        wire_format=wire_format,
        flags=flags,
        view_id=view_id,
        route_id=route_id,
        trace_id=trace_id,
    )


def build_degraded_result_push_packet(
    session_id: int,
    frame_id: int,
    *,
    tile_ids: Sequence[int] = (),
    sections: Sequence[TensorSectionData] = (),
    active_profile_id: int = 0,
    inference_ms: int = 0,
    queue_ms: int = 0,
    server_total_ms: int = 0,
    status_code: int = 0,
    tile_index_mode: TileIndexMode = TileIndexMode.RAW_U16,
    tile_base_id: int = 0,
    covered_tile_count: int | None = None,
    dropped_tile_count: int = 0,
    version_major: int = VERSION_MAJOR,
    wire_format: WireFormat = WireFormat.CURRENT,
    flags: HeaderFlags = HeaderFlags.NONE,
    view_id: int = 0,
    route_id: int = 0,
    trace_id: int = 0,
) -> NnrpPacket:
    """Return a RESULT_PUSH of class `DEGRADED`: complete, at lower quality.

    Args:
        session_id: the session (u32).
        frame_id: the frame this is a result of (u32).
        tile_ids: the tiles that the result describes, ids from 0 to 65535.
        sections: the tensors, in ascending order of `role_id`, each with one payload for every tile.
        active_profile_id: the profile that was used (u16).
        inference_ms: milliseconds computing; 65535 at most, more counts as that.
        queue_ms: milliseconds in the queue, with the same limit.
        server_total_ms: milliseconds from receipt to sending, with the same limit.
        status_code: 0 for success; other numbers (u16) are the application's.
        tile_index_mode: `RAW_U16` or `DENSE_RANGE`; a result cannot say anything else.
        tile_base_id: first tile id of a `DENSE_RANGE` (u32).
        covered_tile_count: tiles with a result; all of them when not given.
        dropped_tile_count: tiles left out.
        version_major: protocol version in the header.
        wire_format: wire format in the header.
        flags: hints in the header.
        view_id: the lane of the frame (u16).
        route_id: carried unchanged (u16).
        trace_id: carried unchanged (u64).

    Raises:
        ValueError: as `build_result_push_packet`.

    """
    return build_result_push_packet(
        session_id,
        frame_id,
        tile_ids=tile_ids,
        sections=sections,
        result_flags=ResultFlags.FALLBACK,
        active_profile_id=active_profile_id,
        inference_ms=inference_ms,
        queue_ms=queue_ms,
        server_total_ms=server_total_ms,
        status_code=status_code,
        tile_index_mode=tile_index_mode,
        tile_base_id=tile_base_id,
        result_class=ResultClass.DEGRADED,
        applied_budget_policy=BudgetPolicy.ALLOW_DEGRADED,
        covered_tile_count=covered_tile_count,
        dropped_tile_count=dropped_tile_count,
        version_major=version_major,
        wire_format=wire_format,
        flags=flags,
        view_id=view_id,
        route_id=route_id,
        trace_id=trace_id,
    )


def build_stale_reuse_result_push_packet(
    session_id: int,
    frame_id: int,
    *,
    tile_ids: Sequence[int] = (),
    sections: Sequence[TensorSectionData] = (),
    reused_frame_id: int,
    active_profile_id: int = 0,
    inference_ms: int = 0,
    queue_ms: int = 0,
    server_total_ms: int = 0,
    status_code: int = 0,
    tile_index_mode: TileIndexMode = TileIndexMode.RAW_U16,
    tile_base_id: int = 0,
    covered_tile_count: int | None = None,
    dropped_tile_count: int = 0,
    version_major: int = VERSION_MAJOR,
    wire_format: WireFormat = WireFormat.CURRENT,
    flags: HeaderFlags = HeaderFlags.NONE,
    view_id: int = 0,
    route_id: int = 0,
    trace_id: int = 0,
) -> NnrpPacket:
    """Return a RESULT_PUSH of class `STALE_REUSE`: the content of an earlier frame.

    Args:
        session_id: the session (u32).
        frame_id: the frame this is a result of (u32).
        tile_ids: the tiles that the result describes, ids from 0 to 65535.
        sections: the tensors, in ascending order of `role_id`, each with one payload for every tile.
        reused_frame_id: the frame the content came from (u32).
        active_profile_id: the profile that was used (u16).
        inference_ms: milliseconds computing; 65535 at most, more counts as that.
        queue_ms: milliseconds in the queue, with the same limit.
        server_total_ms: milliseconds from receipt to sending, with the same limit.
        status_code: 0 for success; other numbers (u16) are the application's.
        tile_index_mode: `RAW_U16` or `DENSE_RANGE`; a result cannot say anything else.
        tile_base_id: first tile id of a `DENSE_RANGE` (u32).
        covered_tile_count: tiles with a result; all of them when not given.
        dropped_tile_count: tiles left out.
        version_major: protocol version in the header.
        wire_format: wire format in the header.
        flags: hints in the header.
        view_id: the lane of the frame (u16).
        route_id: carried unchanged (u16).
        trace_id: carried unchanged (u64).

    Raises:
        ValueError: as `build_result_push_packet`.

    """
    return build_result_push_packet(
        session_id,
        frame_id,
        tile_ids=tile_ids,
        sections=sections,
        result_flags=ResultFlags.STALE,
        active_profile_id=active_profile_id,
        inference_ms=inference_ms,
        queue_ms=queue_ms,
        server_total_ms=server_total_ms,
        status_code=status_code,
        tile_index_mode=tile_index_mode,
        tile_base_id=tile_base_id,
        result_class=ResultClass.STALE_REUSE,
        applied_budget_policy=BudgetPolicy.ALLOW_STALE_REUSE,
        reused_frame_id=reused_frame_id,
        covered_tile_count=covered_tile_count,
        dropped_tile_count=dropped_tile_count,
        version_major=version_major,
        wire_format=wire_format,
        flags=flags,
        view_id=view_id,
        route_id=route_id,
        trace_id=trace_id,
    )


def build_result_push_mixed_packet(
    session_id: int,
    frame_id: int,
    *,
    tile_ids: Sequence[int] = (),
    sections: Sequence[TensorSectionData] = (),
    frames: Sequence[TypedPayloadFrame],
    result_flags: ResultFlags = ResultFlags.NONE,
    active_profile_id: int = 0,
    inference_ms: int = 0,
    queue_ms: int = 0,
    server_total_ms: int = 0,
    status_code: int = 0,
    tile_index_mode: TileIndexMode = TileIndexMode.RAW_U16,
    tile_base_id: int = 0,
    result_class: ResultClass = ResultClass.COMPLETE,
    applied_budget_policy: BudgetPolicy = BudgetPolicy.NONE,
    reused_frame_id: int = 0,
    covered_tile_count: int | None = None,
    dropped_tile_count: int = 0,
    version_major: int = VERSION_MAJOR,
    wire_format: WireFormat = WireFormat.CURRENT,
    flags: HeaderFlags = HeaderFlags.NONE,
    view_id: int = 0,
    route_id: int = 0,
    trace_id: int = 0,
) -> NnrpPacket:
    """Return a RESULT_PUSH with tensors and typed payloads.

    Args:
        session_id: the session (u32).
        frame_id: the frame this is a result of (u32).
        tile_ids: the tiles that the result describes, ids from 0 to 65535.
        sections: the tensors, in ascending order of `role_id`, each with one payload for every tile.
        frames: the typed payloads, at least one.
        result_flags: properties of the result.
        active_profile_id: the profile that was used (u16).
        inference_ms: milliseconds computing; 65535 at most, more counts as that.
        queue_ms: milliseconds in the queue, with the same limit.
        server_total_ms: milliseconds from receipt to sending, with the same limit.
        status_code: 0 for success; other numbers (u16) are the application's.
        tile_index_mode: `RAW_U16` or `DENSE_RANGE`; a result cannot say anything else.
        tile_base_id: first tile id of a `DENSE_RANGE` (u32).
        result_class: how complete the result is.
        applied_budget_policy: what the server made use of.
        reused_frame_id: the frame the content came from (u32), 0 for none.
        covered_tile_count: tiles with a result; all of them when not given.
        dropped_tile_count: tiles left out.
        version_major: protocol version in the header.
        wire_format: wire format in the header.
        flags: hints in the header.
        view_id: the lane of the frame (u16).
        route_id: carried unchanged (u16).
        trace_id: carried unchanged (u64).

    Raises:
        ValueError: a number does not fit, tiles and sections do not go together, the counts of tiles
            contradict each other, there is no tensor content or no typed payload, or a payload is of a kind
            that it cannot have.

    """
    _check_mode(tile_index_mode)
    require_frames(frames)
    if not (len(tile_ids) or len(sections)):
        raise ValueError("mixed RESULT_PUSH current builder requires tensor body content")
    covered = len(tile_ids) if covered_tile_count is None else covered_tile_count
    metadata, body = codec.encode_result(
        {
            "tile_ids": tile_ids,
            "sections": sections,
            "frames": frames,
            "result_flags": result_flags,
            "active_profile_id": active_profile_id,
            "inference_ms": inference_ms,
            "queue_ms": queue_ms,
            "server_total_ms": server_total_ms,
            "status_code": status_code,
            "tile_index_mode": tile_index_mode,
            "tile_base_id": tile_base_id,
            "result_class": result_class,
            "applied_budget_policy": applied_budget_policy,
            "reused_frame_id": reused_frame_id,
            "covered_tile_count": covered,
            "dropped_tile_count": dropped_tile_count,
            "payload_kind_bitmap": PayloadKind.TENSOR,
        }
    )
    return NnrpPacket.build(
        MessageType.RESULT_PUSH,
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


def build_result_push_typed_payload_packet(
    session_id: int,
    frame_id: int,
    *,
    frames: Sequence[TypedPayloadFrame],
    result_flags: ResultFlags = ResultFlags.NONE,
    active_profile_id: int = 0,
    inference_ms: int = 0,
    queue_ms: int = 0,
    server_total_ms: int = 0,
    status_code: int = 0,
    result_class: ResultClass = ResultClass.COMPLETE,
    applied_budget_policy: BudgetPolicy = BudgetPolicy.NONE,
    reused_frame_id: int = 0,
    version_major: int = VERSION_MAJOR,
    wire_format: WireFormat = WireFormat.CURRENT,
    flags: HeaderFlags = HeaderFlags.NONE,
    view_id: int = 0,
    route_id: int = 0,
    trace_id: int = 0,
) -> NnrpPacket:
    """Return a RESULT_PUSH with typed payloads and no tensors.

    Args:
        session_id: the session (u32).
        frame_id: the frame this is a result of (u32).
        frames: the typed payloads, at least one.
        result_flags: properties of the result.
        active_profile_id: the profile that was used (u16).
        inference_ms: milliseconds computing; 65535 at most, more counts as that.
        queue_ms: milliseconds in the queue, with the same limit.
        server_total_ms: milliseconds from receipt to sending, with the same limit.
        status_code: 0 for success; other numbers (u16) are the application's.
        result_class: how complete the result is.
        applied_budget_policy: what the server made use of.
        reused_frame_id: the frame the content came from (u32), 0 for none.
        version_major: protocol version in the header.
        wire_format: wire format in the header.
        flags: hints in the header.
        view_id: the lane of the frame (u16).
        route_id: carried unchanged (u16).
        trace_id: carried unchanged (u64).

    Raises:
        ValueError: a number does not fit, there is no typed payload, or one is of a kind that it cannot have.

    """
    require_frames(frames)
    metadata, body = codec.encode_result(
        {
            "frames": frames,
            "result_flags": result_flags,
            "active_profile_id": active_profile_id,
            "inference_ms": inference_ms,
            "queue_ms": queue_ms,
            "server_total_ms": server_total_ms,
            "status_code": status_code,
            "result_class": result_class,
            "applied_budget_policy": applied_budget_policy,
            "reused_frame_id": reused_frame_id,
            "payload_kind_bitmap": PayloadKind.NONE,
        }
    )
    return NnrpPacket.build(
        MessageType.RESULT_PUSH,
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

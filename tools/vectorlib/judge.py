"""Everything the reference peer checks when it reads one whole packet."""

from __future__ import annotations

from typing import Any

from nnrp import core

MESSAGE = core.MessageType

METADATA: dict[Any, Any] = {
    MESSAGE.CLIENT_HELLO: core.ClientHelloMetadata,
    MESSAGE.SERVER_HELLO_ACK: core.ServerHelloAckMetadata,
    MESSAGE.SESSION_PATCH: core.SessionPatchMetadata,
    MESSAGE.SESSION_PATCH_ACK: core.SessionPatchAckMetadata,
    MESSAGE.ERROR: core.ErrorMetadata,
    MESSAGE.FRAME_SUBMIT: core.FrameSubmitMetadata,
    MESSAGE.RESULT_PUSH: core.ResultPushMetadata,
    MESSAGE.CACHE_PUT: core.CachePutMetadata,
    MESSAGE.CACHE_ACK: core.CacheAckMetadata,
    MESSAGE.CACHE_INVALIDATE: core.CacheInvalidateMetadata,
    MESSAGE.FLOW_UPDATE: core.FlowUpdateMetadata,
    MESSAGE.RESULT_HINT: core.ResultHintMetadata,
    MESSAGE.TRANSPORT_PROBE: core.TransportProbeMetadata,
    MESSAGE.TRANSPORT_PROBE_ACK: core.TransportProbeAckMetadata,
    MESSAGE.SESSION_MIGRATE: core.SessionMigrateMetadata,
    MESSAGE.SESSION_MIGRATE_ACK: core.SessionMigrateAckMetadata,
}

HELLO_PARSERS: dict[int, Any] = {
    0x0101: core.parse_client_hello_transport_policy_extension,
    0x0103: core.parse_client_hello_loss_tolerance_extension,
    0x0105: core.parse_client_hello_payload_capabilities_extension,
}
ACK_PARSERS: dict[int, Any] = {
    0x0102: core.parse_server_hello_ack_transport_policy_extension,
    0x0104: core.parse_server_hello_ack_loss_tolerance_extension,
    0x0106: core.parse_server_hello_ack_payload_capabilities_extension,
}


def align8(length: int) -> int:
    """Round up to a multiple of 8."""
    return (length + 7) & ~7


def judge(raw: bytes, known_kinds: set[int]) -> str:
    """Say why the peer refuses a packet; empty when it takes it."""
    try:
        read(raw, known_kinds)
    except Exception as error:  # noqa: BLE001 - whatever the peer raises is its answer
        return f"{type(error).__name__}: {error}"
    return ""


def read(raw: bytes, known_kinds: set[int]) -> dict[str, Any]:
    """Read a whole packet with the peer's functions and describe its frame; raises what the peer raises."""
    packet = core.NnrpPacket.unpack(raw)
    message = packet.header.msg_type
    layout = METADATA.get(message)
    metadata: Any = layout.unpack(packet.metadata) if layout else None
    body = packet.body
    if message == MESSAGE.FRAME_SUBMIT:
        return _read_submit(metadata, body, known_kinds)
    if message == MESSAGE.RESULT_PUSH:
        return _read_result(metadata, body, known_kinds)
    if message == MESSAGE.CLIENT_HELLO:
        if metadata.auth_bytes + metadata.control_extension_bytes != len(body):
            msg = "(compared here) CLIENT_HELLO lengths do not add up"
            raise ValueError(msg)
        _read_extensions(body[: metadata.control_extension_bytes], HELLO_PARSERS)
    elif message == MESSAGE.SERVER_HELLO_ACK:
        _read_extensions(body[: metadata.control_extension_bytes], ACK_PARSERS)
    elif message == MESSAGE.SESSION_PATCH:
        core.unpack_session_patch_body(body, profile_patch_bytes=metadata.profile_patch_bytes)
    elif message == MESSAGE.SESSION_PATCH_ACK:
        core.unpack_session_patch_ack_body(body, profile_patch_ack_bytes=metadata.profile_patch_ack_bytes)
    elif message == MESSAGE.FLOW_UPDATE:
        core.build_flow_update_packet(metadata=metadata, session_id=packet.header.session_id)
    elif message == MESSAGE.TRANSPORT_PROBE:
        core.build_transport_probe_packet(metadata=metadata, body=body)
    return {}


def _read_extensions(block: bytes, parsers: dict[int, Any]) -> None:
    for entry in core.unpack_control_extension_block(block, known_types=set(parsers)):
        if entry.ext_type in parsers:
            parsers[entry.ext_type](entry)


def _tile_ids(mode: Any, metadata: Any, block: bytes) -> tuple[int, ...]:
    ids = core.unpack_tile_index_block(
        block, mode=mode, tile_count=metadata.tile_count, tile_base_id=metadata.tile_base_id
    )
    return tuple(ids)


def _describe_section(view: Any, tile_count: int) -> list[Any]:
    desc = view.desc
    if len(view.tile_lengths()) != tile_count:
        msg = f"section tile length count mismatch: expected {tile_count}, got {len(view.tile_lengths())}"
        raise ValueError(msg)
    return [
        desc.role_id,
        desc.codec_id,
        int(desc.dtype_id),
        int(desc.layout_id),
        int(desc.scale_policy),
        desc.element_count_per_tile,
        desc.payload_stride_bytes,
        bytes(view.codec_table).hex(),
        [
            bytes(data[:length]).hex()
            for data, length in zip(view.payload_slices(), view.tile_lengths(), strict=True)
        ],
    ]


def _tensor(body: bytes, metadata: Any, mode: Any, index_bytes: int) -> dict[str, Any]:
    view = core.unpack_tensor_body(
        body,
        tile_index_bytes=index_bytes,
        section_count=metadata.section_count,
        tile_count=metadata.tile_count,
    )
    return {
        "tiles": list(_tile_ids(mode, metadata, bytes(view.tile_index_block))),
        "sections": [_describe_section(section, metadata.tile_count) for section in view.sections],
    }


def _read_submit(metadata: Any, body: bytes, known_kinds: set[int]) -> dict[str, Any]:
    plain = (
        metadata.payload_kind_bitmap == core.PayloadKind.TENSOR
        and metadata.submit_mode == core.SubmitMode.INLINE
        and metadata.object_ref_mask == 0
        and metadata.payload_frame_count == 0
    )
    if plain:
        frame = _tensor(
            body[align8(metadata.camera_bytes) :],
            metadata,
            metadata.tile_index_mode,
            metadata.tile_index_bytes,
        )
        return {"camera": body[: metadata.camera_bytes].hex(), **frame}
    tensor = bool(metadata.payload_kind_bitmap & core.PayloadKind.TENSOR)
    if not (
        tensor or body or metadata.submit_mode or metadata.object_ref_mask or metadata.payload_frame_count
    ):
        return {}
    view = core.validate_frame_submit_body(metadata, body)
    return _composed(view, metadata, metadata.tile_index_mode, known_kinds)


def _read_result(metadata: Any, body: bytes, known_kinds: set[int]) -> dict[str, Any]:
    core.validate_result_push_tensor_coverage(metadata)
    mode = core.TileIndexMode.RAW_U16 if metadata.tile_index_bytes else core.TileIndexMode.DENSE_RANGE
    if metadata.payload_frame_count == 0 and metadata.payload_kind_bitmap == core.PayloadKind.TENSOR:
        return _tensor(body, metadata, mode, metadata.tile_index_bytes)
    tensor = bool(metadata.payload_kind_bitmap & core.PayloadKind.TENSOR)
    if metadata.payload_frame_count == 0 and not (metadata.payload_kind_bitmap and (body or tensor)):
        return {}
    return _composed(core.validate_result_push_body(metadata, body), metadata, mode, known_kinds)


def _composed(view: Any, metadata: Any, mode: Any, known_kinds: set[int]) -> dict[str, Any]:
    frame: dict[str, Any] = {}
    for block in core.unpack_inline_object_blocks(view.inline_object_region):
        payload = bytes(block.payload)
        if block.header.object_kind == core.CacheObjectKind.TILE_INDEX_BLOCK:
            frame["tiles"] = list(_tile_ids(mode, metadata, payload))
        elif block.header.object_kind == core.CacheObjectKind.TENSOR_SECTION_TABLE:
            sections = core.unpack_tensor_body(
                payload,
                tile_index_bytes=0,
                section_count=metadata.section_count,
                tile_count=metadata.tile_count,
            ).sections
            frame["sections"] = [_describe_section(section, metadata.tile_count) for section in sections]
        elif block.header.object_kind == core.CacheObjectKind.CAMERA_BLOCK:
            frame["camera"] = payload.hex()
    references = core.unpack_object_reference_blocks(view.object_reference_region)
    frame["references"] = [
        [int(block.object_kind), block.cache_namespace, block.cache_key_hi, block.cache_key_lo]
        for block in references
    ]
    frames = core.unpack_typed_payload_frames(
        view.typed_payload_descriptor_region, view.typed_payload_frame_region
    )
    if len(frames) != metadata.payload_frame_count:
        msg = "(compared here) payload_frame_count"
        raise ValueError(msg)
    frame["typed"] = [[int(one.payload_kind), one.profile_id, bytes(one.payload).hex()] for one in frames]
    extensions = core.unpack_extension_frames(
        view.extension_descriptor_region, view.extension_payload_region, known_extension_kinds=known_kinds
    )
    frame["extensions"] = [
        [one.extension_kind, one.profile_id, bytes(one.payload).hex()] for one in extensions
    ]
    return frame

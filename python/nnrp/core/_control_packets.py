"""Builders of control packets, and of the packets about frames that are nothing but a header."""

from __future__ import annotations

from typing import Final

from nnrp._native import codec
from nnrp.core._base import BytesLike
from nnrp.core._enums import HeaderFlags, MessageType, WireFormat
from nnrp.core._metadata import (
    FlowUpdateMetadata,
    ResultHintMetadata,
    SessionMigrateAckMetadata,
    SessionMigrateMetadata,
    TransportProbeAckMetadata,
    TransportProbeMetadata,
)
from nnrp.core._packet import VERSION_MAJOR, NnrpPacket

__all__ = [
    "build_flow_update_packet",
    "build_frame_cancel_packet",
    "build_header_only_packet",
    "build_ping_packet",
    "build_pong_packet",
    "build_result_drop_packet",
    "build_result_hint_packet",
    "build_session_migrate_ack_packet",
    "build_session_migrate_packet",
    "build_transport_probe_ack_packet",
    "build_transport_probe_packet",
]

_HEADER_ONLY: Final = frozenset({MessageType.FRAME_CANCEL, MessageType.PING, MessageType.PONG})


def build_header_only_packet(
    session_id: int = 0,
    frame_id: int = 0,
    *,
    msg_type: MessageType,
    view_id: int = 0,
    route_id: int = 0,
    trace_id: int = 0,
    flags: HeaderFlags = HeaderFlags.NONE,
    version_major: int = VERSION_MAJOR,
    wire_format: WireFormat = WireFormat.CURRENT,
) -> NnrpPacket:
    """Return a FRAME_CANCEL, PING or PONG.

    Raises:
        ValueError: `msg_type` is another one.

    """
    if msg_type not in _HEADER_ONLY:
        raise ValueError(f"expected header-only control packet type, got {MessageType(msg_type).name}")
    return NnrpPacket.build(
        msg_type,
        session_id=session_id,
        frame_id=frame_id,
        view_id=view_id,
        route_id=route_id,
        trace_id=trace_id,
        flags=flags,
        version_major=version_major,
        wire_format=wire_format,
    )


def build_frame_cancel_packet(
    session_id: int,
    frame_id: int,
    *,
    view_id: int = 0,
    route_id: int = 0,
    trace_id: int = 0,
    flags: HeaderFlags = HeaderFlags.NONE,
    version_major: int = VERSION_MAJOR,
    wire_format: WireFormat = WireFormat.CURRENT,
) -> NnrpPacket:
    """Return a FRAME_CANCEL: the client no longer wants the result of a frame."""
    return NnrpPacket.build(
        MessageType.FRAME_CANCEL,
        session_id=session_id,
        frame_id=frame_id,
        view_id=view_id,
        route_id=route_id,
        trace_id=trace_id,
        flags=flags,
        version_major=version_major,
        wire_format=wire_format,
    )


def build_ping_packet(
    session_id: int = 0,
    frame_id: int = 0,
    *,
    route_id: int = 0,
    trace_id: int = 0,
    flags: HeaderFlags = HeaderFlags.NONE,
    version_major: int = VERSION_MAJOR,
    wire_format: WireFormat = WireFormat.CURRENT,
) -> NnrpPacket:
    """Return a PING; the answer echoes its header."""
    return NnrpPacket.build(
        MessageType.PING,
        session_id=session_id,
        frame_id=frame_id,
        route_id=route_id,
        trace_id=trace_id,
        flags=flags,
        version_major=version_major,
        wire_format=wire_format,
    )


def build_pong_packet(
    session_id: int = 0,
    frame_id: int = 0,
    *,
    route_id: int = 0,
    trace_id: int = 0,
    flags: HeaderFlags = HeaderFlags.NONE,
    version_major: int = VERSION_MAJOR,
    wire_format: WireFormat = WireFormat.CURRENT,
) -> NnrpPacket:
    """Return a PONG; give it the ids of the PING."""
    return NnrpPacket.build(
        MessageType.PONG,
        session_id=session_id,
        frame_id=frame_id,
        route_id=route_id,
        trace_id=trace_id,
        flags=flags,
        version_major=version_major,
        wire_format=wire_format,
    )


def build_result_drop_packet(
    session_id: int,
    frame_id: int,
    *,
    view_id: int = 0,
    route_id: int = 0,
    trace_id: int = 0,
    flags: HeaderFlags = HeaderFlags.NONE,
    version_major: int = VERSION_MAJOR,
    wire_format: WireFormat = WireFormat.CURRENT,
) -> NnrpPacket:
    """Return a RESULT_DROP: the frame gets no result."""
    return NnrpPacket.build(
        MessageType.RESULT_DROP,
        session_id=session_id,
        frame_id=frame_id,
        view_id=view_id,
        route_id=route_id,
        trace_id=trace_id,
        flags=flags,
        version_major=version_major,
        wire_format=wire_format,
    )


def build_flow_update_packet(
    session_id: int = 0,
    *,
    metadata: FlowUpdateMetadata,
    route_id: int = 0,
    trace_id: int = 0,
    flags: HeaderFlags = HeaderFlags.NONE,
    version_major: int = VERSION_MAJOR,
    wire_format: WireFormat = WireFormat.CURRENT,
) -> NnrpPacket:
    """Return a FLOW_UPDATE.

    Raises:
        ValueError: the metadata is refused, or `session_id` is not 0 for connection scope or 0 for another
            one (R-FLOW-1 to 5).

    """
    packet = NnrpPacket.build(
        MessageType.FLOW_UPDATE,
        session_id=session_id,
        route_id=route_id,
        trace_id=trace_id,
        flags=flags,
        version_major=version_major,
        wire_format=wire_format,
        metadata=metadata.pack(),
    )
    codec.check_message(packet.header.msg_type, packet.header.session_id, packet.metadata, packet.body)
    return packet


def build_result_hint_packet(
    session_id: int = 0,
    frame_id: int = 0,
    *,
    metadata: ResultHintMetadata,
    route_id: int = 0,
    trace_id: int = 0,
    flags: HeaderFlags = HeaderFlags.NONE,
    version_major: int = VERSION_MAJOR,
    wire_format: WireFormat = WireFormat.CURRENT,
) -> NnrpPacket:
    """Return a RESULT_HINT about the frame `frame_id`, or about the whole session when it is 0.

    Raises:
        ValueError: the metadata is refused (R-HINT-1).

    """
    return NnrpPacket.build(
        MessageType.RESULT_HINT,
        session_id=session_id,
        frame_id=frame_id,
        route_id=route_id,
        trace_id=trace_id,
        flags=flags,
        version_major=version_major,
        wire_format=wire_format,
        metadata=metadata.pack(),
    )


def build_session_migrate_packet(
    session_id: int,
    *,
    metadata: SessionMigrateMetadata,
    route_id: int = 0,
    trace_id: int = 0,
    flags: HeaderFlags = HeaderFlags.NONE,
    body: BytesLike = b"",
    version_major: int = VERSION_MAJOR,
    wire_format: WireFormat = WireFormat.CURRENT,
) -> NnrpPacket:
    """Return a SESSION_MIGRATE, the first packet on the new transport.

    Raises:
        ValueError: the metadata is refused (R-MIG-1).

    """
    return NnrpPacket.build(
        MessageType.SESSION_MIGRATE,
        session_id=session_id,
        route_id=route_id,
        trace_id=trace_id,
        flags=flags,
        version_major=version_major,
        wire_format=wire_format,
        metadata=metadata.pack(),
        body=body,
    )


def build_session_migrate_ack_packet(
    session_id: int,
    *,
    metadata: SessionMigrateAckMetadata,
    route_id: int = 0,
    trace_id: int = 0,
    flags: HeaderFlags = HeaderFlags.NONE,
    body: BytesLike = b"",
    version_major: int = VERSION_MAJOR,
    wire_format: WireFormat = WireFormat.CURRENT,
) -> NnrpPacket:
    """Return a SESSION_MIGRATE_ACK.

    Raises:
        ValueError: a number of the metadata does not fit.

    """
    return NnrpPacket.build(
        MessageType.SESSION_MIGRATE_ACK,
        session_id=session_id,
        route_id=route_id,
        trace_id=trace_id,
        flags=flags,
        version_major=version_major,
        wire_format=wire_format,
        metadata=metadata.pack(),
        body=body,
    )


def build_transport_probe_packet(
    session_id: int = 0,
    *,
    metadata: TransportProbeMetadata,
    body: BytesLike,
    route_id: int = 0,
    trace_id: int = 0,
    flags: HeaderFlags = HeaderFlags.NONE,
    version_major: int = VERSION_MAJOR,
    wire_format: WireFormat = WireFormat.CURRENT,
) -> NnrpPacket:
    """Return a TRANSPORT_PROBE whose body is filler of any value.

    Raises:
        ValueError: `metadata.probe_payload_bytes` is not the length of `body` (R-PROBE-1).

    """
    packet = NnrpPacket.build(
        MessageType.TRANSPORT_PROBE,
        session_id=session_id,
        route_id=route_id,
        trace_id=trace_id,
        flags=flags,
        version_major=version_major,
        wire_format=wire_format,
        metadata=metadata.pack(),
        body=body,
    )
    codec.check_message(packet.header.msg_type, packet.header.session_id, packet.metadata, packet.body)
    return packet


def build_transport_probe_ack_packet(
    session_id: int = 0,
    *,
    metadata: TransportProbeAckMetadata,
    route_id: int = 0,
    trace_id: int = 0,
    flags: HeaderFlags = HeaderFlags.NONE,
    version_major: int = VERSION_MAJOR,
    wire_format: WireFormat = WireFormat.CURRENT,
) -> NnrpPacket:
    """Return a TRANSPORT_PROBE_ACK.

    Raises:
        ValueError: a number of the metadata does not fit.

    """
    return NnrpPacket.build(
        MessageType.TRANSPORT_PROBE_ACK,
        session_id=session_id,
        route_id=route_id,
        trace_id=trace_id,
        flags=flags,
        version_major=version_major,
        wire_format=wire_format,
        metadata=metadata.pack(),
    )

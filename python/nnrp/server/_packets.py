"""A server session over packets: what it does on connections that are not the package's own.

Applications test their handlers with fakes that pass packets around; this module gives those sessions the
same behaviour that the native session has.
"""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from nnrp import _native, core
from nnrp.core import (
    FrameSubmitMetadata,
    MessageType,
    NnrpPacket,
    ResultHintBudgetPolicy,
    ResultHintMetadata,
    ResultHintReason,
    ServerHelloAckMetadata,
    WireFormat,
)
from nnrp.server.context import ReceivedSubmit, received_submit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nnrp.core import TensorSectionData
    from nnrp.server.session import ServerSession


async def receive_submit(session: ServerSession, timeout: float | None) -> ReceivedSubmit:
    """Receive and decode the next FRAME_SUBMIT packet of ``session``."""
    packet = await session.connection.receive_submit_packet(timeout=timeout)
    header = packet.header
    if header.msg_type is not MessageType.FRAME_SUBMIT:
        raise ValueError(f"expected FRAME_SUBMIT, got {getattr(header.msg_type, 'name', header.msg_type)}")
    if header.session_id != session.session_id:
        raise ValueError(f"expected session_id {session.session_id}, got {header.session_id}")
    if header.wire_format is not WireFormat.CURRENT:
        raise ValueError(f"wire_format {header.wire_format} is not supported")
    FrameSubmitMetadata.unpack(packet.metadata)
    return received_submit(_native.decode_submit(header.pack(), packet.metadata, packet.body))


async def send_result(
    session: ServerSession,
    frame_id: int,
    view_id: int,
    sections: Sequence[TensorSectionData],
    others: dict[str, Any],
) -> int:
    """Encode a result from the arguments of ``send_result`` and send its packet."""
    encoded = _native.encode_result(session.session_id, frame_id, view_id, sections, others)
    packet = NnrpPacket.unpack(encoded)
    await session.connection.send_result_packet(packet)
    return len(packet.pack())


async def send_result_drop(session: ServerSession, reason: ResultHintReason, header: dict[str, Any]) -> int:
    """Send a RESULT_DROP packet, and before it the hint that carries the reason."""
    if reason is not ResultHintReason.NONE:
        hint = ResultHintMetadata(applied_budget_policy=ResultHintBudgetPolicy.DROP, reason=reason)
        about = {name: header[name] for name in ("frame_id", "route_id", "trace_id")}
        await send_result_hint(session, hint, about)
    packet = core.build_result_drop_packet(session_id=session.session_id, **header)
    await session.connection.send_result_packet(packet)
    return len(packet.pack())


async def send_result_hint(
    session: ServerSession, metadata: ResultHintMetadata, header: dict[str, Any]
) -> int:
    """Send a RESULT_HINT packet."""
    packet = core.build_result_hint_packet(metadata=metadata, session_id=session.session_id, **header)
    await session.connection.send_control_packet(packet)
    return len(packet.pack())


async def close(connection: Any) -> None:
    """Close a connection whose ``close`` may be plain or async, and wait for it if it can be waited for."""
    closing = connection.close()
    if inspect.isawaitable(closing):
        await closing
    wait_closed = getattr(connection, "wait_closed", None)
    if wait_closed is not None:
        waiting = wait_closed()
        if inspect.isawaitable(waiting):
            await waiting


def parameters(ack_metadata: bytes) -> dict[str, Any]:
    """Return the fields of SERVER_HELLO_ACK by name."""
    ack = ServerHelloAckMetadata.unpack(ack_metadata)
    return {field.name: getattr(ack, field.name) for field in fields(ack)}

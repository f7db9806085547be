"""What one package can do and the other cannot."""

from __future__ import annotations

import asyncio
import importlib.util
from typing import Any

from nnrp import core
from nnrp import server as nnrp_server

from interop.model import Control, Drop, Package, Server
from interop.peers.convert import arguments, control_metadata, control_packet

#: rc2 has no module for its exceptions.
PACKAGE: Package = "ours" if importlib.util.find_spec("nnrp.errors") else "rc2"

POLL_INTERVAL = 0.01
"""Seconds between two looks at ``frame_cancelled``, which cannot be awaited."""


def accept_arguments(settings: Server) -> dict[str, Any]:
    """Arguments of ``accept_server_session`` that only ours has."""
    if PACKAGE == "rc2":
        return {}
    if settings.token is None:
        return {"on_rejected": "raise"}
    return {"on_rejected": "raise", "auth_validator": lambda block: block == settings.token}


async def send_drop(session: nnrp_server.ServerSession, drop: Drop) -> None:
    """Drop a frame. rc2's ``send_result_drop`` raises before it sends (D-DROP): build the packet here."""
    if PACKAGE == "rc2":
        packet = core.build_result_drop_packet(session_id=session.session_id, **arguments(drop))
        await session.connection.send_result_packet(packet)
    else:
        await session.send_result_drop(reason="queue_overflow", **arguments(drop))


async def server_sends(session: nnrp_server.ServerSession, control: Control) -> None:
    """Send a control message from the server. rc2 has no ``send_result_hint`` (D-HINT)."""
    if control.message == "FLOW_UPDATE":
        await session.send_flow_update(control_metadata(control), trace_id=control.trace_id)
    elif PACKAGE == "rc2":
        await session.connection.send_control_packet(control_packet(control, session.session_id))
    else:
        await session.send_result_hint(control_metadata(control), frame_id=control.frame_id)


async def server_receives(session: nnrp_server.ServerSession, control: Control) -> Any:
    """The control message a client sent; of a FRAME_CANCEL, which ours consumes, a packet saying the same."""
    if PACKAGE == "ours" and control.message == "FRAME_CANCEL":
        while not session.frame_cancelled(control.frame_id, control.view_id):
            await asyncio.sleep(POLL_INTERVAL)
        return control_packet(control, session.session_id)
    while True:
        packet = await session.connection.receive_control_packet()
        # Our client asks by itself whether the server is there, and an rc2 server leaves that to be read.
        if packet.header.msg_type is not core.MessageType.PING or control.message == "PING":
            return packet


async def client_sends(session: Any, control: Control) -> None:
    """Send a control message from the client. rc2 has a method for FLOW_UPDATE only."""
    if control.message == "FLOW_UPDATE":
        await session.send_flow_update(control_metadata(control), trace_id=control.trace_id)
    elif PACKAGE == "ours" and control.message == "FRAME_CANCEL":
        await session.cancel_frame(control.frame_id, view_id=control.view_id)
    else:
        await session.connection.send_control_packet(control_packet(control, session.session_id))


async def client_receives(session: Any, control: Control) -> core.NnrpPacket:
    """The next control message from the server."""
    packet: core.NnrpPacket
    if control.message == "FLOW_UPDATE":
        packet, _ = await session.receive_flow_update()
    else:
        packet = await session.connection.receive_control_packet()
    return packet

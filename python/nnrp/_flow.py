"""FLOW_UPDATE, which both sides of a session send alike."""

from __future__ import annotations

from typing import Any

from nnrp import core
from nnrp.core import FlowUpdateMetadata, FlowUpdateScopeKind, HeaderFlags


async def send_flow_update(
    connection: Any, session_id: int, metadata: FlowUpdateMetadata, trace_id: int, flags: HeaderFlags
) -> int:
    """Send a FLOW_UPDATE packet, which names the session unless it concerns the whole connection."""
    scoped = metadata.scope_kind is not FlowUpdateScopeKind.CONNECTION
    packet = core.build_flow_update_packet(
        metadata=metadata, session_id=session_id if scoped else 0, trace_id=trace_id, flags=flags
    )
    await connection.send_control_packet(packet)
    return len(packet.pack())

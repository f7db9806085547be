"""Asking a server to go on with a session over another transport."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from nnrp._opening import Opening
from nnrp.adapters.quic import connect_quic
from nnrp.adapters.tcp import connect_tcp
from nnrp.client.hello import plan_client_transport
from nnrp.core import (
    ErrorScope,
    MessageType,
    SessionMigrateAckMetadata,
    SessionMigrateMetadata,
    TransportId,
    build_session_migrate_packet,
)
from nnrp.errors import NnrpProtocolError

if TYPE_CHECKING:
    from nnrp.adapters.quic import NnrpQuicConnection, QuicConfiguration
    from nnrp.adapters.tcp import NnrpTcpClientConfiguration, NnrpTcpConnection
    from nnrp.client.migration import MigrationOutcome
    from nnrp.client.session import ClientSession
    from nnrp.core import NnrpPacket


def migrate(
    session: ClientSession,
    host: str,
    *,
    quic_port: int | None,
    tcp_port: int | None,
    quic_configuration: QuicConfiguration | None,
    tcp_configuration: NnrpTcpClientConfiguration | None,
    selected_transport_id: TransportId,
    forced_transport_id: TransportId,
    last_result_frame_id: int,
    client_migrate_ts_us: int | None,
    timeout: float,
    **header: Any,
) -> Opening[MigrationOutcome]:
    """Return the migration of ``session``; see :meth:`~nnrp.client.ClientSession.migrate_session`."""
    plan = plan_client_transport(
        selected_transport_id=selected_transport_id, forced_transport_id=forced_transport_id
    )
    target = plan.selected_transport_id
    if target is TransportId.UNSPECIFIED:
        if (quic_port is None) == (tcp_port is None):
            raise ValueError("give exactly one of quic_port and tcp_port, or choose a transport")
        target = TransportId.QUIC if quic_port is not None else TransportId.TCP
    if target is session.transport_id:
        raise ValueError(f"the session is on {target.name} already")
    port = quic_port if target is TransportId.QUIC else tcp_port
    if port is None:
        raise ValueError(f"migrating to {target.name} needs its port")

    async def connect() -> NnrpQuicConnection | NnrpTcpConnection:
        if target is TransportId.QUIC:
            return await connect_quic(host, port, quic_configuration, timeout=timeout)
        return await connect_tcp(host, port, tcp_configuration, timeout=timeout)

    async def open_() -> MigrationOutcome:
        metadata = SessionMigrateMetadata(
            old_transport_id=session.transport_id,
            new_transport_id=target,
            last_result_frame_id=last_result_frame_id,
            client_migrate_ts_us=(
                client_migrate_ts_us if client_migrate_ts_us is not None else time.monotonic_ns() // 1000
            ),
        )
        request = build_session_migrate_packet(metadata=metadata, session_id=session.session_id, **header)
        async with asyncio.timeout(timeout), await connect() as connection:
            await connection.send_control_packet(request)
            answer = await _answer(connection)
        code = SessionMigrateAckMetadata.unpack(answer.metadata).accept_code
        if code:
            text = f"the server refused to migrate the session (code {code})"
        else:
            text = "the server accepted the migration, which this release cannot follow"
        raise NnrpProtocolError(
            text, error_scope=ErrorScope.SESSION, session_id=session.session_id, packet=answer
        )

    async def leave(outcome: MigrationOutcome) -> None:
        await outcome.session.close()

    return Opening("migrate_session", open_, leave)


async def _answer(connection: NnrpQuicConnection | NnrpTcpConnection) -> NnrpPacket:
    while True:
        packet = await connection.receive_control_packet()
        if packet.header.msg_type is MessageType.SESSION_MIGRATE_ACK:
            return packet

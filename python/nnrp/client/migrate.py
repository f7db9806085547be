"""Going on with a session over another transport."""

from __future__ import annotations

import asyncio
from typing import Any

from nnrp._checks import check_timeout
from nnrp._lazy import packet_from_native
from nnrp._opening import Opening
from nnrp.adapters.quic import NnrpQuicConnection, QuicConfiguration, connect_quic
from nnrp.adapters.tcp import NnrpTcpClientConfiguration, NnrpTcpConnection, connect_tcp
from nnrp.client._state import client_state
from nnrp.client.hello import plan_client_transport
from nnrp.client.migration import MigrationOutcome
from nnrp.client.session import ClientSession
from nnrp.core import (
    SessionMigrateAckMetadata,
    TransportId,
)


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
    trigger: str,
    timeout: float,
) -> Opening[MigrationOutcome]:
    """Return the migration of ``session``; see :meth:`~nnrp.client.ClientSession.migrate_session`."""
    check_timeout(timeout)
    plan = plan_client_transport(
        selected_transport_id=selected_transport_id, forced_transport_id=forced_transport_id
    )
    target = plan.selected_transport_id
    if target is TransportId.UNSPECIFIED:
        if (quic_port is None) == (tcp_port is None):
            raise ValueError("give exactly one of quic_port and tcp_port, or choose a transport")
        target = TransportId.QUIC if quic_port is not None else TransportId.TCP
    port = quic_port if target is TransportId.QUIC else tcp_port
    if port is None:
        raise ValueError(f"migrating to {target.name} needs its port")

    async def connect() -> NnrpQuicConnection | NnrpTcpConnection:
        if target is TransportId.QUIC:
            return await connect_quic(host, port, quic_configuration, timeout=timeout)
        return await connect_tcp(host, port, tcp_configuration, timeout=timeout)

    async def open_() -> MigrationOutcome:
        previous = session.transport_id
        async with asyncio.timeout(timeout):
            connection = await connect()
            state = client_state(session.connection)
            answer = packet_from_native(await state.native.migrate(connection._native, trigger))
        metadata = SessionMigrateAckMetadata.unpack(answer.metadata)
        session.control.transport_id = target
        # It is the connection the session was on before, and is over the other transport now.
        connected: Any = session.connection
        connected.__class__ = type(connection)
        state.moved(metadata.resume_from_frame_id)
        return MigrationOutcome(previous, target, session, answer, metadata)

    async def leave(outcome: MigrationOutcome) -> None:
        await outcome.session.close()

    return Opening("migrate_session", open_, leave)

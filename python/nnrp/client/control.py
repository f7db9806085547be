"""A client's session as its handshake left it."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from nnrp._flow import send_flow_update
from nnrp._lazy import packet_from_native
from nnrp.adapters.quic import NnrpQuicConnection
from nnrp.adapters.tcp import NnrpTcpConnection
from nnrp.client._state import client_state
from nnrp.client.hello import ClientTransportBootstrap
from nnrp.core import (
    FlowUpdateMetadata,
    HeaderFlags,
    MessageType,
    NnrpPacket,
    ServerHelloAckMetadata,
    SessionMigrateAckMetadata,
    SessionMigrateMetadata,
    TransportId,
    build_session_migrate_packet,
)
from nnrp.core._packet import summary

if TYPE_CHECKING:
    from nnrp.client.session import ClientSession

__all__ = ["ClientControlBootstrapSession"]


@dataclass
class ClientControlBootstrapSession:
    """An opened session, seen from its handshake.

    As an async context manager it closes on exit.

    Attributes:
        transport_id: the transport.
        bootstrap: what the handshake was made from.
        connection: the connection.
        ack_packet: the server's SERVER_HELLO_ACK.
        ack_metadata: its metadata.

    """

    transport_id: TransportId
    bootstrap: ClientTransportBootstrap
    connection: NnrpQuicConnection | NnrpTcpConnection
    ack_packet: NnrpPacket
    ack_metadata: ServerHelloAckMetadata

    def __repr__(self) -> str:
        return (
            f"ClientControlBootstrapSession(transport_id={self.transport_id!r}, bootstrap=…, "
            f"connection={self.connection!r}, ack_packet={summary(self.ack_packet)}, ack_metadata=…)"
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.session.close()

    @property
    def session(self) -> ClientSession:
        """The session, for frames."""
        from nnrp.client.session import ClientSession  # noqa: PLC0415  # that module imports this one

        return ClientSession(self, self.connection)

    async def send_flow_update(
        self, metadata: FlowUpdateMetadata, *, trace_id: int = 0, flags: HeaderFlags = HeaderFlags.NONE
    ) -> int:
        """Send a FLOW_UPDATE; see :meth:`ClientSession.send_flow_update`."""
        session_id = self.ack_metadata.session_id
        return await send_flow_update(self.connection, session_id, metadata, trace_id, flags)

    async def receive_flow_update(
        self, timeout: float | None = None
    ) -> tuple[NnrpPacket, FlowUpdateMetadata]:
        """Return the next FLOW_UPDATE; see :meth:`ClientSession.receive_flow_update`."""
        packet = await self._receive(MessageType.FLOW_UPDATE, timeout)
        return packet, FlowUpdateMetadata.unpack(packet.metadata)

    async def send_session_migrate(
        self,
        metadata: SessionMigrateMetadata,
        *,
        route_id: int = 0,
        trace_id: int = 0,
        flags: HeaderFlags = HeaderFlags.NONE,
        body: bytes = b"",
    ) -> int:
        """Send a SESSION_MIGRATE and return the bytes of the packet.

        Raises:
            ValueError: a value is out of range.
            NnrpConnectionClosedError: the connection has ended.

        Cancelling sends all of it or nothing.

        """
        packet = build_session_migrate_packet(
            metadata=metadata,
            session_id=self.ack_metadata.session_id,
            route_id=route_id,
            trace_id=trace_id,
            flags=flags,
            body=body,
        )
        await self.connection.send_control_packet(packet)
        return len(packet.pack())

    async def receive_session_migrate_ack(
        self, timeout: float | None = None
    ) -> tuple[NnrpPacket, SessionMigrateAckMetadata]:
        """Return the next SESSION_MIGRATE_ACK.

        Raises:
            TimeoutError: none came within ``timeout`` seconds.
            NnrpConnectionClosedError: the connection has ended.

        Timeouts and cancellation lose nothing.

        """
        packet = await self._receive(MessageType.SESSION_MIGRATE_ACK, timeout)
        return packet, SessionMigrateAckMetadata.unpack(packet.metadata)

    async def _receive(self, message: MessageType, timeout: float | None) -> NnrpPacket:
        native = client_state(self.connection).native
        return packet_from_native(await native.receive_control(timeout, message))

"""Opening sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import overload

from nnrp._checks import check_timeout
from nnrp._lazy import packet_from_native
from nnrp._opening import Opening
from nnrp.adapters._connection import Connection
from nnrp.adapters._resolve import check_port, no_answer
from nnrp.adapters.quic import NnrpQuicConnection, QuicConfiguration, connect_quic
from nnrp.adapters.tcp import NnrpTcpClientConfiguration, NnrpTcpConnection, connect_tcp
from nnrp.client._state import ClientState
from nnrp.client.control import ClientControlBootstrapSession
from nnrp.client.hello import (
    ClientTransportBootstrap,
    bootstrap_client_transport,
)
from nnrp.client.probe import TransportProbeSelection, probe_client_transport
from nnrp.client.profile import ClientDialPolicy, ClientProfile
from nnrp.client.session import ClientSession
from nnrp.core import (
    ServerHelloAckMetadata,
    TransportId,
)
from nnrp.core._base import Value

__all__ = [
    "connect_client_control",
    "connect_client_control_with_probe",
    "connect_client_session",
    "connect_client_session_with_probe",
]

_TIMEOUT = 10.0


@dataclass(frozen=True, repr=False, eq=False)
class Target(Value):
    """Where and how to connect over either transport."""

    host: str
    quic_port: int | None
    tcp_port: int | None
    quic_configuration: QuicConfiguration | None
    tcp_configuration: NnrpTcpClientConfiguration | None

    def __post_init__(self) -> None:
        for name in ("quic_port", "tcp_port"):
            port = getattr(self, name)
            if port is not None:
                check_port(port, lowest=1, name=name)

    async def open(
        self,
        transport_id: TransportId,
        bootstrap: ClientTransportBootstrap,
        *,
        default_budget_ms: int,
        timeout: float,
    ) -> ClientControlBootstrapSession:
        """Connect and shake hands, both within ``timeout`` seconds."""
        check_timeout(timeout)
        port = self.quic_port if transport_id is TransportId.QUIC else self.tcp_port
        connected = False
        try:
            async with asyncio.timeout(timeout):
                connection = await self.connect(transport_id, timeout)
                connected = True
                return await open_control(
                    connection, bootstrap, default_budget_ms=default_budget_ms, timeout=timeout
                )
        except TimeoutError:
            if timeout is None or port is None:
                raise
            if not connected:
                raise self._no_answer(port, transport_id, timeout) from None
            raise TimeoutError(
                f"{self.host}:{port} was reached over {transport_id.name}, "
                f"but the session was not opened within {timeout:g} s; is it an NNRP server, "
                "and does it accept sessions?"
            ) from None

    def _no_answer(self, port: int, transport_id: TransportId, timeout: float) -> TimeoutError:
        error = no_answer(self.host, port, transport_id.name, timeout)
        if transport_id is TransportId.QUIC and self.quic_configuration is None:
            # Nobody has chosen the transport, so perhaps nobody knows that there is one to choose.
            hint = "for TCP pass config=create_tcp_client_configuration(…)"
            error = TimeoutError(f"{error} Without a configuration it is QUIC; {hint}")
        return error

    async def connect(
        self, transport_id: TransportId, timeout: float
    ) -> NnrpQuicConnection | NnrpTcpConnection:
        if transport_id is TransportId.QUIC:
            if self.quic_port is None:
                raise ValueError("connecting over QUIC needs quic_port")
            return await connect_quic(self.host, self.quic_port, self.quic_configuration, timeout=timeout)
        if self.tcp_port is None:
            raise ValueError("connecting over TCP needs tcp_port")
        return await connect_tcp(self.host, self.tcp_port, self.tcp_configuration, timeout=timeout)

    def only_transport(self) -> TransportId:
        """Return the transport whose port is given."""
        if (self.quic_port is None) == (self.tcp_port is None):
            raise ValueError("give exactly one of quic_port and tcp_port, or choose a transport")
        return TransportId.QUIC if self.quic_port is not None else TransportId.TCP


async def open_control(
    connection: NnrpQuicConnection | NnrpTcpConnection,
    bootstrap: ClientTransportBootstrap,
    *,
    default_budget_ms: int,
    timeout: float,
) -> ClientControlBootstrapSession:
    """Shake hands on a raw connection, which is closed if that fails."""
    hello = bootstrap.hello_packet
    try:
        native = await connection._native.open_session(
            hello.header.pack(), hello.metadata, hello.body, timeout
        )
    except BaseException:
        connection.close()
        raise
    connection._session = ClientState(native, default_budget_ms)
    ack_packet = packet_from_native(native.ack_packet)
    return ClientControlBootstrapSession(
        transport_id=TransportId.QUIC if isinstance(connection, NnrpQuicConnection) else TransportId.TCP,
        bootstrap=bootstrap,
        connection=connection,
        ack_packet=ack_packet,
        ack_metadata=ServerHelloAckMetadata.unpack(ack_packet.metadata),
    )


def _control(
    call: str,
    open_: Callable[[], Awaitable[ClientControlBootstrapSession]],
) -> Opening[ClientControlBootstrapSession]:
    async def leave(control: ClientControlBootstrapSession) -> None:
        await control.session.close()

    return Opening(call, open_, leave)


def opening_session(
    call: str,
    open_: Callable[[], Awaitable[ClientControlBootstrapSession]],
) -> Opening[ClientSession]:
    async def open_session() -> ClientSession:
        return (await open_()).session

    async def leave(session: ClientSession) -> None:
        await session.close()

    return Opening(call, open_session, leave)


def _budget(profile: ClientProfile | None) -> int:
    return profile.inference_budget_ms if profile is not None else 0


def _opener(
    target: Target,
    *,
    requested_session_id: int,
    auth_block: bytes,
    requested_model: str | None,
    control_extensions: bytes,
    client_profile: ClientProfile | None,
    probe_selection: TransportProbeSelection | None,
    selected_transport_id: TransportId,
    forced_transport_id: TransportId,
    timeout: float,
) -> Callable[[], Awaitable[ClientControlBootstrapSession]]:
    bootstrap = bootstrap_client_transport(
        requested_session_id=requested_session_id,
        auth_block=auth_block,
        requested_model=requested_model,
        control_extensions=control_extensions,
        client_profile=client_profile,
        probe_selection=probe_selection,
        selected_transport_id=selected_transport_id,
        forced_transport_id=forced_transport_id,
    )
    chosen = bootstrap.plan.selected_transport_id
    transport_id = chosen if chosen is not TransportId.UNSPECIFIED else target.only_transport()

    async def open_() -> ClientControlBootstrapSession:
        return await target.open(
            transport_id, bootstrap, default_budget_ms=_budget(client_profile), timeout=timeout
        )

    return open_


def connect_client_control(
    host: str,
    *,
    quic_port: int | None = None,
    tcp_port: int | None = None,
    quic_configuration: QuicConfiguration | None = None,
    tcp_configuration: NnrpTcpClientConfiguration | None = None,
    requested_session_id: int = 1,
    auth_block: bytes = b"",
    requested_model: str | None = None,
    control_extensions: bytes = b"",
    client_profile: ClientProfile | None = None,
    probe_selection: TransportProbeSelection | None = None,
    selected_transport_id: TransportId = TransportId.UNSPECIFIED,
    forced_transport_id: TransportId = TransportId.UNSPECIFIED,
    timeout: float = _TIMEOUT,
) -> Opening[ClientControlBootstrapSession]:
    """Connect and open a session, seen from its handshake.

    Parameters, errors and use are those of :func:`connect_client_session`.
    """
    return _control(
        "connect_client_control",
        _opener(
            Target(host, quic_port, tcp_port, quic_configuration, tcp_configuration),
            requested_session_id=requested_session_id,
            auth_block=auth_block,
            requested_model=requested_model,
            control_extensions=control_extensions,
            client_profile=client_profile,
            probe_selection=probe_selection,
            selected_transport_id=selected_transport_id,
            forced_transport_id=forced_transport_id,
            timeout=timeout,
        ),
    )


@overload
def connect_client_session(
    host: str,
    *,
    quic_port: int | None = None,
    tcp_port: int | None = None,
    quic_configuration: QuicConfiguration | None = None,
    tcp_configuration: NnrpTcpClientConfiguration | None = None,
    requested_session_id: int = 1,
    auth_block: bytes = b"",
    requested_model: str | None = None,
    control_extensions: bytes = b"",
    client_profile: ClientProfile | None = None,
    probe_selection: TransportProbeSelection | None = None,
    selected_transport_id: TransportId = TransportId.UNSPECIFIED,
    forced_transport_id: TransportId = TransportId.UNSPECIFIED,
    timeout: float = _TIMEOUT,
) -> Opening[ClientSession]: ...


@overload
def connect_client_session(
    host: NnrpQuicConnection | NnrpTcpConnection,
    profile: ClientProfile,
    dial_policy: ClientDialPolicy,
    *,
    auth_block: bytes = b"",
    timeout: float = _TIMEOUT,
) -> Opening[ClientSession]: ...


def connect_client_session(
    host: str | NnrpQuicConnection | NnrpTcpConnection,
    profile: ClientProfile | None = None,
    dial_policy: ClientDialPolicy | None = None,
    *,
    quic_port: int | None = None,
    tcp_port: int | None = None,
    quic_configuration: QuicConfiguration | None = None,
    tcp_configuration: NnrpTcpClientConfiguration | None = None,
    requested_session_id: int = 1,
    auth_block: bytes = b"",
    requested_model: str | None = None,
    control_extensions: bytes = b"",
    client_profile: ClientProfile | None = None,
    probe_selection: TransportProbeSelection | None = None,
    selected_transport_id: TransportId = TransportId.UNSPECIFIED,
    forced_transport_id: TransportId = TransportId.UNSPECIFIED,
    timeout: float = _TIMEOUT,
) -> Opening[ClientSession]:
    """Open a session: connect to a host, or shake hands on an open connection.

    Use it as ``async with connect_client_session(…) as session``, which closes on exit, or
    ``session = await connect_client_session(…)``.

    Args:
        host: the server's name or address; or a raw connection, which the session closes when it is closed.
        profile: with a connection: what to announce.
        dial_policy: with a connection: the transport that was chosen.
        quic_port: the server's QUIC port.
        tcp_port: the server's TCP port. Without a choice of transport, give exactly one of the two.
        quic_configuration: how to connect over QUIC.
        tcp_configuration: how to connect over TCP.
        requested_session_id: the session id to ask for; 0 lets the server choose.
        auth_block: credentials for the server.
        requested_model: a model name, sent in place of the auth block.
        control_extensions: an encoded block of further extensions.
        client_profile: what to announce.
        probe_selection: measurements to choose the transport by.
        selected_transport_id: a choice of transport, announced as a preference.
        forced_transport_id: a choice of transport without alternative.
        timeout: seconds for connecting and shaking hands.

    Raises:
        NnrpAuthenticationError: the server did not accept the auth block.
        NnrpProtocolError: the server refused for another reason.
        TimeoutError: the server did not answer in time.
        OSError: the host is unknown or unreachable.
        TypeError: the auth block is not bytes-like.
        ValueError: arguments exclude each other, or there is no such port.

    Cancelling closes the half-open connection.

    """
    if isinstance(host, Connection):
        policy = dial_policy if dial_policy is not None else ClientDialPolicy()
        return opening_session(
            "connect_client_session", _on_connection(host, profile, policy, auth_block, timeout)
        )
    return opening_session(
        "connect_client_session",
        _opener(
            Target(host, quic_port, tcp_port, quic_configuration, tcp_configuration),
            requested_session_id=requested_session_id,
            auth_block=auth_block,
            requested_model=requested_model,
            control_extensions=control_extensions,
            client_profile=client_profile if client_profile is not None else profile,
            probe_selection=probe_selection,
            selected_transport_id=selected_transport_id,
            forced_transport_id=forced_transport_id,
            timeout=timeout,
        ),
    )


def _on_connection(
    connection: NnrpQuicConnection | NnrpTcpConnection,
    profile: ClientProfile | None,
    policy: ClientDialPolicy,
    auth_block: bytes,
    timeout: float,
) -> Callable[[], Awaitable[ClientControlBootstrapSession]]:
    bootstrap = bootstrap_client_transport(
        auth_block=auth_block,
        client_profile=profile,
        selected_transport_id=policy.selected_transport_id,
        forced_transport_id=policy.forced_transport_id,
    )

    async def open_() -> ClientControlBootstrapSession:
        return await open_control(connection, bootstrap, default_budget_ms=_budget(profile), timeout=timeout)

    return open_


def _probing_opener(
    target: Target,
    *,
    requested_session_id: int,
    auth_block: bytes,
    requested_model: str | None,
    control_extensions: bytes,
    client_profile: ClientProfile | None,
    probe_payload_bytes: int,
    probe_sample_count: int,
    include_warmup_probe: bool,
    timeout: float,
) -> Callable[[], Awaitable[ClientControlBootstrapSession]]:
    quic_port, tcp_port = target.quic_port, target.tcp_port
    if quic_port is None or tcp_port is None:
        raise ValueError("probing needs both quic_port and tcp_port")

    async def open_() -> ClientControlBootstrapSession:
        selection = await probe_client_transport(
            target.host,
            quic_port=quic_port,
            tcp_port=tcp_port,
            quic_configuration=target.quic_configuration,
            tcp_configuration=target.tcp_configuration,
            probe_payload_bytes=probe_payload_bytes,
            probe_sample_count=probe_sample_count,
            include_warmup_probe=include_warmup_probe,
            timeout=timeout,
        )
        connect = _opener(
            target,
            requested_session_id=requested_session_id,
            auth_block=auth_block,
            requested_model=requested_model,
            control_extensions=control_extensions,
            client_profile=client_profile,
            probe_selection=selection,
            selected_transport_id=TransportId.UNSPECIFIED,
            forced_transport_id=TransportId.UNSPECIFIED,
            timeout=timeout,
        )
        return await connect()

    return open_


def connect_client_control_with_probe(
    host: str,
    *,
    quic_port: int,
    tcp_port: int,
    quic_configuration: QuicConfiguration | None = None,
    tcp_configuration: NnrpTcpClientConfiguration | None = None,
    requested_session_id: int = 1,
    auth_block: bytes = b"",
    requested_model: str | None = None,
    control_extensions: bytes = b"",
    client_profile: ClientProfile | None = None,
    probe_payload_bytes: int = 32768,
    probe_sample_count: int = 3,
    include_warmup_probe: bool = False,
    timeout: float = _TIMEOUT,
) -> Opening[ClientControlBootstrapSession]:
    """Measure both transports, then open a session over the better one, seen from its handshake.

    Parameters and errors are those of :func:`~nnrp.client.probe.probe_client_transport` and
    :func:`connect_client_session`.
    """
    return _control(
        "connect_client_control_with_probe",
        _probing_opener(
            Target(host, quic_port, tcp_port, quic_configuration, tcp_configuration),
            requested_session_id=requested_session_id,
            auth_block=auth_block,
            requested_model=requested_model,
            control_extensions=control_extensions,
            client_profile=client_profile,
            probe_payload_bytes=probe_payload_bytes,
            probe_sample_count=probe_sample_count,
            include_warmup_probe=include_warmup_probe,
            timeout=timeout,
        ),
    )


def connect_client_session_with_probe(
    host: str,
    *,
    quic_port: int,
    tcp_port: int,
    quic_configuration: QuicConfiguration | None = None,
    tcp_configuration: NnrpTcpClientConfiguration | None = None,
    requested_session_id: int = 1,
    auth_block: bytes = b"",
    requested_model: str | None = None,
    control_extensions: bytes = b"",
    client_profile: ClientProfile | None = None,
    probe_payload_bytes: int = 32768,
    probe_sample_count: int = 3,
    include_warmup_probe: bool = False,
    timeout: float = _TIMEOUT,
) -> Opening[ClientSession]:
    """Measure both transports, then open a session over the better one.

    Parameters and errors are those of :func:`~nnrp.client.probe.probe_client_transport` and
    :func:`connect_client_session`.
    """
    return opening_session(
        "connect_client_session_with_probe",
        _probing_opener(
            Target(host, quic_port, tcp_port, quic_configuration, tcp_configuration),
            requested_session_id=requested_session_id,
            auth_block=auth_block,
            requested_model=requested_model,
            control_extensions=control_extensions,
            client_profile=client_profile,
            probe_payload_bytes=probe_payload_bytes,
            probe_sample_count=probe_sample_count,
            include_warmup_probe=include_warmup_probe,
            timeout=timeout,
        ),
    )

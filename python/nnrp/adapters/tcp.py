"""NNRP over plain TCP. Packets follow each other on the stream without any further framing."""

from __future__ import annotations

import socket
from dataclasses import KW_ONLY, dataclass
from typing import Never

from nnrp import _native
from nnrp._opening import Opening
from nnrp.adapters._connection import Connection
from nnrp.adapters._listener import Listener
from nnrp.adapters._resolve import check_port, first_to_connect, no_answer, resolve
from nnrp.adapters.quic import one_configuration
from nnrp.core import WireFormat
from nnrp.errors import (
    NnrpTcpConnectionClosedError,
    NnrpTcpError,
    NnrpTcpProtocolError,
    NnrpTcpUnsupportedOperationError,
)

__all__ = [
    "NnrpTcpClientConfiguration",
    "NnrpTcpConnection",
    "NnrpTcpConnectionClosedError",
    "NnrpTcpError",
    "NnrpTcpListener",
    "NnrpTcpProtocolError",
    "NnrpTcpServerConfiguration",
    "NnrpTcpUnsupportedOperationError",
    "connect_tcp",
    "create_tcp_client_configuration",
    "create_tcp_server_configuration",
    "serve_tcp",
]


@dataclass(frozen=True, slots=True)
class NnrpTcpClientConfiguration:
    """How to connect over TCP.

    Attributes:
        connect_timeout: seconds a connection attempt may take.
        idle_timeout: seconds without a byte from the server after which it counts as lost; ``None``, 0 or
            less for never.
        no_delay: whether small packets are sent at once.
        wire_format: the packet layout.
        max_frame_size: largest packet accepted, in bytes; ``None`` for what the session allows.
        keepalive_interval: seconds between PINGs, ``None`` for none.
        keepalive_timeout: seconds without an answer after which the client gives up, ``None`` for never. It
            counts only once the server has answered a PING, because some never do.

    """

    connect_timeout: float = 5.0
    idle_timeout: float | None = 120.0
    no_delay: bool = True
    _: KW_ONLY
    wire_format: WireFormat = WireFormat.CURRENT
    max_frame_size: int | None = None
    keepalive_interval: float | None = 15.0
    keepalive_timeout: float | None = 45.0


@dataclass(frozen=True, slots=True)
class NnrpTcpServerConfiguration:
    """How to serve over TCP.

    Attributes:
        idle_timeout: seconds without a byte from the client after which it counts as lost; ``None``, 0 or
            less for never.
        no_delay: whether small packets are sent at once.
        wire_format: the packet layout.
        max_frame_size: largest packet accepted, in bytes; ``None`` for what the server's profile allows.
        keepalive_interval: seconds between PINGs to the client, ``None`` for none.

    """

    idle_timeout: float | None = 120.0
    no_delay: bool = True
    _: KW_ONLY
    wire_format: WireFormat = WireFormat.CURRENT
    max_frame_size: int | None = None
    keepalive_interval: float | None = None


def create_tcp_client_configuration(
    *,
    wire_format: WireFormat = WireFormat.CURRENT,
    connect_timeout: float = 5.0,
    idle_timeout: float | None = 120.0,
    no_delay: bool = True,
    max_frame_size: int | None = None,
    keepalive_interval: float | None = 15.0,
    keepalive_timeout: float | None = 45.0,
) -> NnrpTcpClientConfiguration:
    """Make a configuration for connecting; see :class:`NnrpTcpClientConfiguration`."""
    return NnrpTcpClientConfiguration(
        connect_timeout,
        idle_timeout,
        no_delay,
        wire_format=wire_format,
        max_frame_size=max_frame_size,
        keepalive_interval=keepalive_interval,
        keepalive_timeout=keepalive_timeout,
    )


def create_tcp_server_configuration(
    *,
    wire_format: WireFormat = WireFormat.CURRENT,
    idle_timeout: float | None = 120.0,
    no_delay: bool = True,
    max_frame_size: int | None = None,
    keepalive_interval: float | None = None,
) -> NnrpTcpServerConfiguration:
    """Make a configuration for serving; see :class:`NnrpTcpServerConfiguration`."""
    return NnrpTcpServerConfiguration(
        idle_timeout,
        no_delay,
        wire_format=wire_format,
        max_frame_size=max_frame_size,
        keepalive_interval=keepalive_interval,
    )


class NnrpTcpConnection(Connection):
    """A TCP connection; see :class:`~nnrp.adapters._connection.Connection` for what it shares with QUIC.

    Everything travels on the one stream. Stream ids count submits and results in the way QUIC would.
    """

    __slots__ = ()

    def send_datagram(self, payload: bytes) -> Never:
        """Raise ``NnrpTcpUnsupportedOperationError``: TCP has no datagrams."""
        del payload
        raise NnrpTcpUnsupportedOperationError("TCP has no datagrams")

    async def receive_datagram(self, timeout: float | None = None) -> Never:
        """Raise ``NnrpTcpUnsupportedOperationError``: TCP has no datagrams."""
        del timeout
        raise NnrpTcpUnsupportedOperationError("TCP has no datagrams")


class NnrpTcpListener(Listener[NnrpTcpConnection]):
    """Accepts TCP connections; see :class:`~nnrp.adapters._listener.Listener`."""

    __slots__ = ()

    _connection_type = NnrpTcpConnection


def serve_tcp(
    host: str,
    port: int,
    config: NnrpTcpServerConfiguration | None = None,
    *,
    configuration: NnrpTcpServerConfiguration | None = None,
) -> Opening[NnrpTcpListener]:
    """Serve TCP connections on ``host`` and ``port``; port 0 picks a free one.

    Use it as ``async with serve_tcp(…) as listener`` or ``listener = await serve_tcp(…)``. Leaving the block
    stops accepting; sessions that were accepted live on. Nothing is encrypted: outside of one machine or a
    private network, use QUIC.

    Raises:
        TypeError: two configurations were given.
        ValueError: there is no such port.
        OSError: the address cannot be bound.

    """
    chosen = one_configuration(config, configuration)
    if chosen is None:
        chosen = NnrpTcpServerConfiguration()
    if not isinstance(chosen, NnrpTcpServerConfiguration):
        raise TypeError(f"an NnrpTcpServerConfiguration is required, not {type(chosen).__name__}")
    check_port(port, lowest=0)
    settings = chosen

    async def open_() -> NnrpTcpListener:
        [address, *_] = await resolve(host, port, kind=socket.SOCK_STREAM, passive=True)
        native = await _native.bind_tcp(
            *address,
            idle_timeout=settings.idle_timeout,
            no_delay=settings.no_delay,
            max_frame_size=settings.max_frame_size,
            keepalive_interval=settings.keepalive_interval,
        )
        return NnrpTcpListener._wrap(native, host)

    async def leave(listener: NnrpTcpListener) -> None:
        await listener.close()

    return Opening("serve_tcp", open_, leave)


def connect_tcp(
    host: str,
    port: int,
    config: NnrpTcpClientConfiguration | None = None,
    *,
    configuration: NnrpTcpClientConfiguration | None = None,
    timeout: float | None = None,
) -> Opening[NnrpTcpConnection]:
    """Connect to ``host`` and ``port`` over TCP; nothing of NNRP is sent.

    Use it as ``async with connect_tcp(…) as connection`` or ``connection = await connect_tcp(…)``.
    ``timeout`` in seconds replaces the configuration's ``connect_timeout``.

    Raises:
        TypeError: two configurations were given.
        ValueError: there is no such port.
        OSError: the host is unknown, unreachable or refuses.
        TimeoutError: nobody answered in time.

    Cancelling closes the half-open connection.

    """
    chosen = one_configuration(config, configuration)
    if chosen is None:
        chosen = NnrpTcpClientConfiguration()
    if not isinstance(chosen, NnrpTcpClientConfiguration):
        raise TypeError(f"an NnrpTcpClientConfiguration is required, not {type(chosen).__name__}")
    check_port(port, lowest=1)
    settings = chosen
    limit = timeout if timeout is not None else settings.connect_timeout

    async def open_() -> NnrpTcpConnection:
        async def connect(address: str, number: int) -> _native.Connection:
            return await _native.connect_tcp(
                address,
                number,
                idle_timeout=settings.idle_timeout,
                no_delay=settings.no_delay,
                max_frame_size=settings.max_frame_size,
                keepalive_interval=settings.keepalive_interval,
                keepalive_timeout=settings.keepalive_timeout,
                timeout=limit,
            )

        addresses = await resolve(host, port, kind=socket.SOCK_STREAM, passive=False)
        try:
            native = await first_to_connect(addresses, connect, lambda lost: lost.close(0, ""))
        except TimeoutError:
            raise no_answer(host, port, "TCP", limit) from None
        return NnrpTcpConnection._wrap(native)

    async def leave(connection: NnrpTcpConnection) -> None:
        await connection.close()

    return Opening("connect_tcp", open_, leave)

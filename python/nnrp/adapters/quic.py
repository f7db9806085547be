"""NNRP over QUIC."""

from __future__ import annotations

import socket

from nnrp import _native
from nnrp._opening import Opening
from nnrp.adapters._connection import Connection
from nnrp.adapters._listener import Listener
from nnrp.adapters._options import connecting_options, listening_options, one_configuration
from nnrp.adapters._quic_configuration import (
    NNRP_ALPN,
    NNRP_CURRENT_ALPN,
    DevelopmentCertificate,
    QuicConfiguration,
    alpn_for_wire_format,
    create_development_certificate,
    create_quic_client_configuration,
    create_quic_server_configuration,
)
from nnrp.adapters._resolve import check_port, first_to_connect, no_answer, resolve
from nnrp.errors import NnrpQuicConnectionClosedError, NnrpQuicError, NnrpQuicProtocolError

__all__ = [
    "NNRP_ALPN",
    "NNRP_CURRENT_ALPN",
    "DevelopmentCertificate",
    "NnrpQuicConnection",
    "NnrpQuicConnectionClosedError",
    "NnrpQuicError",
    "NnrpQuicListener",
    "NnrpQuicProtocolError",
    "QuicConfiguration",
    "alpn_for_wire_format",
    "connect_quic",
    "create_development_certificate",
    "create_quic_client_configuration",
    "create_quic_server_configuration",
    "serve_quic",
]


class NnrpQuicConnection(Connection):
    """A QUIC connection; see :class:`~nnrp.adapters._connection.Connection` for what it shares with TCP.

    Submits and results travel on streams of their own, everything else on the control stream.
    """

    __slots__ = ()

    async def ensure_control_stream(self) -> int:
        """Return the id of the control stream, which a client's first control packet opens.

        Returns at once: there is nothing to cancel.

        Raises:
            NnrpQuicConnectionClosedError: the connection has ended.

        """
        self._native.check_open()
        return 0

    def send_datagram(self, payload: bytes) -> None:
        """Send one datagram, which may be lost.

        Raises:
            ValueError: it is larger than the peer accepts.
            NnrpQuicConnectionClosedError: the connection has ended.

        """
        self._native.send_datagram(payload)

    async def receive_datagram(self, timeout: float | None = None) -> bytes:
        """Return the next datagram.

        Raises:
            TimeoutError: none came within ``timeout`` seconds.
            NnrpQuicConnectionClosedError: the connection has ended.

        Timeouts and cancellation lose nothing.

        """
        return await self._native.receive_datagram(timeout)

    async def ping(self) -> None:
        """Wait until the other transport has acknowledged what was sent; no NNRP packet is sent for it.

        Raises:
            NnrpQuicConnectionClosedError: the connection has ended.

        Cancelling loses nothing.

        """
        await self._native.flush()
        self._native.check_open()


class NnrpQuicListener(Listener[NnrpQuicConnection]):
    """Accepts QUIC connections; see :class:`~nnrp.adapters._listener.Listener`."""

    __slots__ = ()

    _connection_type = NnrpQuicConnection


def _quic_configuration(config: object, configuration: object) -> QuicConfiguration | None:
    chosen = one_configuration(config, configuration)
    if chosen is None or isinstance(chosen, QuicConfiguration):
        return chosen
    raise TypeError(f"a QuicConfiguration is required, not {type(chosen).__name__}")


def serve_quic(
    host: str,
    port: int,
    config: QuicConfiguration | None = None,
    *,
    configuration: QuicConfiguration | None = None,
) -> Opening[NnrpQuicListener]:
    """Serve QUIC connections on ``host`` and ``port``; port 0 picks a free one.

    Use it as ``async with serve_quic(…) as listener`` or ``listener = await serve_quic(…)``. Leaving the
    block stops accepting; sessions that were accepted live on.

    Raises:
        TypeError: no configuration, or two, were given.
        OSError: the address cannot be bound.
        ValueError: the configuration has no certificate, or there is no such port.

    """
    chosen = _quic_configuration(config, configuration)
    if chosen is None:
        raise TypeError(
            "serve_quic needs a configuration with a certificate: create_quic_server_configuration(…)"
        )
    check_port(port, lowest=0)

    async def open_() -> NnrpQuicListener:
        tls = chosen._server_tls()
        [address, *_] = await resolve(host, port, kind=socket.SOCK_DGRAM, passive=True)
        native = await _native.bind_quic(
            *address,
            tls=tls.read(),
            alpn=chosen.alpn_protocols,
            idle_timeout=chosen.idle_timeout,
            max_datagram_frame_size=chosen.max_datagram_frame_size,
            qlog=chosen.qlog,
            listening=listening_options(chosen),
        )
        return NnrpQuicListener._wrap(native, host, tls)

    async def leave(listener: NnrpQuicListener) -> None:
        await listener.close()

    return Opening("serve_quic", open_, leave)


def connect_quic(
    host: str,
    port: int,
    config: QuicConfiguration | None = None,
    *,
    configuration: QuicConfiguration | None = None,
    timeout: float = 5.0,
) -> Opening[NnrpQuicConnection]:
    """Connect to ``host`` and ``port`` over QUIC; nothing of NNRP is sent.

    Use it as ``async with connect_quic(…) as connection`` or ``connection = await connect_quic(…)``.

    Raises:
        TypeError: two configurations were given, or one for a server, which verifies nobody.
        ValueError: there is no such port.
        OSError: the host is unknown or unreachable.
        TimeoutError: nobody answered within ``timeout`` seconds.
        NnrpQuicConnectionClosedError: the TLS handshake failed; its ``tls_fault`` says how.

    Cancelling closes the half-open connection.

    """
    chosen = _quic_configuration(config, configuration)
    check_port(port, lowest=1)
    if chosen is not None and not chosen.is_client:
        raise TypeError(
            "this configuration is for a server and would verify nobody; connect with one of "
            "create_quic_client_configuration(…)"
        )

    async def open_() -> NnrpQuicConnection:
        settings = chosen if chosen is not None else create_quic_client_configuration()
        tls = settings._client_tls().read(host)

        async def connect(address: str, number: int) -> _native.Connection:
            return await _native.connect_quic(
                address,
                number,
                tls=tls,
                alpn=settings.alpn_protocols,
                idle_timeout=settings.idle_timeout,
                max_datagram_frame_size=settings.max_datagram_frame_size,
                qlog=settings.qlog,
                connecting=connecting_options(settings),
                timeout=timeout,
            )

        addresses = await resolve(host, port, kind=socket.SOCK_DGRAM, passive=False)
        try:
            native = await first_to_connect(addresses, connect, lambda lost: lost.close(0, ""))
        except TimeoutError:
            raise no_answer(host, port, "QUIC", timeout) from None
        return NnrpQuicConnection._wrap(native)

    async def leave(connection: NnrpQuicConnection) -> None:
        await connection.close()

    return Opening("connect_quic", open_, leave)

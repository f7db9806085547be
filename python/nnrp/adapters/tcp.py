"""NNRP over TCP, with TLS or plain. Packets follow each other on the stream without any further framing."""

from __future__ import annotations

import socket
import ssl
from dataclasses import KW_ONLY, dataclass, field
from os import PathLike
from typing import Final, Never

from nnrp import _native
from nnrp._opening import Opening
from nnrp.adapters._connection import Connection
from nnrp.adapters._listener import Listener
from nnrp.adapters._options import CreditPolicy, connecting_options, listening_options, one_configuration
from nnrp.adapters._resolve import check_port, first_to_connect, no_answer, resolve
from nnrp.adapters._tls import ClientTls, Identity, Roots, ServerTls
from nnrp.core import WireFormat
from nnrp.core._base import Value
from nnrp.errors import (
    NnrpTcpConnectionClosedError,
    NnrpTcpError,
    NnrpTcpProtocolError,
    NnrpTcpUnsupportedOperationError,
)

__all__ = [
    "NNRP_TCP_ALPN",
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

#: The protocol name in the TLS handshake.
NNRP_TCP_ALPN: Final = "nnrp/1-tcp"


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class NnrpTcpClientConfiguration(Value):
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
            counts only once the server has answered a PING, because some never do. A question that the system
            took counts as a sign of life: a session with a server that stands still is ended by
            ``idle_timeout``.
        credit_policy: how sessions treat the server's credit and pauses; see
            :attr:`~nnrp.client.ClientSession.credit_policy`.
        credit_timeout: seconds a submit may be held back before it fails, ``None`` for ever.
        max_kept_bytes: bytes of unanswered submits kept of each session that may move, to send them again if
            a path is lost; the newest is kept whatever its size.
        tls: whether to encrypt and verify; if ``None``, when one of the following says how.
        verify_mode: ``ssl.CERT_NONE`` turns verification off.
        server_name: the name to verify, instead of the host that is connected to.
        cafile: file with trusted certificates, PEM; without it and the next two, the platform's are trusted.
        capath: directory with trusted certificates.
        cadata: trusted certificates, PEM.
        certificate: what to show a server that asks: a PEM file, or PEM as ``bytes``.
        private_key: likewise; the certificate file also holds the key if ``None``.
        alpn_protocols: protocol names offered in the TLS handshake.
        key_log: for debugging: a file to which TLS secrets are appended, as Wireshark reads them. Whoever has
            it can read everything that was said.

    """

    connect_timeout: float = 5.0
    idle_timeout: float | None = 120.0
    no_delay: bool = True
    _: KW_ONLY
    wire_format: WireFormat = WireFormat.CURRENT
    max_frame_size: int | None = None
    keepalive_interval: float | None = 15.0
    keepalive_timeout: float | None = 45.0
    credit_policy: CreditPolicy = "honour"
    credit_timeout: float | None = 30.0
    max_kept_bytes: int = 8 * 1024 * 1024
    tls: bool | None = None
    verify_mode: ssl.VerifyMode = ssl.CERT_REQUIRED
    server_name: str | None = None
    cafile: str | PathLike[str] | None = None
    capath: str | PathLike[str] | None = None
    cadata: str | bytes | None = field(default=None, repr=False)
    certificate: str | PathLike[str] | bytes | None = field(default=None, repr=False)
    private_key: str | PathLike[str] | bytes | None = field(default=None, repr=False)
    alpn_protocols: tuple[str, ...] = (NNRP_TCP_ALPN,)
    key_log: str | PathLike[str] | None = None

    def __post_init__(self) -> None:
        # A wrong file is refused when it is named, and not only when it is used.
        tls = self._client_tls()
        if tls is not None:
            tls.read("")

    def _says_how(self) -> bool:
        given = (self.server_name, self.cafile, self.capath, self.cadata, self.certificate, self.private_key)
        return self.verify_mode is not ssl.CERT_REQUIRED or any(value is not None for value in given)

    def _client_tls(self) -> ClientTls | None:
        """Return whom to believe, ``None`` for plain TCP."""
        if self.tls is False and self._says_how():
            raise ValueError("tls=False, and yet there are TLS settings")
        if self.private_key is not None and self.certificate is None:
            raise ValueError("a private_key needs its certificate")
        if self.tls is None and not self._says_how():
            return None
        if self.tls is False:
            return None
        identity = Identity(self.certificate, self.private_key) if self.certificate is not None else None
        roots = Roots(self.cafile, self.capath, self.cadata)
        return ClientTls(self.server_name, roots, self.verify_mode, identity, self.key_log)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class NnrpTcpServerConfiguration(Value):
    """How to serve over TCP.

    Attributes:
        idle_timeout: seconds without a byte from the client after which it counts as lost; ``None``, 0 or
            less for never.
        no_delay: whether small packets are sent at once.
        wire_format: the packet layout.
        max_frame_size: largest packet accepted, in bytes; ``None`` for what the server's profile allows.
        keepalive_interval: seconds between PINGs to the client, ``None`` for none.
        handshake_timeout: seconds for a client's TLS handshake.
        max_pending_handshakes: clients that wait to be accepted, or are in their handshake, at once; further
            ones are sent away with SERVER_BUSY.
        busy_retry_after: seconds after which those are asked to try again.
        certificate: what to show clients: a PEM file, or PEM as ``bytes``; a chain starts with the leaf.
            Without it nothing is encrypted.
        private_key: likewise; the certificate file also holds the key if ``None``.
        verify_mode: ``ssl.CERT_OPTIONAL`` asks clients for a certificate and admits those without one too.
        cafile: file with the authorities of client certificates, or such certificates themselves, PEM.
            Whoever names them here or in the next two admits only clients with such a certificate.
        capath: directory with such files.
        cadata: the same as PEM.
        alpn_protocols: protocol names accepted in the TLS handshake.
        key_log: as on a client.

    """

    idle_timeout: float | None = 120.0
    no_delay: bool = True
    _: KW_ONLY
    wire_format: WireFormat = WireFormat.CURRENT
    max_frame_size: int | None = None
    keepalive_interval: float | None = None
    handshake_timeout: float = 10.0
    max_pending_handshakes: int = 1024
    busy_retry_after: float = 1.0
    certificate: str | PathLike[str] | bytes | None = field(default=None, repr=False)
    private_key: str | PathLike[str] | bytes | None = field(default=None, repr=False)
    verify_mode: ssl.VerifyMode | None = None
    cafile: str | PathLike[str] | None = None
    capath: str | PathLike[str] | None = None
    cadata: str | bytes | None = field(default=None, repr=False)
    alpn_protocols: tuple[str, ...] = (NNRP_TCP_ALPN,)
    key_log: str | PathLike[str] | None = None

    def __post_init__(self) -> None:
        # A wrong file is refused when it is named, and not only when it is used.
        tls = self._server_tls()
        if tls is not None:
            tls.read()

    def _server_tls(self) -> ServerTls | None:
        """Return what to show and to ask for, ``None`` for plain TCP."""
        roots = Roots(self.cafile, self.capath, self.cadata)
        if self.certificate is None:
            if self.private_key is not None or roots or self.verify_mode not in (None, ssl.CERT_NONE):
                raise ValueError("a TCP server with TLS needs a certificate and its private_key")
            return None
        mode = self.verify_mode
        if mode is None:
            mode = ssl.CERT_REQUIRED if roots else ssl.CERT_NONE
        identity = Identity(self.certificate, self.private_key)
        return ServerTls(identity, roots, mode, self.key_log)


def create_tcp_client_configuration(
    *,
    wire_format: WireFormat = WireFormat.CURRENT,
    connect_timeout: float = 5.0,
    idle_timeout: float | None = 120.0,
    no_delay: bool = True,
    max_frame_size: int | None = None,
    keepalive_interval: float | None = 15.0,
    keepalive_timeout: float | None = 45.0,
    tls: bool | None = None,
    verify_mode: ssl.VerifyMode = ssl.CERT_REQUIRED,
    insecure_skip_verify: bool = False,
    server_name: str | None = None,
    cafile: str | PathLike[str] | None = None,
    capath: str | PathLike[str] | None = None,
    cadata: str | bytes | None = None,
    certificate: str | PathLike[str] | bytes | None = None,
    private_key: str | PathLike[str] | bytes | None = None,
    alpn_protocols: list[str] | None = None,
    credit_policy: CreditPolicy = "honour",
    credit_timeout: float | None = 30.0,
    max_kept_bytes: int = 8 * 1024 * 1024,
    key_log: str | PathLike[str] | None = None,
) -> NnrpTcpClientConfiguration:
    """Make a configuration for connecting; see :class:`NnrpTcpClientConfiguration`.

    ``tls=True`` encrypts, and verifies the server by the platform's authorities; so does each of the
    parameters after it that says how. Without any of them TCP is plain. ``insecure_skip_verify`` is another
    way of turning verification off.

    Raises:
        OSError: a file cannot be read.
        ValueError: it holds no certificate, or no key; or ``tls=False`` and there are TLS settings.

    """
    return NnrpTcpClientConfiguration(
        connect_timeout,
        idle_timeout,
        no_delay,
        wire_format=wire_format,
        max_frame_size=max_frame_size,
        keepalive_interval=keepalive_interval,
        keepalive_timeout=keepalive_timeout,
        credit_policy=credit_policy,
        credit_timeout=credit_timeout,
        max_kept_bytes=max_kept_bytes,
        tls=tls,
        verify_mode=ssl.CERT_NONE if insecure_skip_verify else verify_mode,
        server_name=server_name,
        cafile=cafile,
        capath=capath,
        cadata=cadata,
        certificate=certificate,
        private_key=private_key,
        alpn_protocols=tuple(alpn_protocols) if alpn_protocols is not None else (NNRP_TCP_ALPN,),
        key_log=key_log,
    )


def create_tcp_server_configuration(
    *,
    wire_format: WireFormat = WireFormat.CURRENT,
    idle_timeout: float | None = 120.0,
    no_delay: bool = True,
    max_frame_size: int | None = None,
    keepalive_interval: float | None = None,
    certificate: str | PathLike[str] | bytes | None = None,
    private_key: str | PathLike[str] | bytes | None = None,
    verify_mode: ssl.VerifyMode | None = None,
    cafile: str | PathLike[str] | None = None,
    capath: str | PathLike[str] | None = None,
    cadata: str | bytes | None = None,
    alpn_protocols: list[str] | None = None,
    handshake_timeout: float = 10.0,
    max_pending_handshakes: int = 1024,
    busy_retry_after: float = 1.0,
    key_log: str | PathLike[str] | None = None,
) -> NnrpTcpServerConfiguration:
    """Make a configuration for serving; see :class:`NnrpTcpServerConfiguration`.

    With a ``certificate`` everything is encrypted, without one nothing is.

    Raises:
        OSError: a file cannot be read.
        ValueError: the contents are not a certificate chain and its private key, or clients shall be
            verified and nobody says against what.

    """
    return NnrpTcpServerConfiguration(
        idle_timeout,
        no_delay,
        wire_format=wire_format,
        max_frame_size=max_frame_size,
        keepalive_interval=keepalive_interval,
        handshake_timeout=handshake_timeout,
        max_pending_handshakes=max_pending_handshakes,
        busy_retry_after=busy_retry_after,
        certificate=certificate,
        private_key=private_key,
        verify_mode=verify_mode,
        cafile=cafile,
        capath=capath,
        cadata=cadata,
        alpn_protocols=tuple(alpn_protocols) if alpn_protocols is not None else (NNRP_TCP_ALPN,),
        key_log=key_log,
    )


class NnrpTcpConnection(Connection):
    """A TCP connection; see :class:`~nnrp.adapters._connection.Connection` for what it shares with QUIC.

    Everything travels on the one stream. Stream ids count submits and results in the way QUIC would.
    """

    __slots__ = ()

    def send_datagram(self, payload: bytes) -> Never:
        """Raise ``NnrpTcpUnsupportedOperationError``: TCP has no datagrams. Nothing to cancel."""
        del payload
        raise NnrpTcpUnsupportedOperationError("TCP has no datagrams")

    async def receive_datagram(self, timeout: float | None = None) -> Never:
        """Raise ``NnrpTcpUnsupportedOperationError``: TCP has no datagrams. Nothing to cancel."""
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
    stops accepting; sessions that were accepted live on. Without a certificate in the configuration nothing
    is encrypted, and a listener others can reach says so in the log.

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
        tls = settings._server_tls()
        native = await _native.bind_tcp(
            *address,
            tls=tls.read() if tls is not None else None,
            alpn=settings.alpn_protocols,
            idle_timeout=settings.idle_timeout,
            no_delay=settings.no_delay,
            listening=listening_options(settings),
        )
        return NnrpTcpListener._wrap(native, host, tls)

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
        NnrpTcpConnectionClosedError: the TLS handshake failed; its ``tls_fault`` says how.

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
        client_tls = settings._client_tls()
        tls = client_tls.read(host) if client_tls is not None else None

        async def connect(address: str, number: int) -> _native.Connection:
            return await _native.connect_tcp(
                address,
                number,
                tls=tls,
                alpn=settings.alpn_protocols,
                idle_timeout=settings.idle_timeout,
                no_delay=settings.no_delay,
                connecting=connecting_options(settings),
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

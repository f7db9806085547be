"""How to connect or serve over QUIC, and certificates to begin with."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from os import PathLike
from typing import Final

from nnrp import _native
from nnrp.adapters._options import CreditPolicy
from nnrp.adapters._tls import ClientTls, Identity, Roots, ServerTls
from nnrp.core import WireFormat
from nnrp.core._base import Value

#: The protocol name in the TLS handshake.
NNRP_ALPN: Final = "nnrp/1"
NNRP_CURRENT_ALPN: Final = NNRP_ALPN


def alpn_for_wire_format(wire_format: WireFormat) -> str:
    """Return the TLS protocol name of a wire format.

    Raises:
        ValueError: there is no such wire format.

    """
    names = {WireFormat.CURRENT: NNRP_CURRENT_ALPN}
    return names[WireFormat(wire_format)]


class QuicConfiguration:
    """How to connect or serve over QUIC. Read when it is used; later changes affect later uses.

    Attributes:
        alpn_protocols: protocol names offered or accepted in the TLS handshake.
        is_client: whether this is for connecting.
        idle_timeout: seconds of silence after which the connection counts as lost, ``None`` for never.
        max_datagram_frame_size: largest datagram accepted, in bytes.
        verify_mode: ``ssl.CERT_REQUIRED`` verifies the peer, ``ssl.CERT_NONE`` does not; on a server
            ``ssl.CERT_OPTIONAL`` also admits clients without a certificate.
        server_name: the name to verify, instead of the host that is connected to.
        cafile: file with trusted certificates, PEM.
        capath: directory with trusted certificates.
        cadata: trusted certificates, PEM.
        keepalive_interval: seconds between a client's PINGs, ``None`` for none; a third while frames wait.
        keepalive_timeout: seconds without an answer after which a client gives up, ``None`` for never; a
            third of that while frames wait.
        max_frame_size: largest packet accepted, in bytes; ``None`` for what the session allows.
        credit_policy: how a client's sessions treat the server's credit and pauses; see
            :attr:`~nnrp.client.ClientSession.credit_policy`.
        credit_timeout: seconds a client's submit may be held back before it fails, ``None`` for ever.
        max_kept_bytes: bytes of unanswered submits a client keeps of each session that may move, to send them
            again when a path is lost.
        handshake_timeout: seconds a server gives a client for its TLS handshake.
        max_pending_handshakes: clients that wait to be accepted by a server, or are in their handshake, at
            once; further ones are sent away with SERVER_BUSY.
        busy_retry_after: seconds after which those are asked to try again.
        key_log: for debugging: a file to which TLS secrets are appended, as Wireshark reads them. Whoever has
            it can read everything that was said.
        qlog: for debugging: a folder in which each listener, and each connection of a client, writes what
            QUIC does into a file of its own. It slows connections down.

    """

    def __init__(
        self,
        *,
        is_client: bool = True,
        alpn_protocols: list[str] | None = None,
        idle_timeout: float | None = 120.0,
        max_datagram_frame_size: int = 65536,
        verify_mode: ssl.VerifyMode | None = None,
        server_name: str | None = None,
        cafile: str | PathLike[str] | None = None,
        capath: str | PathLike[str] | None = None,
        cadata: str | bytes | None = None,
        keepalive_interval: float | None = 15.0,
        keepalive_timeout: float | None = 45.0,
        max_frame_size: int | None = None,
        credit_policy: CreditPolicy = "honour",
        credit_timeout: float | None = 30.0,
        max_kept_bytes: int = 8 * 1024 * 1024,
        handshake_timeout: float = 10.0,
        max_pending_handshakes: int = 1024,
        busy_retry_after: float = 1.0,
        key_log: str | PathLike[str] | None = None,
        qlog: str | PathLike[str] | None = None,
    ) -> None:
        self.alpn_protocols = list(alpn_protocols) if alpn_protocols is not None else [NNRP_CURRENT_ALPN]
        self.is_client = is_client
        self.idle_timeout = idle_timeout
        self.max_datagram_frame_size = max_datagram_frame_size
        self._verify_mode = verify_mode
        self.server_name = server_name
        self.cafile = cafile
        self.capath = capath
        self.cadata = cadata
        # A server sends none unless it is told to afterwards: some clients fail on a PING.
        self.keepalive_interval = keepalive_interval if is_client else None
        self.keepalive_timeout = keepalive_timeout
        self.max_frame_size = max_frame_size
        self.credit_policy: CreditPolicy = credit_policy
        self.credit_timeout = credit_timeout
        self.max_kept_bytes = max_kept_bytes
        self.handshake_timeout = handshake_timeout
        self.max_pending_handshakes = max_pending_handshakes
        self.busy_retry_after = busy_retry_after
        self.key_log = key_log
        self.qlog = qlog
        self._identity: Identity | None = None
        self._roots().read()

    @property
    def verify_mode(self) -> ssl.VerifyMode:
        """Whether the peer needs a certificate.

        Unless it was set: a client verifies servers, and a server asks for certificates of clients if it was
        told their authority.
        """
        if self._verify_mode is not None:
            return self._verify_mode
        return ssl.CERT_REQUIRED if self.is_client or self._roots() else ssl.CERT_NONE

    @verify_mode.setter
    def verify_mode(self, mode: ssl.VerifyMode) -> None:
        self._verify_mode = mode

    def __repr__(self) -> str:
        role = "client" if self.is_client else "server"
        return f"<QuicConfiguration of a {role}, alpn_protocols={self.alpn_protocols!r}>"

    def load_cert_chain(
        self,
        certfile: str | PathLike[str] | bytes,
        keyfile: str | PathLike[str] | bytes | None = None,
        password: bytes | str | None = None,
    ) -> None:
        """Load the certificate chain and private key to serve with, or to show a server that asks.

        Args:
            certfile: a PEM file, or PEM as ``bytes``; the leaf certificate comes first.
            keyfile: likewise; the certificate file also holds the key if ``None``.
            password: encrypted keys are not supported.

        Raises:
            OSError: a file cannot be read.
            ValueError: the contents are not a certificate chain and its private key.

        """
        if password is not None:
            raise ValueError("encrypted private keys are not supported; decrypt the key first")
        identity = Identity(certfile, keyfile)
        identity.read()
        self._identity = identity

    def load_verify_locations(
        self,
        cafile: str | PathLike[str] | None = None,
        capath: str | PathLike[str] | None = None,
        cadata: str | bytes | None = None,
    ) -> None:
        """Trust the given certificates instead of the platform's.

        Raises:
            OSError: a file cannot be read.
            ValueError: no certificate is found.

        """
        self.cafile, self.capath, self.cadata = cafile, capath, cadata
        self._roots().read()

    def _roots(self) -> Roots:
        return Roots(self.cafile, self.capath, self.cadata)

    def _server_tls(self) -> ServerTls:
        if self._identity is None:
            raise ValueError("a QUIC server needs a certificate: use create_quic_server_configuration")
        return ServerTls(self._identity, self._roots(), self.verify_mode, self.key_log)

    def _client_tls(self) -> ClientTls:
        return ClientTls(self.server_name, self._roots(), self.verify_mode, self._identity, self.key_log)


def create_quic_client_configuration(
    *,
    wire_format: WireFormat = WireFormat.CURRENT,
    alpn_protocols: list[str] | None = None,
    verify_mode: ssl.VerifyMode = ssl.CERT_REQUIRED,
    max_datagram_frame_size: int = 65536,
    idle_timeout: float | None = 120.0,
    cafile: str | PathLike[str] | None = None,
    capath: str | PathLike[str] | None = None,
    cadata: str | bytes | None = None,
    insecure_skip_verify: bool = False,
    server_name: str | None = None,
    keepalive_interval: float | None = 15.0,
    keepalive_timeout: float | None = 45.0,
    certificate: str | PathLike[str] | bytes | None = None,
    private_key: str | PathLike[str] | bytes | None = None,
    max_frame_size: int | None = None,
    credit_policy: CreditPolicy = "honour",
    credit_timeout: float | None = 30.0,
    max_kept_bytes: int = 8 * 1024 * 1024,
    key_log: str | PathLike[str] | None = None,
    qlog: str | PathLike[str] | None = None,
) -> QuicConfiguration:
    """Make a configuration for connecting.

    The server's certificate is verified, against ``cafile``, ``capath`` and ``cadata`` if one of them is
    given and against the platform's roots otherwise. A self-signed certificate that is named here verifies
    too.

    Args:
        wire_format: decides the TLS protocol name.
        alpn_protocols: other TLS protocol names.
        verify_mode: ``ssl.CERT_NONE`` turns verification off.
        max_datagram_frame_size: largest datagram accepted, in bytes.
        idle_timeout: seconds of silence after which the connection counts as lost, ``None`` for never.
        cafile: file with trusted certificates, PEM.
        capath: directory with trusted certificates.
        cadata: trusted certificates, PEM.
        insecure_skip_verify: another way of turning verification off.
        server_name: the name to verify, instead of the host that is connected to.
        keepalive_interval: seconds between PINGs, ``None`` for none; a third of it while frames wait.
        keepalive_timeout: seconds without an answer after which the client gives up, ``None`` for never; a
            third of that while frames wait. It counts only once the server has answered a PING, because some
            never do.
        certificate: what to show a server that asks for a certificate: a PEM file, or PEM as ``bytes``.
        private_key: likewise; the certificate file also holds the key if ``None``.
        max_frame_size: largest packet accepted, in bytes; ``None`` for what the session allows.
        credit_policy: how sessions treat the server's credit and pauses; see
            :attr:`~nnrp.client.ClientSession.credit_policy`.
        credit_timeout: seconds a submit may be held back before it fails, ``None`` for ever.
        max_kept_bytes: bytes of unanswered submits kept of each session that may move, to send them again if
            a path is lost; the newest is kept whatever its size.
        key_log: for debugging: a file to which TLS secrets are appended.
        qlog: for debugging: a folder for files with what QUIC does.

    Raises:
        OSError: a file cannot be read.
        ValueError: it holds no certificate, or no key.

    """
    configuration = QuicConfiguration(
        is_client=True,
        alpn_protocols=alpn_protocols if alpn_protocols is not None else [alpn_for_wire_format(wire_format)],
        verify_mode=ssl.CERT_NONE if insecure_skip_verify else verify_mode,
        max_datagram_frame_size=max_datagram_frame_size,
        idle_timeout=idle_timeout,
        cafile=cafile,
        capath=capath,
        cadata=cadata,
        server_name=server_name,
        keepalive_interval=keepalive_interval,
        keepalive_timeout=keepalive_timeout,
        max_frame_size=max_frame_size,
        credit_policy=credit_policy,
        credit_timeout=credit_timeout,
        max_kept_bytes=max_kept_bytes,
        key_log=key_log,
        qlog=qlog,
    )
    if certificate is not None:
        configuration.load_cert_chain(certificate, private_key)
    elif private_key is not None:
        raise ValueError("a private_key needs its certificate")
    return configuration


def create_quic_server_configuration(
    certificate: str | PathLike[str] | bytes,
    private_key: str | PathLike[str] | bytes,
    *,
    wire_format: WireFormat = WireFormat.CURRENT,
    alpn_protocols: list[str] | None = None,
    max_datagram_frame_size: int = 65536,
    idle_timeout: float | None = 120.0,
    verify_mode: ssl.VerifyMode | None = None,
    cafile: str | PathLike[str] | None = None,
    capath: str | PathLike[str] | None = None,
    cadata: str | bytes | None = None,
    max_frame_size: int | None = None,
    keepalive_interval: float | None = None,
    handshake_timeout: float = 10.0,
    max_pending_handshakes: int = 1024,
    busy_retry_after: float = 1.0,
    key_log: str | PathLike[str] | None = None,
    qlog: str | PathLike[str] | None = None,
) -> QuicConfiguration:
    """Make a configuration for serving.

    Whoever names ``cafile``, ``capath`` or ``cadata`` admits only clients with a certificate from there.

    Args:
        certificate: a PEM file, or PEM as ``bytes``; a chain starts with the leaf.
        private_key: likewise; PKCS#8, PKCS#1 or SEC1.
        wire_format: decides the TLS protocol name.
        alpn_protocols: other TLS protocol names.
        max_datagram_frame_size: largest datagram accepted, in bytes.
        idle_timeout: seconds of silence after which a connection counts as lost, ``None`` for never.
        verify_mode: ``ssl.CERT_OPTIONAL`` asks clients for a certificate and admits those without one too.
        cafile: file with the authorities of client certificates, or such certificates themselves, PEM.
        capath: directory with such files.
        cadata: the same as PEM.
        max_frame_size: largest packet accepted, in bytes; ``None`` for what the server's profile allows.
        keepalive_interval: seconds between PINGs to the client, ``None`` for none.
        handshake_timeout: seconds for a client's TLS handshake.
        max_pending_handshakes: clients that wait to be accepted, or are in their handshake, at once; further
            ones are sent away with SERVER_BUSY.
        busy_retry_after: seconds after which those are asked to try again.
        key_log: for debugging: a file to which TLS secrets are appended.
        qlog: for debugging: a folder for files with what QUIC does.

    Raises:
        OSError: a file cannot be read.
        ValueError: the contents are not a certificate chain and its private key, or clients shall be
            verified and nobody says against what.

    """
    configuration = QuicConfiguration(
        is_client=False,
        verify_mode=verify_mode,
        cafile=cafile,
        capath=capath,
        cadata=cadata,
        alpn_protocols=alpn_protocols if alpn_protocols is not None else [alpn_for_wire_format(wire_format)],
        max_datagram_frame_size=max_datagram_frame_size,
        idle_timeout=idle_timeout,
        max_frame_size=max_frame_size,
        handshake_timeout=handshake_timeout,
        max_pending_handshakes=max_pending_handshakes,
        busy_retry_after=busy_retry_after,
        key_log=key_log,
        qlog=qlog,
    )
    configuration.keepalive_interval = keepalive_interval
    configuration.load_cert_chain(certificate, private_key)
    configuration._server_tls().read()
    return configuration


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class DevelopmentCertificate(Value):
    """A self-signed certificate for this machine.

    Attributes:
        certificate: PEM; for the server's configuration, and for ``cadata`` of the client's.
        private_key: PEM.

    """

    certificate: bytes
    private_key: bytes = field(repr=False)


def create_development_certificate() -> DevelopmentCertificate:
    """Make a fresh self-signed certificate that is only good for ``localhost``, ``127.0.0.1`` and ``::1``."""
    return DevelopmentCertificate(*_native.development_certificate())

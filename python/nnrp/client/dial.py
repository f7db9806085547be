"""Opening a session over the transport that suits."""

from __future__ import annotations

import logging
import socket
from dataclasses import replace

from nnrp._checks import check_kind, check_timeout
from nnrp._logging import about
from nnrp._opening import Opening
from nnrp.adapters._resolve import check_port
from nnrp.adapters._tls import parse_address
from nnrp.adapters.quic import QuicConfiguration
from nnrp.adapters.tcp import NnrpTcpClientConfiguration
from nnrp.client.connect import Target, opening_session
from nnrp.client.control import ClientControlBootstrapSession
from nnrp.client.hello import ClientTransportBootstrap, ClientTransportPlan, build_client_hello_packet
from nnrp.client.profile import ClientDialPolicy, ClientProfile
from nnrp.client.session import ClientSession
from nnrp.core import (
    ClientHelloTransportPolicyExtension,
    ControlExtensionEntry,
    TransportId,
    TransportPolicy,
    pack_control_extension_block,
)
from nnrp.errors import NnrpTransportError

__all__ = ["dial_client"]

_log = logging.getLogger("nnrp.client")

_TIMEOUT = 10.0

_FORCED = {TransportPolicy.FORCE_QUIC: TransportId.QUIC, TransportPolicy.FORCE_TCP: TransportId.TCP}
_PREFERRED = {TransportPolicy.PREFER_QUIC: TransportId.QUIC, TransportPolicy.PREFER_TCP: TransportId.TCP}
_OTHER = {TransportId.QUIC: TransportId.TCP, TransportId.TCP: TransportId.QUIC}


def dial_client(
    host: str,
    port: int | None = None,
    *,
    profile: ClientProfile | None = None,
    config: QuicConfiguration | NnrpTcpClientConfiguration | None = None,
    tcp_config: NnrpTcpClientConfiguration | None = None,
    dial_policy: ClientDialPolicy | None = None,
    auth_block: bytes = b"",
    requested_model: str | None = None,
    requested_session_id: int = 1,
    control_extensions: tuple[ControlExtensionEntry, ...] | bytes = (),
    timeout: float = _TIMEOUT,
) -> Opening[ClientSession]:
    """Open a session with the server at ``host`` and ``port``, or at an address: ``nnrps://host:port``.

    Use it as ``async with dial_client(…) as session``, which closes on exit, or ``session = await
    dial_client(…)``.

    The transport is the one that ``dial_policy`` forces, else the one that the profile's ``FORCE_*`` names,
    else the one that ``config`` is for, else the selected or preferred one, else QUIC. A preference falls
    back to the other transport only if that one's configuration was given: going from QUIC to plain TCP
    unasked would send the auth block in clear. The log has a warning then, as the first transport may have
    taken all of ``timeout``. Neither is tried after a certificate was refused.

    An address decides whether the connection is encrypted, and not which transport it takes: ``nnrps://``
    is QUIC or TCP with TLS, ``nnrp://`` is plain TCP.

    Args:
        host: the server's name or address; or both with the port, as ``nnrps://host:port``.
        port: its port.
        profile: what to announce.
        config: how to connect; its type chooses the transport.
        tcp_config: how to connect over TCP, if ``config`` is for QUIC.
        dial_policy: a choice of transport.
        auth_block: credentials for the server.
        requested_model: a model name, sent in place of the auth block.
        requested_session_id: the session id to ask for; 0 lets the server choose.
        control_extensions: further extensions, or an encoded block of them.
        timeout: seconds for connecting and shaking hands, per transport tried.

    Raises:
        NnrpAuthenticationError: the server did not accept the auth block.
        NnrpProtocolError: the server refused for another reason.
        TimeoutError: the server did not answer in time.
        OSError: the host is unknown or unreachable.
        TypeError: a configuration or the auth block is of the wrong type.
        ValueError: arguments exclude each other, the address is none, or there is no such port.

    Cancelling closes the half-open connection.

    """
    if tcp_config is not None and isinstance(config, NnrpTcpClientConfiguration):
        raise TypeError("config and tcp_config are both for TCP")
    if config is not None and not isinstance(config, QuicConfiguration | NnrpTcpClientConfiguration):
        raise TypeError(
            f"a QuicConfiguration or NnrpTcpClientConfiguration is required, not {type(config).__name__}"
        )
    check_kind(profile, ClientProfile, "profile", "ClientProfile(…)")
    check_kind(dial_policy, ClientDialPolicy, "dial_policy", "ClientDialPolicy(TransportId.TCP)")
    check_timeout(timeout)
    encrypted, host, port = _place(host, port)
    settings = profile if profile is not None else ClientProfile()
    policy = dial_policy if dial_policy is not None else ClientDialPolicy()
    transports = _transports(settings, policy, config, tcp_config)
    quic = config if isinstance(config, QuicConfiguration) else None
    tcp = config if isinstance(config, NnrpTcpClientConfiguration) else tcp_config
    if encrypted is True:
        tcp = _with_tls(tcp)
    elif encrypted is False:
        transports, tcp = [TransportId.TCP], _plain(quic, tcp, settings, policy)
    target = Target(host, port, port, quic, tcp)
    hello = build_client_hello_packet(
        requested_session_id=requested_session_id,
        auth_block=auth_block,
        requested_model=requested_model,
        control_extensions=(
            control_extensions
            if isinstance(control_extensions, bytes)
            else pack_control_extension_block(control_extensions)
        ),
        client_profile=settings,
        transport_policy_extension=_announced(settings, policy),
    )

    async def open_over(transport_id: TransportId) -> ClientControlBootstrapSession:
        plan = ClientTransportPlan(transport_id, _announced(settings, policy))
        bootstrap = ClientTransportBootstrap(plan, hello)
        return await target.open(
            transport_id, bootstrap, default_budget_ms=settings.inference_budget_ms, timeout=timeout
        )

    async def open_() -> ClientControlBootstrapSession:
        *others, last = transports
        for transport_id in others:
            try:
                return await open_over(transport_id)
            except (OSError, NnrpTransportError) as error:
                if not may_fall_back(error):
                    raise
                names = transport_id.name, last.name
                _log.warning("%s failed, going on over %s: %s", *names, error, extra=about(peer=(host, port)))
        return await open_over(last)

    return opening_session("dial_client", open_)


def may_fall_back(error: OSError | NnrpTransportError) -> bool:
    """Whether the other transport may do better: the server cannot be reached over this one.

    A name without an address and a file that cannot be read would fail again. Somebody who showed a wrong
    certificate is not tried again, because plain TCP might hand them the auth block.
    """
    if isinstance(error, socket.gaierror) or getattr(error, "filename", None) is not None:
        return False
    return getattr(error, "tls_fault", None) is None


def _place(host: str, port: int | None) -> tuple[bool | None, str, int]:
    """Return whether an address asks for encryption (``None``: there was none), the host, and the port."""
    if "://" in host:
        if port is not None:
            raise TypeError("the address names the port already")
        return parse_address(host)
    if port is None:
        raise TypeError("dial_client needs a port, or an address such as 'nnrps://host:port'")
    check_port(port, lowest=1)
    return None, host, port


def _with_tls(tcp: NnrpTcpClientConfiguration | None) -> NnrpTcpClientConfiguration:
    if tcp is None:
        return NnrpTcpClientConfiguration(tls=True)
    if tcp.tls is False:
        raise ValueError("nnrps:// is encrypted, and the TCP configuration says tls=False")
    return replace(tcp, tls=True)


def _plain(
    quic: QuicConfiguration | None,
    tcp: NnrpTcpClientConfiguration | None,
    profile: ClientProfile,
    policy: ClientDialPolicy,
) -> NnrpTcpClientConfiguration | None:
    forced = TransportId.QUIC in (policy.forced_transport_id, _FORCED.get(profile.transport_policy))
    if quic is not None or forced or (tcp is not None and tcp._client_tls() is not None):
        raise ValueError("nnrp:// is plain TCP; write nnrps:// for QUIC or TLS")
    return tcp


def _announced(
    profile: ClientProfile, policy: ClientDialPolicy
) -> ClientHelloTransportPolicyExtension | None:
    extension = policy.to_client_hello_transport_policy()
    if extension is None and profile.transport_policy is not TransportPolicy.AUTO:
        extension = ClientHelloTransportPolicyExtension(profile.transport_policy)
    return extension


def _transports(
    profile: ClientProfile,
    policy: ClientDialPolicy,
    config: QuicConfiguration | NnrpTcpClientConfiguration | None,
    tcp_config: NnrpTcpClientConfiguration | None,
) -> list[TransportId]:
    """Return the transports to try, in order."""
    if policy.forced_transport_id is not TransportId.UNSPECIFIED:
        return [policy.forced_transport_id]
    if profile.transport_policy in _FORCED:
        return [_FORCED[profile.transport_policy]]
    configured = {
        TransportId.QUIC: isinstance(config, QuicConfiguration),
        TransportId.TCP: tcp_config is not None or isinstance(config, NnrpTcpClientConfiguration),
    }
    preferred = _PREFERRED.get(profile.transport_policy, policy.selected_transport_id)
    if isinstance(config, NnrpTcpClientConfiguration):
        first = TransportId.TCP
    elif isinstance(config, QuicConfiguration) and not (
        preferred is TransportId.TCP and tcp_config is not None
    ):
        first = TransportId.QUIC
    else:
        first = preferred if preferred is not TransportId.UNSPECIFIED else TransportId.QUIC
    if preferred is not TransportId.UNSPECIFIED and configured[_OTHER[first]]:
        return [first, _OTHER[first]]
    return [first]

"""What a client asks of a server, and over which transport."""

from __future__ import annotations

from dataclasses import dataclass

from nnrp.core import ClientHelloTransportPolicyExtension, LossTolerance, TransportId, TransportPolicy
from nnrp.core._base import Record, Value

__all__ = ["ClientDialPolicy", "ClientProfile", "resolve_client_hello_transport_policy"]

_PREFER = {TransportId.QUIC: TransportPolicy.PREFER_QUIC, TransportId.TCP: TransportPolicy.PREFER_TCP}
_FORCE = {TransportId.QUIC: TransportPolicy.FORCE_QUIC, TransportId.TCP: TransportPolicy.FORCE_TCP}


@dataclass(slots=True, repr=False, eq=False)
class ClientProfile(Record):
    """What a client announces in the handshake.

    Attributes:
        max_views: how many views the client will submit (u16).
        enable_cache: whether to ask for a session cache.
        max_cache_entries: cache entries asked for (u32).
        max_cache_bytes: cache size asked for, in bytes (u32).
        transport_policy: which transport :func:`~nnrp.client.dial_client` should use; announced unless
            ``AUTO``.
        loss_tolerance: announced if not ``None``.
        inference_budget_ms: budget, in milliseconds, of requests that set none; 0 for no budget.

    """

    max_views: int = 1
    enable_cache: bool = True
    max_cache_entries: int = 256
    max_cache_bytes: int = 8_388_608
    transport_policy: TransportPolicy = TransportPolicy.AUTO
    loss_tolerance: LossTolerance | None = None
    inference_budget_ms: int = 0


def resolve_client_hello_transport_policy(
    *,
    selected_transport_id: TransportId = TransportId.UNSPECIFIED,
    forced_transport_id: TransportId = TransportId.UNSPECIFIED,
) -> ClientHelloTransportPolicyExtension | None:
    """Put a local choice of transport into the words of the handshake.

    Returns:
        ``FORCE_*`` for a forced transport, ``PREFER_*`` for a selected one, ``None`` without a choice.

    Raises:
        ValueError: both are given and differ.

    """
    forced = TransportId(forced_transport_id)
    selected = TransportId(selected_transport_id)
    if forced is not TransportId.UNSPECIFIED:
        if selected not in (TransportId.UNSPECIFIED, forced):
            raise ValueError("selected_transport_id and forced_transport_id must not conflict")
        return ClientHelloTransportPolicyExtension(_FORCE[forced], forced)
    if selected is not TransportId.UNSPECIFIED:
        return ClientHelloTransportPolicyExtension(_PREFER[selected], selected)
    return None


@dataclass(frozen=True, repr=False, eq=False)
class ClientDialPolicy(Value):
    """Which transport the client chose, and whether the server may know that nothing else will do.

    Attributes:
        selected_transport_id: the transport in use, announced as a preference.
        forced_transport_id: the only acceptable transport.

    """

    selected_transport_id: TransportId = TransportId.UNSPECIFIED
    forced_transport_id: TransportId = TransportId.UNSPECIFIED

    def to_client_hello_transport_policy(self) -> ClientHelloTransportPolicyExtension | None:
        """Return the handshake extension for this choice, ``None`` without one.

        Raises:
            ValueError: both ids are given and differ.

        """
        return resolve_client_hello_transport_policy(
            selected_transport_id=self.selected_transport_id,
            forced_transport_id=self.forced_transport_id,
        )

"""The first packet of a client, and the plan it follows from."""

from __future__ import annotations

from dataclasses import dataclass

from nnrp.client.probe import TransportProbeSelection
from nnrp.client.profile import ClientProfile, resolve_client_hello_transport_policy
from nnrp.core import (
    TENSOR_PROFILE_CACHE_OBJECT_BITMAP,
    ClientHelloLossToleranceExtension,
    ClientHelloMetadata,
    ClientHelloTransportPolicyExtension,
    ControlExtensionEntry,
    HeaderFlags,
    MessageType,
    NnrpPacket,
    PayloadKind,
    TransportId,
    TransportPolicy,
    WireFormat,
    build_client_hello_loss_tolerance_extension,
    build_client_hello_transport_policy_extension,
    pack_control_extension_block,
)
from nnrp.core._base import Value, as_bytes
from nnrp.core._packet import summary

__all__ = [
    "ClientTransportBootstrap",
    "ClientTransportPlan",
    "bootstrap_client_transport",
    "build_client_hello_packet",
    "plan_client_transport",
]

# What this client announces. The bitmaps are advice to the server, not limits on what the application may
# send.
_PROTOCOL_VERSION = 1
_WIRE_FORMATS = 0x0001
_TENSOR_PROFILE = 0x0001
_CODECS = 0x03
_COMPRESSIONS = 0x03
_DTYPES = 0x1F
_LAYOUTS = 0x03
_CACHE_DIGESTS = 0x01
_CADENCE_X100 = 6000
_LATENCY_BUDGET_MS = 50
_QUALITY_TIER = 2
_DEGRADE_POLICY = 0


@dataclass(frozen=True, repr=False, eq=False)
class ClientTransportPlan(Value):
    """A choice of transport, and the handshake extension that announces it.

    Attributes:
        selected_transport_id: the transport to connect over, ``UNSPECIFIED`` without a choice.
        transport_policy_extension: what the hello says about it, ``None`` for nothing.

    """

    selected_transport_id: TransportId = TransportId.UNSPECIFIED
    transport_policy_extension: ClientHelloTransportPolicyExtension | None = None

    def build_client_hello_packet(
        self,
        *,
        requested_session_id: int = 1,
        auth_block: bytes = b"",
        requested_model: str | None = None,
        control_extensions: bytes = b"",
        client_profile: ClientProfile | None = None,
        wire_format: WireFormat = WireFormat.CURRENT,
    ) -> NnrpPacket:
        """Build the hello of this plan; see :func:`build_client_hello_packet`."""
        return build_client_hello_packet(
            requested_session_id=requested_session_id,
            auth_block=auth_block,
            requested_model=requested_model,
            control_extensions=control_extensions,
            client_profile=client_profile,
            transport_policy_extension=self.transport_policy_extension,
            wire_format=wire_format,
        )


@dataclass(frozen=True, repr=False, eq=False)
class ClientTransportBootstrap(Value):
    """Everything needed to open a connection.

    Attributes:
        plan: the choice of transport.
        hello_packet: the first packet to send.
        probe_selection: the measurements behind the choice, if there were any.

    """

    plan: ClientTransportPlan
    hello_packet: NnrpPacket
    probe_selection: TransportProbeSelection | None = None

    def __repr__(self) -> str:
        return (
            f"ClientTransportBootstrap(plan={self.plan!r}, hello_packet={summary(self.hello_packet)}, "
            f"probe_selection={self.probe_selection!r})"
        )


def _transport_policy_extension(
    extension: ClientHelloTransportPolicyExtension | None,
    policy: TransportPolicy | None,
    preferred: TransportId,
    selected: TransportId,
    forced: TransportId,
) -> ClientHelloTransportPolicyExtension | None:
    explicit = policy is not None or preferred is not TransportId.UNSPECIFIED
    local = selected is not TransportId.UNSPECIFIED or forced is not TransportId.UNSPECIFIED
    if extension is not None:
        if explicit or local:
            raise ValueError(
                "transport_policy_extension cannot be combined with explicit transport policy arguments"
            )
        return extension
    if explicit and local:
        raise ValueError(
            "explicit transport_policy/preferred_transport_id cannot be combined with local dial policy ids"
        )
    if explicit:
        return ClientHelloTransportPolicyExtension(policy or TransportPolicy.AUTO, preferred)
    return resolve_client_hello_transport_policy(selected_transport_id=selected, forced_transport_id=forced)


def _credentials(auth_block: bytes) -> bytes:
    if isinstance(auth_block, str):
        raise TypeError("auth_block must be bytes-like, not 'str'; use auth_block=text.encode()")
    try:
        return as_bytes(auth_block)
    except TypeError:
        raise TypeError(f"auth_block must be bytes-like, not {type(auth_block).__name__!r}") from None


def build_client_hello_packet(
    *,
    requested_session_id: int = 1,
    auth_block: bytes = b"",
    requested_model: str | None = None,
    control_extensions: bytes = b"",
    client_profile: ClientProfile | None = None,
    transport_policy_extension: ClientHelloTransportPolicyExtension | None = None,
    transport_policy: TransportPolicy | None = None,
    preferred_transport_id: TransportId = TransportId.UNSPECIFIED,
    selected_transport_id: TransportId = TransportId.UNSPECIFIED,
    forced_transport_id: TransportId = TransportId.UNSPECIFIED,
    wire_format: WireFormat = WireFormat.CURRENT,
) -> NnrpPacket:
    """Build CLIENT_HELLO.

    The body holds the library's extensions, then ``control_extensions``, then the auth block.

    Args:
        requested_session_id: the session id to ask for; 0 lets the server choose.
        auth_block: opaque credentials for the server's validator.
        requested_model: a model name, sent in place of the auth block.
        control_extensions: an encoded extension block of the application.
        client_profile: what to announce; the defaults of :class:`~nnrp.client.ClientProfile` if ``None``.
        transport_policy_extension: a ready-made transport policy.
        transport_policy: what to say about the transport, with ``preferred_transport_id``.
        preferred_transport_id: see ``transport_policy``.
        selected_transport_id: a local choice, announced as a preference.
        forced_transport_id: a local choice without alternative.
        wire_format: the layout to offer.

    Raises:
        TypeError: the auth block is not bytes-like.
        ValueError: arguments exclude each other or are out of range.

    """
    auth_block = _credentials(auth_block)
    if requested_model is not None:
        if auth_block:
            raise ValueError("requested_model cannot be combined with auth_block")
        auth_block = requested_model.encode()
    profile = client_profile if client_profile is not None else ClientProfile()
    extension = _transport_policy_extension(
        transport_policy_extension,
        transport_policy,
        TransportId(preferred_transport_id),
        TransportId(selected_transport_id),
        TransportId(forced_transport_id),
    )
    entries: list[ControlExtensionEntry] = []
    if extension is None and profile.transport_policy is not TransportPolicy.AUTO:
        extension = ClientHelloTransportPolicyExtension(profile.transport_policy)
    if extension is not None:
        entries.append(build_client_hello_transport_policy_extension(extension))
    if profile.loss_tolerance is not None:
        tolerance = ClientHelloLossToleranceExtension(profile.loss_tolerance)
        entries.append(build_client_hello_loss_tolerance_extension(tolerance))
    extension_block = pack_control_extension_block(entries) + bytes(control_extensions)
    cached = profile.enable_cache
    metadata = ClientHelloMetadata(
        min_version_major=_PROTOCOL_VERSION,
        max_version_major=_PROTOCOL_VERSION,
        supported_wire_format_bitmap=_WIRE_FORMATS,
        supported_profile_bitmap=_TENSOR_PROFILE,
        supported_payload_kind_bitmap=int(PayloadKind.TENSOR),
        supported_codec_bitmap=_CODECS,
        supported_compression_bitmap=_COMPRESSIONS,
        supported_dtype_bitmap=_DTYPES,
        supported_layout_bitmap=_LAYOUTS,
        cache_digest_bitmap=_CACHE_DIGESTS,
        cache_object_bitmap=TENSOR_PROFILE_CACHE_OBJECT_BITMAP if cached else 0,
        cache_namespace_count=1 if cached else 0,
        max_lane_count=profile.max_views,
        max_cache_entries=profile.max_cache_entries if cached else 0,
        max_cache_bytes=profile.max_cache_bytes if cached else 0,
        target_cadence_x100=_CADENCE_X100,
        latency_budget_ms=_LATENCY_BUDGET_MS,
        quality_tier=_QUALITY_TIER,
        degrade_policy=_DEGRADE_POLICY,
        requested_session_id=requested_session_id,
        auth_bytes=len(auth_block),
        control_extension_bytes=len(extension_block),
    )
    return NnrpPacket.build(
        MessageType.CLIENT_HELLO,
        wire_format=wire_format,
        flags=HeaderFlags.ACK_REQUIRED,
        metadata=metadata.pack(),
        body=extension_block + auth_block,
    )


def plan_client_transport(
    *,
    selected_transport_id: TransportId = TransportId.UNSPECIFIED,
    forced_transport_id: TransportId = TransportId.UNSPECIFIED,
) -> ClientTransportPlan:
    """Turn a choice of transport into a plan.

    Raises:
        ValueError: both ids are given and differ.

    """
    extension = resolve_client_hello_transport_policy(
        selected_transport_id=selected_transport_id, forced_transport_id=forced_transport_id
    )
    forced = TransportId(forced_transport_id)
    chosen = forced if forced is not TransportId.UNSPECIFIED else TransportId(selected_transport_id)
    return ClientTransportPlan(chosen, extension)


def bootstrap_client_transport(
    *,
    requested_session_id: int = 1,
    auth_block: bytes = b"",
    requested_model: str | None = None,
    control_extensions: bytes = b"",
    client_profile: ClientProfile | None = None,
    probe_selection: TransportProbeSelection | None = None,
    selected_transport_id: TransportId = TransportId.UNSPECIFIED,
    forced_transport_id: TransportId = TransportId.UNSPECIFIED,
) -> ClientTransportBootstrap:
    """Plan the transport and build the hello. A probe's winner counts if nothing else was chosen.

    Raises:
        ValueError: as :func:`plan_client_transport` and :func:`build_client_hello_packet`.

    """
    undecided = selected_transport_id == forced_transport_id == TransportId.UNSPECIFIED
    if probe_selection is not None and undecided:
        selected_transport_id = probe_selection.selected_transport_id
    plan = plan_client_transport(
        selected_transport_id=selected_transport_id, forced_transport_id=forced_transport_id
    )
    hello = plan.build_client_hello_packet(
        requested_session_id=requested_session_id,
        auth_block=auth_block,
        requested_model=requested_model,
        control_extensions=control_extensions,
        client_profile=client_profile,
    )
    return ClientTransportBootstrap(plan, hello, probe_selection)

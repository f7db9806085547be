"""The six control extensions of the handshake, as values and as entries."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from nnrp._native import codec
from nnrp.core._base import Value, as_member, misfit
from nnrp.core._enums import (
    CLIENT_HELLO_LOSS_TOLERANCE_EXTENSION,
    CLIENT_HELLO_PAYLOAD_CAPABILITIES_EXTENSION,
    CLIENT_HELLO_TRANSPORT_POLICY_EXTENSION,
    SERVER_HELLO_ACK_LOSS_TOLERANCE_EXTENSION,
    SERVER_HELLO_ACK_PAYLOAD_CAPABILITIES_EXTENSION,
    SERVER_HELLO_ACK_TRANSPORT_POLICY_EXTENSION,
    LossTolerance,
    PayloadKind,
    TransportId,
    TransportPolicy,
)
from nnrp.core._extensions import ControlExtensionEntry

__all__ = [
    "ClientHelloLossToleranceExtension",
    "ClientHelloPayloadCapabilitiesExtension",
    "ClientHelloTransportPolicyExtension",
    "ServerHelloAckLossToleranceExtension",
    "ServerHelloAckPayloadCapabilitiesExtension",
    "ServerHelloAckTransportPolicyExtension",
    "build_client_hello_loss_tolerance_extension",
    "build_client_hello_payload_capabilities_extension",
    "build_client_hello_transport_policy_extension",
    "build_server_hello_ack_loss_tolerance_extension",
    "build_server_hello_ack_payload_capabilities_extension",
    "build_server_hello_ack_transport_policy_extension",
    "parse_client_hello_loss_tolerance_extension",
    "parse_client_hello_payload_capabilities_extension",
    "parse_client_hello_transport_policy_extension",
    "parse_server_hello_ack_loss_tolerance_extension",
    "parse_server_hello_ack_payload_capabilities_extension",
    "parse_server_hello_ack_transport_policy_extension",
]


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class ClientHelloTransportPolicyExtension(Value):
    """Which transport the client wants, and how much."""

    transport_policy: TransportPolicy = TransportPolicy.AUTO
    preferred_transport_id: TransportId = TransportId.UNSPECIFIED
    """The transport that the policy names; `UNSPECIFIED` for no preference."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "transport_policy", as_member(TransportPolicy, self.transport_policy))
        object.__setattr__(
            self, "preferred_transport_id", as_member(TransportId, self.preferred_transport_id)
        )


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class ServerHelloAckTransportPolicyExtension(Value):
    """Which transport is in use, and what became of the client's wish."""

    transport_policy: TransportPolicy = TransportPolicy.AUTO
    """The wish as it was received."""
    accepted_transport_policy: TransportPolicy = TransportPolicy.AUTO
    """The wish as it was granted."""
    active_transport_id: TransportId = TransportId.UNSPECIFIED
    """The transport of this connection; `UNSPECIFIED` is read as the one in use."""

    def __post_init__(self) -> None:
        accepted = as_member(TransportPolicy, self.accepted_transport_policy)
        object.__setattr__(self, "transport_policy", as_member(TransportPolicy, self.transport_policy))
        object.__setattr__(self, "accepted_transport_policy", accepted)
        object.__setattr__(self, "active_transport_id", as_member(TransportId, self.active_transport_id))


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class ClientHelloLossToleranceExtension(Value):
    """How much loss the client tolerates in this session."""

    session_loss_tolerance: LossTolerance = LossTolerance.BEST_EFFORT

    def __post_init__(self) -> None:
        level = as_member(LossTolerance, self.session_loss_tolerance)
        object.__setattr__(self, "session_loss_tolerance", level)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class ServerHelloAckLossToleranceExtension(Value):
    """The loss tolerance in force; never more tolerant than what the client asked for."""

    accepted_loss_tolerance: LossTolerance = LossTolerance.BEST_EFFORT

    def __post_init__(self) -> None:
        level = as_member(LossTolerance, self.accepted_loss_tolerance)
        object.__setattr__(self, "accepted_loss_tolerance", level)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class ClientHelloPayloadCapabilitiesExtension(Value):
    """Exactly which payload kinds the client uses."""

    payload_kind_bitmap: PayloadKind = PayloadKind.TENSOR
    critical_extension_frame_bitmap: int = 0
    """Must be 0: no extension frame kind is assigned (R-HX-4)."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "payload_kind_bitmap", as_member(PayloadKind, self.payload_kind_bitmap))


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class ServerHelloAckPayloadCapabilitiesExtension(Value):
    """Exactly which payload kinds both sides use."""

    accepted_payload_kind_bitmap: PayloadKind = PayloadKind.TENSOR
    accepted_critical_extension_frame_bitmap: int = 0
    """Must be 0: no extension frame kind is assigned (R-HX-4)."""

    def __post_init__(self) -> None:
        kinds = as_member(PayloadKind, self.accepted_payload_kind_bitmap)
        object.__setattr__(self, "accepted_payload_kind_bitmap", kinds)


# The payloads of the six entries: one or two small numbers, reserved space, and one large number.
_TRANSPORT_POLICY: Final = struct.Struct("<B3xI")
_TRANSPORT_POLICY_ACK: Final = struct.Struct("<BB2xI")
_LOSS_TOLERANCE: Final = struct.Struct("<B7x")
_PAYLOAD_CAPABILITIES: Final = struct.Struct("<II")


def _build(ext_type: int, layout: struct.Struct, *values: int) -> ControlExtensionEntry:
    """Return the entry of `ext_type` with `values`, after the native rules have accepted it."""
    try:
        payload = layout.pack(*values)
    except struct.error:
        fields = [(f"field {place}", struct.calcsize(code)) for place, code in enumerate(_codes(layout), 1)]
        raise misfit(f"control extension 0x{ext_type:04X}", fields, values) from None
    codec.check_extension(ext_type, ext_type, payload)
    return ControlExtensionEntry(ext_type, payload=payload)


def _codes(layout: struct.Struct) -> list[str]:
    return [code for code in layout.format if code in "BHIQ"]


def _parse(entry: ControlExtensionEntry, ext_type: int, layout: struct.Struct) -> tuple[int, ...]:
    """Return the values of `entry`, which has to be of `ext_type`."""
    codec.check_extension(ext_type, entry.ext_type, entry.payload)
    return layout.unpack(entry.payload)


def build_client_hello_transport_policy_extension(
    extension: ClientHelloTransportPolicyExtension,
) -> ControlExtensionEntry:
    """Return the entry for `extension`, not critical; `ValueError` for unassigned values (R-HX-2)."""
    return _build(
        CLIENT_HELLO_TRANSPORT_POLICY_EXTENSION,
        _TRANSPORT_POLICY,
        extension.transport_policy,
        extension.preferred_transport_id,
    )


def parse_client_hello_transport_policy_extension(
    entry: ControlExtensionEntry,
) -> ClientHelloTransportPolicyExtension:
    """Return what `entry` says; `ValueError` when it is of another type or refused (R-HX-1, R-HX-2)."""
    policy, transport = _parse(entry, CLIENT_HELLO_TRANSPORT_POLICY_EXTENSION, _TRANSPORT_POLICY)
    return ClientHelloTransportPolicyExtension(TransportPolicy(policy), TransportId(transport))


def build_server_hello_ack_transport_policy_extension(
    extension: ServerHelloAckTransportPolicyExtension,
) -> ControlExtensionEntry:
    """Return the entry for `extension`, not critical; `ValueError` for unassigned values (R-HX-2)."""
    return _build(
        SERVER_HELLO_ACK_TRANSPORT_POLICY_EXTENSION,
        _TRANSPORT_POLICY_ACK,
        extension.transport_policy,
        extension.accepted_transport_policy,
        extension.active_transport_id,
    )


def parse_server_hello_ack_transport_policy_extension(
    entry: ControlExtensionEntry,
) -> ServerHelloAckTransportPolicyExtension:
    """Return what `entry` says; `ValueError` when it is of another type or refused (R-HX-1, R-HX-2)."""
    values = _parse(entry, SERVER_HELLO_ACK_TRANSPORT_POLICY_EXTENSION, _TRANSPORT_POLICY_ACK)
    policy, accepted, transport = values
    return ServerHelloAckTransportPolicyExtension(
        TransportPolicy(policy), TransportPolicy(accepted), TransportId(transport)
    )


def build_client_hello_loss_tolerance_extension(
    extension: ClientHelloLossToleranceExtension,
) -> ControlExtensionEntry:
    """Return the entry for `extension`, not critical; `ValueError` for an unassigned level (R-HX-3)."""
    return _build(CLIENT_HELLO_LOSS_TOLERANCE_EXTENSION, _LOSS_TOLERANCE, extension.session_loss_tolerance)


def parse_client_hello_loss_tolerance_extension(
    entry: ControlExtensionEntry,
) -> ClientHelloLossToleranceExtension:
    """Return what `entry` says; `ValueError` when it is of another type or refused (R-HX-1, R-HX-3)."""
    (level,) = _parse(entry, CLIENT_HELLO_LOSS_TOLERANCE_EXTENSION, _LOSS_TOLERANCE)
    return ClientHelloLossToleranceExtension(LossTolerance(level))


def build_server_hello_ack_loss_tolerance_extension(
    extension: ServerHelloAckLossToleranceExtension,
) -> ControlExtensionEntry:
    """Return the entry for `extension`, not critical; `ValueError` for an unassigned level (R-HX-3)."""
    return _build(
        SERVER_HELLO_ACK_LOSS_TOLERANCE_EXTENSION, _LOSS_TOLERANCE, extension.accepted_loss_tolerance
    )


def parse_server_hello_ack_loss_tolerance_extension(
    entry: ControlExtensionEntry,
) -> ServerHelloAckLossToleranceExtension:
    """Return what `entry` says; `ValueError` when it is of another type or refused (R-HX-1, R-HX-3)."""
    (level,) = _parse(entry, SERVER_HELLO_ACK_LOSS_TOLERANCE_EXTENSION, _LOSS_TOLERANCE)
    return ServerHelloAckLossToleranceExtension(LossTolerance(level))


def build_client_hello_payload_capabilities_extension(
    extension: ClientHelloPayloadCapabilitiesExtension,
) -> ControlExtensionEntry:
    """Return the entry for `extension`, not critical; `ValueError` for unknown kinds (R-HX-4)."""
    return _build(
        CLIENT_HELLO_PAYLOAD_CAPABILITIES_EXTENSION,
        _PAYLOAD_CAPABILITIES,
        extension.payload_kind_bitmap,
        extension.critical_extension_frame_bitmap,
    )


def parse_client_hello_payload_capabilities_extension(
    entry: ControlExtensionEntry,
) -> ClientHelloPayloadCapabilitiesExtension:
    """Return what `entry` says; `ValueError` when it is of another type or refused (R-HX-1, R-HX-4)."""
    kinds, frames = _parse(entry, CLIENT_HELLO_PAYLOAD_CAPABILITIES_EXTENSION, _PAYLOAD_CAPABILITIES)
    return ClientHelloPayloadCapabilitiesExtension(PayloadKind(kinds), frames)


def build_server_hello_ack_payload_capabilities_extension(
    extension: ServerHelloAckPayloadCapabilitiesExtension,
) -> ControlExtensionEntry:
    """Return the entry for `extension`, not critical; `ValueError` for unknown kinds (R-HX-4)."""
    return _build(
        SERVER_HELLO_ACK_PAYLOAD_CAPABILITIES_EXTENSION,
        _PAYLOAD_CAPABILITIES,
        extension.accepted_payload_kind_bitmap,
        extension.accepted_critical_extension_frame_bitmap,
    )


def parse_server_hello_ack_payload_capabilities_extension(
    entry: ControlExtensionEntry,
) -> ServerHelloAckPayloadCapabilitiesExtension:
    """Return what `entry` says; `ValueError` when it is of another type or refused (R-HX-1, R-HX-4)."""
    kinds, frames = _parse(entry, SERVER_HELLO_ACK_PAYLOAD_CAPABILITIES_EXTENSION, _PAYLOAD_CAPABILITIES)
    return ServerHelloAckPayloadCapabilitiesExtension(PayloadKind(kinds), frames)

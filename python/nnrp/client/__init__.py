"""Using a server: open sessions, submit frames, receive results."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nnrp.client.profile import ClientDialPolicy, ClientProfile, resolve_client_hello_transport_policy
    from nnrp.client.transport import (
        ClientControlBootstrapSession,
        ClientSession,
        ClientTransportBootstrap,
        ClientTransportPlan,
        MigrationOutcome,
        MigrationTriggerMonitor,
        MigrationTriggerPolicy,
        MigrationTriggerSnapshot,
        PathHealthSample,
        Result,
        ResultRouter,
        SubmitRequest,
        TransportProbeResult,
        TransportProbeSelection,
        TransportProbeSummary,
        TypedPayload,
        bootstrap_client_transport,
        build_client_hello_packet,
        connect_client_control,
        connect_client_control_with_probe,
        connect_client_session,
        connect_client_session_with_probe,
        dial_client,
        plan_client_transport,
        probe_client_transport,
    )
    from nnrp.core import TensorSectionData

__all__ = [
    "ClientControlBootstrapSession",
    "ClientDialPolicy",
    "ClientProfile",
    "ClientSession",
    "ClientTransportBootstrap",
    "ClientTransportPlan",
    "MigrationOutcome",
    "MigrationTriggerMonitor",
    "MigrationTriggerPolicy",
    "MigrationTriggerSnapshot",
    "PathHealthSample",
    "Result",
    "ResultRouter",
    "SubmitRequest",
    "TensorSectionData",
    "TransportProbeResult",
    "TransportProbeSelection",
    "TransportProbeSummary",
    "TypedPayload",
    "bootstrap_client_transport",
    "build_client_hello_packet",
    "connect_client_control",
    "connect_client_control_with_probe",
    "connect_client_session",
    "connect_client_session_with_probe",
    "dial_client",
    "plan_client_transport",
    "probe_client_transport",
    "resolve_client_hello_transport_policy",
]

_SOURCES = ("nnrp.client.transport", "nnrp.client.profile", "nnrp.core")
"""Where the names are, each in the first that has it."""


def __getattr__(name: str) -> Any:
    # Resolved when first used: a server needs two small modules of this package, and not the time to import
    # all.
    if name in __all__:
        for source in map(import_module, _SOURCES):
            if hasattr(source, name):
                value = globals()[name] = getattr(source, name)
                return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

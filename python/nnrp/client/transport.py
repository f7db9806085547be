"""Everything of :mod:`nnrp.client` but the dial policy, under the module path of the published package."""

from nnrp.client.connect import (
    connect_client_control,
    connect_client_control_with_probe,
    connect_client_session,
    connect_client_session_with_probe,
)
from nnrp.client.control import ClientControlBootstrapSession
from nnrp.client.dial import dial_client
from nnrp.client.hello import (
    ClientTransportBootstrap,
    ClientTransportPlan,
    bootstrap_client_transport,
    build_client_hello_packet,
    plan_client_transport,
)
from nnrp.client.migration import (
    MigrationOutcome,
    MigrationTriggerMonitor,
    MigrationTriggerPolicy,
    MigrationTriggerSnapshot,
    PathHealthSample,
)
from nnrp.client.probe import (
    TransportProbeResult,
    TransportProbeSelection,
    TransportProbeSummary,
    probe_client_transport,
)
from nnrp.client.profile import ClientProfile, resolve_client_hello_transport_policy
from nnrp.client.request import SubmitRequest, TypedPayload
from nnrp.client.result import Result
from nnrp.client.router import ResultRouter
from nnrp.client.session import ClientSession

__all__ = [
    "ClientControlBootstrapSession",
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

"""Every public name is where programs import it from."""

import importlib
import inspect
import subprocess
import sys

import pytest

import nnrp

NAMES = {
    "nnrp.server": """
        Admit AuthValidator Busy ClientHelloContext Drained MicroBatcher ReceivedSubmit ServerProfile
        ServerSession ServerSessionAcceptResolution SessionResolver accept_server_connection
        accept_server_session serve_sessions tokens_equal
    """,
    "nnrp.server.transport": """
        ClientHelloContext ReceivedSubmit ServerConnection ServerListener ServerProfile ServerSession
        ServerSessionAcceptResolution SessionResolver accept_server_connection accept_server_session
    """,
    "nnrp.server.profile": "ServerProfile",
    "nnrp.client": """
        ClientControlBootstrapSession ClientDialPolicy ClientProfile ClientSession
        ClientTransportBootstrap ClientTransportPlan MigrationOutcome MigrationTriggerMonitor
        MigrationTriggerPolicy MigrationTriggerSnapshot PathHealthSample Result ResultRouter
        SubmitRequest TensorSectionData TransportProbeResult TransportProbeSelection
        TransportProbeSummary TypedPayload bootstrap_client_transport build_client_hello_packet
        connect_client_control connect_client_control_with_probe connect_client_session
        connect_client_session_with_probe dial_client plan_client_transport probe_client_transport
        resolve_client_hello_transport_policy
    """,
    "nnrp.client.profile": "ClientDialPolicy ClientProfile resolve_client_hello_transport_policy",
    "nnrp.client.transport": """
        ClientControlBootstrapSession ClientProfile ClientSession ClientTransportBootstrap
        ClientTransportPlan MigrationOutcome MigrationTriggerMonitor MigrationTriggerPolicy
        MigrationTriggerSnapshot PathHealthSample Result ResultRouter SubmitRequest TransportProbeResult
        TransportProbeSelection TransportProbeSummary TypedPayload bootstrap_client_transport
        build_client_hello_packet connect_client_control connect_client_control_with_probe
        connect_client_session connect_client_session_with_probe dial_client plan_client_transport
        probe_client_transport resolve_client_hello_transport_policy
    """,
    "nnrp.adapters.quic": """
        NNRP_ALPN NNRP_CURRENT_ALPN DevelopmentCertificate NnrpQuicConnection
        NnrpQuicConnectionClosedError NnrpQuicError NnrpQuicListener NnrpQuicProtocolError
        QuicConfiguration alpn_for_wire_format connect_quic create_development_certificate
        create_quic_client_configuration create_quic_server_configuration serve_quic
    """,
    "nnrp.adapters.tcp": """
        NNRP_TCP_ALPN NnrpTcpClientConfiguration NnrpTcpConnection NnrpTcpConnectionClosedError NnrpTcpError
        NnrpTcpListener NnrpTcpProtocolError NnrpTcpServerConfiguration NnrpTcpUnsupportedOperationError
        connect_tcp create_tcp_client_configuration create_tcp_server_configuration serve_tcp
    """,
}


@pytest.mark.parametrize("module", NAMES)
def test_a_module_exports_what_it_lists(module):
    loaded = importlib.import_module(module)
    assert set(loaded.__all__) == set(NAMES[module].split())
    for name in loaded.__all__:
        assert getattr(loaded, name, None) is not None


def test_the_adapters_are_the_union_of_both():
    adapters = importlib.import_module("nnrp.adapters")
    assert set(adapters.__all__) == {
        *NAMES["nnrp.adapters.quic"].split(),
        *NAMES["nnrp.adapters.tcp"].split(),
    }


def test_the_top_level_has_the_core_the_adapters_and_the_errors():
    expected = {"__version__"}
    for module in ("nnrp.core", "nnrp.adapters", "nnrp.errors"):
        expected |= set(importlib.import_module(module).__all__)
    assert set(nnrp.__all__) == expected
    assert len(nnrp.__all__) == len(set(nnrp.__all__))
    for name in nnrp.__all__:
        assert getattr(nnrp, name) is not None
    assert set(nnrp.__all__) <= set(dir(nnrp))
    with pytest.raises(AttributeError, match="no_such_name"):
        nnrp.no_such_name  # noqa: B018


def test_the_package_says_where_to_start():
    words = nnrp.__doc__
    for path in (
        "nnrp.adapters:create_quic_server_configuration serve_quic create_quic_client_configuration",
        "nnrp.server:accept_server_session ServerSession",
        "nnrp.client:dial_client ClientSession SubmitRequest TypedPayload",
        "nnrp.core:TensorSectionData",
    ):
        module, _, names = path.partition(":")
        assert f":mod:`{module}`" in words
        for name in names.split():
            assert f"``{name}``" in words
            assert hasattr(importlib.import_module(module), name)


def test_importing_the_package_is_cheap():
    code = "import sys, nnrp; print('nnrp.adapters' in sys.modules, 'asyncio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.parametrize(
    "path",
    [
        "nnrp.server:ServerSession.receive_submit",
        "nnrp.server:ServerSession.send_result",
        "nnrp.server:ServerSession.send_result_drop",
        "nnrp.server:ServerSession.send_result_hint",
        "nnrp.server:ServerSession.close",
        "nnrp.server:accept_server_session",
        "nnrp.client:ClientSession.submit",
        "nnrp.client:ClientSession.receive_result",
        "nnrp.client:ClientSession.close",
        "nnrp.adapters:NnrpQuicConnection.receive_packet",
        "nnrp.adapters:NnrpTcpListener.accept",
        "nnrp.client:probe_client_transport",
    ],
)
def test_coroutine_functions_are_seen_as_such(path):
    module, _, name = path.partition(":")
    value = importlib.import_module(module)
    for part in name.split("."):
        value = getattr(value, part)
    assert inspect.iscoroutinefunction(value)


def test_the_parameters_of_the_page():
    from nnrp.server import ServerSession, accept_server_session  # noqa: PLC0415

    parameters = list(inspect.signature(accept_server_session).parameters)
    assert parameters[:5] == [
        "listener_or_connection",
        "profile",
        "model_name",
        "extra_extensions",
        "auth_validator",
    ]
    keywords = list(inspect.signature(ServerSession.send_result).parameters.values())[1:]
    assert all(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in keywords)
    assert [parameter.name for parameter in keywords][:4] == [
        "frame_id",
        "tile_ids",
        "sections",
        "typed_payloads",
    ]

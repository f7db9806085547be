"""Python's configurations and Rust's options are the same, in both directions.

The native module lists the options of the Rust structs themselves, with their defaults. `REACHED` says where
each is set from Python: an option that is new in Rust and a keyword that is new in Python have to be added
here, with a value other than the default, which is then set in Python and read back from Rust.
"""

import asyncio
import dataclasses
import inspect
import re
from typing import get_args

import pytest
from frames import STEP
from networks import Network

from nnrp import _native
from nnrp.adapters import (
    create_quic_client_configuration,
    create_quic_server_configuration,
    create_tcp_client_configuration,
    create_tcp_server_configuration,
)
from nnrp.adapters._options import CreditPolicy
from nnrp.client import connect_client_session
from nnrp.core import LossTolerance, PayloadKind
from nnrp.server import (
    ServerOptions,
    ServerProfile,
    accept_server_connection,
    accept_server_session,
)

#: By kind of option: where it is set, with what, and what Rust then shows.
PROFILE = {
    "max_concurrent_frames": (7, "7"),
    "enable_cache": (False, "false"),
    "max_sections": (3, "3"),
    "max_body_bytes": (5000, "5000"),
}
OPTIONS = {
    "answer_probes": (False, "false"),
    "max_cache_entries": (9, "9"),
    "max_cache_bytes": (10_000, "10000"),
    "payload_kinds": (PayloadKind.TENSOR, "TENSOR"),
    "codecs": (1, "1"),
    "compressions": (2, "2"),
    "dtypes": (4, "4"),
    "layouts": (1, "1"),
    "max_lanes": (2, "2"),
    "max_loss_tolerance": (LossTolerance.BEST_EFFORT, "BEST_EFFORT"),
    "migration_grace": (2.5, "2.5s"),
    "max_kept_bytes": (70_000, "70000"),
}
ACCEPT = {
    "enforce_credit": (True, "true"),
    "expire_frames": (True, "true"),
    "strict_frame_ids": (True, "true"),
    "allow_migration": (True, "Authenticated"),
}
LISTENER = {
    "handshake_timeout": (4.0, "4s"),
    "max_pending_handshakes": (12, "12"),
    "busy_retry_after": (2.0, "2s"),
}
TRANSPORT = {
    "quic": {
        "idle_timeout": (33.0, "Some(33s)"),
        "max_datagram_frame_size": (1300, "1300"),
        "alpn_protocols": (["nnrp/1", "x"], '["nnrp/1", "x"]'),
    },
    "tcp": {
        "idle_timeout": (33.0, "Some(33s)"),
        "no_delay": (False, "false"),
        "alpn_protocols": (["nnrp/1-tcp", "x"], '["nnrp/1-tcp", "x"]'),
    },
}
CLIENT = {
    "keepalive_interval": (3.0, "Some(3s)"),
    "keepalive_timeout": (9.0, "Some(9s)"),
    "max_frame_size": (6000, "6000"),
    "credit_policy": ("strict", "Strict"),
    "credit_timeout": (8.0, "Some(8s)"),
    "max_kept_bytes": (60_000, "60000"),
}
#: Options with another name in Python.
RENAMED = {
    "alpn_protocols": "alpn",
    "allow_migration": "migration",
    "credit_policy": "credit",
    "max_frame_size": "max_body_bytes",
}
#: Options that are set elsewhere, and where.
ELSEWHERE = {
    "server": {"keepalive_interval": "create_*_server_configuration; tested below"},
    "client": {"handshake_timeout": "timeout= of connect_client_session; tested below"},
    "quic": {"qlog": "create_quic_*_configuration; a folder, tested in test_wire_logs.py"},
    "listener": {
        "model_name": "model_name= of accept_server_session, for each session",
        "extensions": "extra_extensions= of accept_server_session, for each session",
        "authenticator": "auth_validator= of accept_server_session, which runs Python",
    },
}
#: Keywords of configurations that are not the native side's options: TLS, and what Python itself does.
PYTHON_ONLY = {
    "wire_format", "alpn_protocols", "tls", "verify_mode", "insecure_skip_verify", "server_name", "cafile",
    "capath", "cadata", "certificate", "private_key", "connect_timeout", "key_log", "qlog",
}  # fmt: skip
CREATORS = [
    (create_quic_client_configuration, CLIENT, "quic"),
    (create_tcp_client_configuration, CLIENT, "tcp"),
    (create_quic_server_configuration, LISTENER, "quic"),
    (create_tcp_server_configuration, LISTENER, "tcp"),
]


def given(table):
    return {name: value for name, (value, _) in table.items()}


def shown(table):
    return {RENAMED.get(name, name): text for name, (_, text) in table.items()}


def in_rust(value):
    """Write a value of Python as Rust shows it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, LossTolerance):
        return value.name
    if isinstance(value, PayloadKind):
        return "|".join(kind.name for kind in value)
    if isinstance(value, float):
        return f"{value:g}s"
    if isinstance(value, list | tuple):
        return str(list(value)).replace("'", '"')
    return value.title() if isinstance(value, str) else str(value)


def same(value, text):
    """Whether a default of Python is the one that Rust shows."""
    return text in (in_rust(value), f"Some({in_rust(value)})", str(value))


def test_every_option_of_rust_is_reached_from_python_and_nothing_else_is():
    reached = {
        "server": {**PROFILE, **OPTIONS, **ACCEPT},
        "client": CLIENT,
        "listener": LISTENER,
        **TRANSPORT,
    }
    for kind, options in _native.options().items():
        names = {RENAMED.get(name, name) for name in reached[kind]} | set(ELSEWHERE.get(kind, ()))
        assert names == set(options), kind


@pytest.mark.parametrize(("made_by", "table"), [(ServerProfile, PROFILE), (ServerOptions, OPTIONS)])
def test_the_classes_have_the_fields_and_defaults_of_rust(made_by, table):
    assert {field.name for field in dataclasses.fields(made_by)} == set(table)
    rust = _native.options()["server"]
    for name in table:
        assert same(getattr(made_by(), name), rust[name]), name


@pytest.mark.parametrize("accept", [accept_server_session, accept_server_connection])
def test_the_keywords_of_accepting_have_the_defaults_of_rust(accept):
    parameters = inspect.signature(accept).parameters
    booleans = {name for name, it in parameters.items() if it.default is False}
    assert booleans == set(ACCEPT)
    rust = _native.options()["server"]
    assert [rust[RENAMED.get(name, name)] for name in ACCEPT] == ["false", "false", "false", "Off"]


@pytest.mark.parametrize(("create", "table", "transport"), CREATORS)
def test_the_keywords_of_configurations_are_options_with_the_defaults_of_rust(create, table, transport):
    parameters = inspect.signature(create).parameters
    both = {"max_frame_size", "keepalive_interval"}
    assert set(parameters) == set(table) | both | set(TRANSPORT[transport]) | set(parameters) & PYTHON_ONLY
    rust = {**_native.options()["client" if table is CLIENT else "listener"], **_native.options()[transport]}
    for name in (*table, *TRANSPORT[transport]):
        if name in {"max_frame_size", "alpn_protocols"}:
            assert parameters[name].default is None  # which stands for the default
        else:
            assert same(parameters[name].default, rust[RENAMED.get(name, name)]), name
    if table is LISTENER:
        assert same(
            parameters["keepalive_interval"].default, _native.options()["server"]["keepalive_interval"]
        )


def test_the_credit_policies_are_those_of_rust():
    for name in get_args(CreditPolicy):
        assert create_tcp_client_configuration(credit_policy=name).credit_policy == name
    assert _native.options()["client"]["credit"].lower() == "honour"


@pytest.mark.parametrize("transport", ["quic", "tcp"])
async def test_what_is_set_in_python_is_what_rust_works_with(transport, certificate):
    network = Network(transport, certificate)
    on_server = {**given(LISTENER), **given(TRANSPORT[transport])}
    on_client = {**given(CLIENT), **given(TRANSPORT[transport])}
    async with network.serve(keepalive_interval=6.0, **on_server) as listener:
        told = listener._native.options()
        assert shown({**LISTENER, **TRANSPORT[transport]}).items() <= told.items()
        accepting = asyncio.create_task(
            accept_server_session(
                listener,
                ServerProfile(**given(PROFILE)),
                options=ServerOptions(**given(OPTIONS)),
                timeout=STEP,
                **given(ACCEPT),
            )
        )
        configuration = {
            f"{transport}_port": listener.port,
            f"{transport}_configuration": network.client_configuration(**on_client),
        }
        dialling = connect_client_session("127.0.0.1", timeout=STEP, **configuration)
        async with dialling as client, await accepting as server:
            offered = server.connection._session.options()
            assert offered == {
                **shown({**PROFILE, **OPTIONS, **ACCEPT}),
                "keepalive_interval": "Some(6s)",
            }
            asked = client.connection._session.native.options()
            assert asked == {**shown(CLIENT), "handshake_timeout": in_rust(STEP)}
            elsewhere = dict.fromkeys(ELSEWHERE.get(transport, ()), "None")
            assert client.connection._native.options() == {**shown(TRANSPORT[transport]), **elsewhere}
            # And the client sees it.
            acknowledged = client.control.ack_metadata
            assert acknowledged.max_concurrent_frames == 7
            assert acknowledged.max_body_bytes == 5000
            assert acknowledged.max_lane_count <= 2


@pytest.mark.parametrize("transport", ["quic", "tcp"])
async def test_the_largest_frame_may_come_from_the_transport(transport, certificate):
    network = Network(transport, certificate)
    async with network.serve(max_frame_size=4096) as listener:
        accepting = asyncio.create_task(accept_server_session(listener, timeout=STEP))
        async with network.dial(listener.port), await accepting as server:
            assert server.connection._session.options()["max_body_bytes"] == "4096"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"codecs": 1 << 32}, "codecs must be between 0 and 4294967295"),
        ({"max_lanes": -1}, "max_lanes must be between 0 and 65535"),
        ({"migration_grace": float("nan")}, "migration_grace must not be negative"),
    ],
)
def test_options_out_of_range_are_refused_when_they_are_made(options, text):
    with pytest.raises(ValueError, match=re.escape(text)):
        ServerOptions(**options)

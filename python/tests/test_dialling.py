"""Which transport dial_client takes, and every way of opening a session."""

import asyncio
import inspect
import logging
import socket

import pytest
from frames import STEP, frame
from networks import HOST, Network

from nnrp.adapters import connect_quic, connect_tcp
from nnrp.client import (
    ClientDialPolicy,
    ClientProfile,
    connect_client_control,
    connect_client_session,
    dial_client,
)
from nnrp.core import TransportId, TransportPolicy
from nnrp.errors import NnrpAuthenticationError
from nnrp.server import accept_server_session


@pytest.fixture
def quic(certificate):
    return Network("quic", certificate)


async def opened(listener, opening):
    accepting = asyncio.create_task(accept_server_session(listener, timeout=STEP))
    async with await opening as client, await accepting as server:
        return server, client


async def test_the_type_of_the_configuration_decides(network):
    async with network.serve() as listener:
        opening = dial_client(HOST, listener.port, config=network.client_configuration(), auth_block=b"token")
        server, client = await opened(listener, opening)
        assert client.transport_id is network.transport_id
        assert server.hello.auth_block == b"token"


async def test_a_preference_falls_back_to_what_was_configured(tcp, quic, caplog):
    caplog.set_level(logging.WARNING, "nnrp.client")
    profile = ClientProfile(transport_policy=TransportPolicy.PREFER_QUIC)
    async with tcp.serve() as listener:
        opening = dial_client(
            HOST,
            listener.port,
            profile=profile,
            config=quic.client_configuration(),
            tcp_config=tcp.client_configuration(),
            timeout=1.5,  # for each attempt
        )
        _, client = await opened(listener, opening)
        assert client.transport_id is TransportId.TCP
        [record] = [record for record in caplog.records if record.name == "nnrp.client"]
        assert record.getMessage().startswith("QUIC failed, going on over TCP: no answer from ")
        assert record.peer == f"{HOST}:{listener.port}"


async def test_a_name_without_an_address_is_not_tried_again(tcp, quic, caplog):
    profile = ClientProfile(transport_policy=TransportPolicy.PREFER_QUIC)
    configurations = {"config": quic.client_configuration(), "tcp_config": tcp.client_configuration()}
    with pytest.raises(socket.gaierror):
        await dial_client("nowhere.invalid", 1, profile=profile, **configurations)
    assert [record for record in caplog.records if record.name == "nnrp.client"] == []


async def test_nothing_falls_back_to_plain_tcp_unasked(tcp, quic):
    async with tcp.serve() as listener:
        for profile in (ClientProfile(), ClientProfile(transport_policy=TransportPolicy.PREFER_QUIC)):
            with pytest.raises((OSError, TimeoutError)):
                await dial_client(
                    HOST, listener.port, profile=profile, config=quic.client_configuration(), timeout=0.2
                )


async def test_a_refusal_is_not_tried_again(tcp):
    seen = []

    def validator(auth_block):
        seen.append(auth_block)
        return False

    async with tcp.serve() as listener:
        accepting = asyncio.create_task(accept_server_session(listener, auth_validator=validator))
        with pytest.raises(NnrpAuthenticationError):
            await dial_client(HOST, listener.port, config=tcp.client_configuration(), auth_block=b"x")
        accepting.cancel()
    assert seen == [b"x"]


async def test_a_forced_transport_wins_over_the_configuration(tcp, quic):
    policy = ClientDialPolicy(forced_transport_id=TransportId.TCP)
    async with tcp.serve() as listener:
        opening = dial_client(HOST, listener.port, config=quic.client_configuration(), dial_policy=policy)
        _, client = await opened(listener, opening)
        assert client.transport_id is TransportId.TCP


async def test_configurations_of_the_wrong_type(tcp):
    with pytest.raises(TypeError):
        dial_client(HOST, 1, config=object())
    with pytest.raises(TypeError):
        dial_client(HOST, 1, config=tcp.client_configuration(), tcp_config=tcp.client_configuration())


async def test_the_default_budget_of_the_profile(tcp):
    profile = ClientProfile(inference_budget_ms=33)
    async with tcp.serve() as listener:
        accepting = asyncio.create_task(accept_server_session(listener, timeout=STEP))
        async with (
            dial_client(HOST, listener.port, profile=profile, config=tcp.client_configuration()) as client,
            await accepting as server,
        ):
            await client.submit_frame(frame(1))
            await client.submit_frame(frame(2, inference_budget_ms=5))
            budgets = [(await server.receive_submit(STEP)).metadata.latency_budget_ms for _ in range(2)]
            assert budgets == [33, 5]


async def test_sessions_can_be_entered_or_awaited(network):
    async with network.serve() as listener:
        name = network.transport_id.name.lower()
        port = {f"{name}_port": listener.port}
        configuration = {f"{name}_configuration": network.client_configuration()}
        for connect in (connect_client_session, connect_client_control):
            accepting = asyncio.create_task(accept_server_session(listener, timeout=STEP))
            async with connect(HOST, **port, **configuration) as entered:
                await (await accepting).close()
            del entered
            accepting = asyncio.create_task(accept_server_session(listener, timeout=STEP))
            awaited = await connect(HOST, **port, **configuration)
            async with awaited, await accepting:
                pass


async def test_without_a_choice_exactly_one_port_is_needed():
    for ports in ({}, {"quic_port": 1, "tcp_port": 2}):
        with pytest.raises(ValueError, match="exactly one"):
            connect_client_session(HOST, **ports)


@pytest.mark.parametrize("port", [0, -1, 65536])
async def test_ports_that_do_not_exist(port):
    for connect in (
        lambda: dial_client(HOST, port),
        lambda: connect_client_session(HOST, quic_port=port),
        lambda: connect_client_control(HOST, tcp_port=port),
        lambda: connect_quic(HOST, port),
        lambda: connect_tcp(HOST, port),
    ):
        with pytest.raises(ValueError, match=f"port must be between 1 and 65535, got {port}"):
            connect()
    with pytest.raises(TypeError, match="port must be an int, not 'str'"):
        dial_client(HOST, "4433")


async def test_the_auth_block_is_bytes():
    for connect in (
        lambda: dial_client(HOST, 1, auth_block="token"),
        lambda: connect_client_session(HOST, quic_port=1, auth_block="token"),
    ):
        with pytest.raises(TypeError, match=r"auth_block must be bytes-like, not 'str'; .*encode\(\)"):
            connect()
    with pytest.raises(TypeError, match="auth_block must be bytes-like, not 'int'"):
        dial_client(HOST, 1, auth_block=7)


def test_the_parameters_are_the_documented_ones():
    parameters = list(inspect.signature(dial_client).parameters)
    assert parameters[:5] == ["host", "port", "profile", "config", "tcp_config"]
    assert next(iter(inspect.signature(connect_client_session).parameters)) == "host"

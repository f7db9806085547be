"""All the ways of calling accept_server_session, and what clients cannot do to it."""

import asyncio
import inspect
import socket

import pytest
from frames import STEP

from nnrp.client import ClientProfile
from nnrp.core import (
    ClientHelloMetadata,
    ControlExtensionEntry,
    ControlExtensionFlags,
    LossTolerance,
    TransportPolicy,
    pack_control_extension_block,
)
from nnrp.errors import NnrpConnectionClosedError, NnrpProtocolError
from nnrp.server import (
    ServerProfile,
    ServerSession,
    ServerSessionAcceptResolution,
    accept_server_connection,
    accept_server_session,
)
from nnrp.server.transport import ServerConnection, ServerListener


async def met(accepting, opening):
    """The server session and the client session of one handshake."""
    accepting = asyncio.ensure_future(accepting)
    client = await opening
    return await asyncio.wait_for(accepting, STEP), client


async def test_the_defaults(network):
    async with network.serve() as listener:
        assert isinstance(listener, ServerListener)
        server, client = await met(accept_server_session(listener), network.dial(listener.port))
        async with server, client:
            assert isinstance(server, ServerSession)
            assert isinstance(server.connection, ServerConnection)
            assert server.transport_id is client.transport_id is network.transport_id
            assert server.session_id == client.session_id == 1
            assert server.active_model_name == client.active_model_name == ""
            assert server.server_profile == ServerProfile()
            assert server.hello.metadata == ClientHelloMetadata.unpack(server.hello.packet.metadata)
            assert server.peer_address == ("127.0.0.1", client.connection.local_address[1])
            assert server.parameters["max_body_bytes"] == 33554432


async def test_the_names_of_the_published_package(network):
    profile = ServerProfile(max_concurrent_frames=7)
    async with network.serve() as listener:
        server, client = await met(
            accept_server_session(
                listener=listener,
                session_id=77,
                active_model_name="model",
                server_profile=profile,
                timeout=STEP,
            ),
            network.dial(listener.port),
        )
        async with server, client:
            assert server.session_id == client.session_id == 77
            assert server.active_model_name == client.active_model_name == "model"
            assert server.server_profile is profile
            assert client.control.ack_metadata.max_concurrent_frames == 7


async def test_a_connection_that_was_accepted_raw(network):
    async with network.serve() as listener:
        opening = asyncio.ensure_future(_open(network, listener.port))
        connection = await listener.accept(STEP)
        server = await accept_server_session(connection, ServerProfile(), timeout=STEP)
        async with server, await opening:
            assert server.connection is connection


async def test_a_connection_whose_first_packet_was_read(network):
    async with network.serve() as listener:
        opening = asyncio.ensure_future(_open(network, listener.port))
        connection = await listener.accept(STEP)
        first = await connection.receive_control_packet(STEP)
        resolution = ServerSessionAcceptResolution(9, "resolved")
        server = await accept_server_connection(
            connection, first_packet=first, session_resolver=lambda _: resolution
        )
        async with server, await opening as client:
            assert (client.session_id, client.active_model_name) == (9, "resolved")


async def test_a_client_that_leaves_the_id_to_the_server_gets_one(network):
    async with network.serve() as listener:
        server, client = await met(
            accept_server_session(listener), network.dial(listener.port, requested_session_id=0)
        )
        async with server, client:
            assert server.session_id == client.session_id != 0


async def test_extensions_in_both_directions(network):
    offered = ControlExtensionEntry(0x7001, payload=b"from the client")
    added = ControlExtensionEntry(0x7002, ControlExtensionFlags.NONE, b"from the server")
    profile = ClientProfile(
        loss_tolerance=LossTolerance.STRICT, transport_policy=TransportPolicy.AUTO, max_views=3
    )
    async with network.serve() as listener:
        server, client = await met(
            accept_server_session(listener, extra_extensions=(added,)),
            network.dial(
                listener.port,
                control_extensions=pack_control_extension_block([offered]),
                client_profile=profile,
            ),
        )
        async with server, client:
            assert server.hello.control_extensions[-1] == offered
            assert server.hello.metadata.max_views == 3
            assert b"from the server" in client.control.ack_packet.body


async def test_a_client_that_says_nothing_delays_nobody(network):
    async with network.serve() as listener:
        silent = [await network.connect(listener.port) for _ in range(3)]
        with (
            socket.create_connection(("127.0.0.1", listener.port))
            if network.transport != "quic"
            else _nothing()
        ):
            server, client = await met(
                accept_server_session(listener, timeout=STEP), network.dial(listener.port)
            )
            async with server, client:
                pass
        for connection in silent:
            await connection.close()


async def test_clients_wait_for_a_server_that_is_not_accepting(network):
    async with network.serve() as listener:
        openings = [asyncio.ensure_future(_open(network, listener.port)) for _ in range(3)]
        for _ in range(3):
            async with await accept_server_session(listener, timeout=STEP, handshake_timeout=5.0):
                pass
        for opening in openings:
            await (await opening).close()


async def test_a_client_that_only_probes_and_leaves_is_no_error(network):
    async with network.serve() as listener:
        accepting = asyncio.ensure_future(accept_server_session(listener, on_rejected="raise"))
        async with network.connect(listener.port):
            pass
        server, client = await met(accepting, network.dial(listener.port))
        async with server, client:
            pass


async def test_closing_the_listener_ends_the_wait(network):
    async with network.serve() as listener:
        accepting = asyncio.ensure_future(accept_server_session(listener))
        iterating = asyncio.ensure_future(anext(listener))
        await asyncio.sleep(0)
        await listener.close()
        with pytest.raises(NnrpConnectionClosedError):
            await accepting
        with pytest.raises(StopAsyncIteration):
            await iterating
        with pytest.raises(NnrpConnectionClosedError):
            await listener.accept()


async def test_sessions_outlive_their_listener_unless_asked_otherwise(network):
    async with network.serve() as listener:
        server, client = await met(accept_server_session(listener), network.dial(listener.port))
    assert not server.is_closed
    assert await client.ping(STEP) > 0
    await listener.close(sessions=True)
    with pytest.raises(NnrpConnectionClosedError):
        await client.receive_result(STEP)
    await client.close()
    await server.close()


@pytest.mark.parametrize(
    "arguments",
    [
        {"profile": ServerProfile(1), "server_profile": ServerProfile(2)},
        {"model_name": "a", "active_model_name": "b"},
    ],
)
async def test_two_names_for_one_thing_with_different_values(tcp, arguments):
    async with tcp.serve() as listener:
        with pytest.raises(TypeError):
            await accept_server_session(listener, **arguments)


@pytest.mark.parametrize(
    "profile",
    [
        ServerProfile(max_concurrent_frames=70_000),
        ServerProfile(max_sections=-1),
        ServerProfile(max_body_bytes=1 << 32),
    ],
)
async def test_a_profile_that_cannot_be_announced(tcp, profile):
    async with tcp.serve() as listener:
        with pytest.raises(ValueError, match="between 0 and"):
            await accept_server_session(listener, profile)


async def test_what_is_neither_a_listener_nor_a_connection():
    with pytest.raises(TypeError):
        await accept_server_session(object())


async def test_a_server_refuses_a_critical_extension_it_does_not_know(network):
    critical = ControlExtensionEntry(0x8002, ControlExtensionFlags.CRITICAL, b"?")
    async with network.serve() as listener:
        accepting = asyncio.ensure_future(accept_server_session(listener))
        with pytest.raises(NnrpProtocolError) as refused:
            await network.dial(listener.port, control_extensions=pack_control_extension_block([critical]))
        assert refused.value.error_code.name == "UNSUPPORTED_CAPABILITY"
        accepting.cancel()


def test_it_is_a_coroutine_function():
    assert inspect.iscoroutinefunction(accept_server_session)


async def _open(network, port):
    return await network.dial(port)


class _nothing:  # noqa: N801
    def __enter__(self):
        return None

    def __exit__(self, *_):
        return None

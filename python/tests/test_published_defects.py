"""What the published package got wrong, and this one must not."""

import asyncio

import pytest
from frames import STEP, echo, frame

from nnrp.adapters import create_tcp_server_configuration, serve_tcp
from nnrp.core import (
    ErrorCode,
    FlowUpdateMetadata,
    FlowUpdateScopeKind,
    MessageType,
    NnrpPacket,
    build_frame_submit_packet,
)
from nnrp.errors import NnrpConnectionClosedError, NnrpProtocolError
from nnrp.server import ServerProfile, accept_server_session


async def test_1_a_drop_is_sent(network):
    async with network.pair() as (server, client):
        await client.submit_frame(frame(1))
        await server.receive_submit(STEP)
        assert await server.send_result_drop(frame_id=1) == 40
        assert (await client.receive_result(STEP, frame_id=1)).is_drop


async def test_2_results_that_arrived_before_the_end_are_delivered(network):
    async with network.pair() as (server, client):
        for number in range(3):
            await client.submit_frame(frame(number))
            await echo(server)
        await server.close()
        assert sorted([(await client.receive_result(STEP)).frame_id for _ in range(3)]) == [0, 1, 2]
        with pytest.raises(NnrpConnectionClosedError):
            await client.receive_result(STEP)


async def test_3_a_server_without_an_idle_timeout_reads(tcp):
    configuration = create_tcp_server_configuration(idle_timeout=None)
    async with serve_tcp("127.0.0.1", 0, configuration) as listener:
        accepting = asyncio.create_task(accept_server_session(listener, timeout=STEP))
        async with tcp.dial(listener.port) as client, await accepting as server:
            await client.submit_frame(frame(1))
            await echo(server)
            assert (await client.receive_result(STEP)).is_push


async def test_4_pings_are_answered_and_the_silent_delay_nobody(network):
    async with network.serve() as listener:
        async with network.connect(listener.port):
            accepting = asyncio.create_task(accept_server_session(listener, timeout=STEP))
            async with network.dial(listener.port) as client, await accepting:
                assert await client.ping(STEP) > 0


async def test_5_a_session_without_a_requested_id_can_send_flow_updates(network):
    async with network.serve() as listener:
        accepting = asyncio.create_task(accept_server_session(listener, timeout=STEP))
        async with network.dial(listener.port, requested_session_id=0) as client, await accepting as server:
            assert server.session_id != 0
            await server.send_flow_update(FlowUpdateMetadata(session_credit=1))
            packet, _ = await client.receive_flow_update(STEP)
            assert packet.header.session_id == server.session_id


# Rules R-LIM-1, R-LIM-6
async def test_6_limits_are_enforced_and_unread_frames_are_bounded(tcp):
    async with tcp.pair(ServerProfile(max_body_bytes=100_000)) as (server, client):
        await client.submit_frame(frame(1, b"x" * 200_000))
        with pytest.raises(NnrpProtocolError) as refused:
            await client.receive_result(STEP, frame_id=1)
        assert refused.value.error_code is ErrorCode.LIMIT_EXCEEDED

        # The client can only send what the server's bound and both ends' buffers hold.
        sent = 0
        while await _accepted(client.submit_frame(frame(sent + 2, b"y" * 90_000))):
            sent += 1
            assert sent < 2000
        for _ in range(sent):
            await server.receive_submit(STEP)
        await client.submit_frame(frame(sent + 3))


async def _accepted(submitting):
    try:
        await asyncio.wait_for(submitting, 1.0)
    except TimeoutError:
        return False
    return True


async def test_7_a_frame_that_is_given_up_costs_only_itself(network):
    async with network.pair() as (server, client):
        good = build_frame_submit_packet(1, 1, tile_ids=(0,), sections=frame(1).sections)
        broken = NnrpPacket.build(
            MessageType.FRAME_SUBMIT, session_id=1, frame_id=1, metadata=good.metadata, body=good.body[:8]
        )
        await client.connection.send_submit_packet(broken)
        with pytest.raises(ValueError, match="R-"):
            await server.receive_submit(STEP)
        await client.submit_frame(frame(2))
        await echo(server)
        assert (await client.receive_result(STEP, frame_id=2)).is_push


async def test_8_flow_updates_of_the_connection_are_sent(network):
    update = FlowUpdateMetadata(FlowUpdateScopeKind.CONNECTION, connection_credit=4)
    async with network.pair() as (server, client):
        await server.send_flow_update(update)
        packet, metadata = await client.receive_flow_update(STEP)
        assert (packet.header.session_id, metadata) == (0, update)

"""Every way in which the wait for a frame can end, and what the server's handler hears of it."""

import asyncio

import pytest
from frames import STEP, frame

from nnrp.core import (
    BudgetPolicy,
    ErrorCode,
    ErrorMetadata,
    ErrorScope,
    MessageType,
    NnrpPacket,
    ResultClass,
    ResultHintReason,
)
from nnrp.errors import NnrpConnectionClosedError, NnrpProtocolError
from nnrp.server import ReceivedSubmit, ServerProfile, accept_server_session


async def test_a_result(network):
    async with network.pair() as (server, client):
        waiting = asyncio.create_task(client.submit(frame(1)))
        await server.receive_submit(STEP)
        await server.send_result(frame_id=1)
        assert (await asyncio.wait_for(waiting, STEP)).is_push


async def test_a_drop_with_a_reason(network):
    async with network.pair() as (server, client):
        waiting = asyncio.create_task(client.submit(frame(1)))
        await server.receive_submit(STEP)
        await server.send_result_drop(1, "superseded")
        assert (await asyncio.wait_for(waiting, STEP)).drop_reason is ResultHintReason.SUPERSEDED


async def test_an_expired_frame(network):
    async with network.pair(expire_frames=True) as (server, client):
        waiting = asyncio.create_task(client.submit(frame(1, latency_budget_ms=40)))
        received = await server.receive_submit(STEP)
        assert (await asyncio.wait_for(waiting, STEP)).drop_reason is ResultHintReason.BUDGET_EXCEEDED
        await asyncio.wait_for(received.cancelled(), STEP)
        assert not server.frame_cancelled(1)
        assert await server.send_result(frame_id=1) > 0  # a race the handler need not care about
        assert server.stats["results_expired"] == 1
        assert client.stats["frames_expired"] == 1


async def test_frames_do_not_expire_unasked(network):
    async with network.pair() as (server, client):
        waiting = asyncio.create_task(client.submit(frame(1, latency_budget_ms=1)))
        await server.receive_submit(STEP)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(waiting), 0.05)
        await server.send_result(frame_id=1)
        assert (await asyncio.wait_for(waiting, STEP)).is_push


async def test_a_frame_that_expired_in_the_queue_is_never_received(network):
    async with network.pair(expire_frames=True) as (server, client):
        assert (await client.submit(frame(1, latency_budget_ms=1), timeout=STEP)).is_drop
        await client.submit_frame(frame(2))
        assert (await server.receive_submit(STEP)).metadata.frame_id == 2


async def test_a_cancelled_frame(network):
    async with network.pair() as (server, client):
        waiting = asyncio.create_task(client.submit(frame(1)))
        received = await server.receive_submit(STEP)
        working = asyncio.create_task(received.cancelled())
        await asyncio.sleep(0)
        assert not working.done()
        await client.cancel_frame(1)
        await asyncio.wait_for(working, STEP)
        assert server.frame_cancelled(1)
        for wait in (waiting, client.receive_result(frame_id=1)):
            with pytest.raises(NnrpProtocolError, match="cancelled") as caught:
                await asyncio.wait_for(wait, STEP)
            assert caught.value.error_code is ErrorCode.FRAME_CANCELLED
        await server.send_result_drop(1)


async def test_cancels_right_behind_their_submits(network):
    profile = ServerProfile(max_concurrent_frames=50)
    async with network.pair(profile) as (server, client):
        for number in range(50):
            await client.submit_frame(frame(number))
            await client.cancel_frame(number)
        for _ in range(50):
            received = await server.receive_submit(STEP)
            await asyncio.wait_for(received.cancelled(), STEP)
        assert server.stats["frames_cancelled"] == 50


async def test_the_server_closes(network):
    async with network.pair() as (server, client):
        waiting = asyncio.create_task(client.submit(frame(1)))
        received = await server.receive_submit(STEP)
        gone = asyncio.create_task(received.cancelled())
        await server.close()
        result = await asyncio.wait_for(waiting, STEP)
        assert result.drop_reason is ResultHintReason.SERVER_BUSY
        await asyncio.wait_for(gone, STEP)
        with pytest.raises(NnrpConnectionClosedError):
            await client.receive_result(STEP, frame_id=1)


async def test_a_fatal_error(network):
    async with network.serve() as listener:
        accepting = asyncio.create_task(listener.accept(STEP))
        dialling = asyncio.create_task(_dial(network, listener.port))
        connection = await accepting
        server = await accept_server_session(connection, timeout=STEP)
        client = await dialling
        waiting = asyncio.create_task(client.submit(frame(1)))
        await server.receive_submit(STEP)
        packet = NnrpPacket.build(
            MessageType.ERROR,
            session_id=0,
            metadata=ErrorMetadata(ErrorCode.LIMIT_EXCEEDED, ErrorScope.CONNECTION, 1, 0, 0, 0, 0, 0).pack(),
        )
        await connection.send_control_packet(packet)
        with pytest.raises(NnrpProtocolError):
            await asyncio.wait_for(waiting, STEP)
        await server.close()


async def test_a_refused_frame(network):
    async with network.pair(strict_frame_ids=True) as (server, client):
        client.credit_policy = "ignore"
        await client.submit_frame(frame(1))
        await server.receive_submit(STEP)
        await client.submit_frame(frame(1))
        with pytest.raises(ValueError, match="no answer yet"):
            await server.receive_submit(STEP)
        with pytest.raises(NnrpProtocolError) as caught:
            await client.receive_result(STEP, frame_id=1)
        assert caught.value.error_code is ErrorCode.INVALID_STATE
        await server.send_result(frame_id=1)
        assert (await client.receive_result(STEP, frame_id=1)).is_push


async def test_a_live_id_may_be_used_again_unless_told_otherwise(network):
    async with network.pair(ServerProfile(max_concurrent_frames=2)) as (server, client):
        for _ in range(2):
            await client.submit_frame(frame(1))
            await server.receive_submit(STEP)
        for _ in range(2):
            await server.send_result(frame_id=1)
            assert (await client.receive_result(STEP, frame_id=1)).is_push
        assert server.stats["ids_reused"] == 1


async def test_views_are_lanes_of_their_own(network):
    async with network.pair(ServerProfile(max_concurrent_frames=3)) as (server, client):
        for view in range(3):
            await client.submit_frame(frame(7, view_id=view))
            await server.receive_submit(STEP)
        await server.send_result_drop(7, "stale", view_id=1)
        await server.send_result(frame_id=7, view_id=2)
        assert (await client.receive_result(STEP, frame_id=7, view_id=2)).is_push
        assert (await client.receive_result(STEP, frame_id=7, view_id=1)).is_drop
        with pytest.raises(TimeoutError):
            await client.receive_result(0.02, frame_id=7, view_id=0)


async def test_what_the_client_allows_can_be_asked(network):
    async with network.pair() as (server, client):
        await client.submit_frame(frame(1, budget_policy=BudgetPolicy.ALLOW_DEGRADED))
        received = await server.receive_submit(STEP)
        assert received.allows(BudgetPolicy.ALLOW_DEGRADED)
        assert not received.allows(BudgetPolicy.ALLOW_PARTIAL)
        await server.send_result(frame_id=1, result_class=ResultClass.STALE_REUSE, reused_frame_id=9)
        result = await client.receive_result(STEP, frame_id=1)
        assert result.beyond_policy
        assert result.metadata.applied_budget_policy is BudgetPolicy.ALLOW_STALE_REUSE


async def test_tiles_are_covered_or_dropped(network):
    async with network.pair() as (server, client):
        await client.submit_frame(frame(1, b"a", b"b", b"c"))
        received = await server.receive_submit(STEP)
        await server.send_result(
            frame_id=1,
            sections=received.request.sections,
            result_class=ResultClass.PARTIAL,
            dropped_tile_count=1,
        )
        result = await client.receive_result(STEP, frame_id=1)
        assert (result.tensor_covered_tile_count, result.tensor_dropped_tile_count) == (2, 1)


async def test_a_frame_made_by_hand_cannot_be_cancelled():
    received = ReceivedSubmit(packet=None, metadata=None, request=None)
    with pytest.raises(RuntimeError, match="not received by a session"):
        await received.cancelled()


async def _dial(network, port):
    return await network.dial(port)

"""Frames beyond the server's credit: held back, refused, or neither."""

import asyncio

import pytest
from frames import STEP, echo, frame

from nnrp.core import (
    FlowUpdateFlags,
    FlowUpdateMetadata,
    FlowUpdateReason,
    FlowUpdateScopeKind,
    ResultHintReason,
)
from nnrp.server import ServerProfile


def update(epoch, credit=4, reason=FlowUpdateReason.GRANT, retry_after_ms=0):
    flags = FlowUpdateFlags.CREDIT_VALID
    if retry_after_ms:
        flags |= FlowUpdateFlags.RETRY_AFTER_VALID
    return FlowUpdateMetadata(
        scope_kind=FlowUpdateScopeKind.SESSION,
        update_reason=reason,
        session_credit=credit,
        retry_after_ms=retry_after_ms,
        credit_epoch=epoch,
        flags=flags,
    )


async def tell(server, client, metadata):
    """Send an update and wait until the client obeys it."""
    updates = client.flow_updates()
    await server.send_flow_update(metadata)
    await asyncio.wait_for(anext(updates), STEP)


async def test_one_task_may_submit_more_than_the_credit_and_receive_later(network):
    async with network.pair(ServerProfile(max_concurrent_frames=2)) as (server, client):

        async def serve():
            for _ in range(8):
                await echo(server)

        serving = asyncio.create_task(serve())
        for number in range(8):
            await client.submit_frame(frame(number))
        for number in reversed(range(8)):
            assert (await client.receive_result(STEP, frame_id=number)).is_push
        await serving
        assert client.stats["beyond_credit"] == 0
        assert server.stats["frames_delivered"] == client.stats["frames_delivered"] == 8


async def test_a_server_that_collects_frames_is_not_waited_for_in_vain(network):
    async with network.pair() as (server, client):  # announces 1
        for number in range(3):
            await asyncio.wait_for(client.submit_frame(frame(number)), STEP)
        received = [await server.receive_submit(STEP) for _ in range(3)]
        for submit in received:
            await server.send_result(frame_id=submit.metadata.frame_id)
        for number in range(3):
            assert (await client.receive_result(STEP, frame_id=number)).is_push
        assert client.stats["beyond_credit"] == 2


async def test_a_timeout_says_what_held_the_frame_back_and_sends_nothing(network):
    async with network.pair(ServerProfile(max_concurrent_frames=4)) as (server, client):
        await tell(server, client, update(1, credit=1))
        await client.submit_frame(frame(1))
        message = r"1 frames have no answer yet and the server granted 1.*waited .* ms.*credit policy"
        with pytest.raises(TimeoutError, match=message):
            await client.submit_frame(frame(2), timeout=0.05)
        with pytest.raises(TimeoutError, match="the frame was not sent"):
            await client.submit(frame(2), timeout=0.05)
        with pytest.raises(TimeoutError, match="the frame was not sent"):
            await client.submit_frame(frame(2), timeout=0)
        assert client.stats["frames_submitted"] == 1
        await echo(server)
        await client.receive_result(STEP, frame_id=1)
        await client.submit_frame(frame(2), timeout=0)


async def test_a_cancelled_wait_submits_nothing(network):
    async with network.pair() as (server, client):
        await tell(server, client, update(1, credit=0))
        for number in range(5):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.submit_frame(frame(number)), 0.01)
        await tell(server, client, update(2))
        await client.submit_frame(frame(9))
        assert (await server.receive_submit(STEP)).metadata.frame_id == 9
        assert server.stats["frames_submitted"] == 1


async def test_a_pause_ends_with_the_next_update_or_in_its_own_time(network):
    async with network.pair(ServerProfile(max_concurrent_frames=4)) as (server, client):
        await tell(server, client, update(1, reason=FlowUpdateReason.PAUSE))
        submitting = asyncio.create_task(client.submit_frame(frame(1)))
        with pytest.raises(TimeoutError):
            await server.receive_submit(0.05)
        await server.send_flow_update(update(2, reason=FlowUpdateReason.RESUME))
        await asyncio.wait_for(submitting, STEP)
        await tell(server, client, update(3, reason=FlowUpdateReason.PAUSE, retry_after_ms=500))
        await asyncio.wait_for(client.submit_frame(frame(2)), STEP)


async def test_a_submit_that_waits_ends_with_the_session(network):
    async with network.pair() as (server, client):
        await tell(server, client, update(1, credit=0))
        submitting = asyncio.create_task(client.submit_frame(frame(1)))
        await asyncio.sleep(0)
        await server.close()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(submitting, STEP)


async def test_the_policy_can_be_changed_at_any_time(network):
    async with network.pair() as (server, client):
        assert client.credit_policy == "honour"
        await client.submit_frame(frame(1))
        client.credit_policy = "fail"
        with pytest.raises(TimeoutError, match="announced 1"):
            await client.submit_frame(frame(2))
        client.credit_policy = "strict"
        submitting = asyncio.create_task(client.submit_frame(frame(2)))
        await asyncio.sleep(0)
        client.credit_policy = "ignore"
        await asyncio.wait_for(submitting, STEP)
        await server.receive_submit(STEP)
        await server.receive_submit(STEP)
        with pytest.raises(ValueError, match="honour, strict, fail, ignore"):
            client.credit_policy = "maybe"


async def test_the_local_gate_counts_against_the_timeout(network):
    async with network.pair() as (_, client):
        await client.pause_submit()
        with pytest.raises(TimeoutError, match="pause_submit"):
            await client.submit_frame(frame(1), timeout=0.02)


async def test_an_enforced_credit_drops_what_is_too_much(network):
    profile = ServerProfile(max_concurrent_frames=2)
    async with network.pair(profile, enforce_credit=True) as (server, client):
        client.credit_policy = "ignore"
        for number in (1, 2):
            await client.submit_frame(frame(number))
            await server.receive_submit(STEP)
        await client.submit_frame(frame(3))
        assert (await client.receive_result(STEP, frame_id=3)).drop_reason is ResultHintReason.QUEUE_FULL
        with pytest.raises(TimeoutError):
            await server.receive_submit(0)
        await server.send_result(frame_id=1)
        await client.receive_result(STEP, frame_id=1)
        await client.submit_frame(frame(4))
        assert (await server.receive_submit(STEP)).metadata.frame_id == 4
        assert server.stats["beyond_credit"] == 1


async def test_an_enforced_credit_is_honoured_without_a_loss(network):
    async with network.pair(enforce_credit=True) as (server, client):
        serving = asyncio.create_task(serve_slowly(server, 4))
        results = await asyncio.gather(*(client.submit(frame(n), timeout=STEP) for n in range(4)))
        assert all(result.is_push for result in results)
        await serving


async def serve_slowly(server, frames):
    for _ in range(frames):
        received = await server.receive_submit(STEP)
        await asyncio.sleep(0.01)
        await server.send_result(frame_id=received.metadata.frame_id)

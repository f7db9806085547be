"""Frames without a result, and what the server says about its load."""

import asyncio

import pytest
from frames import STEP, frame

from nnrp.core import (
    MessageType,
    ResultHintBudgetPolicy,
    ResultHintCongestionState,
    ResultHintMetadata,
    ResultHintReason,
)


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("queue_overflow", ResultHintReason.QUEUE_FULL),
        ("Queue-Full", ResultHintReason.QUEUE_FULL),
        ("overloaded", ResultHintReason.SERVER_BUSY),
        ("deadline_exceeded", ResultHintReason.BUDGET_EXCEEDED),
        ("stale", ResultHintReason.SUPERSEDED),
        (ResultHintReason.SERVER_BUSY, ResultHintReason.SERVER_BUSY),
        (4, ResultHintReason.SUPERSEDED),
    ],
)
async def test_the_reason_of_a_drop_reaches_the_client(network, reason, code):
    async with network.pair() as (server, client):
        await client.submit_frame(frame(3))
        await server.receive_submit(STEP)
        await server.send_result_drop(3, reason)
        result = await client.receive_result(STEP, frame_id=3)
        assert result.is_drop
        assert result.metadata is None
        assert result.packet.header.msg_type is MessageType.RESULT_DROP
        assert result.drop_reason is code


@pytest.mark.parametrize("reason", [None, "", "the cat sat on the keyboard"])
async def test_a_drop_needs_no_reason(network, reason):
    async with network.pair() as (server, client):
        await client.submit_frame(frame(3))
        await server.receive_submit(STEP)
        await server.send_result_drop(frame_id=3, reason=reason)
        assert (await client.receive_result(STEP, frame_id=3)).drop_reason is None


async def test_an_unknown_code_is_refused(tcp):
    async with tcp.pair() as (server, _):
        with pytest.raises(ValueError, match="ResultHintReason"):
            await server.send_result_drop(1, 99)


async def test_hints_are_seen_from_the_moment_of_asking_and_end_with_the_session(network):
    async with network.pair() as (server, client):
        hints = client.result_hints()
        await server.send_result_hint(ResultHintCongestionState.SATURATED, retry_after_ms=20, frame_id=7)
        await server.send_result_hint(ResultHintMetadata(ResultHintBudgetPolicy.DROP))
        first, second = await anext(hints), await anext(hints)
        assert first.congestion_state is ResultHintCongestionState.SATURATED
        assert (first.estimated_wait_ms, first.frame_id) == (20, 7)
        assert second.budget_policy is ResultHintBudgetPolicy.DROP
        collecting = asyncio.create_task(anext(hints))
        await server.close()
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(collecting, STEP)


async def test_a_whole_hint_leaves_no_room_for_more(tcp):
    async with tcp.pair() as (server, _):
        with pytest.raises(TypeError):
            await server.send_result_hint(ResultHintMetadata(), retry_after_ms=5)


async def test_closing_answers_the_frames_that_were_not(network):
    async with network.pair() as (server, client):
        await client.submit_frame(frame(3))
        await server.receive_submit(STEP)
        await server.close()
        assert (await client.receive_result(STEP, frame_id=3)).is_drop


async def test_the_server_hears_of_a_cancelled_frame(network):
    async with network.pair() as (server, client):
        await client.submit_frame(frame(3))
        await server.receive_submit(STEP)
        assert not server.frame_cancelled(3)
        assert await client.cancel_frame(3) == 40
        await client.ping(STEP)  # the answer comes after the cancel was handled
        assert server.frame_cancelled(3)


async def test_a_discarded_frame_leaves_nothing_behind(network):
    async with network.pair() as (server, client):
        await client.submit_frame(frame(3))
        await server.receive_submit(STEP)
        await server.send_result(frame_id=3)
        await client.receive_result(STEP, frame_id=3)
        assert client.discard_frame(3) == 0
        await server.send_result(frame_id=3)
        await server.send_result(frame_id=4)
        assert (await client.receive_result(STEP)).frame_id == 4

"""The five pitfalls of the server manual, each removed while what the manual promises stays true."""

import asyncio
import logging
import time

import pytest
from frames import STEP, frame

from nnrp.adapters import serve_tcp
from nnrp.core import ResultHintReason
from nnrp.server import ServerProfile, accept_server_session

BUSY = 0.4


async def test_1_a_blocked_event_loop_costs_no_connection(network):
    """The manual: blocking the loop makes PING time out, and the client disconnects."""
    async with network.pair() as (server, client):
        await client.submit_frame(frame(1))
        await server.receive_submit(STEP)
        pinging = asyncio.create_task(client.ping(STEP))
        await asyncio.sleep(0)
        time.sleep(BUSY)  # noqa: ASYNC251  # on purpose: nothing of Python runs, on either side
        # What came meanwhile was answered meanwhile: the round trip is that of the network.
        assert await pinging < STEP
        await server.send_result(frame_id=1)
        assert (await client.receive_result(STEP, frame_id=1)).is_push


async def test_2_a_frame_whose_handler_fails_is_answered(network):
    """The manual: a frame without a result or a drop blocks its client for ever."""
    async with network.pair() as (server, client):

        async def handle():
            async with server:
                await server.receive_submit(STEP)
                raise RuntimeError("out of memory")

        waiting = asyncio.create_task(client.submit(frame(1)))
        with pytest.raises(RuntimeError, match="out of memory"):
            await handle()
        result = await asyncio.wait_for(waiting, STEP)
        assert result.drop_reason is ResultHintReason.SERVER_BUSY


async def test_2_a_frame_that_times_out_is_answered_when_asked(network):
    async with network.pair(expire_frames=True) as (_, client):
        result = await client.submit(frame(1, latency_budget_ms=20), timeout=STEP)
        assert result.drop_reason is ResultHintReason.BUDGET_EXCEEDED


async def test_3_the_number_of_frames_is_soft(network):
    """The manual: max_concurrent_frames is announced, and nothing queues or rejects beyond it."""
    async with network.pair(ServerProfile(max_concurrent_frames=1)) as (server, client):
        client.credit_policy = "ignore"
        for number in range(5):
            await client.submit_frame(frame(number))
        for _ in range(5):
            await server.receive_submit(STEP)


async def test_3_enforcing_it_is_one_argument(network):
    async with network.pair(ServerProfile(max_concurrent_frames=1), enforce_credit=True) as (server, client):
        client.credit_policy = "ignore"
        await client.submit_frame(frame(1))
        await server.receive_submit(STEP)
        result = await client.submit(frame(2), timeout=STEP)
        assert result.drop_reason is ResultHintReason.QUEUE_FULL


async def test_4_the_validator_may_be_a_coroutine(network):
    """The manual: the validator is synchronous and must not do I/O."""

    async def validate(auth_block):
        await asyncio.sleep(0.01)  # a look into a database
        return auth_block == b"good"

    async with network.serve() as listener:
        accepting = asyncio.create_task(accept_server_session(listener, auth_validator=validate))
        async with network.dial(listener.port, b"good"), await asyncio.wait_for(accepting, STEP) as server:
            assert server.hello.auth_block == b"good"


async def test_5_admitting_everybody_is_not_silent(caplog):
    """The manual: without a validator everybody is let in."""
    async with serve_tcp("0.0.0.0", 0) as listener:  # noqa: S104  # what the warning is about
        with caplog.at_level(logging.WARNING, "nnrp.server"), pytest.raises(TimeoutError):
            await accept_server_session(listener, timeout=0.02)
    assert "pass an auth_validator" in caplog.text

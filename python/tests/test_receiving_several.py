"""`receive_submits`: the next frame, and what has arrived behind it."""

import asyncio

import pytest
from frames import STEP, frame

from nnrp.core import MessageType
from nnrp.errors import NnrpConnectionClosedError


async def arrived(client, *numbers):
    for number in numbers:
        await client.submit_frame(frame(number))
    await client.ping(STEP)  # answered after the frames before it have arrived


def ids(frames):
    return [each.frame_id for each in frames]


async def test_what_is_there_is_returned_together(tcp):
    async with tcp.pair() as (server, client):
        await arrived(client, 1, 2, 3, 4, 5)
        assert ids(await server.receive_submits(3, STEP)) == [1, 2, 3]
        assert ids(await server.receive_submits(3, STEP)) == [4, 5]


async def test_over_every_network_each_frame_comes_once(network):
    async with network.pair() as (server, client):
        for number in range(1, 31):
            await client.submit_frame(frame(number))
        seen = []
        while len(seen) < 30:
            frames = await server.receive_submits(8, STEP)
            assert 1 <= len(frames) <= 8
            seen += ids(frames)
        assert sorted(seen) == list(range(1, 31))


async def test_it_waits_for_the_first_only(network):
    async with network.pair() as (server, client):
        receiving = asyncio.create_task(server.receive_submits(8))
        await asyncio.sleep(0)
        assert not receiving.done()
        await client.submit_frame(frame(7))
        assert ids(await asyncio.wait_for(receiving, STEP)) == [7]


async def test_time_out_and_cancelling_lose_nothing(network):
    async with network.pair() as (server, client):
        with pytest.raises(TimeoutError):
            await server.receive_submits(4, timeout=0)
        receiving = asyncio.create_task(server.receive_submits(4))
        await asyncio.sleep(0)
        receiving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiving
        await client.submit_frame(frame(1))
        assert ids(await server.receive_submits(4, STEP)) == [1]


async def test_a_refused_packet_is_told_by_the_next_call(tcp):
    async with tcp.pair() as (server, client):
        await client.submit_frame(frame(1))
        bad = (await server.receive_submits(1, STEP))[0].packet
        bad.header.frame_id = 3
        broken = type(bad)(bad.header, bad.metadata, bad.body[:-1])
        broken.header.body_len = len(broken.body)
        assert broken.header.msg_type is MessageType.FRAME_SUBMIT
        await client.submit_frame(frame(2))
        await client.send_submit_packet(broken)
        await arrived(client, 4)
        assert ids(await server.receive_submits(8, STEP)) == [2]
        with pytest.raises(ValueError):  # noqa: PT011  # which rule it is, is another test's business
            await server.receive_submits(8, STEP)
        assert ids(await server.receive_submits(8, STEP)) == [4]


async def test_the_end_of_the_session_comes_after_its_frames(network):
    async with network.pair() as (server, client):
        await arrived(client, 1, 2)
        closing = asyncio.create_task(client.close())
        seen = []
        while len(seen) < 2:
            seen += ids(await server.receive_submits(8, STEP))
        assert sorted(seen) == [1, 2]
        with pytest.raises(NnrpConnectionClosedError):
            await server.receive_submits(8, STEP)
        await closing


async def test_no_frames_is_no_number_of_frames(tcp):
    async with tcp.pair() as (server, _):
        with pytest.raises(ValueError, match="max_n must be at least 1"):
            await server.receive_submits(0)

"""A timeout changes nothing: the call can be repeated."""

import asyncio
import time

import pytest
from frames import STEP, echo, frame

from nnrp.server import accept_server_session


@pytest.mark.parametrize("timeout", [0.01, 0, -1])
async def test_every_wait_can_expire(network, timeout):
    async with network.pair() as (server, client):
        for wait in (
            server.receive_submit(timeout),
            server.receive_control(timeout),
            client.receive_result(timeout),
            client.receive_result(timeout, frame_id=1),
            client.receive_flow_update(timeout),
            client.connection.receive_packet(timeout=timeout),
        ):
            with pytest.raises(asyncio.TimeoutError):
                await wait
        await client.submit_frame(frame(1))
        await echo(server)
        assert (await client.receive_result(STEP, frame_id=1)).frame_id == 1


async def test_zero_takes_what_is_there(network):
    async with network.pair() as (server, client):
        await client.submit_frame(frame(1))
        await echo(server)
        await client.ping(STEP)
        deadline = time.monotonic() + STEP
        while True:
            try:
                result = await client.receive_result(0)
                break
            except TimeoutError:
                assert time.monotonic() < deadline
                await asyncio.sleep(0)
        assert result.frame_id == 1


async def test_a_submit_that_timed_out_can_be_received(network):
    async with network.pair() as (server, client):
        with pytest.raises(TimeoutError):
            await client.submit(frame(1), timeout=0.01)
        await echo(server)
        assert (await client.receive_result(STEP, frame_id=1)).frame_id == 1


async def test_accepting_can_expire(network):
    async with network.serve() as listener:
        with pytest.raises(TimeoutError):
            await accept_server_session(listener, timeout=0.01)
        with pytest.raises(TimeoutError):
            await listener.accept(timeout=0.01)
        connecting = asyncio.ensure_future(_dial(network, listener.port))
        async with await accept_server_session(listener, timeout=STEP), await connecting:
            pass


async def test_a_timeout_is_a_number(tcp):
    async with tcp.pair() as (server, _):
        with pytest.raises(ValueError, match="number"):
            await server.receive_submit(float("nan"))
        with pytest.raises(TypeError):
            await server.receive_submit("soon")


async def test_connecting_to_nobody_ends(network):
    async with network.serve() as listener:
        pass
    with pytest.raises((OSError, TimeoutError)):
        await network.dial(listener.port, timeout=0.5)


async def _dial(network, port):
    return await network.dial(port)

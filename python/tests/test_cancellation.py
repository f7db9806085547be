"""A cancelled call loses nothing, and the session goes on."""

import asyncio

import pytest
from frames import STEP, echo, frame

from nnrp.server import accept_server_session


async def cancelled(call):
    task = asyncio.create_task(call)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_receive_submit(network):
    async with network.pair() as (server, client):
        for number in range(20):
            await cancelled(server.receive_submit())
            await client.submit_frame(frame(number))
            assert (await server.receive_submit(STEP)).metadata.frame_id == number


async def test_a_submit_that_arrives_while_its_reader_is_cancelled(network):
    async with network.pair() as (server, client):
        for number in range(30):
            task = asyncio.create_task(server.receive_submit())
            await client.submit_frame(frame(number))
            for _ in range(number % 5):
                await asyncio.sleep(0)
            if task.done():
                assert task.result().metadata.frame_id == number
                continue
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await server.receive_submit(STEP)).metadata.frame_id == number


async def test_receive_result(network):
    async with network.pair() as (server, client):
        await cancelled(client.receive_result(frame_id=1))
        await cancelled(client.receive_result())
        await client.submit_frame(frame(1))
        await echo(server)
        assert (await client.receive_result(STEP, frame_id=1)).frame_id == 1


async def test_submit_leaves_its_result_to_be_received(network):
    async with network.pair() as (server, client):
        await cancelled(client.submit(frame(1)))
        await echo(server)
        assert (await client.receive_result(STEP, frame_id=1)).frame_id == 1


async def test_waiters_are_served_in_turn_when_one_in_between_leaves(tcp):
    async with tcp.pair() as (server, client):
        first, second, third = (asyncio.create_task(server.receive_submit()) for _ in range(3))
        await asyncio.sleep(0)
        second.cancel()
        await client.submit_frame(frame(1))
        await client.submit_frame(frame(2))
        assert (await first).metadata.frame_id == 1
        assert (await third).metadata.frame_id == 2
        with pytest.raises(asyncio.CancelledError):
            await second


async def test_accepting_on_a_listener(network):
    async with network.serve() as listener:
        await cancelled(accept_server_session(listener))
        await cancelled(listener.accept())
        connecting = asyncio.create_task(_dial(network, listener.port))
        server = await accept_server_session(listener, timeout=STEP)
        client = await connecting
        await client.close()
        await server.close()


async def test_a_client_under_validation_goes_to_the_next_call(network):
    entered = asyncio.Event()

    async def never(_):
        entered.set()
        await asyncio.Event().wait()

    async with network.serve() as listener:
        accepting = asyncio.create_task(accept_server_session(listener, auth_validator=never))
        connecting = asyncio.create_task(_dial(network, listener.port, b"token"))
        await asyncio.wait_for(entered.wait(), STEP)
        accepting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await accepting
        server = await accept_server_session(listener, timeout=STEP)
        assert server.hello.auth_block == b"token"
        await (await connecting).close()
        await server.close()


async def test_accepting_on_a_connection_closes_it(network):
    async with network.raw_pair() as (server, client):
        await cancelled(accept_server_session(server))
        await asyncio.wait_for(client.wait_closed(), STEP)
        assert server.is_closed


async def test_connecting_closes_the_half_open_connection(network):
    async with network.serve() as listener:
        connecting = asyncio.create_task(_dial(network, listener.port))
        connection = await listener.accept(STEP)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        await asyncio.wait_for(connection.wait_closed(), STEP)


async def _dial(network, port, auth_block=b""):
    return await network.dial(port, auth_block)

"""Results sent in one turn of the loop leave together, and none of them waits for the turn to end."""

import asyncio
import threading

from frames import STEP, frame


async def test_what_is_sent_in_one_turn_arrives_in_order(tcp):
    async with tcp.pair() as (server, client):
        for number in range(100):
            await client.submit_frame(frame(number))
        for number in range(100):
            received = await server.receive_submit(STEP)
            assert received.metadata.frame_id == number
            await server.send_result(frame_id=number)
        for number in range(100):
            assert (await client.receive_result(STEP)).frame_id == number


async def test_tasks_of_their_own_send_in_the_turn_they_run_in(network):
    async with network.pair() as (server, client):
        for number in range(10):
            await client.submit_frame(frame(number))
        received = [await server.receive_submit(STEP) for _ in range(10)]
        await asyncio.gather(*(server.send_result(frame_id=one.metadata.frame_id) for one in received))
        assert {(await client.receive_result(STEP)).frame_id for _ in range(10)} == set(range(10))


async def test_a_handler_that_blocks_its_loop_holds_no_result_up(network):
    """The turn in which it sends ends when it is done, and the result has been gone for long by then."""
    free = threading.Event()

    async def serve(session):
        for _ in range(20):
            received = await session.receive_submit(STEP)
            await session.send_result(frame_id=received.metadata.frame_id)
        free.wait(4 * STEP)
        for _ in range(20):
            received = await session.receive_submit(STEP)
            await session.send_result(frame_id=received.metadata.frame_id)

    async with network.pair() as (server, client):
        for number in range(40):
            await client.submit_frame(frame(number))
        other = threading.Thread(target=lambda: asyncio.run(serve(server)))
        other.start()
        for number in range(20):
            assert (await client.receive_result(STEP, frame_id=number)).frame_id == number
        free.set()
        for number in range(20, 40):
            assert (await client.receive_result(STEP, frame_id=number)).frame_id == number
        await asyncio.to_thread(other.join)

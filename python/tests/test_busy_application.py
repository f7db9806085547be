"""The runtime answers for an application that is busy, whatever the application does."""

import asyncio
import threading

from frames import STEP, echo, frame

from nnrp.server import accept_server_session


async def test_pings_are_answered_while_the_servers_loop_is_blocked(network):
    port = asyncio.get_running_loop().create_future()
    loop = asyncio.get_running_loop()
    free = threading.Event()

    async def serve():
        async with network.serve() as listener:
            loop.call_soon_threadsafe(port.set_result, listener.port)
            async with await accept_server_session(listener, timeout=STEP) as session:
                await session.receive_submit(STEP)
                free.wait(4 * STEP)  # on purpose: its event loop does not run
                await session.send_result(frame_id=1)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    async with network.dial(await port) as client:
        await client.submit_frame(frame(1))
        for _ in range(5):
            await client.ping(STEP)
        free.set()
        assert (await client.receive_result(STEP)).frame_id == 1
    await asyncio.to_thread(thread.join, STEP)


async def test_handlers_of_many_sessions_overlap(network):
    """The page's first scenario: bare tasks, blocking inference in threads, handlers that end by timeout."""
    ended = []
    together = threading.Barrier(4)  # nobody passes before all four are there

    async def handle(session):
        try:
            for timeout in (STEP, STEP, STEP, 0.1):
                received = await session.receive_submit(timeout)
                await asyncio.to_thread(together.wait, STEP)
                await session.send_result(
                    frame_id=received.metadata.frame_id, sections=received.request.sections
                )
        except TimeoutError:
            ended.append(session.session_id)
            await session.close()

    async def accept(listener):
        while True:
            session = await accept_server_session(listener)
            asyncio.create_task(handle(session))  # noqa: RUF006  # what the page does

    async def drive(client, number):
        for frame_id in range(3):
            result = await client.submit(frame(frame_id, bytes((number, frame_id))), timeout=STEP)
            assert result.sections[0].tile_payloads == (bytes((number, frame_id)),)

    async with network.serve() as listener:
        accepting = asyncio.create_task(accept(listener))
        clients = [await network.dial(listener.port, requested_session_id=number + 1) for number in range(4)]
        await asyncio.gather(*(drive(client, number) for number, client in enumerate(clients)))
        for client in clients:
            await asyncio.wait_for(client.connection.wait_closed(), STEP)
            await client.close()
        accepting.cancel()
    assert sorted(ended) == [1, 2, 3, 4]


async def test_a_session_is_a_context_manager(network):
    async with network.pair() as (server, client):
        async with client:
            await client.submit_frame(frame(1))
            await echo(server)
        assert client.is_closed

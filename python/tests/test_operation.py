"""The awaitable under everything: ready without suspending, woken without values, on any loop."""

import asyncio
import gc
import sys
import threading
import weakref

import pytest
from frames import STEP, echo, frame

from nnrp import _native

LOOPS = [asyncio.new_event_loop]
if sys.platform != "win32":
    import uvloop

    LOOPS.append(uvloop.new_event_loop)


class NoReaderLoop(asyncio.SelectorEventLoop):
    """Like the proactor loop of Windows: it watches no descriptors for others."""

    def add_reader(self, fd, callback, *args):
        if callback.__module__ is None or not callback.__qualname__.startswith("BaseSelectorEventLoop"):
            raise NotImplementedError
        return super().add_reader(fd, callback, *args)


async def round_trips(network, count=50):
    async with network.pair() as (server, client):
        for number in range(count):
            await client.submit_frame(frame(number))
            await echo(server)
            await client.receive_result(STEP, frame_id=number)


@pytest.mark.parametrize("new_loop", [*LOOPS, NoReaderLoop])
def test_it_works_on_every_loop(network, new_loop):
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(round_trips(network))


@pytest.mark.parametrize("new_loop", LOOPS)
def test_loops_come_and_go(tcp, new_loop):
    gone = []
    for _ in range(3):
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(round_trips(tcp, 2))
            gone.append(weakref.ref(runner.get_loop()))
    del runner
    gc.collect()
    assert [loop() for loop in gone] == [None] * 3


def test_two_loops_take_turns_on_one_thread(tcp):
    with asyncio.Runner() as one, asyncio.Runner() as other:
        for _ in range(3):
            one.run(round_trips(tcp, 1))
            other.run(round_trips(tcp, 1))


async def test_what_is_ready_does_not_suspend(tcp):
    async with tcp.pair() as (server, client):
        await client.submit_frame(frame(0))
        await client.ping(STEP)  # answered after the frame before it has arrived
        turns = []
        asyncio.get_running_loop().call_soon(turns.append, 1)
        await server.receive_submit()
        await server.send_result(frame_id=0)
        assert not turns


async def test_the_future_of_a_waiting_task_carries_no_value(tcp):
    async with tcp.pair() as (server, client):
        operation = server.connection._session.receive(None)
        assert isinstance(operation, _native.Operation)
        future = next(operation.__await__())
        assert asyncio.isfuture(future)
        assert future.get_loop() is asyncio.get_running_loop()
        # As a task does with what it is given to wait for.
        future._asyncio_future_blocking = False
        woken = asyncio.Event()
        future.add_done_callback(lambda _: woken.set())
        await client.submit_frame(frame(1))
        await asyncio.wait_for(woken.wait(), STEP)
        assert future.result() is None
        # The frame is still there, for this operation or any other.
        del operation, future
        assert (await server.receive_submit(STEP)).metadata.frame_id == 1


async def test_an_operation_is_awaited_once(tcp):
    async with tcp.pair() as (_, client):
        operation = client.connection._native.flush()
        await operation
        with pytest.raises(RuntimeError, match="already"):
            await operation


def test_it_needs_a_running_loop(tcp):
    with asyncio.Runner() as runner:
        pair = tcp.pair()
        server, _ = runner.run(pair.__aenter__())
        call = server.receive_submit()
        with pytest.raises(RuntimeError, match="no running event loop"):
            call.send(None)
        runner.run(pair.__aexit__(None, None, None))


async def test_a_cancelled_operation_ends_although_its_traceback_lives(tcp):
    async with tcp.pair() as (server, client):
        waiting = asyncio.create_task(server.receive_submit())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError) as kept:
            await waiting
        assert kept.traceback  # with the frame that awaited the operation
        await client.submit_frame(frame(1))
        assert (await server.receive_submit(STEP)).metadata.frame_id == 1


async def test_a_client_that_always_has_one_more_leaves_others_their_turn(tcp):
    frames = 200
    async with tcp.pair() as (server, client):
        for number in range(frames):
            await client.submit_frame(frame(number))
        await client.ping(STEP)  # answered after the frames before it have arrived
        turns = []
        done = False

        async def other():
            while not done:
                turns.append(1)
                await asyncio.sleep(0)

        beside = asyncio.create_task(other())
        for number in range(frames):
            assert (await server.receive_submit(STEP)).metadata.frame_id == number
        done = True
        await beside
        assert frames // 100 <= len(turns) < frames // 10


async def test_one_session_on_two_loops_in_two_threads(tcp):
    answered = []

    async def answer(session):
        for _ in range(20):
            received = await session.receive_submit(STEP)
            await session.send_result(frame_id=received.metadata.frame_id)
            answered.append(threading.get_ident())

    async with tcp.pair() as (server, client):
        other = threading.Thread(target=lambda: asyncio.run(answer(server)))
        other.start()
        here = asyncio.create_task(answer(server))
        for number in range(40):
            await client.submit_frame(frame(number))
        for number in range(40):
            await client.receive_result(STEP, frame_id=number)
        await here
        await asyncio.to_thread(other.join, STEP)
    assert len(answered) == 40
    assert len(set(answered)) == 2


async def test_a_pending_call_keeps_its_task_alive(network):
    answered = asyncio.Event()

    async def handle(session):
        await echo(session)
        answered.set()

    async with network.pair() as (server, client):
        asyncio.create_task(handle(server))  # noqa: RUF006  # what the page does
        await asyncio.sleep(0)
        for _ in range(3):
            gc.collect()
        await client.submit_frame(frame(1))
        await asyncio.wait_for(answered.wait(), STEP)
        await client.receive_result(STEP)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # which is what leaving connections open deserves
def test_a_loop_may_be_closed_with_calls_pending(tcp, caplog):
    async def leave_pending():
        pair = tcp.pair()
        server, client = await pair.__aenter__()
        task = asyncio.ensure_future(server.receive_submit())
        await asyncio.sleep(0)
        del task
        return pair, client.connection._native

    loop = asyncio.new_event_loop()
    pair, native = loop.run_until_complete(leave_pending())
    loop.close()
    native.close(0, "")  # wakes a loop that is not there any more
    del pair, loop
    gc.collect()
    assert "was destroyed but it is pending" in caplog.text

"""Going away without losing a frame."""

import asyncio
import contextlib
import os
import signal
import time
from collections import Counter

import programs
import pytest
from frames import STEP, echo, frame
from networks import Network

from nnrp import NnrpConnectionClosedError
from nnrp.core import ErrorCode, ResultHintReason
from nnrp.errors import NnrpProtocolError
from nnrp.server import Drained, accept_server_session, serve_sessions


async def test_what_was_submitted_is_answered_and_what_comes_later_is_refused(network):
    async with network.serve() as listener:
        accepting = asyncio.create_task(accept_server_session(listener, timeout=STEP))
        async with network.dial(listener.port) as client, await accepting as server:
            await client.submit_frame(frame(1))
            received = await server.receive_submit(STEP)
            draining = asyncio.create_task(listener.drain(STEP, "new version"))
            with pytest.raises(NnrpProtocolError) as refused:
                await network.dial(listener.port)
            assert refused.value.error_code is ErrorCode.SERVER_BUSY
            assert "new version" in str(refused.value)
            with pytest.raises(NnrpConnectionClosedError):
                await accept_server_session(listener)
            assert not draining.done()
            await server.send_result(frame_id=received.metadata.frame_id, sections=received.request.sections)
            assert await asyncio.wait_for(draining, STEP) == Drained(answered=1)
            assert (await client.receive_result(STEP)).is_push
            with pytest.raises(NnrpConnectionClosedError):
                await server.receive_submit(STEP)


async def test_what_is_not_answered_in_time_is_dropped_with_a_reason(network):
    async with network.pair() as (server, client):
        await client.submit_frame(frame(1))
        await server.receive_submit(STEP)
        assert await server.drain(0.0) == Drained(dropped=1)
        dropped = await client.receive_result(STEP)
        assert (dropped.is_drop, dropped.drop_reason) == (True, ResultHintReason.SERVER_BUSY)


async def test_a_second_signal_cuts_it_short(network):
    at_work = asyncio.Event()

    async def never(session):
        await session.receive_submit()
        at_work.set()
        await session.receive_submit()

    async with network.serve() as listener:
        serving = asyncio.create_task(serve_sessions(listener, handler=never, drain_timeout=3600.0))
        async with network.dial(listener.port) as client:
            await client.submit_frame(frame(1))
            await asyncio.wait_for(at_work.wait(), STEP)
            os.kill(os.getpid(), signal.SIGTERM)
            with pytest.raises(NnrpConnectionClosedError):
                await accept_server_session(listener, timeout=STEP)
            os.kill(os.getpid(), signal.SIGINT)
            assert await asyncio.wait_for(serving, STEP) == Drained(dropped=1)
            assert (await client.receive_result(STEP)).is_drop


async def test_a_handler_that_fails_ends_its_session_only(network, caplog):
    async def handle(session):
        if session.session_id == 1:
            raise LookupError("defect")
        await echo(session)

    stop = asyncio.Event()
    async with network.serve() as listener:
        serving = asyncio.create_task(serve_sessions(listener, handler=handle, stop=stop))
        async with network.dial(listener.port, requested_session_id=1) as client:
            with pytest.raises(NnrpConnectionClosedError):
                await client.receive_result(STEP)
        async with network.dial(listener.port, requested_session_id=2) as client:
            assert (await client.submit(frame(1), timeout=STEP)).is_push
        stop.set()
        assert await asyncio.wait_for(serving, STEP) == Drained()
    assert "defect" in caplog.text


async def test_a_client_that_leaves_a_task_group_is_no_failure(network, caplog):
    async def handle(session):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(session.receive_control())
            while True:
                await session.receive_submit()

    stop = asyncio.Event()
    async with network.serve() as listener:
        serving = asyncio.create_task(serve_sessions(listener, handler=handle, stop=stop))
        async with network.dial(listener.port):
            pass
        stop.set()
        await asyncio.wait_for(serving, STEP)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_listener_without_sessions_drains_as_long_as_the_others(network, certificate):
    idle_network = Network("tcp", certificate)
    answer, received, stop = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def handle(session):
        async for submit in session:
            received.set()
            await answer.wait()
            await session.send_result(frame_id=submit.frame_id)

    async with network.serve() as busy, idle_network.serve() as idle:
        serving = asyncio.create_task(serve_sessions(busy, idle, handler=handle, stop=stop))
        async with network.dial(busy.port) as client:
            await client.submit_frame(frame(1))
            await asyncio.wait_for(received.wait(), STEP)
            stop.set()
            with contextlib.suppress(
                NnrpConnectionClosedError
            ):  # the drain has begun when accepting has ended
                await accept_server_session(idle, timeout=STEP)
            with pytest.raises(NnrpProtocolError, match="the server is shutting down") as refused:
                await idle_network.dial(idle.port)
            assert refused.value.error_code is ErrorCode.SERVER_BUSY
            answer.set()
            assert (await client.receive_result(STEP)).is_push
        assert (await asyncio.wait_for(serving, STEP)).answered == 1


async def test_wrong_arguments_are_the_callers(tcp):
    async with tcp.serve() as listener:
        with pytest.raises(TypeError):
            await serve_sessions(listener, handler=echo, no_such_keyword=1)
        with pytest.raises(ValueError, match="session_id"):
            await serve_sessions(listener, handler=echo, session_id=-1)


async def test_closing_the_listener_ends_it_too(network):
    async with network.serve() as listener:
        serving = asyncio.create_task(serve_sessions(listener, handler=echo))
        async with network.dial(listener.port) as client:
            assert (await client.submit(frame(1), timeout=STEP)).is_push
        await listener.close()
        assert await asyncio.wait_for(serving, STEP) == Drained()


SERVER = """
from nnrp.server import serve_sessions

async def handle(session):
    while True:
        received = await session.receive_submit()
        await asyncio.sleep(0)  # the model
        await session.send_result(frame_id=received.metadata.frame_id, sections=received.request.sections)

async def main():
    async with network.serve() as listener:
        print(listener.port, flush=True)
        profile = ServerProfile(max_concurrent_frames=32)
        print(await serve_sessions(listener, handler=handle, profile=profile, drain_timeout=20.0))

asyncio.run(main())
"""


async def busy_client(network, port, counts, under_load):
    """Submit frames until the session ends and account for each one; be at `under_load` with 30 answered."""
    async with network.dial(port, requested_session_id=0) as client:

        async def submit():
            with contextlib.suppress(NnrpConnectionClosedError):
                for frame_id in range(1, 1 << 20):
                    await client.submit_frame(frame(frame_id, b"x" * (frame_id % 5000)))
                    counts["submitted"] += 1
                    await asyncio.sleep(0)

        submitting = asyncio.create_task(submit())
        answered = set()
        meeting = None
        with contextlib.suppress(NnrpConnectionClosedError):
            while True:
                result = await client.receive_result(STEP)
                assert result.frame_id not in answered
                answered.add(result.frame_id)
                if result.is_push:
                    assert result.sections[0].payload_slices()[0] == b"x" * (result.frame_id % 5000)
                    counts["results"] += 1
                    if len(answered) == 30:
                        meeting = asyncio.create_task(under_load.wait())
                else:
                    assert result.drop_reason is ResultHintReason.SERVER_BUSY
                    counts["refused"] += 1
        await asyncio.wait_for(submitting, STEP)
        await meeting


async def test_a_server_under_load_that_gets_sigterm_loses_nothing(network):
    counts = Counter()
    under_load = asyncio.Barrier(4)  # three clients and this test
    async with programs.server(SERVER, network) as (server, port):
        async with asyncio.timeout(30), asyncio.TaskGroup() as clients:
            for _ in range(3):
                clients.create_task(busy_client(network, port, counts, under_load))
            await under_load.wait()
            server.send_signal(signal.SIGTERM)
            told = time.monotonic()
        out, errors = await asyncio.wait_for(server.communicate(), 30)
        assert (server.returncode, errors) == (0, b"")
        assert time.monotonic() - told < 25
    assert counts["results"] + counts["refused"] == counts["submitted"], counts
    assert b"dropped=0" in out, out

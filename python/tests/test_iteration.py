"""`async for` over the frames of a session, and over the parts of one frame's answer."""

import asyncio
import contextlib
import socket
import struct

import pytest
from frames import STEP, frame

from nnrp.client import SubmitRequest, TypedPayload
from nnrp.core import BudgetPolicy, HeaderFlags, MessageType, NnrpPacket, PayloadKind, ResultClass
from nnrp.errors import NnrpConnectionClosedError
from nnrp.server import ServerSession, accept_server_session


def prompt(frame_id=1):
    return SubmitRequest(frame_id=frame_id, typed_payloads=(TypedPayload(PayloadKind.TOKEN_CHUNK, b"once"),))


async def send_token(server, text, *, last=False, frame_id=1):
    await server.send_result(
        frame_id=frame_id,
        typed_payloads=(TypedPayload(PayloadKind.TOKEN_CHUNK, text),),
        result_class=ResultClass.COMPLETE if last else ResultClass.PARTIAL,
    )


async def cancelled(server, frame_id=1):
    """Until the client's cancel has arrived; the test's own time limit ends what never comes."""
    while not server.frame_cancelled(frame_id):  # noqa: ASYNC110  # there is no event for it here
        await asyncio.sleep(0.001)


async def test_a_receive_submit_of_ones_own_is_what_iteration_asks(network):
    seen = []

    class Looking(ServerSession):
        async def receive_submit(self):
            received = await super().receive_submit()
            seen.append(received.frame_id)
            return received

    async with network.pair() as (server, client):
        looking = Looking(server.connection, server.transport_id, server.hello, server.session_id)
        await client.submit_frame(frame(1))
        closing = asyncio.create_task(client.close())
        assert [received.frame_id async for received in looking] == seen == [1]
        await closing


async def test_frames_are_iterated_over_until_the_client_closes(network):
    async with network.pair() as (server, client):
        for number in range(1, 4):
            await client.submit_frame(frame(number))
        closing = asyncio.create_task(client.close())
        assert sorted([received.metadata.frame_id async for received in server]) == [1, 2, 3]
        await server.close()
        await closing


async def test_closing_ones_own_side_ends_the_iteration(network):
    async with network.pair() as (server, _):
        waiting = asyncio.create_task(anext(server, None))
        await asyncio.sleep(0)
        await server.close()
        assert await asyncio.wait_for(waiting, STEP) is None


async def test_leaving_the_loop_loses_no_frame(network):
    async with network.pair() as (server, client):
        for number in range(1, 4):
            await client.submit_frame(frame(number))
        seen = []
        while len(seen) < 3:
            async for received in server:
                seen.append(received.metadata.frame_id)
                break
        assert sorted(seen) == [1, 2, 3]


async def test_a_refused_packet_is_logged_and_the_iteration_goes_on(network, caplog):
    async with network.pair() as (server, client):
        wrong = NnrpPacket.build(
            MessageType.SESSION_PATCH_ACK, session_id=server.session_id, metadata=bytes(48)
        )
        await client.connection.send_control_packet(wrong)
        waiting = asyncio.create_task(anext(server))
        while not any("was refused" in record.message for record in caplog.records):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        assert not waiting.done()
        await client.submit_frame(frame(1))
        assert (await waiting).metadata.frame_id == 1


async def test_a_lost_connection_raises(tcp):
    async with tcp.serve() as listener, cut_between(listener.port) as (port, cut):
        accepting = asyncio.create_task(accept_server_session(listener, timeout=STEP))
        async with tcp.dial(port), await accepting as server:
            waiting = asyncio.create_task(anext(server))
            await asyncio.sleep(0)
            cut()
            with pytest.raises(NnrpConnectionClosedError) as caught:
                await asyncio.wait_for(waiting, STEP)
            assert caught.value.ended_by == "transport"


@contextlib.asynccontextmanager
async def cut_between(port):
    """A port that leads to `port`, and a function that tears every connection through it."""
    ends = []

    async def pump(reader, writer):
        ends.append(writer)
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()

    async def forward(reader, writer):
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    def cut():
        for writer in ends:
            writer.transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            writer.transport.abort()

    async with await asyncio.start_server(forward, "127.0.0.1", 0) as relay:
        yield relay.sockets[0].getsockname()[1], cut


async def test_the_parts_of_an_answer_come_one_by_one(network):
    async with network.pair() as (server, client):

        async def serve():
            received = await server.receive_submit(STEP)
            assert BudgetPolicy.ALLOW_PARTIAL in received.metadata.budget_policy
            await send_token(server, b"upon ")
            await send_token(server, b"a ")
            await send_token(server, b"time", last=True)

        serving = asyncio.create_task(serve())
        results = [part async for part in client.stream(prompt(), timeout=STEP)]
        await serving
        assert not any(part.beyond_policy for part in results)
        parts = [part.token_chunks[0] for part in results]
        assert parts == [b"upon ", b"a ", b"time"]


async def test_a_partial_part_with_eos_is_the_last_one(network):
    async with network.pair() as (server, client):
        stream = client.stream(prompt(), timeout=STEP)
        async with stream:
            first = asyncio.create_task(anext(aiter(stream)))
            await server.receive_submit(STEP)
            await server.send_result(
                frame_id=1,
                typed_payloads=(TypedPayload(PayloadKind.TOKEN_CHUNK, b"end"),),
                result_class=ResultClass.PARTIAL,
                flags=HeaderFlags.EOS,
            )
            assert (await first).is_last
            assert await anext(aiter(stream), None) is None
        assert not server.frame_cancelled(1)


async def test_a_drop_is_the_last_part(network):
    async with network.pair() as (server, client):

        async def serve():
            await server.receive_submit(STEP)
            await send_token(server, b"upon ")
            await server.send_result_drop(1, "superseded")

        serving = asyncio.create_task(serve())
        parts = [part.is_drop async for part in client.stream(prompt(), timeout=STEP)]
        await serving
        assert parts == [False, True]


OUTCOMES = {"exception": RuntimeError, "timeout": TimeoutError, "cancellation": asyncio.CancelledError}


@pytest.mark.parametrize("how", ["break", "exception", "block", "timeout", "cancellation"])
async def test_leaving_early_cancels_the_frame_on_the_server(network, how):
    async with network.pair() as (server, client):

        async def read():
            if how == "block":
                async with client.stream(prompt(), timeout=STEP) as parts:
                    await anext(aiter(parts))
                return
            async for _ in client.stream(prompt(), timeout=0.05 if how == "timeout" else STEP):
                if how == "break":
                    break
                if how == "exception":
                    raise RuntimeError("enough")

        reading = asyncio.create_task(read())
        await server.receive_submit(STEP)
        await send_token(server, b"upon ")
        if how == "cancellation":
            await asyncio.sleep(0.01)
            reading.cancel()
        [outcome] = await asyncio.wait_for(asyncio.gather(reading, return_exceptions=True), STEP)
        expected = {
            "exception": RuntimeError,
            "timeout": TimeoutError,
            "cancellation": asyncio.CancelledError,
        }
        assert isinstance(outcome, expected.get(how, type(None)))
        await asyncio.wait_for(cancelled(server), STEP)
        # Nothing of the frame is left behind for others, and the session goes on.
        await send_token(server, b"too late")
        with pytest.raises(TimeoutError):
            await client.receive_result(0.05)
        assert (await asyncio.gather(client.submit(frame(2), timeout=STEP), answer(server)))[0].is_push


async def answer(server):
    received = await server.receive_submit(STEP)
    await server.send_result(frame_id=received.metadata.frame_id, sections=received.request.sections)


async def test_an_answer_read_to_its_end_cancels_nothing(network):
    async with network.pair() as (server, client):

        async def serve():
            await server.receive_submit(STEP)
            await send_token(server, b"all", last=True)

        serving = asyncio.create_task(serve())
        async with client.stream(prompt(), timeout=STEP) as parts:
            assert [part.is_last async for part in parts] == [True]
        await serving
        await client.ping(STEP)
        assert not server.frame_cancelled(1)


async def test_the_end_of_the_session_ends_the_stream_with_a_reason(network):
    async with network.pair() as (server, client):
        parts = aiter(client.stream(prompt(), timeout=STEP))
        first = asyncio.create_task(anext(parts))
        await server.receive_submit(STEP)
        await send_token(server, b"upon ")
        await first
        closing = asyncio.create_task(server.close())
        with contextlib.suppress(NnrpConnectionClosedError):
            assert (await anext(parts)).is_drop
        await closing

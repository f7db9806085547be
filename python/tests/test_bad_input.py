"""What peers must not send is answered with the right ERROR, and harms nobody else."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from frames import STEP, echo, frame

from nnrp.core import (
    HEADER_LENGTH,
    ErrorCode,
    ErrorMetadata,
    ErrorScope,
    MessageType,
    NnrpHeader,
    NnrpPacket,
    build_frame_submit_packet,
    build_result_push_packet,
)
from nnrp.errors import NnrpProtocolError
from nnrp.server import ServerProfile, accept_server_session


def header(msg_type=MessageType.CLIENT_HELLO, meta_len=64, body_len=0, **fields):
    values = {"session_id": 0, "frame_id": 0, "view_id": 0, "route_id": 0, "trace_id": 0, **fields}
    return NnrpHeader(1, 0, msg_type, 0, meta_len, body_len, **values).pack()


def patched(raw, offset, value):
    return raw[:offset] + bytes((value,)) + raw[offset + 1 :]


BAD_FIRST_PACKETS = {
    "fewer bytes than a header": (b"GET / HTTP/1.1\r\n\r\n", ErrorCode.MALFORMED_HEADER),
    "wrong magic": (b"HTTP" + header()[4:], ErrorCode.MALFORMED_HEADER),
    "wrong version": (patched(header(), 4, 9), ErrorCode.UNSUPPORTED_VERSION),
    "wrong wire format": (patched(header(), 5, 7), ErrorCode.UNSUPPORTED_VERSION),
    "wrong header length": (patched(header(), 7, 41), ErrorCode.MALFORMED_HEADER),
    "unknown type": (patched(header(), 6, 0x7F), ErrorCode.UNSUPPORTED_CAPABILITY),
    "endless body": (header(body_len=0xFFFF_FFFF), ErrorCode.LIMIT_EXCEEDED),
    "wrong metadata length": (header(meta_len=63), ErrorCode.MALFORMED_BODY),
    "submit before hello": (header(MessageType.FRAME_SUBMIT, 72, 0, session_id=1), ErrorCode.INVALID_STATE),
    "result from a client": (header(MessageType.RESULT_PUSH, 64, 0, session_id=1), ErrorCode.INVALID_STATE),
}


# Rules R-STATE-1, R-LIM-2
@pytest.mark.parametrize("name", BAD_FIRST_PACKETS)
async def test_a_bad_first_packet_over_a_raw_socket(tcp, name):
    raw, code = BAD_FIRST_PACKETS[name]
    async with tcp.serve() as listener:
        accepting = asyncio.create_task(accept_server_session(listener, timeout=STEP))
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(raw)
        answer = NnrpHeader.unpack(await asyncio.wait_for(reader.readexactly(HEADER_LENGTH), STEP))
        assert answer.msg_type is MessageType.ERROR
        metadata = ErrorMetadata.unpack(await asyncio.wait_for(reader.readexactly(answer.meta_len), STEP))
        assert ErrorCode(metadata.error_code) is code
        assert metadata.error_scope is ErrorScope.CONNECTION
        assert metadata.is_fatal == 1
        await asyncio.wait_for(reader.read(), STEP)  # the diagnostic, then the end
        writer.close()
        await writer.wait_closed()
        # Nobody else noticed.
        async with tcp.dial(listener.port) as client, await accepting as server:
            await client.submit_frame(frame(1))
            await echo(server)
            await client.receive_result(STEP)


async def test_bytes_split_anywhere_make_the_same_session(tcp):
    async with tcp.serve() as listener, slow_relay(listener.port) as port:
        accepting = asyncio.create_task(accept_server_session(listener, timeout=STEP))
        async with tcp.dial(port) as client, await accepting as server:
            await client.submit_frame(frame(1, b"some tile", b"another"))
            await echo(server)
            assert (await client.receive_result(STEP)).sections[0].tile_payloads[1] == b"another"


@asynccontextmanager
async def slow_relay(port):
    """A port that leads to ``port`` and passes on a few bytes at a time."""
    relayed = asyncio.get_running_loop().create_future()

    async def copy(reader, writer, chunk):
        while data := await reader.read(chunk):
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def relay(reader, writer):
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, back, 3), copy(there, writer, 7))
        relayed.set_result(None)

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.wait_for(relayed, STEP)


# Rules R-STATE-2
async def test_a_result_from_a_client_is_reported_and_the_session_goes_on(network):
    async with network.pair() as (server, client):
        result = build_result_push_packet(session_id=client.session_id, frame_id=1, tile_ids=(), sections=())
        await client.connection.send_packet(result)
        with pytest.raises(ValueError, match="expected FRAME_SUBMIT, got RESULT_PUSH"):
            await server.receive_submit(STEP)
        await client.submit_frame(frame(2))
        await echo(server)
        assert (await client.receive_result(STEP, frame_id=2)).is_push


# Rules R-HDR-6
async def test_a_submit_of_another_session_is_reported(network):
    async with network.pair() as (server, client):
        submit = build_frame_submit_packet(session_id=99, frame_id=1, tile_ids=(), sections=())
        await client.connection.send_submit_packet(submit)
        with pytest.raises(ValueError, match="expected session_id 1, got 99"):
            await server.receive_submit(STEP)
        await client.submit_frame(frame(2))
        await echo(server)
        assert (await client.receive_result(STEP, frame_id=2)).is_push


async def test_a_malformed_body_fails_that_frame_alone(network):
    async with network.pair() as (server, client):
        good = build_frame_submit_packet(session_id=1, frame_id=5, tile_ids=(1,), sections=frame(5).sections)
        broken = NnrpPacket.build(
            MessageType.FRAME_SUBMIT,
            session_id=1,
            frame_id=5,
            metadata=good.metadata,
            body=good.body[:-1] + b"\xff" * 4,
        )
        await client.connection.send_submit_packet(broken)
        with pytest.raises(ValueError, match="R-"):
            await server.receive_submit(STEP)
        with pytest.raises(NnrpProtocolError) as refused:
            await client.receive_result(STEP, frame_id=5)
        assert refused.value.error_scope is ErrorScope.FRAME
        assert refused.value.error_code is ErrorCode.MALFORMED_BODY
        assert refused.value.frame_id == 5
        await client.submit_frame(frame(6))
        await echo(server)
        assert (await client.receive_result(STEP, frame_id=6)).is_push


# Rules R-LIM-1
async def test_frames_beyond_the_limits_are_refused_without_being_seen(network):
    async with network.pair(ServerProfile(max_sections=1, max_body_bytes=4096)) as (server, client):
        await client.submit_frame(frame(1, b"x" * 8192))
        with pytest.raises(NnrpProtocolError) as refused:
            await client.receive_result(STEP, frame_id=1)
        assert refused.value.error_code is ErrorCode.LIMIT_EXCEEDED
        await client.submit_frame(frame(2))
        received = await server.receive_submit(STEP)
        assert received.metadata.frame_id == 2
        await server.send_result_drop(2)

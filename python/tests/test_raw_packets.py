"""Connections without a session: every packet is delivered, nothing is answered."""

import asyncio

import pytest
from frames import STEP, echo, frame

from nnrp.adapters import NnrpQuicConnection, NnrpQuicListener, NnrpTcpConnection, NnrpTcpListener
from nnrp.core import (
    MessageType,
    NnrpPacket,
    TransportProbeMetadata,
    build_frame_submit_packet,
    build_ping_packet,
    build_result_drop_packet,
    build_result_push_packet,
    build_transport_probe_packet,
)
from nnrp.errors import NnrpTcpUnsupportedOperationError


def submit(frame_id, size=3):
    request = frame(frame_id, b"x" * size)
    return build_frame_submit_packet(1, frame_id, tile_ids=request.tile_ids, sections=request.sections)


async def test_packets_pass_unchanged_in_both_directions(network):
    async with network.raw_pair() as (server, client):
        packets = [build_ping_packet(session_id=9, trace_id=5), submit(1), submit(2, 500_000)]
        for packet in packets:
            await client.send_packet(packet)
        received = [await server.receive_packet(timeout=STEP) for _ in packets]
        assert sorted(received, key=lambda packet: packet.header.frame_id) == packets
        answer = build_result_push_packet(1, 1, tile_ids=(), sections=())
        await server.send_packet(answer)
        assert await client.receive_packet(timeout=STEP) == answer


async def test_receiving_is_selective(network):
    async with network.raw_pair() as (server, client):
        await client.send_control_packet(build_ping_packet(session_id=1))
        await client.send_submit_packet(submit(1))
        assert (await server.receive_submit_packet(STEP)).header.frame_id == 1
        assert (await server.receive_control_packet(STEP)).header.msg_type is MessageType.PING
        await server.send_result_packet(build_result_drop_packet(1, 1))
        assert (await client.receive_result_packet(STEP)).header.msg_type is MessageType.RESULT_DROP
        with pytest.raises(TimeoutError):
            await server.receive_packet(timeout=0)


async def test_the_method_must_fit_the_packet(network):
    async with network.raw_pair() as (_, client):
        with pytest.raises(ValueError, match="expected FRAME_SUBMIT, got PING"):
            await client.send_submit_packet(build_ping_packet())
        with pytest.raises(ValueError, match="expected RESULT_PUSH or RESULT_DROP, got FRAME_SUBMIT"):
            await client.send_result_packet(submit(1))
        with pytest.raises(ValueError, match="not a control packet"):
            await client.send_control_packet(submit(1))


async def test_stream_ids(network):
    async with network.raw_pair() as (server, client):
        assert client.last_submit_stream_id is None
        assert [await client.send_submit_packet(submit(number)) for number in range(3)] == [2, 6, 10]
        assert client.last_submit_stream_id == 10
        assert client.control_stream_id == 0
        for _ in range(3):
            await server.receive_submit_packet(STEP)
        assert server.last_submit_stream_id in (2, 6, 10)
        expected = [3, 7] if network.transport == "quic" else [2, 6]
        for stream_id in expected:
            assert await server.send_result_packet(build_result_drop_packet(1, 1)) == stream_id
        assert server.last_result_stream_id == expected[-1]


async def test_a_raw_connection_becomes_a_session(network):
    async with network.serve() as listener:
        client = await network.connect(listener.port)
        server = await listener.accept(STEP)
        probe = TransportProbeMetadata(probe_id=7, probe_payload_bytes=4, client_send_ts_us=1)
        await client.send_control_packet(build_transport_probe_packet(metadata=probe, body=b"data"))
        assert (await server.receive_control_packet(STEP)).header.msg_type is MessageType.TRANSPORT_PROBE
        await client.close()
        await server.close()


async def test_a_ping_is_answered_while_the_application_does_nothing(network):
    async with network.pair() as (_, client):
        ping = NnrpPacket.build(MessageType.PING, session_id=1, frame_id=3, view_id=4, route_id=5, trace_id=6)
        await client.connection.send_packet(ping)
        pong = await client.connection.receive_packet(timeout=STEP)
        assert pong.header.msg_type is MessageType.PONG
        for name in ("session_id", "frame_id", "view_id", "route_id", "trace_id"):
            assert getattr(pong.header, name) == getattr(ping.header, name)


async def test_packets_and_frames_can_be_mixed_in_a_session(network):
    async with network.pair() as (server, client):
        answering = asyncio.create_task(echo(server))
        stream_id, packet = await client.submit_and_receive_result(submit(4), timeout=STEP)
        await answering
        assert stream_id == 2
        assert packet.header.frame_id == 4
        await client.send_submit_packet(submit(5))
        await echo(server)
        assert (await client.receive_result_packet(STEP)).header.frame_id == 5


async def test_datagrams(network):
    async with network.raw_pair() as (server, client):
        if network.transport != "quic":
            with pytest.raises(NnrpTcpUnsupportedOperationError):
                client.send_datagram(b"x")
            with pytest.raises(NnrpTcpUnsupportedOperationError):
                await client.receive_datagram()
            return
        await server.wait_connected()
        client.send_datagram(b"datagram")
        assert await server.receive_datagram(STEP) == b"datagram"
        with pytest.raises(ValueError, match="datagram"):
            client.send_datagram(b"x" * 100_000)
        with pytest.raises(TimeoutError):
            await server.receive_datagram(0)
        await client.ping()
        assert await client.ensure_control_stream() == 0


async def test_listeners_iterate_over_connections(network):
    async with network.serve() as listener:
        clients = [await network.connect(listener.port) for _ in range(2)]
        seen = []
        async for connection in listener:
            seen.append(connection)
            if len(seen) == 2:
                break
        ports = {client.local_address[1] for client in clients}
        assert {connection.peer_address[1] for connection in seen} == ports
        for connection in [*clients, *seen]:
            await connection.close()


def test_connections_and_listeners_are_not_made_by_hand():
    for kind in (NnrpQuicConnection, NnrpQuicListener, NnrpTcpConnection, NnrpTcpListener):
        with pytest.raises(TypeError):
            kind()

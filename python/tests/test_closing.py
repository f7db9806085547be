"""How sessions end, and what is still delivered when they do."""

import asyncio
import gc
import warnings

import pytest
from frames import STEP, frame, section

from nnrp.core import MessageType, NnrpPacket
from nnrp.errors import NnrpConnectionClosedError, NnrpQuicConnectionClosedError, NnrpTcpConnectionClosedError


@pytest.fixture
def closed_error(network):
    return NnrpQuicConnectionClosedError if network.transport == "quic" else NnrpTcpConnectionClosedError


async def test_the_result_sent_just_before_the_close_arrives(network, closed_error):
    payload = b"x" * 2_000_000
    async with network.pair() as (server, client):
        await client.submit_frame(frame(1))
        await server.receive_submit(STEP)
        await server.send_result(frame_id=1, sections=(section(payload),))
        await server.close()
        assert (await client.receive_result(STEP)).sections[0].tile_payloads == (payload,)
        with pytest.raises(closed_error):
            await client.receive_result(STEP)


async def test_submits_that_arrived_before_the_close_are_delivered(network, closed_error):
    async with network.pair() as (server, client):
        for number in range(5):
            await client.submit_frame(frame(number))
        await client.close()
        for _ in range(5):
            await server.receive_submit(STEP)
        with pytest.raises(closed_error):
            await server.receive_submit(STEP)


async def test_pending_calls_are_woken(network, closed_error):
    async with network.pair() as (server, client):
        waiting = [
            asyncio.create_task(call)
            for call in (
                server.receive_submit(),
                server.receive_control(),
                client.receive_result(),
                client.receive_result(frame_id=1),
                client.receive_flow_update(),
            )
        ]
        await asyncio.sleep(0)
        await server.close()
        await client.close()
        for outcome in await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), STEP):
            assert isinstance(outcome, closed_error)
            assert isinstance(outcome, ConnectionResetError)


async def test_sending_after_the_end_raises(network, closed_error):
    async with network.pair() as (server, client):
        await client.close()
        await asyncio.wait_for(server.connection.wait_closed(), STEP)
        with pytest.raises(closed_error):
            await server.send_result(frame_id=1)
        with pytest.raises(closed_error):
            await client.submit_frame(frame(1))


async def test_closing_is_idempotent_and_tolerates_a_peer_that_is_gone(network):
    async with network.pair() as (server, client):
        await asyncio.gather(server.close(), client.close(), server.close())
        await server.close()
        await client.close()
        assert server.is_closed
        assert client.is_closed


async def test_the_words_of_the_errors(network):
    async with network.pair() as (server, client):
        await client.close()
        expected = "connection terminated" if network.transport == "quic" else "closed by peer"
        with pytest.raises(NnrpConnectionClosedError, match=expected):
            await server.receive_submit(STEP)


async def test_a_raw_connection_delivers_what_was_sent_before_it_was_dropped(network):
    async with network.serve() as listener:
        client = await network.connect(listener.port)
        server = await listener.accept(STEP)
        for number in range(3):
            await client.send_packet(NnrpPacket.build(MessageType.PING, frame_id=number, session_id=1))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            del client
            gc.collect()
        for number in range(3):
            assert (await server.receive_packet(timeout=STEP)).header.frame_id == number
        await server.close()


async def test_dropping_an_open_connection_warns_and_closes(network):
    async with network.serve() as listener:
        client = await network.connect(listener.port)
        server = await listener.accept(STEP)
        with pytest.warns(ResourceWarning, match="unclosed"):
            del client
            gc.collect()
        await asyncio.wait_for(server.wait_closed(), STEP)


async def test_close_can_be_ignored_or_awaited(network):
    async with network.raw_pair() as (server, client):
        client.close(error_code=5, reason_phrase="done")
        assert client.is_closed
        await asyncio.wait_for(server.wait_closed(), STEP)
        await server.close()


async def test_a_tcp_port_is_free_again_at_once(tcp):
    async with tcp.serve() as listener:
        async with tcp.connect(listener.port), await listener.accept(STEP):
            pass
    async with tcp.serve(listener.port) as again:
        assert again.port == listener.port


async def test_a_port_in_use_is_an_os_error(network):
    async with network.serve() as listener:
        with pytest.raises(OSError, match="in use"):
            await network.serve(listener.port)

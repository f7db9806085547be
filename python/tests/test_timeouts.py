"""A timeout changes nothing: the call can be repeated."""

import asyncio
import socket
import time
from contextlib import contextmanager

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


async def test_the_error_says_what_was_waited_for_and_how_long(network):
    async with network.pair() as (server, client):
        for wait, text in (
            (server.receive_submit(0.01), "no frame within 0.01 s"),
            (server.receive_control(0), "no control packet within 0 s"),
            (client.receive_result(0.01), "no result within 0.01 s"),
            (client.receive_result(0.01, frame_id=7), "no result of frame 7 within 0.01 s"),
            (client.submit(frame(8), timeout=0.01), "no result of frame 8 within 0.01 s"),
            (client.receive_flow_update(0.01), "no FLOW_UPDATE within 0.01 s"),
            (client.connection.receive_packet(timeout=0.01), "no packet within 0.01 s"),
        ):
            with pytest.raises(TimeoutError) as expired:
                await wait
            assert str(expired.value) == text
        await server.receive_submit(STEP)


# Rules R-ACK-7
async def test_dialling_a_silent_port_names_it(network):
    with silent_server(network.transport) as (port, sentence):
        opening = network.dial(port, timeout=0.5)
        with pytest.raises(TimeoutError) as expired:
            await opening
    assert str(expired.value) == sentence
    assert expired.value.__cause__ is None
    assert expired.value.__suppress_context__


@contextmanager
def silent_server(transport):
    """A port where packets arrive and nobody answers, and what dialling it says."""
    kind = socket.SOCK_DGRAM if transport == "quic" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        if transport == "tcp":
            silent.listen()
            reached = f"127.0.0.1:{port} was reached over TCP, but the session was not opened within 0.5 s"
            yield port, f"{reached}; is it an NNRP server, and does it accept sessions?"
        elif transport == "tls":
            silent.listen()
            unanswered = f"no answer from 127.0.0.1:{port} over TCP within 0.5 s"
            yield port, f"{unanswered}; is a TCP server listening there?"
        else:
            unanswered = f"no answer from 127.0.0.1:{port} over QUIC within 0.5 s"
            yield port, f"{unanswered}; is a QUIC server listening there?"


async def _dial(network, port):
    return await network.dial(port)

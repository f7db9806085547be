"""What is worth knowing is in the standard logs, and secrets are not."""

import asyncio
import logging
import threading

import pytest
from frames import STEP, frame

from nnrp.adapters import serve_tcp
from nnrp.core import ControlExtensionEntry, ControlExtensionFlags, pack_control_extension_block
from nnrp.errors import NnrpProtocolError
from nnrp.server import ServerProfile, accept_server_session


async def logged(caplog, words):
    """Wait for a record; native ones come from a thread of their own."""
    async with asyncio.timeout(STEP):
        while True:
            for record in caplog.records:
                if words in record.getMessage():
                    return record
            await asyncio.sleep(0.005)


async def test_plain_tcp_that_others_can_reach_is_warned_about(caplog):
    async with serve_tcp("0.0.0.0", 0):  # noqa: S104  # that is what the warning is for
        record = await logged(caplog, "plain TCP")
    assert (record.name, record.levelno) == ("nnrp.server", logging.WARNING)


async def test_admitting_everybody_is_warned_about_once_where_others_can_connect(caplog):
    async with serve_tcp("0.0.0.0", 0) as listener:  # noqa: S104
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await accept_server_session(listener, timeout=0)
    warnings = [record for record in caplog.records if "auth_validator" in record.getMessage()]
    assert [record.name for record in warnings] == ["nnrp.server"]


async def test_a_failed_handshake_is_logged_with_the_clients_address(network, caplog):
    critical = ControlExtensionEntry(0x8002, ControlExtensionFlags.CRITICAL, b"?")
    async with network.serve() as listener:
        accepting = asyncio.create_task(accept_server_session(listener))
        with pytest.raises(NnrpProtocolError):
            await network.dial(
                listener.port,
                control_extensions=pack_control_extension_block([critical]),
                auth_block=b"secret",
            )
        record = await logged(caplog, "client refused")
        accepting.cancel()
    assert record.levelno == logging.WARNING
    assert "127.0.0.1" in record.getMessage()
    assert "0x8002" in record.getMessage()
    assert "secret" not in caplog.text


async def test_frames_beyond_the_limits_are_logged(network, caplog):
    async with network.pair(ServerProfile(max_body_bytes=4096)) as (server, client):
        receiving = asyncio.create_task(server.receive_submit())
        await client.submit_frame(frame(1, b"x" * 10_000))
        record = await logged(caplog, "beyond the limits")
        receiving.cancel()
    assert (record.name, record.levelno) == ("nnrp.server", logging.WARNING)


async def test_no_level_shows_an_auth_block(network, caplog):
    token = b"hunter2-is-the-token"
    with caplog.at_level(1), caplog.at_level(1, "nnrp"):
        async with network.serve() as listener:
            accepting = asyncio.create_task(
                accept_server_session(listener, auth_validator=lambda block: block == token)
            )
            with pytest.raises(NnrpProtocolError) as refused:
                await network.dial(listener.port, token + b"?")
            async with network.dial(listener.port, token) as client, await accepting as server:
                shown = f"{server!r} {server.hello!r} {client!r} {client.control!r} {refused.value!r}"
        await logged(caplog, "client refused")
    for form in (token.decode(), token.hex(), ", ".join(map(str, token))):
        assert form not in caplog.text + shown


CONTEXT = ("session_id", "frame_id", "view_id", "trace_id", "peer")


async def test_a_frame_can_be_followed_by_its_trace_id(network, caplog):
    with caplog.at_level(logging.DEBUG, "nnrp"):
        async with network.pair() as (server, client):
            await client.submit_frame(frame(7, trace_id=0xFEED))
            received = await server.receive_submit(STEP)
            await server.send_result(frame_id=7, trace_id=received.packet.header.trace_id)
            await client.receive_result(STEP)
            records = [
                await logged(caplog, words)
                for words in (
                    "a frame is on its way",
                    "a frame arrived",
                    "a result is on",
                    "a result arrived",
                )
            ]
    assert {(record.session_id, record.frame_id, record.trace_id) for record in records} == {
        (server.session_id, 7, 0xFEED)
    }
    assert [record.name.removeprefix("nnrp.") for record in records] == [
        "client",
        "transport",
        "server",
        "transport",
    ]
    own = [record.peer for record in records]
    assert own[1] == own[2] == "{}:{}".format(*server.peer_address)


async def test_every_record_has_the_same_attributes(network, caplog):
    with caplog.at_level(logging.DEBUG, "nnrp"):
        async with network.serve() as listener:
            accepting = asyncio.create_task(accept_server_session(listener, auth_validator=lambda _: False))
            with pytest.raises(NnrpProtocolError):
                await network.dial(listener.port)
            refused = await logged(caplog, "client refused")
            accepting.cancel()
        async with network.pair() as (server, _):
            await server.send_result_drop(3, "no particular reason", trace_id=9)
            dropped = await logged(caplog, "no particular reason")
        await logged(caplog, "the session is over")
    ours = [record for record in caplog.records if record.name.startswith("nnrp.")]
    assert all(hasattr(record, name) for record in ours for name in CONTEXT)
    assert refused.peer.startswith("127.0.0.1:")
    assert (dropped.session_id, dropped.frame_id, dropped.trace_id) == (server.session_id, 3, 9)


async def test_each_logger_has_its_own_level_which_may_change_at_any_time(tcp, caplog):
    async with tcp.pair() as (server, client):
        await client.submit_frame(frame(1))
        await server.receive_submit(STEP)
        assert not caplog.records
        with caplog.at_level(logging.DEBUG, "nnrp.transport"):
            async with asyncio.timeout(STEP):
                while not caplog.records:
                    await client.submit_frame(frame(2))
                    await server.receive_submit(STEP)
    assert {record.name for record in caplog.records} == {"nnrp.transport"}


class Stuck(logging.Handler):
    """A handler whose disk is full, so to speak."""

    def __init__(self):
        super().__init__()
        self.entered, self.free = threading.Event(), threading.Event()
        self.seen = []

    def emit(self, record):
        self.entered.set()
        self.free.wait(STEP)
        self.seen.append(record)


async def test_a_handler_that_blocks_costs_records_and_no_frames(tcp):
    logger, stuck = logging.getLogger("nnrp.transport"), Stuck()
    logger.addHandler(stuck)
    logger.setLevel(logging.DEBUG)
    try:
        async with tcp.pair() as (server, client):
            while not stuck.entered.is_set():
                await client.ping(STEP)
                await client.submit_frame(frame(1))
                await server.receive_submit(STEP)
                await server.send_result(frame_id=1)
                await client.receive_result(STEP)
            for number in range(2, 1200):  # more than may wait to be logged
                await client.submit_frame(frame(number))
                await server.receive_submit(STEP)
                await server.send_result(frame_id=number)
                await client.receive_result(STEP)
        assert stuck.seen == []
        stuck.free.set()
        async with asyncio.timeout(STEP):
            while not any("were not logged" in record.getMessage() for record in stuck.seen):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
    finally:
        stuck.free.set()
        logger.removeHandler(stuck)
        logger.setLevel(logging.NOTSET)


async def test_what_a_peer_says_stays_in_its_line(tcp, caplog):
    with caplog.at_level(logging.INFO, "nnrp"):
        async with tcp.raw_pair() as (_, client):
            client.close()
        async with tcp.serve() as listener:
            accepting = asyncio.create_task(accept_server_session(listener, timeout=STEP))
            async with tcp.dial(listener.port) as client, await accepting as server:
                native = server.connection._native
                native.close(0, "bye\nERROR nnrp.server all is lost")
                with pytest.raises(ConnectionResetError):
                    await client.receive_result(STEP)
                record = await logged(caplog, "all is lost")
    assert "\n" not in record.getMessage()


async def test_who_ended_a_session_is_said_alike_on_every_transport(network, caplog):
    with caplog.at_level(logging.INFO, "nnrp.transport"):
        async with network.pair() as (_, client):
            await client.close()
            ours = await logged(caplog, "the session is over: closed by us, session")
            theirs = await logged(caplog, "the session is over: closed by peer, session")
    assert ours.peer != theirs.peer

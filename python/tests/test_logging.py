"""What is worth knowing is in the standard logs, and secrets are not."""

import asyncio
import logging

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

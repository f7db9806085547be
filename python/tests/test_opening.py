"""What serve_*, connect_* and dial_client return is used once, and says so."""

import asyncio
import gc

import pytest
from frames import STEP

from nnrp.adapters import connect_tcp, serve_tcp
from nnrp.client import connect_client_control, connect_client_session, dial_client
from nnrp.server import accept_server_session

HOST = "127.0.0.1"


async def test_awaiting_twice_is_an_error():
    opening = serve_tcp(HOST, 0)
    async with await opening:
        with pytest.raises(RuntimeError, match=r"serve_tcp\(…\) has been awaited already"):
            await opening
        with pytest.raises(RuntimeError, match="awaited already"):
            async with opening:
                pass


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("serve_tcp", lambda: serve_tcp(HOST, 0)),
        ("connect_tcp", lambda: connect_tcp(HOST, 1)),
        ("dial_client", lambda: dial_client(HOST, 1)),
        ("connect_client_session", lambda: connect_client_session(HOST, tcp_port=1)),
        ("connect_client_control", lambda: connect_client_control(HOST, tcp_port=1)),
    ],
)
def test_a_forgotten_await_is_warned_about(name, call):
    opening = call()
    assert repr(opening) == f"<{name}(…), not awaited yet>"
    with pytest.raises(AttributeError, match=rf"use `await {name}\(…\)` or `async with"):
        opening.submit  # noqa: B018
    with pytest.warns(RuntimeWarning, match=rf"^{name}\(…\) was never awaited$"):
        del opening
        gc.collect()


@pytest.mark.filterwarnings("error")
async def test_a_used_one_goes_away_in_silence():
    opening = serve_tcp(HOST, 0)
    async with opening:
        assert repr(opening) == "<serve_tcp(…), used>"
    del opening
    gc.collect()


async def test_sessions_list_their_fields_shortly_and_without_payload(network):
    async with network.pair(model_name="model") as (server, client):
        for session, name in ((server, "ServerSession"), (client, "ClientSession")):
            text = repr(session)
            assert text.startswith(f"{name}(")
            assert HOST in text
            assert len(text) < 600
        assert "hello=ClientHelloContext(packet=<CLIENT_HELLO of " in repr(server)
        assert "active_model_name='model'" in repr(server)


async def test_credentials_are_not_in_the_repr_of_a_session(tcp):
    async with tcp.serve() as listener:
        accepting = accept_server_session(listener, timeout=STEP)
        client, server = await asyncio.gather(tcp.dial(listener.port, b"hunter2"), accepting)
        async with client, server:
            shown = repr((server, server.hello, server.hello.packet, client, client.control.bootstrap))
    assert "hunter2" not in shown
    assert "auth_block=<7 bytes>" in shown

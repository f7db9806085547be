"""What beginners do, and what they are told: who got what, and what to write instead."""

import asyncio
import socket

import numpy as np
import pytest
from frames import STEP, frame, section

from nnrp.adapters import (
    create_quic_server_configuration,
    create_tcp_client_configuration,
    create_tcp_server_configuration,
    serve_tcp,
)
from nnrp.arrays import TileGrid
from nnrp.client import SubmitRequest, TypedPayload, dial_client
from nnrp.core import SessionPatchField, TensorDType, TensorSectionData
from nnrp.errors import NnrpConnectionClosedError
from nnrp.server import MicroBatcher, accept_server_session, serve_sessions

ARRAY = np.zeros((2, 2), np.uint8)
CHUNK = TypedPayload.token_chunk(b"x")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"sections": (ARRAY,)},
            r"sections\[0\] must be a TensorSectionData, not 'ndarray'; nnrp.arrays.tensor_s",
        ),
        ({"sections": ARRAY}, r"sections\[0\] must be a TensorSectionData, not 'ndarray'"),
        ({"sections": section(b"x")}, r"a sequence of TensorSectionData, .*; write sections=\(…,\)"),
        ({"sections": 3}, "sections must be a sequence of TensorSectionData, not 'int'"),
        (
            {"typed_payloads": (CHUNK, b"x")},
            r"typed_payloads\[1\] must be a TypedPayload, not 'bytes'; TypedPay",
        ),
        ({"typed_payloads": CHUNK}, r"a sequence of TypedPayload, .*; write typed_payloads=\(…,\)"),
        ({"tile_ids": 3}, "tile ids must be a sequence of integers, not 'int'"),
        ({"frame_id": None}, "frame_id must be an integer, not NoneType"),
    ],
)
async def test_content_of_the_wrong_kind(tcp, content, message):
    async with tcp.pair() as (server, client):
        with pytest.raises(TypeError, match=message):
            await server.send_result(**{"frame_id": 1, **content})
        with pytest.raises(TypeError, match=message):
            await client.submit_frame(SubmitRequest(**{"frame_id": 1, **content}))


def test_text_is_no_payload():
    with pytest.raises(
        TypeError, match=r"payload of a TOKEN_CHUNK must be bytes-like, not 'str'; use text.enc"
    ):
        TypedPayload.token_chunk("word")
    with pytest.raises(TypeError, match=r"bytes-like tiles, one for each tile id; number 1 is 'str'"):
        section(b"x", "word")
    with pytest.raises(TypeError, match="a sequence of bytes-like tiles, one for each tile id, not 'int'"):
        TensorSectionData(1, 0, TensorDType.UINT8, 5)


async def test_a_timeout_is_a_number(tcp):
    async with tcp.serve() as listener:
        accepting = asyncio.create_task(accept_server_session(listener, timeout=STEP))
        async with tcp.dial(listener.port) as client, await accepting as server:
            for call in (
                lambda: client.submit(frame(1), timeout="5"),
                lambda: client.submit_frame(frame(1), timeout="5"),
                lambda: client.receive_result("5"),
                lambda: client.ping("5"),
                lambda: client.patch_session(SessionPatchField.QUALITY_TIER, timeout="5"),
                lambda: client.put_cache(kind=1, key=1, data=b"", timeout="5"),
                lambda: client.receive_flow_update("5"),
                lambda: client.migrate_session("127.0.0.1", tcp_port=1, timeout="5"),
                lambda: server.receive_submit("5"),
                lambda: server.receive_control("5"),
                lambda: server.drain("5"),
                lambda: listener.accept("5"),
                lambda: listener.drain("5"),
                lambda: accept_server_session(listener, timeout="5"),
                lambda: dial_client("127.0.0.1", listener.port, timeout="5"),
            ):
                with pytest.raises(TypeError, match="timeout must be a number of seconds or None, not 'str'"):
                    await call()


async def test_a_dict_is_no_profile(tcp):
    async with tcp.serve() as listener:
        for wrong, kind in (("profile", "ServerProfile"), ("options", "ServerOptions")):
            with pytest.raises(TypeError, match=f"{wrong} must be a {kind}, not 'dict'; write {kind}"):
                await accept_server_session(listener, **{wrong: {"max_sections": 1}})
    for wrong, kind in (("profile", "ClientProfile"), ("dial_policy", "ClientDialPolicy")):
        with pytest.raises(TypeError, match=f"{wrong} must be a {kind}, not 'dict'; write {kind}"):
            dial_client("127.0.0.1", 1, **{wrong: {}})


async def test_a_listener_that_was_not_opened():
    unopened = serve_tcp("127.0.0.1", 0)
    for serve in (lambda: accept_server_session(unopened), lambda: serve_sessions(unopened, handler=print)):
        with pytest.raises(
            TypeError, match=r"not <serve_tcp\(…\), not awaited yet>: open it with `async with"
        ):
            await serve()
    with pytest.raises(TypeError, match=r"write `async with serve_tcp\(…\) as …`"):
        with unopened:
            pass
    async with unopened:
        pass


async def test_serving_nothing_or_with_nothing(tcp):
    with pytest.raises(TypeError, match="serve_sessions needs a listener"):
        await serve_sessions(handler=print)
    async with tcp.serve() as listener:
        with pytest.raises(TypeError, match="handler must be a coroutine function, not 'NoneType'"):
            await serve_sessions(listener, handler=None)


async def test_a_handler_that_is_no_coroutine_function(tcp, caplog):
    async with tcp.serve() as listener:
        serving = asyncio.create_task(serve_sessions(listener, handler=lambda _: None, signals=()))
        async with tcp.dial(listener.port) as client:
            with pytest.raises(NnrpConnectionClosedError):
                await client.receive_result(STEP)
        serving.cancel()
        await asyncio.wait([serving])
    failures = [record for record in caplog.records if record.exc_info]
    assert "write it with `async def`" in str(failures[0].exc_info[1])


async def test_cancelled_serving_leaves_no_complaint(tcp, caplog):
    async with tcp.serve() as listener:
        serving = asyncio.create_task(serve_sessions(listener, handler=print, signals=()))
        await asyncio.sleep(0)
        serving.cancel()
        await asyncio.wait([serving])
        del serving
    assert [record for record in caplog.records if record.name == "asyncio"] == []


async def test_the_sections_of_a_drop(tcp):
    async with tcp.pair() as (server, client):
        await client.submit_frame(frame(7))
        await server.send_result_drop((await server.receive_submit(STEP)).frame_id, "queue_overflow")
        drop = await client.receive_result(STEP)
    assert drop.sections == ()
    assert drop.sections[1:] == ()
    with pytest.raises(
        IndexError, match=r"frame 7 was dropped \(QUEUE_FULL\): .* look at result.is_drop first"
    ):
        drop.sections[0]


async def test_reasons_for_drops(tcp, caplog):
    async with tcp.pair() as (server, _):
        with pytest.raises(ValueError, match="77 is no ResultHintReason; there are NONE 0, QUEUE_FULL 1, "):
            await server.send_result_drop(1, 77)
        for _ in range(3):
            await server.send_result_drop(1, "reason of this very test")
    told = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert [
        words for words in told if words.startswith("clients do not hear the reason 'reason of this")
    ] == told[:1]
    assert len(told) == 1


async def test_a_stream_is_iterated_once(tcp):
    async with tcp.pair() as (server, client):
        stream = client.stream(frame(1), timeout=STEP)
        answering = asyncio.create_task(server.receive_submit(STEP))
        answering.add_done_callback(lambda _: asyncio.ensure_future(server.send_result(frame_id=1)))
        assert [part.frame_id async for part in stream] == [1]
        with pytest.raises(RuntimeError, match=r"this stream is over; call session\.stream"):
            async for _ in stream:
                pass


def test_a_batcher_of_nothing():
    with pytest.raises(TypeError, match="run must be a function that takes a list of items, not 'NoneType'"):
        MicroBatcher(None, max_size=2)
    with pytest.raises(TypeError, match="max_size must be a number of items, not 'str'"):
        MicroBatcher(print, max_size="2")


async def test_a_batch_without_results():
    async with MicroBatcher(lambda _: None, max_size=1) as batcher:
        with pytest.raises(
            TypeError, match="run must return a sequence, one result for each item, not 'NoneTy"
        ):
            await batcher.compute(1)


def test_a_picture_has_each_tile_once():
    grid = TileGrid(width=4, height=2, tile_width=2, tile_height=2)
    with pytest.raises(ValueError, match="tile 1 is named twice"):
        grid.section(np.zeros((2, 4), np.uint8), role_id=1, tile_ids=(1, 1))


async def test_a_host_nobody_knows_is_named():
    with pytest.raises(socket.gaierror, match=r"no address for host 'nowhere\.invalid'"):
        await dial_client("nowhere.invalid", 1, config=create_tcp_client_configuration())


@pytest.mark.parametrize("configure", [create_quic_server_configuration, create_tcp_server_configuration])
def test_a_key_in_place_of_its_certificate(tmp_path, certificate, configure):
    (tmp_path / "cert.pem").write_bytes(certificate.certificate)
    (tmp_path / "key.pem").write_bytes(certificate.private_key)
    with pytest.raises(
        ValueError, match=r"key.pem and .*cert.pem\): certificate and private key are swapped"
    ):
        configure(certificate=tmp_path / "key.pem", private_key=tmp_path / "cert.pem")
    with pytest.raises(ValueError, match=r"\(in .*cert.pem\)$"):
        configure(certificate=tmp_path / "cert.pem", private_key=certificate.certificate)


async def test_the_other_transport_is_suggested():
    with pytest.raises(
        TimeoutError, match=r"over QUIC within .* Without a configuration it is QUIC; for TCP"
    ):
        await dial_client("nnrps://127.0.0.1:9", timeout=0.05)


async def test_a_closed_listener_has_no_certificates_to_renew(network):
    if network.transport == "tcp":
        pytest.skip("there are none")
    async with network.serve() as listener:
        listener.reload_certificate()
    with pytest.raises(NnrpConnectionClosedError, match="the listener is closed"):
        listener.reload_certificate()

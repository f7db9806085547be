"""Frames go to the server, results come back to whoever asked for that frame."""

import asyncio

import pytest
from frames import STEP, echo, frame, section

from nnrp.client import TypedPayload
from nnrp.core import MessageType, PayloadKind, ResultClass, TileIndexMode


async def test_a_result_without_tile_ids_covers_the_tiles_of_the_submit(network):
    async with network.pair() as (server, client):
        await client.submit_frame(frame(1, b"abc", b"", b"de", tile_ids=(3, 7, 12)))
        await echo(server)
        result = await client.receive_result(STEP, frame_id=1)
        assert result.tile_ids == (3, 7, 12)
        assert result.sections[0].tile_payloads == (b"abc", b"", b"de")
        assert result.metadata.result_class is ResultClass.COMPLETE
        assert (result.metadata.covered_tile_count, result.metadata.dropped_tile_count) == (3, 0)


async def test_sections_of_another_size_than_the_submit_cover_a_range(network):
    async with network.pair() as (server, client):
        await client.submit_frame(frame(1, b"a", b"b", tile_ids=(3, 7)))
        await server.receive_submit(STEP)
        await server.send_result(frame_id=1, sections=(section(b"x", b"y", b"z"),), tile_base_id=40)
        assert (await client.receive_result(STEP)).tile_ids == (40, 41, 42)


async def test_results_are_handed_out_by_frame_whatever_the_order(network):
    async with network.pair() as (server, client):
        waiting = [asyncio.create_task(client.receive_result(STEP, frame_id=number)) for number in range(8)]
        for number in range(8):
            await client.submit_frame(frame(number, bytes((number,))))
        received = [await server.receive_submit(STEP) for _ in range(8)]
        for submit in reversed(received):
            await server.send_result(frame_id=submit.metadata.frame_id, sections=submit.request.sections)
        for number, result in enumerate(await asyncio.gather(*waiting)):
            assert result.frame_id == number
            assert result.sections[0].tile_payloads == (bytes((number,)),)


async def test_results_of_one_frame_come_in_the_order_they_were_sent(network):
    async with network.pair() as (server, client):
        await client.submit_frame(frame(1))
        await server.receive_submit(STEP)
        for number in range(20):
            await server.send_result(
                frame_id=1, typed_payloads=(TypedPayload.token_chunk(bytes((number,)) * (4000 >> number)),)
            )
        for number in range(20):
            result = await client.receive_result(STEP, frame_id=1)
            assert result.token_chunks == (bytes((number,)) * (4000 >> number),)


async def test_submit_waits_for_its_own_result(network):
    async with network.pair() as (server, client):
        answering = asyncio.create_task(echo(server))
        result = await client.submit(frame(5, b"own"), timeout=STEP)
        await answering
        assert (result.frame_id, result.is_push) == (5, True)


async def test_a_frame_can_mix_tensors_and_typed_payloads(network):
    payloads = (TypedPayload.token_chunk(b"tok", profile_id=3), TypedPayload.structured_event(b"{}"))
    async with network.pair() as (server, client):
        await client.submit_frame(frame(1, b"t", typed_payloads=payloads))
        received = await server.receive_submit(STEP)
        assert received.request.typed_payloads == payloads
        assert received.request.sections[0].tile_payloads == (b"t",)
        expected = PayloadKind.TENSOR | PayloadKind.TOKEN_CHUNK | PayloadKind.STRUCTURED_EVENT
        assert received.metadata.payload_kind_bitmap == expected
        await server.send_result(frame_id=1, typed_payloads=payloads)
        result = await client.receive_result(STEP)
        assert result.typed_payloads == payloads
        assert result.tensor_body is None
        assert not result.has_tensor_coverage


async def test_the_request_arrives_as_it_was_made(network):
    request = frame(
        9,
        b"abcd",
        src_width=64,
        src_height=32,
        tile_width=8,
        tile_height=8,
        tile_ids=(5,),
        camera_block=b"camera",
        tile_index_mode=TileIndexMode.DELTA_U16,
        latency_budget_ms=40,
        target_fps_x100=6000,
        dependency_frame_id=3,
        retry_of_frame=4,
        view_id=2,
        route_id=8,
        trace_id=1 << 60,
    )
    async with network.pair() as (server, client):
        await client.submit_frame(request)
        received = await server.receive_submit(STEP)
        deadline = received.metadata.deadline_ms
        assert received.request.deadline_ms == deadline > 0
        assert received.metadata.inference_budget_ms == 40
        assert received.metadata.frame_id == 9
        for name in ("view_id", "route_id", "trace_id", "camera_block", "tile_ids", "sections", "src_width"):
            assert getattr(received.request, name) == getattr(request, name), name


async def test_sending_returns_the_bytes_of_the_packet(network):
    async with network.pair() as (server, client):
        await client.submit_frame(frame(1))
        await client.submit_frame(frame(2))
        sent = await server.send_result(frame_id=1, sections=(section(b"tile"),))
        packet = (await client.receive_result(STEP)).packet
        assert sent == len(packet.pack())
        assert await server.send_result_drop(2) == 40
        assert (await client.receive_result(STEP)).packet.header.msg_type is MessageType.RESULT_DROP


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"frame_id": -1}, ValueError),
        ({"frame_id": 1 << 32}, ValueError),
        ({"frame_id": 1.0}, TypeError),
        ({"frame_id": 1, "tile_index_mode": TileIndexMode.BITSET, "sections": (section(b"a"),)}, ValueError),
        ({"frame_id": 1, "sections": (section(b"a"), section(b"b"))}, ValueError),
        ({"frame_id": 1, "sections": (section(b"a"), section(b"b", b"c", role_id=2))}, ValueError),
        ({"frame_id": 1, "tile_ids": (1, 2), "sections": (section(b"a"),)}, ValueError),
        (
            {"frame_id": 1, "tile_ids": (1,), "sections": (section(b"a"),), "covered_tile_count": 3},
            ValueError,
        ),
        (
            {"frame_id": 1, "sections": (section(b"a"),), "result_class": ResultClass.PARTIAL},
            ValueError,
        ),
    ],
)
async def test_arguments_that_make_no_result_send_nothing(tcp, arguments, error):
    async with tcp.pair() as (server, client):
        with pytest.raises(error):
            await server.send_result(**arguments)
        await server.send_result(frame_id=77)
        assert (await client.receive_result(STEP)).frame_id == 77


async def test_only_a_request_is_submitted(tcp):
    async with tcp.pair() as (_, client):
        for submit in (client.submit, client.send_submit, client.submit_frame):
            with pytest.raises(TypeError, match="a SubmitRequest is required, not 'dict'"):
                await submit({"frame_id": 1})


async def test_durations_saturate(tcp):
    async with tcp.pair() as (server, client):
        await server.send_result(frame_id=1, inference_ms=70_000, queue_ms=65_536, server_total_ms=65_535)
        metadata = (await client.receive_result(STEP)).metadata
        assert (metadata.inference_ms, metadata.queue_ms, metadata.server_total_ms) == (65_535,) * 3

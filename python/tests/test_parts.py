"""Answers in parts: tiles and typed payloads, until the last."""

import asyncio

import numpy as np
import pytest
from frames import STEP, frame

from nnrp.arrays import TileGrid
from nnrp.client import SubmitRequest, TypedPayload
from nnrp.core import ResultClass, TensorDType, TensorSectionData

GRID = TileGrid(width=4, height=4, tile_width=2, tile_height=2)
PICTURE = np.arange(16, dtype=np.float32).reshape(4, 4)


def picture(frame_id):
    section = GRID.section(PICTURE, role_id=1)
    return SubmitRequest(frame_id=frame_id, tile_ids=GRID.tile_ids, sections=(section,), view_id=3)


async def test_a_picture_grows_tile_by_tile(network):
    async with network.pair() as (server, client):

        async def answer():
            received = await server.receive_submit(STEP)
            for tiles in ((3, 1), (0,)):
                sections = (GRID.section(PICTURE, role_id=2, tile_ids=tiles),)
                await server.send_part(received, tile_ids=tiles, sections=sections)
            last = (GRID.section(PICTURE, role_id=2, tile_ids=(2,)),)
            await server.send_part(received, tile_ids=(2,), sections=last, last=True, status_code=7)

        answering = asyncio.create_task(answer())
        out = np.zeros_like(PICTURE)
        seen = []
        async for part in client.stream(picture(1), timeout=STEP):
            GRID.image(part.sections[0], tile_ids=part.tile_ids, out=out)
            seen.append((part.tile_ids, part.tensor_dropped_tile_count, np.count_nonzero(out), part.is_last))
        await answering
    # Pixel 0 is 0, and in tile 0.
    assert seen == [
        ((3, 1, 0, 2), 2, 8, False),
        ((0, 1, 2, 3), 3, 11, False),
        ((2,), 0, 15, True),
    ]
    assert (out == PICTURE).all()
    assert part.metadata.status_code == 7
    assert not part.beyond_policy
    assert part.view_id == 3


async def test_tokens_end_with_an_empty_part(network):
    async with network.pair() as (server, client):

        async def answer():
            received = await server.receive_submit(STEP)
            for word in (b"to", b"be"):
                await server.send_part(received, typed_payloads=(TypedPayload.token_chunk(word),))
            await server.send_part(received, last=True)

        answering = asyncio.create_task(answer())
        parts = [part async for part in client.stream(frame(1), timeout=STEP)]
        await answering
    assert [part.token_chunks for part in parts] == [(b"to",), (b"be",), ()]
    classes = [part.metadata.result_class for part in parts]
    assert classes == [ResultClass.PARTIAL, ResultClass.PARTIAL, ResultClass.COMPLETE]
    assert not parts[-1].has_tensor_coverage


async def test_a_part_that_is_none(tcp):
    async with tcp.pair() as (server, client):
        await client.submit_frame(picture(9))
        received = await server.receive_submit(STEP)
        with pytest.raises(ValueError, match=r"all 4 tiles of frame 9: .* send it with last=True; .*R-RES-7"):
            await server.send_part(received, tile_ids=GRID.tile_ids, sections=received.request.sections)
        with pytest.raises(ValueError, match="tile_ids must say which tiles this part holds"):
            await server.send_part(received, sections=received.request.sections)
        with pytest.raises(ValueError, match="list the tiles still to come with empty payloads"):
            await server.send_result(
                frame_id=9, sections=received.request.sections, result_class=ResultClass.PARTIAL
            )


async def test_tiles_with_codecs_of_their_own_keep_them(tcp):
    async with tcp.pair() as (server, client):
        await client.submit_frame(frame(1, b"a", b"b", b"c"))
        received = await server.receive_submit(STEP)
        section = TensorSectionData(1, 5, TensorDType.UINT8, (b"xx", b"y"), codec_ids=(5, 6))
        await server.send_part(received, tile_ids=(0, 2), sections=(section,))
        part = await client.receive_result(STEP)
    assert part.tile_ids == (0, 2, 1)
    assert part.sections[0].tile_payloads == (b"xx", b"y", b"")
    assert part.sections[0].codec_ids == (5, 6, 5)


async def test_tiles_of_another_frame_can_be_a_part(tcp):
    async with tcp.pair() as (server, client):
        await client.submit_frame(frame(1, b"a", b"b"))
        first = await server.receive_submit(STEP)
        await client.submit_frame(frame(2, b"c", b"d", b"e"))
        second = await server.receive_submit(STEP)
        for sections in (first.request.sections, first.tensor_body.sections):
            await server.send_part(second, tile_ids=(1, 2), sections=sections)
            part = await client.receive_result(STEP, frame_id=2)
            assert part.sections[0].tile_payloads == (b"a", b"b", b"")

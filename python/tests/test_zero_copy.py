"""A received body is one buffer, and everything that shows it is a view."""

import gc

import numpy as np
import pytest
from frames import STEP, frame, section

from nnrp import _native
from nnrp.core import TensorDType, TensorSectionData


async def received(network, *tiles):
    async with network.pair() as (server, client):
        await client.submit_frame(frame(1, *tiles))
        return await server.receive_submit(STEP)


def address(view):
    return np.frombuffer(view, dtype=np.uint8).ctypes.data


async def test_all_views_share_the_buffer_of_the_body(network):
    submit = await received(network, b"a" * 64, b"b" * 32)
    body = submit.tensor_body
    [only] = body.sections
    owner = only.payload.obj
    assert isinstance(owner, _native.Buffer)
    assert only.length_table.obj is owner
    assert body.tile_index_block.obj is owner
    first, second = only.payload_slices()
    assert address(second) - address(first) == 64


async def test_views_are_read_only_and_outlive_the_session(network):
    submit = await received(network, bytes(range(200)))
    array = np.frombuffer(submit.tensor_body.sections[0].payload, dtype=np.uint8)
    del submit
    gc.collect()
    assert not array.flags.writeable
    assert array.tolist() == list(range(200))


async def test_payload_bytes_are_equal_whenever_they_are_read(network):
    submit = await received(network, b"one", b"two")
    data = submit.request.sections[0]
    assert isinstance(data, TensorSectionData)
    assert data.tile_payloads == data.tile_payloads == (b"one", b"two")
    assert all(type(tile) is bytes for tile in data.tile_payloads)
    assert type(submit.packet.body) is bytes
    assert submit.packet.body is submit.packet.body


async def test_arrays_of_a_request_are_views_too(network):
    submit = await received(network, bytes(range(64)))
    [viewed], [data] = submit.tensor_body.sections, submit.request.sections
    array = data.numpy()
    assert array.tolist() == [list(range(64))]
    assert array.__array_interface__["data"] == (address(viewed.payload), True)


@pytest.mark.parametrize(
    "payload",
    [
        b"x" * 100,
        b"x" * 100_000,
        bytearray(b"x" * 100_000),
        memoryview(b"yx" * 100_000)[1::2],
        np.full((100, 1000), ord("x"), dtype=np.uint8),
        np.frombuffer(b"x" * 200_000, dtype=np.uint16),
    ],
    ids=["small bytes", "large bytes", "bytearray", "strided view", "array", "array of u16"],
)
async def test_anything_bytes_like_can_be_sent(network, payload):
    expected = memoryview(payload).tobytes()
    async with network.pair() as (server, client):
        await client.submit_frame(frame(1))
        await server.receive_submit(STEP)
        sections = (TensorSectionData(1, 0, TensorDType.UINT8, (payload,)),)
        await server.send_result(frame_id=1, sections=sections)
        if isinstance(payload, bytearray):
            payload[:] = b"!" * len(payload)  # the caller may reuse it at once
        assert (await client.receive_result(STEP)).sections[0].tile_payloads == (expected,)


async def test_a_view_of_a_received_body_is_sent_on_without_a_copy(network):
    tile = b"z" * 1_000_000
    async with network.pair() as (server, client):
        await client.submit_frame(frame(1, tile))
        submit = await server.receive_submit(STEP)
        for number, sections in enumerate((submit.tensor_body.sections, submit.request.sections)):
            await server.send_result(frame_id=1, sections=sections, status_code=number)
        for number in range(2):
            result = await client.receive_result(STEP)
            assert result.metadata.status_code == number
            assert result.sections[0].tile_payloads == (tile,)


async def test_what_is_not_bytes_like_is_refused(tcp):
    async with tcp.pair() as (server, _):
        broken = section(b"x")
        object.__setattr__(broken, "tile_payloads", ("text",))
        with pytest.raises(TypeError, match="bytes-like"):
            await server.send_result(frame_id=1, sections=(broken,))

"""How often payload is copied on its way out: not at all if it cannot change, else once."""

import asyncio
import sys
import tracemalloc

import numpy as np
import pytest
from frames import STEP

from nnrp import _native
from nnrp.arrays import tensor_section
from nnrp.client import SubmitRequest, TypedPayload
from nnrp.core import TensorDType, TensorSectionData

SIZE = 4_000_000
#: Headers, tables and Python objects are not payload.
SLACK = SIZE // 20


def of_bytes(payload):
    return TensorSectionData(1, 0, TensorDType.UINT8, (payload,))


def section_request(payload):
    return SubmitRequest(frame_id=1, tile_ids=(0,), sections=(of_bytes(payload),))


def float_request(payload):
    return SubmitRequest(frame_id=1, tile_ids=(0,), sections=(tensor_section(payload, role_id=1),))


def typed_request(payload):
    return SubmitRequest(frame_id=1, typed_payloads=(TypedPayload.opaque_bytes(payload),))


async def copied(send):
    """Bytes that `send` copies: what Python allocates for them, and what the native module counts."""
    before = _native.copied_bytes()
    tracemalloc.start()
    try:
        held, _ = tracemalloc.get_traced_memory()
        kept = await send()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    del kept
    return peak - held + _native.copied_bytes() - before


@pytest.mark.parametrize(
    ("payload", "request_of", "copies"),
    [
        (bytes(SIZE), section_request, 0),
        (bytes(SIZE), typed_request, 0),
        (bytearray(SIZE), section_request, 1),
        (bytearray(SIZE), typed_request, 1),
        (np.zeros(SIZE, np.uint8), section_request, 1),
        (np.zeros((1, SIZE // 4), np.float32), float_request, 1),
        (np.zeros((2000, SIZE // 1000), np.uint8)[:, : SIZE // 2000], section_request, 1),
    ],
    ids=[
        "bytes",
        "typed bytes",
        "bytearray",
        "typed bytearray",
        "array",
        "array of floats",
        "part of a picture",
    ],
)
async def test_a_submit_copies_what_may_change_once(network, payload, request_of, copies):
    async with network.pair() as (server, client):

        async def send():
            request = request_of(payload)
            await client.submit_frame(request)
            return request

        spent = await copied(send)
        assert abs(spent - copies * SIZE) < SLACK
        received = await server.receive_submit(STEP)
        assert len(received.packet.body) >= SIZE


async def test_a_result_copies_what_may_change_once(network):
    async with network.pair() as (server, client):
        await client.submit_frame(section_request(bytes(SIZE)))
        received = await server.receive_submit(STEP)
        for copies, payload in ((0, None), (0, bytes(SIZE)), (1, bytearray(SIZE))):

            async def send(payload=payload):
                own = payload is not None
                sections = (of_bytes(payload),) if own else received.request.sections
                await server.send_result(frame_id=1, sections=sections)
                return sections

            assert abs(await copied(send) - copies * SIZE) < SLACK
            await client.receive_result(STEP)


async def test_small_payloads_are_copied_on_purpose(tcp):
    async with tcp.pair() as (server, client):
        before = _native.copied_bytes()
        await client.submit_frame(section_request(b"x" * 100))
        await server.receive_submit(STEP)
        assert _native.copied_bytes() - before == 100


async def test_what_has_been_sent_is_let_go_of(network):
    payload = bytes(SIZE)
    held = sys.getrefcount(payload)
    async with network.pair() as (server, client), asyncio.timeout(STEP):
        await client.submit_frame(section_request(payload))
        assert sys.getrefcount(payload) > held, "it is not copied"
        await server.receive_submit(STEP)
        while sys.getrefcount(payload) > held:
            await client.ping(STEP)

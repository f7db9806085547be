"""What a server and a client have done with goes away at once, not when the garbage collector comes by.

A frame can be megabytes, and a session a socket; a cycle would keep both until a full collection.
"""

import asyncio
import gc
from contextlib import contextmanager
from dataclasses import fields

import pytest
from frames import STEP, echo, frame

from nnrp import _native


@contextmanager
def no_collector():
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def alive(*kinds):
    return [found for found in gc.get_objects() if isinstance(found, kinds)]


def read_everything(value):
    for field in fields(value):
        getattr(value, field.name)


async def test_a_submit_that_was_read_goes_with_its_last_reference(network):
    async with network.pair() as (server, client):
        with no_collector():
            before = len(alive(_native.Buffer, _native.Submit))
            await client.submit_frame(frame(1, b"x" * 100_000))
            received = await server.receive_submit(STEP)
            read_everything(received)
            read_everything(received.request)
            assert len(alive(_native.Buffer, _native.Submit)) > before
            del received
            assert len(alive(_native.Buffer, _native.Submit)) == before


async def test_so_does_a_result(network):
    async with network.pair() as (server, client):
        with no_collector():
            before = len(alive(_native.Buffer))
            await client.submit_frame(frame(1, b"x" * 100_000))
            await echo(server)
            result = await client.receive_result(STEP)
            read_everything(result)
            del result
            assert len(alive(_native.Buffer)) == before


@pytest.mark.parametrize("runs", [3])
def test_sessions_go_with_the_run_that_made_them(network, runs):
    async def main():
        async with network.pair() as (server, client):
            await client.submit_frame(frame(1))
            await echo(server)
            await client.receive_result(STEP)

    with no_collector():
        for _ in range(runs):
            asyncio.run(main())
            assert alive(_native.ServerSession, _native.ClientSession, _native.Listener) == []

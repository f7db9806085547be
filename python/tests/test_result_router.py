"""The router that code for the published package is written around."""

import asyncio
import inspect

import pytest
from frames import STEP, echo, frame


async def test_it_hands_results_to_their_waiters(network):
    async with network.pair() as (server, client), client.manage_results() as router:
        waiting = [asyncio.create_task(router.receive(number, timeout=STEP)) for number in (1, 2)]
        for number in (1, 2):
            assert await router.send_submit(frame(number)) in (2, 6)
        for _ in range(2):
            await echo(server)
        assert [result.frame_id for result in await asyncio.gather(*waiting)] == [1, 2]
        with pytest.raises(TimeoutError):
            await router.receive(3, timeout=0.01)


async def test_results_can_be_injected(tcp):
    async with tcp.pair() as (server, client):
        await client.submit_frame(frame(1))
        await echo(server)
        result = await client.receive_result(STEP)
        async with client.manage_results() as router:
            await router.put(result)
            assert await router.get(1, timeout=STEP) is result


async def test_it_runs_once(tcp):
    async with tcp.pair() as (_, client):
        router = client.manage_results()
        with pytest.raises(RuntimeError):
            await router.receive(1)
        async with router:
            with pytest.raises(RuntimeError):
                await router.__aenter__()
        await router.close()
        with pytest.raises(RuntimeError):
            await router.send_submit(frame(1))


async def test_the_end_of_the_session_reaches_every_waiter(network):
    async with network.pair() as (server, client), client.manage_results() as router:
        waiting = asyncio.create_task(router.receive(1))
        await asyncio.sleep(0)
        await server.close()
        with pytest.raises(RuntimeError) as stopped:
            await asyncio.wait_for(waiting, STEP)
        assert isinstance(stopped.value.__cause__, ConnectionResetError)


def test_its_methods_are_coroutine_functions():
    from nnrp.client import ResultRouter  # noqa: PLC0415

    for name in ("send_submit", "receive", "get", "put", "close"):
        assert inspect.iscoroutinefunction(getattr(ResultRouter, name))

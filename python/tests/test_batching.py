"""Items of many sessions are computed together, and each gets its own result or its own end."""

import asyncio
import threading

import pytest
from frames import STEP, frame, section

from nnrp.server import MicroBatcher


class Model:
    """Doubles; computes when it is told to, and remembers the batches."""

    def __init__(self):
        self.batches = []
        self.go = asyncio.Semaphore(0)

    async def run(self, items):
        self.batches.append(list(items))
        await self.go.acquire()
        return [2 * item for item in items]


async def started(model, count):
    while len(model.batches) < count:  # noqa: ASYNC110  # the test's own time limit ends it
        await asyncio.sleep(0)


async def test_what_arrives_during_a_batch_is_the_next_one():
    model = Model()
    async with MicroBatcher(model.run, max_size=4) as batcher:
        first = asyncio.create_task(batcher.compute(0))
        await started(model, 1)
        others = [asyncio.create_task(batcher.compute(number)) for number in range(1, 7)]
        await asyncio.sleep(0)
        for _ in range(3):
            model.go.release()
        assert await asyncio.wait_for(asyncio.gather(first, *others), STEP) == [0, 2, 4, 6, 8, 10, 12]
        assert model.batches == [[0], [1, 2, 3, 4], [5, 6]]


async def test_a_full_batch_does_not_wait_for_the_delay():
    model = Model()
    model.go.release()
    async with MicroBatcher(model.run, max_size=2, max_delay=3600) as batcher:
        both = asyncio.gather(batcher.compute(1), batcher.compute(2))
        assert await asyncio.wait_for(both, STEP) == [2, 4]


async def test_the_delay_ends_the_wait_for_more():
    model = Model()
    model.go.release()
    async with MicroBatcher(model.run, max_size=100, max_delay=0.01) as batcher:
        assert await asyncio.wait_for(batcher.compute(1), STEP) == 2


async def test_a_cancelled_item_is_not_computed():
    model = Model()
    async with MicroBatcher(model.run, max_size=4) as batcher:
        first = asyncio.create_task(batcher.compute(0))
        await started(model, 1)
        second, third = (asyncio.create_task(batcher.compute(number)) for number in (1, 2))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.sleep(0)
        for _ in range(2):
            model.go.release()
        assert await asyncio.wait_for(asyncio.gather(first, third), STEP) == [0, 4]
        assert model.batches == [[0], [2]]


async def test_a_blocking_function_runs_on_another_thread():
    def run(items):
        return [threading.get_ident() for _ in items]

    async with MicroBatcher(run, max_size=4) as batcher:
        assert await batcher.compute(0) != threading.get_ident()


async def test_a_failure_reaches_every_item_of_the_batch_and_no_other():
    async def run(items):
        if 13 in items:
            raise ArithmeticError("thirteen")
        return items

    async with MicroBatcher(run, max_size=2, max_delay=3600) as batcher:
        outcomes = await asyncio.gather(batcher.compute(13), batcher.compute(1), return_exceptions=True)
        assert [str(error) for error in outcomes] == ["thirteen", "thirteen"]
        assert await asyncio.gather(batcher.compute(2), batcher.compute(3)) == [2, 3]


async def test_a_function_that_forgets_an_item_is_an_error():
    async def run(items):
        return items[1:]

    async with MicroBatcher(run, max_size=1) as batcher:
        with pytest.raises(ValueError, match="0 results for 1 items"):
            await batcher.compute(1)


async def test_waiting_is_bounded():
    model = Model()
    async with MicroBatcher(model.run, max_size=1, max_pending=2) as batcher:
        tasks = [asyncio.create_task(batcher.compute(number)) for number in range(5)]
        await started(model, 1)
        for _ in range(10):
            await asyncio.sleep(0)
        assert batcher.pending == 1
        for _ in tasks:
            model.go.release()
        assert await asyncio.wait_for(asyncio.gather(*tasks), STEP) == [0, 2, 4, 6, 8]


async def test_leaving_cancels_who_waits():
    model = Model()
    async with MicroBatcher(model.run, max_size=1) as batcher:
        tasks = [asyncio.create_task(batcher.compute(number)) for number in range(2)]
        await started(model, 1)
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
    with pytest.raises(RuntimeError, match="async with"):
        await batcher.compute(1)


@pytest.mark.parametrize(
    "wrong", [{"max_size": 0}, {"max_size": 1, "max_delay": -1}, {"max_size": 4, "max_pending": 3}]
)
def test_wrong_numbers_are_refused(wrong):
    with pytest.raises(ValueError, match="must be at least"):
        MicroBatcher(list, **wrong)


async def test_frames_of_two_sessions_share_a_batch(network):
    sizes = []

    async def run(tiles):
        sizes.append(len(tiles))
        return [tile[::-1] for tile in tiles]

    async def serve(server, batcher):
        received = await server.receive_submit(STEP)
        tile = received.request.sections[0].tile_payloads[0]
        await server.send_result(frame_id=1, sections=(section(await batcher.compute(tile)),))

    async with (
        network.pair() as (one, first),
        network.pair() as (other, second),
        MicroBatcher(run, max_size=2, max_delay=3600) as batcher,
    ):
        serving = [asyncio.create_task(serve(server, batcher)) for server in (one, other)]
        results = await asyncio.gather(
            first.submit(frame(1, b"abc"), timeout=STEP), second.submit(frame(1, b"xyz"), timeout=STEP)
        )
        await asyncio.gather(*serving)
        assert [result.sections[0].tile_payloads for result in results] == [(b"cba",), (b"zyx",)]
        assert sizes == [2]

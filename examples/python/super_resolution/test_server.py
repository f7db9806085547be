"""What the server does with frames that are late, wrong or too many, over TCP on the loopback interface."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import numpy as np
import pytest
from nnrp import BudgetPolicy, HeaderFlags, ResultClass, TransportId
from nnrp.adapters import serve_tcp
from nnrp.client import ClientSession, SubmitRequest
from nnrp.server import serve_sessions

from . import server
from .client import connect, make_requests, super_resolve
from .engine import MODEL, Engine, Residuals, Tiles
from .server import TILES_PER_BATCH, Resolver
from .tiles import Grid

TIMEOUT = 20.0
PICTURE = np.zeros((96, 128), np.uint8)
TILES = 12
BATCHES = -(-TILES // TILES_PER_BATCH)

Scenario = Callable[[asyncio.Event, ClientSession], Awaitable[None]]


class GatedEngine(Engine):
    """Computes the first batch at once, and each further one when the test lets it."""

    def __init__(self) -> None:
        """Closed after the first batch."""
        super().__init__()
        self.gate = threading.Semaphore(1)
        self.waiting = threading.Event()

    def run(self, tiles: Tiles) -> Residuals:
        """Wait for the gate, and let the test know."""
        if not self.gate.acquire(blocking=False):
            self.waiting.set()
            self.gate.acquire(timeout=TIMEOUT)
        return super().run(tiles)


class FailingEngine(Engine):
    """Fails once."""

    failed = False

    def run(self, tiles: Tiles) -> Residuals:
        """Fail the first time."""
        if not self.failed:
            self.failed = True
            raise RuntimeError("the accelerator has fallen off")
        return super().run(tiles)


def play(scenario: Scenario, engine: Engine) -> None:
    """Run a client's side of the story against a server with this engine and one worker."""

    async def story() -> None:
        async with asyncio.timeout(TIMEOUT), serving(engine) as (stop, session):
            await scenario(stop, session)

    asyncio.run(story())


@contextlib.asynccontextmanager
async def serving(engine: Engine) -> AsyncIterator[tuple[asyncio.Event, ClientSession]]:
    """What stops a server with this engine, and a client's session with it."""
    stop = asyncio.Event()
    async with Resolver(engine, workers=1) as resolver, serve_tcp("127.0.0.1", 0) as listener:
        serving_it = asyncio.create_task(serve_sessions(listener, handler=resolver.serve, stop=stop))
        async with await connect(TransportId.TCP, "127.0.0.1", listener.port, certificate=MODEL) as session:
            yield stop, session
        stop.set()
        await serving_it


def one_frame(**changes: object) -> SubmitRequest:
    """All tiles of the picture in one frame."""
    (request,) = make_requests(PICTURE, Grid(PICTURE.shape[1], PICTURE.shape[0]), 1)
    assert len(request.tile_ids) == TILES
    return replace(request, **changes)  # type: ignore[arg-type]


def test_a_picture_comes_back_whole() -> None:
    """The ordinary way, with the measurements that go with it."""

    async def scenario(_: asyncio.Event, session: ClientSession) -> None:
        answers = 0

        def count() -> None:
            nonlocal answers
            answers += 1

        residual, measured = await super_resolve(session, PICTURE, passes=3, on_frame=count)
        assert residual.shape == (192, 256)
        assert (answers, measured.frames, measured.dropped_frames) == (3, 3, 0)
        for total, inference in zip(measured.server_total_ms, measured.inference_ms, strict=True):
            assert total >= inference

    play(scenario, Engine())


def test_an_input_it_does_not_know_is_dropped_and_the_session_goes_on() -> None:
    """Wrong role, wrong tile size, no tiles."""

    async def scenario(_: asyncio.Event, session: ClientSession) -> None:
        good = one_frame()
        wrong_role = replace(good.sections[0], role_id=1)
        bad = (
            replace(good, frame_id=2, sections=(wrong_role,)),
            replace(good, frame_id=3, tile_width=31),
            replace(good, frame_id=4, tile_ids=(), sections=()),
        )
        for request in bad:
            assert (await session.submit(request, timeout=TIMEOUT)).is_drop
        assert (await session.submit(good, timeout=TIMEOUT)).is_push

    play(scenario, Engine())


def test_a_failure_of_the_model_costs_one_frame() -> None:
    """The client hears of it at once."""

    async def scenario(_: asyncio.Event, session: ClientSession) -> None:
        assert (await session.submit(one_frame(frame_id=1), timeout=TIMEOUT)).is_drop
        assert (await session.submit(one_frame(frame_id=2), timeout=TIMEOUT)).is_push

    play(scenario, FailingEngine())


@pytest.mark.parametrize("policy", [BudgetPolicy.ALLOW_PARTIAL, BudgetPolicy.NONE])
def test_a_frame_out_of_time_gives_what_is_ready_to_those_who_take_it(policy: BudgetPolicy) -> None:
    """The tiles of the first batch, the others marked as dropped; or nothing."""
    engine = GatedEngine()
    budget_ms = 1000

    async def scenario(_: asyncio.Event, session: ClientSession) -> None:
        request = one_frame(latency_budget_ms=budget_ms, budget_policy=policy)
        asking = asyncio.create_task(session.submit(request, timeout=TIMEOUT))
        await asyncio.to_thread(engine.waiting.wait)
        await asyncio.sleep(budget_ms / 1000)
        engine.gate.release()  # the second batch, begun in time, ends too late for a third
        result = await asking
        if policy is BudgetPolicy.NONE:
            assert result.is_drop
            return
        assert result.metadata is not None
        assert result.metadata.result_class is ResultClass.PARTIAL
        assert result.packet.header.flags & HeaderFlags.EOS
        assert result.metadata.covered_tile_count == 2
        lengths = [len(payload) for payload in result.sections[0].payload_slices()]
        assert [bool(length) for length in lengths] == [True] * 2 + [False] * (TILES - 2)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "TILES_PER_BATCH", 1)
        play(scenario, engine)


def test_more_frames_than_may_wait_are_dropped() -> None:
    """The frame over the bound is answered before those under it."""
    engine = GatedEngine()

    async def scenario(_: asyncio.Event, session: ClientSession) -> None:
        for frame_id in (1, 2, 3):
            await session.submit_nowait(one_frame(frame_id=frame_id))
        assert (await session.receive_result(frame_id=3, timeout=TIMEOUT)).is_drop
        engine.gate.release(2 * BATCHES)
        for frame_id in (1, 2):
            assert (await session.receive_result(frame_id=frame_id, timeout=TIMEOUT)).is_push

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "MAX_PENDING_FRAMES", 2)
        play(scenario, engine)


def test_a_frame_that_was_accepted_is_answered_after_stop() -> None:
    """And the session ends after it."""
    engine = GatedEngine()

    async def scenario(stop: asyncio.Event, session: ClientSession) -> None:
        asking = asyncio.create_task(session.submit(one_frame(), timeout=TIMEOUT))
        await asyncio.to_thread(engine.waiting.wait)
        stop.set()
        engine.gate.release()
        assert (await asking).is_push

    play(scenario, engine)

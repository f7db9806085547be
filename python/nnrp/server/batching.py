"""Micro-batching: items that arrive close together, from any number of sessions, are computed together."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

__all__ = ["MicroBatcher"]

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

DEFAULT_PENDING_BATCHES = 16
"""Items that may wait or be computed, in batches: some seconds of work for a model that is worth batching."""


class MicroBatcher(Generic[ItemT, ResultT]):
    """Calls a function with up to `max_size` items at a time.

    ::

        async with MicroBatcher(model.run, max_size=8, max_delay=0.002) as batcher:
            ...
            tiles = await batcher.compute(received.tensor_body.sections[0].numpy())

    A batch starts when it is full, or `max_delay` after its first item, and not before a batch that is being
    computed has ended: the items that arrive meanwhile are the next one. So an idle server answers a single
    item after `max_delay`, and a loaded one fills its batches by itself, also with a `max_delay` of 0.

    All methods belong to the event loop on which the batcher was entered.

    Args:
        run: takes a list of items and returns one result for each, in the same order. A coroutine function
            runs on the loop; any other function runs in `executor`, so that it may block.
        max_size: items in a batch, at least 1.
        max_delay: seconds that the first item of a batch waits for others, 0 or more.
        max_pending: items that may wait or be computed at once; :meth:`compute` waits for room beyond. 16
            batches by default.
        executor: where a plain `run` is called; the loop's default threads by default. A
            ``ThreadPoolExecutor(max_workers=1)`` keeps a model that wants it on one thread.

    Raises:
        TypeError: `run` cannot be called, or `max_size` is no integer.
        ValueError: a number is out of range.

    """

    def __init__(
        self,
        run: Callable[[list[ItemT]], Sequence[ResultT] | Awaitable[Sequence[ResultT]]],
        *,
        max_size: int,
        max_delay: float = 0.0,
        max_pending: int | None = None,
        executor: Executor | None = None,
    ) -> None:
        if not callable(run):
            raise TypeError(f"run must be a function that takes a list of items, not {type(run).__name__!r}")
        if not isinstance(max_size, int):
            raise TypeError(f"max_size must be a number of items, not {type(max_size).__name__!r}")
        max_pending = DEFAULT_PENDING_BATCHES * max_size if max_pending is None else max_pending
        for name, value, least in (
            ("max_size", max_size, 1),
            ("max_delay", max_delay, 0),
            ("max_pending", max_pending, max_size),
        ):
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        self._run = run
        self._asynchronous = any(map(inspect.iscoroutinefunction, (run, type(run).__call__)))
        self._max_size = max_size
        self._max_delay = max_delay
        self._executor = executor
        self._room = asyncio.Semaphore(max_pending)
        self._waiting: deque[tuple[ItemT, asyncio.Future[ResultT]]] = deque()
        self._arrived = asyncio.Event()
        self._full = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._worker = asyncio.create_task(self._work(), name="micro-batcher")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cancel what waits, after the batch that is being computed."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.cancel()
            await asyncio.wait([worker])
        for _, future in self._waiting:
            future.cancel()
        self._waiting.clear()

    @property
    def pending(self) -> int:
        """Items that wait for their batch to start."""
        return len(self._waiting)

    async def compute(self, item: ItemT) -> ResultT:
        """Return the result of `item`, computed in a batch with others.

        Waits for room when there are `max_pending` items already. Cancel-safe: a cancelled item that has not
        begun to be computed leaves the queue, and costs the others nothing.

        Raises:
            RuntimeError: the batcher has not been entered, or has been left.
            Exception: what `run` raised; all items of the batch get the same.

        """
        if self._worker is None:
            raise RuntimeError("use the batcher inside its block: `async with MicroBatcher(…) as batcher:`")
        async with self._room:
            future: asyncio.Future[ResultT] = asyncio.get_running_loop().create_future()
            self._waiting.append((item, future))
            self._arrived.set()
            if len(self._waiting) >= self._max_size:
                self._full.set()
            return await future

    async def _work(self) -> None:
        while True:
            await self._arrived.wait()
            if self._max_delay and len(self._waiting) < self._max_size:
                try:
                    async with asyncio.timeout(self._max_delay):
                        await self._full.wait()
                except TimeoutError:
                    pass
            batch = self._take()
            if batch:
                await self._compute(batch)

    def _take(self) -> list[tuple[ItemT, asyncio.Future[ResultT]]]:
        """Return the next items that somebody still waits for."""
        batch: list[tuple[ItemT, asyncio.Future[ResultT]]] = []
        while self._waiting and len(batch) < self._max_size:
            item, future = self._waiting.popleft()
            if not future.done():
                batch.append((item, future))
        if not self._waiting:
            self._arrived.clear()
        if len(self._waiting) < self._max_size:
            self._full.clear()
        return batch

    async def _compute(self, batch: list[tuple[ItemT, asyncio.Future[ResultT]]]) -> None:
        items = [item for item, _ in batch]
        try:
            results = await self._call(items)
        except asyncio.CancelledError:
            for _, future in batch:
                future.cancel()
            raise
        except Exception as error:  # noqa: BLE001  # it belongs to those who wait
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)

    async def _call(self, items: list[ItemT]) -> Sequence[ResultT]:
        run: Any = self._run
        if self._asynchronous:
            results = await run(items)
        else:
            results = await asyncio.get_running_loop().run_in_executor(self._executor, run, items)
        if not hasattr(results, "__len__"):
            kind = type(results).__name__
            raise TypeError(f"run must return a sequence, one result for each item, not {kind!r}")
        if len(results) != len(items):
            raise ValueError(f"run returned {len(results)} results for {len(items)} items")
        return cast("Sequence[ResultT]", results)

"""Handing results to the tasks that wait for them."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Self

from nnrp.client.request import SubmitRequest
from nnrp.client.result import Result

if TYPE_CHECKING:
    from nnrp.client.session import ClientSession

__all__ = ["ResultRouter"]


@dataclass
class ResultRouter:
    """Receives for a session and sorts by frame; use it as an async context manager.

    Kept for code that is written around it: :meth:`ClientSession.receive_result` sorts by frame on its own.

    Attributes:
        session: the session.

    """

    session: ClientSession
    _waiting: dict[tuple[int, int], deque[Result]] = field(
        default_factory=dict[tuple[int, int], "deque[Result]"], init=False, repr=False
    )
    _arrived: asyncio.Event = field(default_factory=asyncio.Event, init=False, repr=False)
    _task: asyncio.Task[None] | None = field(default=None, init=False, repr=False)
    _error: BaseException | None = field(default=None, init=False, repr=False)
    _closed: bool = field(default=False, init=False, repr=False)

    async def __aenter__(self) -> Self:
        if self._task is not None or self._closed:
            raise RuntimeError("a result router cannot be started twice")
        self._task = asyncio.create_task(self._run(), name="nnrp-result-router")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def send_submit(self, request: SubmitRequest) -> int:
        """Submit a frame and return the id of its stream.

        Raises:
            RuntimeError: the router is not running.

        As :meth:`ClientSession.send_submit`.

        """
        self._check()
        return await self.session.send_submit(request)

    async def receive(self, frame_id: int, *, view_id: int = 0, timeout: float | None = None) -> Result:
        """Return the next result of a frame.

        Raises:
            TimeoutError: none came within ``timeout`` seconds.
            RuntimeError: the router is not running, or stopped because receiving failed (chained).

        Timeouts and cancellation lose nothing.

        """
        key = (view_id, frame_id)
        async with asyncio.timeout(timeout):
            while not (results := self._waiting.get(key)):
                self._check()
                self._arrived.clear()
                await self._arrived.wait()
        result = results.popleft()
        if not results:
            del self._waiting[key]
        return result

    async def get(self, frame_id: int, *, timeout: float | None = None) -> Result:
        """Return the next result of a frame of view 0; as :meth:`receive`."""
        return await self.receive(frame_id, timeout=timeout)

    async def put(self, result: Result) -> None:
        """Hand in a result as if it had been received; done at once, nothing to cancel."""
        self._waiting.setdefault((result.view_id, result.frame_id), deque()).append(result)
        self._arrived.set()

    async def close(self) -> None:
        """Stop receiving. Idempotent and cancel-safe; results that were not taken are gone."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._arrived.set()

    def _check(self) -> None:
        if self._error is not None:
            raise RuntimeError("the result router has stopped") from self._error
        if self._task is None or self._closed:
            raise RuntimeError("the result router is not running")

    async def _run(self) -> None:
        try:
            while True:
                await self.put(await self.session.receive_result())
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  # every waiter gets it, chained
            self._error = error
            self._arrived.set()

"""The results of one frame, as they come."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Self

from nnrp.client.request import SubmitRequest
from nnrp.client.result import Result
from nnrp.core import BudgetPolicy
from nnrp.errors import NnrpConnectionClosedError

if TYPE_CHECKING:
    from nnrp.client.session import ClientSession

__all__ = ["ResultStream"]


class ResultStream:
    """Results of one frame in the order of sending; made by :meth:`ClientSession.stream`, and used once."""

    __slots__ = ("_parts",)

    def __init__(self, session: ClientSession, request: SubmitRequest, timeout: float | None) -> None:
        self._parts = _parts(session, request, timeout)

    def __aiter__(self) -> AsyncIterator[Result]:
        if getattr(self._parts, "ag_frame", None) is None:  # it has run to its end
            # An iteration without parts would look like an answer that has none.
            raise RuntimeError("this stream is over; call session.stream(request) again for another one")
        # The generator and not `self`: when the loop is left, nothing else refers to it, and it is closed.
        return self._parts

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the iteration; a frame without its last result is cancelled on the server. Idempotent."""
        await self._parts.aclose()


async def _parts(
    session: ClientSession, request: SubmitRequest, timeout: float | None
) -> AsyncGenerator[Result, None]:
    if not isinstance(request, SubmitRequest):
        raise TypeError(f"a SubmitRequest is required, not {type(request).__name__!r}")
    # Who iterates over parts takes parts: without the permission each would count as beyond what was allowed.
    request = replace(request, budget_policy=request.budget_policy | BudgetPolicy.ALLOW_PARTIAL)
    frame = {"frame_id": request.frame_id, "view_id": request.view_id}
    await session.submit_frame(request, timeout=timeout)
    live = True
    try:
        while live:
            part = await session.receive_result(timeout, **frame)
            live = not part.is_last
            yield part
    except (GeneratorExit, asyncio.CancelledError, TimeoutError):
        raise
    except BaseException:
        # The frame has ended with the refusal or with its session: there is nothing to cancel.
        live = False
        raise
    finally:
        if live:
            with contextlib.suppress(NnrpConnectionClosedError):
                await session.cancel_frame(**frame)

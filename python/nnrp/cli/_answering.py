"""Hands frames to a handler and keeps the rules for it: every frame is answered, once, in its time."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import logging
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

from nnrp._logging import about
from nnrp.cli._reply import Drop, Reply
from nnrp.core import BudgetPolicy, PayloadKind, ResultClass
from nnrp.errors import NnrpConnectionClosedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractContextManager

    from nnrp.server import MicroBatcher, ReceivedSubmit, ServerSession
    from nnrp.server._threads import Threads

__all__ = ["Answering", "is_async"]

_log = logging.getLogger("nnrp.cli")

#: Ends the parts of a plain generator: StopIteration cannot leave a thread by way of a future.
_END: Final = object()

#: What a text that asks for a drop without a code is logged as.
_NOTHING: Final = "the handler returned None"


def is_async(handler: Callable[..., Any]) -> bool:
    """Return whether a handler runs on the event loop: a coroutine function or an async generator."""
    call = getattr(handler, "__call__", None)  # noqa: B004  # an object's own method, to look at it
    return any(inspect.iscoroutinefunction(one) or inspect.isasyncgenfunction(one) for one in (handler, call))


@dataclass
class Answering:
    """Answers the frames of all sessions.

    Attributes:
        handler: looked up for each frame, so that it can be exchanged.
        in_flight: frames of one session that are handled at the same time.
        threads: where plain functions run.
        batcher: if the handler takes several frames at once.
        span: a context for each frame, for traces.
        sessions: how many go on.

    """

    handler: Callable[[], Callable[[Any], Any]]
    in_flight: int
    threads: Threads
    batcher: MicroBatcher[ReceivedSubmit, Any] | None = None
    span: Callable[[ReceivedSubmit], AbstractContextManager[object]] = lambda _: contextlib.nullcontext()
    sessions: int = 0

    async def serve(self, session: ServerSession) -> None:
        """Answer the frames of one session until it is over."""
        room = asyncio.Semaphore(self.in_flight)
        tasks: set[asyncio.Task[None]] = set()

        def done(task: asyncio.Task[None]) -> None:
            tasks.discard(task)
            room.release()

        self.sessions += 1
        try:
            async for received in session:
                await room.acquire()
                task = asyncio.create_task(self._answer(session, received))
                tasks.add(task)
                task.add_done_callback(done)
        finally:
            self.sessions -= 1
            # Whoever asked is gone. Closing the session drops what is owed all the same.
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _answer(self, session: ServerSession, received: ReceivedSubmit) -> None:
        frame = _Frame(session, received)
        gone = asyncio.create_task(received.cancelled())
        work = asyncio.create_task(self._work(frame))
        try:
            await asyncio.wait({gone, work}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            if not work.done():
                work.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await work
        if work.cancelled():
            await frame.drop()  # nobody waits for it, and it has to end all the same
        elif (error := work.exception()) is not None and not isinstance(error, NnrpConnectionClosedError):
            _log.error(
                "frame %d of session %d: the handler failed; the frame is dropped",
                frame.frame_id,
                session.session_id,
                exc_info=error,
                extra=frame.about(),
            )
            await frame.drop()

    async def _work(self, frame: _Frame) -> None:
        with self.span(frame.received):
            try:
                answer = await self._call(frame)
            except SystemExit as error:  # it would end the server, and the sessions of everybody
                raise RuntimeError("the handler called sys.exit()") from error
            if hasattr(answer, "__anext__"):
                await frame.stream(cast("AsyncIterator[Any]", answer))
            elif hasattr(answer, "__next__"):
                await frame.stream(self._parts(cast("Iterator[Any]", answer)))
            else:
                await frame.finish(answer)

    async def _call(self, frame: _Frame) -> Any:
        received = frame.received
        if self.batcher is not None:
            return await self.batcher.compute(received)
        handler = self.handler()
        if is_async(handler):
            frame.begin()
            answer = handler(received)
            return answer if hasattr(answer, "__anext__") else await answer

        def call() -> Any:
            frame.begin()
            return handler(received)

        return await self._on_thread(call)

    async def _parts(self, generator: Iterator[Any]) -> AsyncIterator[Any]:
        """Run a plain generator on the threads, one part at a time."""

        def following() -> Any:
            return next(generator, _END)

        while (part := await self._on_thread(following)) is not _END:
            yield part

    async def _on_thread(self, call: Callable[[], Any]) -> Any:
        """Call on a thread, in the context of here: spans of the handler belong to that of the frame."""
        return await asyncio.wrap_future(self.threads.run(partial(contextvars.copy_context().run, call)))


class _Frame:
    """One frame, and how it is answered."""

    def __init__(self, session: ServerSession, received: ReceivedSubmit) -> None:
        header = received.packet.header
        self.session, self.received = session, received
        self.frame_id: int = header.frame_id
        self._address: dict[str, Any] = {
            "view_id": header.view_id,
            "route_id": header.route_id,
            "trace_id": header.trace_id,
        }
        self._arrived = self._began = time.monotonic()

    def about(self) -> Any:
        """Return what a log record about it says."""
        return about(
            session=self.session.session_id,
            frame=self.frame_id,
            view=self._address["view_id"],
            trace=self._address["trace_id"],
            peer=self.session.peer_address,
        )

    def begin(self) -> None:
        """Note that the handler begins."""
        self._began = time.monotonic()

    async def drop(self, reason: Any = None) -> None:
        """End it without a result."""
        with contextlib.suppress(NnrpConnectionClosedError):
            await self.session.send_result_drop(self.frame_id, reason, **self._address)

    async def finish(self, answer: Any) -> None:
        """Answer it with what a handler returned."""
        match answer:
            case None:
                await self.drop(_NOTHING)
            case Drop(reason=reason):
                await self.drop(reason)
            case Reply():
                await self._send(answer.arguments(self.received))
            case _:
                await self._send(Reply(answer).arguments(self.received))

    async def stream(self, parts: AsyncIterator[Any]) -> None:
        """Answer it with parts, each as it comes; all at the end for a client that takes no partial result.

        Raises:
            TypeError: a part is a Reply or a Drop, which are about whole answers.

        """
        if not self.received.allows(BudgetPolicy.ALLOW_PARTIAL):
            await self.finish([item async for part in parts for item in _items(part)])
            return
        kinds = PayloadKind.NONE
        try:
            async for part in parts:
                arguments = Reply(_items(part), ResultClass.PARTIAL).arguments(self.received)
                for payload in arguments["typed_payloads"]:
                    kinds |= payload.payload_kind
                await self._send(arguments)
        finally:
            if isinstance(parts, AsyncGenerator):  # who stops taking parts lets it tidy up at once
                await cast("AsyncGenerator[Any]", parts).aclose()
        # The parts went out as they came, so that none waited for the next: this says that they were all.
        await self._send(Reply().arguments(self.received) | {"payload_kind_bitmap": kinds})

    async def _send(self, arguments: dict[str, Any]) -> None:
        now = time.monotonic()
        with contextlib.suppress(NnrpConnectionClosedError):  # nobody is left to read it
            await self.session.send_result(
                frame_id=self.frame_id,
                queue_ms=_milliseconds(self._began - self._arrived),
                inference_ms=_milliseconds(now - self._began),
                server_total_ms=_milliseconds(now - self._arrived),
                **self._address,
                **arguments,
            )


def _items(part: Any) -> list[Any]:
    """Return what a part is made of."""
    if part is None or isinstance(part, Drop | Reply):
        raise TypeError(f"a generator yielded a {type(part).__name__}; what it yields are parts")
    return list(cast("list[Any]", part)) if isinstance(part, list | tuple) else [part]


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)

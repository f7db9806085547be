"""A server's main loop: accept, handle, and go away in order when told to."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import signal
from collections.abc import Awaitable, Callable, Collection, Generator
from typing import Any, cast

from nnrp._logging import about
from nnrp.adapters._listener import DRAIN_REASON, Drained, drain_all
from nnrp.errors import NnrpConnectionClosedError
from nnrp.server.accept import ServerListener, accept_server_session
from nnrp.server.profile import ServerProfile
from nnrp.server.session import ServerSession

__all__ = ["serve_sessions"]

_log = logging.getLogger("nnrp.server")

#: Seconds a handler may go on when its session is over, before it is cancelled: enough to tidy up.
_HANDLER_GRACE = 5.0


async def serve_sessions(
    *listeners: ServerListener,
    handler: Callable[[ServerSession], Awaitable[object]],
    profile: ServerProfile | None = None,
    drain_timeout: float = 30.0,
    drain_reason: str = DRAIN_REASON,
    signals: Collection[int] = (signal.SIGTERM, signal.SIGINT),
    stop: asyncio.Event | None = None,
    **accepting: Any,
) -> Drained:
    """Serve every client of the listeners until a signal comes, then go away without losing a frame.

    ::

        async def handle(session):
            async for received in session:
                await session.send_result(frame_id=received.frame_id, sections=...)

        async with serve_quic(...) as quic, serve_tcp(...) as tcp:
            await serve_sessions(quic, tcp, handler=handle)

    On SIGTERM or SIGINT all listeners are drained, see :meth:`~nnrp.adapters.NnrpQuicListener.drain`: frames
    that clients have submitted are still answered, by handlers that just go on, frames and clients that come
    later are refused with a reason. A second signal cuts that short: what is not answered is dropped, and the
    clients are told. Then this returns, so that a program that ends with it ends with exit code 0.

    Args:
        *listeners: where clients come from.
        handler: called with each session, in a task of its own. The session is closed when it returns or
            raises; the closed error, which is how ``receive_submit`` says that the session is over, may
            pass through it, alone or in the group that a ``TaskGroup`` makes of it, and any other exception
            is logged.
        profile: what to announce.
        drain_timeout: seconds in which frames have to be answered after the signal.
        drain_reason: what clients are told.
        signals: what to listen to. Without effect outside the main thread, where signals do not arrive.
        stop: setting it does what a signal does.
        **accepting: further keywords of :func:`~nnrp.server.accept_server_session`.

    Returns:
        What became of the frames there were when the signal came. Without a signal this returns when all
        listeners are closed and all handlers have returned.

    Raises:
        TypeError: there is no listener, or ``handler`` cannot be called; and with ValueError, what
            :func:`~nnrp.server.accept_server_session` says to its arguments.

    When cancelled, handlers are cancelled and sessions are closed; what they owe is dropped.

    """
    if not listeners:
        raise TypeError("serve_sessions needs a listener: serve_sessions(listener, handler=handle)")
    if not callable(handler):
        raise TypeError(f"handler must be a coroutine function, not {type(handler).__name__!r}")
    stopping = _Stopping(stop)
    handlers = _Handlers(handler)
    accepts = [
        asyncio.create_task(_accept(listener, handlers, profile, accepting), name="nnrp-accept")
        for listener in listeners
    ]
    stopped = asyncio.create_task(stopping.first.wait())
    accepting_ends: asyncio.Future[list[None]] = asyncio.gather(*accepts)
    try:
        with stopping.on(signals):
            events: list[asyncio.Future[Any]] = [stopped, accepting_ends]
            await asyncio.wait(events, return_when=asyncio.FIRST_COMPLETED)
            if not stopped.done():
                await accepting_ends  # raises what is wrong with the arguments
                await handlers.finish(None)
                return Drained()
            _log.info("draining %d sessions, at most %g s", len(handlers.tasks), drain_timeout, extra=about())
            drained = await _drain(listeners, drain_timeout, drain_reason, stopping.second)
            await accepting_ends
            await handlers.finish(_HANDLER_GRACE)
            _log.info("drained: %s", drained, extra=about())
            return drained
    finally:
        for task in (stopped, *accepts, *handlers.tasks):
            task.cancel()
        # The one that gathers accepts too, or asyncio would log that nobody asked how it ended.
        await asyncio.gather(stopped, accepting_ends, *accepts, *handlers.tasks, return_exceptions=True)


async def _accept(
    listener: ServerListener, handlers: _Handlers, profile: ServerProfile | None, accepting: dict[str, Any]
) -> None:
    with contextlib.suppress(NnrpConnectionClosedError):
        while True:
            handlers.start(await accept_server_session(listener, profile, **accepting))


async def _drain(
    listeners: Collection[ServerListener], timeout: float, reason: str, hurry: asyncio.Event
) -> Drained:
    """Drain all listeners at the same time; at once when ``hurry`` is set."""
    drains = asyncio.ensure_future(drain_all(listeners, timeout, reason))
    hurried = asyncio.create_task(hurry.wait())
    events: list[asyncio.Future[Any]] = [drains, hurried]
    try:
        await asyncio.wait(events, return_when=asyncio.FIRST_COMPLETED)
        if not drains.done():
            await drain_all(listeners, 0.0, reason)
        return await drains
    finally:
        hurried.cancel()


class _Stopping:
    """What has been said about stopping."""

    def __init__(self, first: asyncio.Event | None) -> None:
        #: Stop.
        self.first = first or asyncio.Event()
        #: Stop at once.
        self.second = asyncio.Event()

    def _signalled(self) -> None:
        (self.second if self.first.is_set() else self.first).set()

    @contextlib.contextmanager
    def on(self, signals: Collection[int]) -> Generator[None]:
        """Listen to these signals."""
        loop = asyncio.get_running_loop()
        before: list[tuple[int, Any]] = []
        with contextlib.ExitStack() as stack:
            for number in signals:
                previous = signal.getsignal(number)
                try:
                    loop.add_signal_handler(number, self._signalled)
                except NotImplementedError:  # Windows
                    before.append((number, previous))
                    signal.signal(number, lambda _signal, _frame: loop.call_soon_threadsafe(self._signalled))
                except (ValueError, RuntimeError):  # not the main thread
                    _log.debug("signal %d is not listened to outside the main thread", number, extra=about())
                else:
                    stack.callback(_restore, loop, number, previous)
            try:
                yield
            finally:
                for number, previous in before:
                    signal.signal(number, previous)


def _restore(loop: asyncio.AbstractEventLoop, number: int, previous: Any) -> None:
    loop.remove_signal_handler(number)
    if previous is not None:
        signal.signal(number, previous)


def _awaitable(returned: Awaitable[object]) -> Awaitable[object]:
    if not inspect.isawaitable(returned):
        kind = type(returned).__name__
        raise TypeError(f"the handler returned {kind!r}, which cannot be awaited: write it with `async def`")
    return returned


def _is_end_of_session(error: BaseException) -> bool:
    """Whether nothing is wrong but that the session is over, be it said once or by every task of a group."""
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        return all(map(_is_end_of_session, group.exceptions))
    return isinstance(error, NnrpConnectionClosedError)


class _Handlers:
    """The tasks that handle sessions."""

    def __init__(self, handler: Callable[[ServerSession], Awaitable[object]]) -> None:
        self._handler = handler
        self.tasks: set[asyncio.Task[None]] = set()

    def start(self, session: ServerSession) -> None:
        """Handle a session."""
        task = asyncio.create_task(self._handle(session), name=f"nnrp-session-{session.session_id}")
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _handle(self, session: ServerSession) -> None:
        async with session:
            try:
                await _awaitable(self._handler(session))
            except Exception as error:  # noqa: BLE001  # one session's defect is not the others' end
                if _is_end_of_session(error):
                    return
                _log.exception(
                    "the handler of session %d failed; the session ends",
                    session.session_id,
                    extra=about(session=session.session_id, peer=session.peer_address),
                )

    async def finish(self, grace: float | None) -> None:
        """Wait until all have returned, at most ``grace`` seconds."""
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=grace)

"""The part that all recipes share: serve sessions, and hand every frame to one function."""

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from nnrp import NnrpConnectionClosedError
from nnrp.adapters import create_tcp_server_configuration, serve_tcp
from nnrp.server import ReceivedSubmit, ServerProfile, ServerSession, serve_sessions

log = logging.getLogger("recipes")

Answer = Callable[[ServerSession, ReceivedSubmit], Coroutine[Any, Any, None]]


async def serve(answer: Answer, in_flight: int = 16) -> None:
    """Serve on the port in the first argument; `answer(session, received)` is a coroutine function."""

    async def answer_or_drop(session: ServerSession, received: ReceivedSubmit) -> None:
        try:
            await answer(session, received)
        except NnrpConnectionClosedError:
            raise  # nobody is left to answer
        except Exception:  # costs this frame, and not the session with all others
            log.exception("frame %d failed", received.frame_id)
            await session.send_result_drop(received.frame_id, view_id=received.view_id)

    async def handle(session: ServerSession) -> None:
        async with asyncio.TaskGroup() as tasks:
            async for received in session:
                tasks.create_task(answer_or_drop(session, received))

    port = int(sys.argv[1]) if len(sys.argv) > 1 else 4433
    profile = ServerProfile(max_concurrent_frames=in_flight)
    async with serve_tcp("127.0.0.1", port, config=create_tcp_server_configuration()) as listener:
        print("listening on port", listener.port, flush=True)
        await serve_sessions(listener, handler=handle, profile=profile)

"""The part that all recipes share: accept sessions and hand every frame to one function."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from nnrp import NnrpConnectionClosedError
from nnrp.adapters import create_tcp_server_configuration, serve_tcp
from nnrp.server import ReceivedSubmit, ServerProfile, ServerSession, accept_server_session

Answer = Callable[[ServerSession, ReceivedSubmit], Coroutine[Any, Any, None]]


async def serve(answer: Answer, in_flight: int = 16) -> None:
    """Serve on the port in the first argument; `answer(session, received)` is a coroutine function."""

    async def handle(session: ServerSession) -> None:
        async with session, asyncio.TaskGroup() as tasks:
            with contextlib.suppress(NnrpConnectionClosedError):  # the client was lost
                async for received in session:
                    tasks.create_task(answer(session, received))

    port = int(sys.argv[1]) if len(sys.argv) > 1 else 4433
    if (serving := asyncio.current_task()) is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, serving.cancel)
    async with serve_tcp("127.0.0.1", port, config=create_tcp_server_configuration()) as listener:
        print("listening on port", listener.port, flush=True)
        with contextlib.suppress(asyncio.CancelledError):
            while True:
                session = await accept_server_session(
                    listener, ServerProfile(max_concurrent_frames=in_flight)
                )
                asyncio.create_task(handle(session))

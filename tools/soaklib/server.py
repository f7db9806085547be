"""The soak's server: a process that does what frames ask for, and measures itself.

Reads one JSON object from standard input (see ``tools/soak.py``), and serves until standard input ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from nnrp import NnrpConnectionClosedError
from nnrp.adapters import (
    create_quic_server_configuration,
    create_tcp_server_configuration,
    serve_quic,
    serve_tcp,
)
from nnrp.client import TypedPayload
from nnrp.core import ResultClass
from nnrp.server import ReceivedSubmit, ServerProfile, ServerSession, accept_server_session
from nnrp.server.transport import ServerListener

from soaklib.asking import Ask, token, token_count
from soaklib.sampling import Sampler, baseline, say, settle

#: Looks for a cancel this often, and this many times.
_CANCEL_STEP = 0.01
_CANCEL_STEPS = 3000


class Server:
    """Everything the process serves."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.handlers: set[asyncio.Task[None]] = set()

    async def accept(self, listener: ServerListener) -> None:
        """Serve every client of one listener."""
        profile = ServerProfile(max_concurrent_frames=64)
        while True:
            session = await accept_server_session(listener, profile)
            self.counters["sessions"] += 1
            self._start(self._serve(session))

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self.handlers.add(task)
        task.add_done_callback(self.handlers.discard)

    async def _serve(self, session: ServerSession) -> None:
        # Frames that wait for a cancel have tasks of their own; they end with the session.
        async with session:
            with contextlib.suppress(NnrpConnectionClosedError):
                while True:
                    received = await session.receive_submit()
                    self.counters["received"] += 1
                    if received.request.route_id == Ask.LEAVE:
                        break
                    if received.request.route_id == Ask.WAIT:
                        self._start(self._wait_for_cancel(session, received.request.frame_id))
                    else:
                        await self._answer(session, received)
        for name in ("packets_refused", "control_discarded"):
            self.counters[name] += session.stats[name]

    async def _answer(self, session: ServerSession, received: ReceivedSubmit) -> None:
        request = received.request
        frame_id = request.frame_id
        if request.route_id == Ask.ECHO:
            await session.send_result(frame_id=frame_id, sections=request.sections)
        elif request.route_id == Ask.DROP:
            await session.send_result_drop(frame_id, reason="superseded")
        else:
            last = token_count(frame_id) - 1
            for index in range(last + 1):
                await session.send_result(
                    frame_id=frame_id,
                    typed_payloads=(TypedPayload.token_chunk(token(frame_id, index)),),
                    result_class=ResultClass.COMPLETE if index == last else ResultClass.PARTIAL,
                )

    async def _wait_for_cancel(self, session: ServerSession, frame_id: int) -> None:
        with contextlib.suppress(NnrpConnectionClosedError):
            for _ in range(_CANCEL_STEPS):
                if session.is_closed:
                    return
                if session.frame_cancelled(frame_id):
                    self.counters["cancels"] += 1
                    break
                await asyncio.sleep(_CANCEL_STEP)
            await session.send_result_drop(frame_id)


async def _end_of_input() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


async def serve(server: Server, order: dict[str, Any], sampler: Sampler, before: dict[str, Any]) -> None:
    """Serve over every transport until there is no more input, and all clients have gone."""
    keys = {"certificate": order["certificate"].encode(), "private_key": order["private_key"].encode()}
    quic = create_quic_server_configuration(**keys)
    tls = create_tcp_server_configuration(**keys)
    async with (
        serve_quic("127.0.0.1", 0, quic) as over_quic,
        serve_tcp("127.0.0.1", 0, create_tcp_server_configuration()) as over_tcp,
        serve_tcp("127.0.0.1", 0, tls) as over_tls,
    ):
        listeners: dict[str, ServerListener] = {"quic": over_quic, "tcp": over_tcp, "tls": over_tls}
        say(ports={name: listener.port for name, listener in listeners.items()}, before=before)
        tasks = [asyncio.create_task(server.accept(listener)) for listener in listeners.values()]
        tasks.append(asyncio.create_task(sampler.run(order["interval"])))
        await _end_of_input()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*server.handlers)


async def main() -> None:
    """Serve, sample, and say what is left in the end."""
    order = json.loads(sys.stdin.readline())
    server = Server()
    sampler = Sampler(server.counters)
    before = await baseline(sampler)
    await serve(server, order, sampler, before)
    say(after=await settle(sampler, before))


asyncio.run(main())

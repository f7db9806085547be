"""Our echo server, written as the documentation shows it: every tensor is sent back.

``python ours.py --loop asyncio|uvloop --transport tcp|tls|quic --certificates DIRECTORY [--host IP]
[--hold FRAMES]``
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from nnrp import NnrpConnectionClosedError
from nnrp.adapters import (
    create_quic_server_configuration,
    create_tcp_server_configuration,
    serve_quic,
    serve_tcp,
)
from nnrp.server import ReceivedSubmit, ServerProfile, ServerSession, accept_server_session

#: More than any run has in flight, so that credit holds nobody back.
CREDIT = 1024


async def echo(session: ServerSession) -> None:
    """Answer every frame with its own section."""
    async with session:
        with contextlib.suppress(NnrpConnectionClosedError):  # a client that is done hangs up
            async for received in session:
                await session.send_result(
                    frame_id=received.frame_id, view_id=received.view_id, sections=received.request.sections
                )


async def echo_together(session: ServerSession, hold: int) -> None:
    """Take ``hold`` frames before any is answered: so many are in memory at once."""
    held: list[ReceivedSubmit] = []
    async with session:
        with contextlib.suppress(NnrpConnectionClosedError):
            async for received in session:
                held.append(received)
                if len(held) < hold:
                    continue
                while held:
                    each = held.pop(0)
                    await session.send_result(
                        frame_id=each.packet.header.frame_id, sections=each.request.sections
                    )


def listening(options: argparse.Namespace) -> contextlib.AbstractAsyncContextManager[Any]:
    """Bind a free port."""
    certificate, key = options.certificates / "certificate.pem", options.certificates / "private_key.pem"
    if options.transport == "quic":
        return serve_quic(options.host, 0, create_quic_server_configuration(certificate, key))
    if options.transport == "tls":
        return serve_tcp(
            options.host, 0, config=create_tcp_server_configuration(certificate=certificate, private_key=key)
        )
    return serve_tcp(options.host, 0, config=create_tcp_server_configuration())


async def main(options: argparse.Namespace) -> None:
    """Serve until standard input ends, which is when whoever measures has gone."""
    profile = ServerProfile(max_concurrent_frames=CREDIT)
    gone = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    async with listening(options) as listener:
        print(json.dumps({"port": listener.port}), flush=True)  # noqa: T201  # the protocol with run.py

        async def accept() -> None:
            async with asyncio.TaskGroup() as sessions:
                while True:
                    session = await accept_server_session(listener, profile)
                    together = options.hold > 1
                    sessions.create_task(echo_together(session, options.hold) if together else echo(session))

        accepting = asyncio.create_task(accept())
        await asyncio.wait({gone, accepting}, return_when=asyncio.FIRST_COMPLETED)
        accepting.cancel()


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], required=True)
    parser.add_argument("--transport", choices=["tcp", "tls", "quic"], required=True)
    parser.add_argument("--certificates", type=Path, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--hold", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    given = parse()
    if given.loop == "uvloop":
        import uvloop

        uvloop.run(main(given))
    else:
        asyncio.run(main(given))

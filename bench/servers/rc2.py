"""The echo server of the published package, on uvloop.

``python rc2.py --transport tcp|quic --certificates DIRECTORY``. It runs in that package's own environment.
A listener there accepts one client after the other.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import sys
from pathlib import Path
from typing import Any

import uvloop
from nnrp.adapters import (
    create_quic_server_configuration,
    create_tcp_server_configuration,
    serve_quic,
    serve_tcp,
)
from nnrp.server import ServerProfile, ServerSession, accept_server_session

#: More than any run has in flight, so that credit holds nobody back.
CREDIT = 1024


async def echo(session: ServerSession) -> None:
    """Answer every frame with its own section."""
    with contextlib.suppress(ConnectionError, RuntimeError):  # a client that is done hangs up
        while True:
            received = await session.receive_submit(timeout=None)
            await session.send_result(
                frame_id=received.packet.header.frame_id,
                tile_ids=received.request.tile_ids,
                sections=received.request.sections,
            )


def free_port(kind: socket.SocketKind) -> int:
    """Find a port; the package does not say which one it was given."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listening(options: argparse.Namespace, port: int) -> contextlib.AbstractAsyncContextManager[Any]:
    """Bind the port."""
    if options.transport == "quic":
        certificate, key = options.certificates / "certificate.pem", options.certificates / "private_key.pem"
        configuration = create_quic_server_configuration(certificate, key)
        return serve_quic("127.0.0.1", port, configuration=configuration)
    return serve_tcp("127.0.0.1", port, configuration=create_tcp_server_configuration())


async def main(options: argparse.Namespace) -> None:
    """Serve until standard input ends, which is when whoever measures has gone."""
    port = free_port(socket.SOCK_DGRAM if options.transport == "quic" else socket.SOCK_STREAM)
    gone = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    async with listening(options, port) as listener:
        print(json.dumps({"port": port}), flush=True)  # noqa: T201  # the protocol with run.py

        async def accept() -> None:
            sessions = set()
            while True:
                with contextlib.suppress(TimeoutError):  # nobody came for a while
                    profile = ServerProfile(max_concurrent_frames=CREDIT)
                    session = await accept_server_session(listener, server_profile=profile)
                    sessions.add(asyncio.create_task(echo(session)))

        accepting = asyncio.create_task(accept())
        await asyncio.wait({gone, accepting}, return_when=asyncio.FIRST_COMPLETED)
        if accepting.done():
            accepting.result()
        accepting.cancel()


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--transport", choices=["tcp", "quic"], required=True)
    parser.add_argument("--certificates", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    uvloop.run(main(parse()))

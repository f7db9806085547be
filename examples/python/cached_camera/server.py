"""A server that uses every frame's camera, wherever it came from, and goes away in order on SIGTERM."""

import argparse
import asyncio
import hashlib

from nnrp.adapters import create_tcp_server_configuration, serve_tcp
from nnrp.client import TypedPayload
from nnrp.server import ServerSession, serve_sessions


async def handle(session: ServerSession) -> None:
    async for received in session:
        request = received.request
        # The camera is here whether the frame brought it or referred to it; what is answered shows that.
        seen = hashlib.sha256(request.camera_block).hexdigest() + f" {request.tile_ids}"
        await session.send_result(
            frame_id=request.frame_id, typed_payloads=(TypedPayload.token_chunk(seen.encode()),)
        )


async def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", type=int, default=4433)
    port = arguments.parse_args().port
    async with serve_tcp("127.0.0.1", port, config=create_tcp_server_configuration()) as listener:
        print("listening on port", listener.port, flush=True)
        print(await serve_sessions(listener, handler=handle))


asyncio.run(main())

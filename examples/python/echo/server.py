import asyncio
import contextlib

from nnrp import NnrpConnectionClosedError
from nnrp.adapters import create_tcp_server_configuration, serve_tcp
from nnrp.server import ServerProfile, ServerSession, accept_server_session


async def handle(session: ServerSession) -> None:
    async with session:  # however this ends, frames without an answer are dropped and the client is told
        with contextlib.suppress(NnrpConnectionClosedError):  # the client was lost
            async for received in session:  # until the client is done
                sections = received.request.sections  # run your model here
                await session.send_result(frame_id=received.metadata.frame_id, sections=sections)


async def main() -> None:
    async with serve_tcp("127.0.0.1", 4433, config=create_tcp_server_configuration()) as listener:
        while True:
            session = await accept_server_session(listener, ServerProfile(max_concurrent_frames=4))
            asyncio.create_task(handle(session))  # a waiting handler is kept alive by its session


with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main())

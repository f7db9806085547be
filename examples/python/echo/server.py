import asyncio

from nnrp.adapters import create_tcp_server_configuration, serve_tcp
from nnrp.server import ServerProfile, ServerSession, serve_sessions


async def handle(session: ServerSession) -> None:
    async for received in session:  # until the client is done
        sections = received.request.sections  # run your model here
        await session.send_result(frame_id=received.frame_id, sections=sections)


async def main() -> None:
    async with serve_tcp("127.0.0.1", 4433, config=create_tcp_server_configuration()) as listener:
        await serve_sessions(listener, handler=handle, profile=ServerProfile(max_concurrent_frames=4))


asyncio.run(main())

import asyncio
from concurrent.futures import ThreadPoolExecutor

from nnrp.arrays import tensor_section
from nnrp.server import ReceivedSubmit, ServerSession

from recipes import model
from recipes.serving import serve

THREADS = ThreadPoolExecutor(max_workers=2)  # as many as your model can use at once


async def answer(session: ServerSession, received: ReceivedSubmit) -> None:
    tiles = received.request.sections[0].numpy()  # a view: nothing is copied
    loop = asyncio.get_running_loop()
    outputs = await loop.run_in_executor(THREADS, model.run, tiles)
    sections = (tensor_section(outputs, role_id=1),)
    await session.send_result(frame_id=received.frame_id, sections=sections)


if __name__ == "__main__":
    asyncio.run(serve(answer))

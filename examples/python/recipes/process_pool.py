import asyncio
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from nnrp.arrays import tensor_section
from nnrp.server import ReceivedSubmit, ServerSession

from recipes import model
from recipes.serving import serve


async def main() -> None:
    # "spawn" starts clean processes: they inherit no sockets, threads or locks of the server.
    clean = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=2, mp_context=clean, initializer=model.load) as processes:

        async def answer(session: ServerSession, received: ReceivedSubmit) -> None:
            tiles = received.request.sections[0].numpy()  # pickled on its way: that is the price
            loop = asyncio.get_running_loop()
            outputs = await loop.run_in_executor(processes, model.run, tiles)
            sections = (tensor_section(outputs, role_id=1),)
            await session.send_result(frame_id=received.frame_id, sections=sections)

        await serve(answer)


if __name__ == "__main__":
    asyncio.run(main())

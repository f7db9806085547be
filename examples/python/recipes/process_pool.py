import asyncio
import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor

from nnrp.arrays import tensor_section
from nnrp.server import ReceivedSubmit, ServerSession

from recipes import model
from recipes.serving import serve

PROCESSES = 2  # as many as your model can use at once


async def main() -> None:
    # "spawn" starts clean processes: they inherit no sockets, threads or locks of the server.
    clean = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=PROCESSES, mp_context=clean, initializer=model.load) as processes:
        # Ctrl-C in a terminal reaches them, too. They inherit that it is ignored, and finish what they have.
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        for _ in range(PROCESSES):
            processes.submit(os.getpid)  # starts one
        signal.signal(signal.SIGINT, handler)

        async def answer(session: ServerSession, received: ReceivedSubmit) -> None:
            tiles = received.request.sections[0].numpy()  # pickled on its way: that is the price
            loop = asyncio.get_running_loop()
            outputs = await loop.run_in_executor(processes, model.run, tiles)
            sections = (tensor_section(outputs, role_id=1),)
            await session.send_result(frame_id=received.frame_id, sections=sections)

        await serve(answer)


if __name__ == "__main__":
    asyncio.run(main())

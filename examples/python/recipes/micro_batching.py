import asyncio

import numpy as np

from nnrp.arrays import tensor_section
from nnrp.server import MicroBatcher, ReceivedSubmit, ServerSession

from recipes import model
from recipes.serving import serve


# On a thread, with the tiles of up to 8 frames of any sessions.
def run_together(frames: list[np.ndarray]) -> list[np.ndarray]:
    outputs = model.run(np.concatenate(frames))
    return np.split(outputs, np.cumsum([len(frame) for frame in frames[:-1]]))


async def main() -> None:
    async with MicroBatcher(run_together, max_size=8, max_delay=0.002) as batcher:

        async def answer(session: ServerSession, received: ReceivedSubmit) -> None:
            outputs = await batcher.compute(received.request.sections[0].numpy())
            sections = (tensor_section(outputs, role_id=1),)
            await session.send_result(frame_id=received.frame_id, sections=sections)

        await serve(answer, in_flight=64)


if __name__ == "__main__":
    asyncio.run(main())

import asyncio
from concurrent.futures import ThreadPoolExecutor

import torch

from nnrp.arrays import tensor_section
from nnrp.core import TensorSectionData
from nnrp.server import ReceivedSubmit, ServerSession

from recipes.serving import serve

GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if GPU else "cpu")
THREADS = ThreadPoolExecutor(max_workers=2)
MODEL = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.Tanh()).to(DEVICE).eval()


# On a thread of its own; a stream for each call lets copies and kernels overlap.
def run(section: TensorSectionData) -> torch.Tensor:
    received = torch.from_dlpack(section.numpy().copy())  # pinned memory makes the copy asynchronous
    stream = torch.cuda.Stream() if GPU else None
    with torch.inference_mode(), torch.cuda.stream(stream):
        tiles = received.pin_memory().to(DEVICE, non_blocking=True) if GPU else received
        outputs = MODEL(tiles).to("cpu", non_blocking=True)
    if stream is not None:
        stream.synchronize()  # waits for this frame only, without the GIL
    return outputs


async def answer(session: ServerSession, received: ReceivedSubmit) -> None:
    loop = asyncio.get_running_loop()
    outputs = await loop.run_in_executor(THREADS, run, received.request.sections[0])
    sections = (tensor_section(outputs, role_id=1),)
    await session.send_result(frame_id=received.frame_id, sections=sections)


if __name__ == "__main__":
    asyncio.run(serve(answer))

import asyncio

from nnrp.arrays import tensor_section
from nnrp.core import ResultHintReason
from nnrp.server import ReceivedSubmit, ServerSession

from recipes import model
from recipes.serving import serve

WORKERS = asyncio.Semaphore(2)
PATIENCE = 0.05  # seconds a frame may wait for a worker when it does not say itself


async def answer(session: ServerSession, received: ReceivedSubmit) -> None:
    frame_id, budget_ms = received.frame_id, received.metadata.latency_budget_ms
    try:
        async with asyncio.timeout(budget_ms / 1000 if budget_ms else PATIENCE):
            await WORKERS.acquire()
    except TimeoutError:
        reason = ResultHintReason.BUDGET_EXCEEDED if budget_ms else ResultHintReason.QUEUE_FULL
        await session.send_result_drop(frame_id, reason)  # an answer, too: the client need not wait
        return
    try:
        tiles = received.request.sections[0].numpy()
        outputs = await asyncio.to_thread(model.run, tiles)
    finally:
        WORKERS.release()
    await session.send_result(frame_id=frame_id, sections=(tensor_section(outputs, role_id=1),))


if __name__ == "__main__":
    asyncio.run(serve(answer))

"""What the results of one turn of the event loop cost."""

import asyncio

from frames import STEP, frame

FRAMES = 2


async def test_results_of_a_task_that_a_frame_woke_need_no_further_turn(tcp, monkeypatch):
    """They leave when the callback is over that woke the task, and nothing has to be scheduled for it."""
    loop = asyncio.get_running_loop()
    plain = loop.call_soon
    scheduled = []

    def call_soon(callback, *arguments, context=None):
        if asyncio.current_task(loop) is serving:
            scheduled.append(getattr(callback, "__name__", ""))
        return plain(callback, *arguments, context=context)

    async with tcp.pair() as (server, client):

        async def serve():
            received = [await server.receive_submit(STEP) for _ in range(FRAMES)]
            monkeypatch.setattr(loop, "call_soon", call_soon)
            for each in received:
                await server.send_result(frame_id=each.frame_id, sections=each.request.sections)

        serving = asyncio.create_task(serve())
        await asyncio.sleep(0)  # so that it waits when the first frame comes
        for number in range(FRAMES):
            await client.submit_frame(frame(number))
        answered = {(await client.receive_result(STEP)).frame_id for _ in range(FRAMES)}
        await serving
    assert answered == set(range(FRAMES))
    assert "_uncork" not in scheduled

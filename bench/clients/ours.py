"""Our Python client, on uvloop, for comparisons with peers whose client is Python, too."""

from __future__ import annotations

import argparse
import asyncio
import time

import uvloop
from nnrp.adapters.tcp import create_tcp_client_configuration
from nnrp.client import ClientSession, SubmitRequest, dial_client
from nnrp.core import TensorDType, TensorSectionData
from recorder import Recorder, check, parse, payload


async def load(session: ClientSession, options: argparse.Namespace, recorder: Recorder) -> None:
    """Keep frames in flight on one session."""
    content = payload(options.size)
    sections = (TensorSectionData(1, 0, TensorDType.UINT8, (content,)),)
    if options.in_flight == 1:
        frame_id, more = 0, True
        while more:
            frame_id += 1
            sent = time.perf_counter()
            result = await session.submit(SubmitRequest(frame_id=frame_id, tile_ids=(0,), sections=sections))
            check(result.tensor_body.sections[0].payload, content)
            more = recorder.arrived(sent)
        return
    departures: dict[int, float] = {}
    window = asyncio.Semaphore(options.in_flight)

    async def submit() -> None:
        frame_id = 0
        while not recorder.over:
            await window.acquire()
            frame_id += 1
            departures[frame_id] = time.perf_counter()
            await session.submit_frame(SubmitRequest(frame_id=frame_id, tile_ids=(0,), sections=sections))

    submitting = asyncio.create_task(submit())
    more = True
    while more:
        result = await session.receive_result()
        check(result.tensor_body.sections[0].payload, content)
        more = recorder.arrived(departures.pop(result.frame_id))
        window.release()
    # What is still on its way is received, so that the server is at rest when this ends.
    while not submitting.done() or departures:
        result = await session.receive_result(timeout=10)
        departures.pop(result.frame_id)


async def main(options: argparse.Namespace) -> None:
    """Connect all sessions, then load them together."""
    connecting = (
        dial_client("127.0.0.1", options.port, config=create_tcp_client_configuration())
        for _ in range(options.sessions)
    )
    sessions = [await each for each in connecting]
    recorder = Recorder(options)
    await asyncio.gather(*(load(session, options, recorder) for session in sessions))
    for session in sessions:
        await session.close()


if __name__ == "__main__":
    uvloop.run(main(parse()))

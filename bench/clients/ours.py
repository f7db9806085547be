"""Our Python client, for comparisons with peers whose client is Python, too.

``python ours.py --port N --size BYTES [--loop asyncio|uvloop] [--transport tcp|tls|quic]
[--certificates DIRECTORY]``, and what `recorder.py` takes.
"""

from __future__ import annotations

import argparse
import asyncio
import time

from nnrp.adapters import (
    NnrpTcpClientConfiguration,
    QuicConfiguration,
    create_quic_client_configuration,
    create_tcp_client_configuration,
)
from nnrp.client import ClientSession, SubmitRequest, dial_client
from nnrp.core import TensorDType, TensorSectionData
from recorder import Recorder, arguments, check, payload

#: The name in the certificates that `nnrp-bench certificate` and `nnrp cert make` write.
SERVER_NAME = "localhost"


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


def connecting_over(options: argparse.Namespace) -> QuicConfiguration | NnrpTcpClientConfiguration:
    """Trust the certificate of the run, and nothing else."""
    if options.transport == "tcp":
        return create_tcp_client_configuration()
    certificate = options.certificates / "certificate.pem"
    if options.transport == "quic":
        return create_quic_client_configuration(cafile=certificate, server_name=SERVER_NAME)
    return create_tcp_client_configuration(tls=True, cafile=certificate, server_name=SERVER_NAME)


async def main(options: argparse.Namespace) -> None:
    """Connect all sessions, then load them together."""
    config = connecting_over(options)
    connecting = (dial_client("127.0.0.1", options.port, config=config) for _ in range(options.sessions))
    sessions = [await each for each in connecting]
    recorder = Recorder(options)
    await asyncio.gather(*(load(session, options, recorder) for session in sessions))
    for session in sessions:
        await session.close()


if __name__ == "__main__":
    asked = arguments()
    asked.add_argument("--loop", choices=["asyncio", "uvloop"], default="uvloop")
    given = asked.parse_args()
    if given.loop == "uvloop":
        import uvloop

        uvloop.run(main(given))
    else:
        asyncio.run(main(given))

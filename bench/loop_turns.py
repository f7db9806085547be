"""What the way between the runtime's threads and the event loop costs: microseconds and turns per frame.

Server and client are Python, on one asyncio loop, over TCP on loopback; frames carry 64 bytes. A turn is one
look of the loop at its sockets. With one task each submit and each result wakes the loop; with many tasks
wake-ups are shared::

    python bench/loop_turns.py --tasks 1,8,64 --frames 5000
"""

from __future__ import annotations

import argparse
import asyncio
import selectors
import sys
import time
from typing import Any

from nnrp import NnrpConnectionClosedError
from nnrp.adapters import create_tcp_client_configuration, serve_tcp
from nnrp.client import ClientSession, SubmitRequest, dial_client
from nnrp.core import TensorDType, TensorSectionData
from nnrp.server import ServerProfile, accept_server_session

SECTIONS = (TensorSectionData(1, 0, TensorDType.UINT8, (bytes(64),)),)


class CountingSelector(selectors.DefaultSelector):
    """Counts how often the loop looks at its sockets."""

    turns = 0

    def select(self, timeout: float | None = None) -> Any:
        """As the base class."""
        self.turns += 1
        return super().select(timeout)


async def serve(listener: Any) -> None:
    """Send every frame of one session back."""
    session = await accept_server_session(listener, ServerProfile(max_concurrent_frames=1024))
    try:
        async for received in session:
            await session.send_result(
                frame_id=received.packet.header.frame_id, sections=received.request.sections
            )
    except NnrpConnectionClosedError:
        return


async def work(session: ClientSession, frames: range) -> None:
    """Submit one frame after the other."""
    for frame_id in frames:
        await session.submit(SubmitRequest(frame_id=frame_id, tile_ids=(0,), sections=SECTIONS))


async def main(tasks: list[int], frames: int, selector: CountingSelector) -> None:
    """Measure each number of tasks."""
    sys.stdout.write("| tasks | us per frame | turns per frame |\n| ---: | ---: | ---: |\n")
    async with serve_tcp("127.0.0.1", 0) as listener:
        serving = asyncio.create_task(serve(listener))
        configuration = create_tcp_client_configuration()
        async with dial_client("127.0.0.1", listener.port, config=configuration) as session:
            first = 1
            for number in tasks:
                each = max(frames // number, 1)
                # Half of it to warm up.
                for measured in (False, True):
                    started, turns = time.perf_counter(), selector.turns
                    starts = range(first, first + number * each, each)
                    await asyncio.gather(*(work(session, range(start, start + each)) for start in starts))
                    first += number * each
                    took, turns = time.perf_counter() - started, selector.turns - turns
                    if measured:
                        per_frame = took / (number * each) * 1e6
                        sys.stdout.write(f"| {number} | {per_frame:.1f} | {turns / (number * each):.2f} |\n")
        await serving


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--tasks", type=lambda text: [int(word) for word in text.split(",")], default=[1, 8, 64]
    )
    parser.add_argument("--frames", type=int, default=5000, help="of each number of tasks")
    given = parser.parse_args()
    counting = CountingSelector()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(counting)) as runner:
        runner.run(main(given.tasks, given.frames, counting))

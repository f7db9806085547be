"""A server whose interpreter is held by a C call costs its clients nothing but the answers."""

import asyncio
import statistics
from pathlib import Path

import pytest
from frames import STEP, frame
from networks import TRANSPORTS, Network
from programs import PATIENCE, server

QUICK = 0.5
"""Seconds within which a PING comes back while the GIL is held; what needs the GIL would not come back."""

SWITCHES_OF_A_WAITER = 200
"""Times a second that a thread which waits for the GIL wakes up to ask for it, in CPython."""

HOLD = """
import ctypes
read = ctypes.PyDLL(None).read  # PyDLL keeps the GIL, CDLL would release it
async def handle(session):
    async for received in session:
        frame_id = received.metadata.frame_id
        if frame_id == 1:
            print("holding", flush=True)
            read(0, ctypes.create_string_buffer(1), 1)  # until the test writes something
            print("released", flush=True)
        await session.send_result(frame_id=frame_id)
async def main():
    kept = []
    async with network.serve() as listener:
        print(listener.port, flush=True)
        while True:
            kept.append(asyncio.create_task(handle(await accept_server_session(listener))))
asyncio.run(main())
"""


async def expect(process, line):
    assert await asyncio.wait_for(process.stdout.readline(), PATIENCE) == line


def switches(process):
    """How often the threads that do I/O have given up the processor, and how many there are."""
    counts = []
    for task in Path(f"/proc/{process.pid}/task").iterdir():
        if (task / "comm").read_text().startswith("nnrp-io"):
            status = dict(line.split(":", 1) for line in (task / "status").read_text().splitlines())
            counts.append(int(status["voluntary_ctxt_switches"]))
    return counts


async def test_a_held_gil_delays_nothing_that_is_not_python(network):
    async with server(HOLD, network) as (process, port), network.dial(port) as client:
        await client.submit(frame(2), timeout=STEP)
        await client.submit_frame(frame(1))
        await expect(process, b"holding\n")

        # A newcomer reaches the server, and others' frames are taken, while Python stands still.
        newcomer = asyncio.create_task(dialled(network, port))
        await client.submit_frame(frame(3, b"x" * 1_000_000))
        trips = [await client.ping(STEP) for _ in range(20)]
        assert statistics.median(trips) < QUICK

        # Then nothing happens, and a native thread that wanted the GIL would show by asking for it.
        await asyncio.sleep(0.5)
        before = switches(process)
        await asyncio.sleep(1)
        after = switches(process)
        assert before
        assert all(new - old < SWITCHES_OF_A_WAITER / 2 for old, new in zip(before, after, strict=True))

        process.stdin.write(b"!")
        await expect(process, b"released\n")
        assert {(await client.receive_result(STEP)).frame_id for _ in range(2)} == {1, 3}
        async with await newcomer as second:
            assert (await second.submit(frame(4), timeout=STEP)).frame_id == 4


async def dialled(network, port):
    return await network.dial(port)


WAKE_UPS = """
count = 0
class Loop(asyncio.SelectorEventLoop):
    def _add_reader(self, fd, callback, *args):
        def counted(*args):
            global count
            count += 1
            return callback(*args)
        return super()._add_reader(fd, counted, *args)
async def main():
    async with network.serve() as listener:
        print(listener.port, flush=True)
        async with await accept_server_session(listener, ServerProfile(max_concurrent_frames=256)) as session:
            global count
            for number in range(2000):
                if number == 1000:
                    count = 0
                received = await session.receive_submit(STEP)
                time.sleep(0.0002)  # a busy handler: frames arrive meanwhile
                await session.send_result(frame_id=received.metadata.frame_id)
            print(count, flush=True)
with asyncio.Runner(loop_factory=Loop) as runner:
    runner.run(main())
"""

MOST_WAKE_UPS = 100
"""Of the event loop, for a thousand frames under load."""


async def test_a_loop_under_load_is_woken_seldom(network):
    async with server(WAKE_UPS, network) as (process, port), network.dial(port) as client:
        in_flight = asyncio.Semaphore(256)

        async def one(number):
            async with in_flight:
                await client.submit(frame(number), timeout=PATIENCE)

        await asyncio.wait_for(asyncio.gather(*(one(number) for number in range(1, 2001))), PATIENCE)
        assert int(await asyncio.wait_for(process.stdout.readline(), PATIENCE)) <= MOST_WAKE_UPS


BLOCKED = """
BLOCKED_FOR = 30
async def main():
    async with network.serve(idle_timeout=4.0) as listener:
        print(listener.port, flush=True)
        async with await accept_server_session(listener) as session:
            received = await session.receive_submit(STEP)
            time.sleep(BLOCKED_FOR)
            await session.send_result(frame_id=1)
            await session.close()
asyncio.run(main())
"""

BLOCKED_FOR = 30
"""Seconds, as in the program; several times the idle timeout."""


@pytest.mark.timeout(90)
async def test_a_handler_that_blocks_its_loop_for_long_keeps_its_connection(certificate):
    """On all transports at once, as each takes half a minute."""

    async def blocked(network):
        async with server(BLOCKED, network) as (_, port):
            connecting = network.connect(port, keepalive_interval=1.0, keepalive_timeout=3.0)
            async with connecting as connection, await network.handshake(connection) as client:
                return await client.submit(frame(1), timeout=BLOCKED_FOR + PATIENCE)

    networks = [Network(transport, certificate) for transport in TRANSPORTS]
    assert all(result.is_push for result in await asyncio.gather(*map(blocked, networks)))

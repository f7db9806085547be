"""One session, many threads: what they send is whole, what they receive is received once.

On a build of CPython without the GIL this is where races would show; with it, where the lock is given up.
"""

import asyncio
import threading
from collections import Counter
from contextlib import AsyncExitStack

from frames import STEP, frame, section

THREADS = 8
FRAMES = 60
"""Frames that each thread of the client submits."""


def on_threads(*functions):
    """Run coroutine functions, each on a loop in a thread of its own; the first error is raised."""
    errors = []

    def run(function):
        try:
            asyncio.run(function())
        except BaseException as error:  # noqa: BLE001  # for the test's thread
            errors.append(error)

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(6 * STEP)
        assert not thread.is_alive()
    for error in errors:
        raise error


async def test_many_threads_share_both_ends_of_a_session(network):
    answered = Counter()
    served = Counter()
    left = threading.Semaphore(THREADS * FRAMES)

    async with AsyncExitStack() as stack:
        server, client = await stack.enter_async_context(network.pair())

        async def submit(first):
            for number in range(first, first + FRAMES):
                payload = number.to_bytes(4) * 300
                result = await client.submit(frame(number, payload), timeout=6 * STEP)
                assert result.sections[0].tile_payloads == (payload[::-1],)
                answered[number] += 1

        async def serve():
            while left.acquire(blocking=False):
                received = await server.receive_submit(6 * STEP)
                number = received.metadata.frame_id
                served[number] += 1
                [payload] = received.request.sections[0].tile_payloads
                await server.send_result(frame_id=number, sections=(section(payload[::-1]),))

        submitters = [lambda first=1 + index * FRAMES: submit(first) for index in range(THREADS)]
        await asyncio.to_thread(on_threads, *submitters, *[serve] * THREADS)

    expected = Counter(range(1, 1 + THREADS * FRAMES))
    assert served == expected
    assert answered == expected


async def test_objects_are_read_by_many_threads_at_once(network):
    async with network.pair() as (server, client):
        await client.submit_frame(frame(1, b"x" * 10_000, b"y" * 10_000))
        received = await server.receive_submit(STEP)
        start = threading.Barrier(THREADS)
        seen = []

        def read():
            start.wait()
            sections = received.request.sections
            seen.append((sections[0].tile_payloads, received.metadata.frame_id, bytes(received.packet.body)))

        threads = [threading.Thread(target=read) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(STEP)
        assert len(seen) == THREADS
        assert all(value == seen[0] for value in seen)

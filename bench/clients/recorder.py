"""What all Python clients share: options, payload, what they print. As `crates/bench/src/recorder.rs`."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

#: How long a warm-up may go on beyond its time until every place of every window was used once.
WARM_UP_PATIENCE_SECONDS = 2.0
#: How long what is in flight may take at the end.
DRAIN_SECONDS = 10.0


def arguments() -> argparse.ArgumentParser:
    """Return the options `run.py` gives."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--in-flight", type=int, default=1)
    parser.add_argument("--sessions", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--warm-up", type=float, default=0.2)
    parser.add_argument("--transport", default="tcp")
    parser.add_argument("--certificates", type=Path)
    return parser


def parse() -> argparse.Namespace:
    """Read them."""
    return arguments().parse_args()


def payload(size: int) -> bytes:
    """Every frame of every contender carries these bytes."""
    pattern = bytes(range(1, 252))
    return (pattern * (size // len(pattern) + 1))[:size]


def check(arrived: bytes | memoryview, sent: bytes) -> None:
    """Look at what arrived: that it is as long as it should be, and begins and ends as it should."""
    if len(arrived) != len(sent) or arrived[0] != sent[0] or arrived[-1] != sent[-1]:
        raise ValueError("other bytes came back")


class Recorder:
    """Latencies of all sessions, and the lines about them."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._begin = time.perf_counter() + options.warm_up
        self._patience = self._begin + WARM_UP_PATIENCE_SECONDS
        self._cold = options.sessions * options.in_flight
        self._seconds = options.seconds
        self._end = 0.0
        self._latencies: list[float] = []
        self.over = False

    def arrived(self, sent: float) -> bool:
        """Note a result whose frame left at ``sent``; return whether to send another one."""
        now = time.perf_counter()
        if not self._end:
            self._cold -= 1
            if now >= self._begin and (self._cold <= 0 or now >= self._patience):
                self._begin, self._end = now, now + self._seconds
                say({"mark": "begin"})
            return True
        if not self.over:
            self._latencies.append(now - sent)
            if now >= self._end:
                self.over = True
                say({"mark": "end"})
                self._report(now - self._begin)
        return not self.over

    def _report(self, took: float) -> None:
        found = sorted(self._latencies)
        frames = len(found)

        def at(per_cent: int) -> float:
            return found[min(frames * per_cent // 100, frames - 1)] * 1e6

        say({"frames": frames, "seconds": took, "p50_us": at(50), "p99_us": at(99), "max_us": at(100)})


def say(line: dict[str, object]) -> None:
    """Print a line for `run.py`."""
    print(json.dumps(line), flush=True)  # noqa: T201  # the protocol with run.py


Send = Callable[[bytes], Awaitable[None]]
Receive = Callable[[], Awaitable[bytes | memoryview]]


async def keep_in_flight(
    send: Send, receive: Receive, options: argparse.Namespace, recorder: Recorder
) -> None:
    """Keep frames in flight on one session whose answers come in order."""
    content = payload(options.size)
    if options.in_flight == 1:
        while True:
            sent = time.perf_counter()
            await send(content)
            check(await receive(), content)
            if not recorder.arrived(sent):
                return
    departures: asyncio.Queue[float] = asyncio.Queue()
    window = asyncio.Semaphore(options.in_flight)

    async def submit() -> None:
        while not recorder.over:
            await window.acquire()
            departures.put_nowait(time.perf_counter())
            await send(content)

    submitting = asyncio.create_task(submit())
    while True:
        check(await receive(), content)
        if not recorder.arrived(departures.get_nowait()):
            break
        window.release()
    window.release()  # a submitter that waits sees that it is over
    # What is still on its way is received, so that the server is at rest when this ends.
    async with asyncio.timeout(DRAIN_SECONDS):
        while not submitting.done() or not departures.empty():
            await receive()
            departures.get_nowait()

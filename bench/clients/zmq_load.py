"""A client of the ZeroMQ server: a DEALER per session, with asyncio, on uvloop."""

from __future__ import annotations

import argparse
import asyncio

import uvloop
import zmq
import zmq.asyncio
from recorder import Recorder, keep_in_flight, parse


async def session(context: zmq.asyncio.Context, options: argparse.Namespace, recorder: Recorder) -> None:
    """Load one socket."""
    dealer = context.socket(zmq.DEALER)
    dealer.set_hwm(0)
    dealer.connect(f"tcp://127.0.0.1:{options.port}")

    async def send(content: bytes) -> None:
        await dealer.send(content, copy=False)

    async def receive() -> memoryview:
        return (await dealer.recv(copy=False)).buffer

    await keep_in_flight(send, receive, options, recorder)


async def main(options: argparse.Namespace) -> None:
    """Load all sockets together."""
    context = zmq.asyncio.Context()
    recorder = Recorder(options)
    await asyncio.gather(*(session(context, options, recorder) for _ in range(options.sessions)))
    context.destroy(linger=0)


if __name__ == "__main__":
    uvloop.run(main(parse()))

"""A client of the gRPC server, on uvloop. Each session is a channel, that is a connection, of its own."""

from __future__ import annotations

import argparse
import asyncio

import grpc.aio
import uvloop
from recorder import Recorder, keep_in_flight, parse

OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.http2.max_frame_size", 1 << 20),
    ("grpc.use_local_subchannel_pool", 1),
]


async def session(options: argparse.Namespace, recorder: Recorder) -> None:
    """Load one stream."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{options.port}", options=OPTIONS) as channel:
        call = channel.stream_stream("/bench.Bench/Echo")()
        await keep_in_flight(call.write, call.read, options, recorder)
        call.cancel()


async def main(options: argparse.Namespace) -> None:
    """Load all streams together."""
    recorder = Recorder(options)
    await asyncio.gather(*(session(options, recorder) for _ in range(options.sessions)))


if __name__ == "__main__":
    uvloop.run(main(parse()))

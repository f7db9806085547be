"""The echo server of ZeroMQ on uvloop: a ROUTER with asyncio, which sends messages back uncopied."""

from __future__ import annotations

import asyncio
import json
import sys

import uvloop
import zmq
import zmq.asyncio


async def main() -> None:
    """Serve until standard input ends, which is when whoever measures has gone."""
    context = zmq.asyncio.Context()
    router = context.socket(zmq.ROUTER)
    router.set_hwm(0)  # as many messages as somebody has in flight
    port = router.bind_to_random_port("tcp://127.0.0.1")
    gone = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    print(json.dumps({"port": port}), flush=True)  # noqa: T201  # the protocol with run.py

    async def echo() -> None:
        while True:
            await router.send_multipart(await router.recv_multipart(copy=False), copy=False)

    echoing = asyncio.create_task(echo())
    await asyncio.wait({gone, echoing}, return_when=asyncio.FIRST_COMPLETED)
    if echoing.done():
        echoing.result()
    echoing.cancel()
    context.destroy(linger=0)


if __name__ == "__main__":
    uvloop.run(main())

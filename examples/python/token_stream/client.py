"""Sends a prompt and prints the answer as it comes, with the time to the first token.

python -m token_stream.client "The server" [--port 4433] [--stop-after N]
"""

from __future__ import annotations

import argparse
import asyncio
import time

from nnrp.adapters.tcp import create_tcp_client_configuration
from nnrp.client import SubmitRequest, TypedPayload, dial_client
from nnrp.core import PayloadKind

PATIENCE = 10.0
"""Seconds to wait for the next part."""


async def ask(prompt: str, port: int, stop_after: int | None) -> None:
    """Print the answer to one prompt; leaving the loop early tells the server to stop."""
    request = SubmitRequest(
        frame_id=1, typed_payloads=(TypedPayload(PayloadKind.TOKEN_CHUNK, prompt.encode()),)
    )
    async with dial_client("127.0.0.1", port, config=create_tcp_client_configuration()) as session:
        print(prompt, end="", flush=True)
        started = time.perf_counter()
        first, count = 0.0, 0
        async with session.stream(request, timeout=PATIENCE) as parts:
            async for part in parts:
                for token in part.token_chunks:
                    first = first or time.perf_counter() - started
                    count += 1
                    print(token.decode(), end="", flush=True)
                if count == stop_after:
                    break
        took = time.perf_counter() - started
        print(f"\n{count} tokens in {took:.2f} s, the first after {first * 1000:.1f} ms")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Asks a server that streams tokens.")
    parser.add_argument("prompt", nargs="?", default="The server")
    parser.add_argument("--port", type=int, default=4433)
    parser.add_argument("--stop-after", type=int, help="leave after so many tokens; the server stops, too")
    options = parser.parse_args()
    asyncio.run(ask(options.prompt, options.port, options.stop_after))

"""Streams tokens: every frame is a prompt, its answer comes word by word as partial results.

python -m token_stream.server [--port 4433] [--pace 0.02]
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from nnrp.adapters import create_tcp_server_configuration, serve_tcp
from nnrp.client import TypedPayload
from nnrp.server import ReceivedSubmit, ServerProfile, ServerSession, serve_sessions

from .generator import Generator

CORPUS = Path(__file__).resolve().parents[3]
"""The project's own documentation is what the model has read."""
LEAST_TOKENS = 40
"""The answer ends with the first sentence that ends after this many tokens."""


async def answer(session: ServerSession, submit: ReceivedSubmit, model: Generator, pace: float) -> None:
    """Stream the answer to one prompt; stops as soon as the client no longer wants it."""
    prompt = b"".join(payload.payload for payload in submit.request.typed_payloads).decode()
    made = 0
    for token in model.tokens(prompt, at_least=LEAST_TOKENS, seed=submit.frame_id):
        if session.frame_cancelled(submit.frame_id, submit.view_id):
            print(f"frame {submit.frame_id}: cancelled after {made} tokens", flush=True)
            await session.send_result_drop(submit.frame_id, view_id=submit.view_id)
            return
        await session.send_part(submit, typed_payloads=(TypedPayload.token_chunk(token.encode()),))
        made += 1
        await asyncio.sleep(pace)  # where a larger model would compute
    await session.send_part(submit, last=True)
    print(f"frame {submit.frame_id}: {made} tokens", flush=True)


async def handle(session: ServerSession, model: Generator, pace: float) -> None:
    """Answer all prompts of a session, side by side."""
    async with asyncio.TaskGroup() as answers:
        async for submit in session:
            answers.create_task(answer(session, submit, model, pace))


async def serve(port: int, pace: float) -> None:
    """Serve until interrupted; answers that have begun are finished."""
    model = Generator.of_markdown(CORPUS)
    async with serve_tcp("127.0.0.1", port, config=create_tcp_server_configuration()) as listener:
        print(f"listening on port {listener.port}", flush=True)
        await serve_sessions(
            listener,
            handler=lambda session: handle(session, model, pace),
            profile=ServerProfile(max_concurrent_frames=16),
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A server that streams tokens.")
    parser.add_argument("--port", type=int, default=4433, help="TCP port on loopback; 0 for any")
    parser.add_argument("--pace", type=float, default=0.02, help="seconds between two tokens")
    options = parser.parse_args()
    asyncio.run(serve(options.port, options.pace))

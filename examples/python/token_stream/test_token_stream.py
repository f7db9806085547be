"""The example does what its page says: tokens come one by one, and leaving early stops the server."""

import asyncio
import os
import re
import sys
from contextlib import asynccontextmanager
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join((str(FOLDER), os.environ.get("PYTHONPATH", "")))}


@asynccontextmanager
async def server(*arguments):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "token_stream.server", "--port", "0", *arguments,
        stdout=asyncio.subprocess.PIPE, env=ENVIRONMENT,
    )  # fmt: skip
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 30)
        yield re.search(rb"\d+", line).group().decode(), process.stdout
    finally:
        process.kill()
        await process.wait()


async def client(port, *arguments):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "token_stream.client", *arguments, "--port", port,
        stdout=asyncio.subprocess.PIPE, env=ENVIRONMENT,
    )  # fmt: skip
    printed, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    return printed.decode()


async def test_the_answer_comes_token_by_token_to_its_end():
    async with server("--pace", "0.01") as (port, said):
        printed = await client(port, "The client")
        made = re.search(rb"frame 1: (\d+) tokens", await asyncio.wait_for(said.readline(), 10))
    count, took, first = map(
        float, re.search(r"(\d+) tokens in ([\d.]+) s, .* ([\d.]+) ms", printed).groups()
    )
    assert printed.startswith("The client ")
    assert count == int(made.group(1)) >= 40
    assert first / 1000 < took / 2, "the first token came long before the last"


async def test_leaving_early_stops_the_server():
    async with server("--pace", "0.01") as (port, said):
        printed = await client(port, "The client", "--stop-after", "3")
        stopped = await asyncio.wait_for(said.readline(), 10)
    assert "3 tokens in" in printed
    assert 3 <= int(re.search(rb"cancelled after (\d+) tokens", stopped).group(1)) < 40

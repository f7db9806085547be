"""The programs that the tests of the examples start."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

#: Seconds for a step of a program, its start included, on a busy machine.
PATIENCE = 30.0

_FOLDER = Path(__file__).resolve().parent
_PATH = os.pathsep.join(filter(None, (str(_FOLDER), os.environ.get("PYTHONPATH"))))


@contextlib.asynccontextmanager
async def running(module: str, *arguments: str) -> AsyncGenerator[asyncio.subprocess.Process]:
    """Run an example; neither it nor what it has started outlives the block, whatever becomes of the test."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": _PATH},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):  # all of them have ended
            os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()


async def line(process: asyncio.subprocess.Process) -> str:
    """Return the next line that it prints."""
    assert process.stdout is not None  # noqa: S101  # for the type checker: it is a pipe
    return (await asyncio.wait_for(process.stdout.readline(), PATIENCE)).decode()


async def printed(module: str, *arguments: str) -> str:
    """Run an example to its end, which is to be a good one; what it printed."""
    async with running(module, *arguments) as process:
        output, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 0, output  # noqa: S101  # a test calls this
    return output.decode()

"""The example does what its page says: bytes are saved, and the server ends in order."""

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join((str(FOLDER), os.environ.get("PYTHONPATH", "")))}


async def start(program, *arguments):
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"cached_camera.{program}", *arguments,
        stdout=asyncio.subprocess.PIPE, env=ENVIRONMENT,
    )  # fmt: skip


async def test_references_save_what_the_page_says():
    server = await start("server", "--port", "0")
    try:
        line = await asyncio.wait_for(server.stdout.readline(), 30)
        client = await start("client", "--port", re.search(rb"\d+", line).group().decode())
        printed, _ = await asyncio.wait_for(client.communicate(), 30)
        assert client.returncode == 0
        # Not the bytes: on a slow machine the client asks once whether the server is still there.
        saved = re.search(r"\d+ % saved", printed.decode()).group()
        assert saved in (FOLDER / "cached_camera/README.md").read_text(encoding="utf-8")
        server.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(server.wait(), 30) == 0
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()

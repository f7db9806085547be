"""The example does what its page says: bytes are saved, and the server ends in order."""

import asyncio
import re
from pathlib import Path

from processes import PATIENCE, line, printed, running

FOLDER = Path(__file__).resolve().parent


async def test_references_save_what_the_page_says():
    async with running("cached_camera.server", "--port", "0") as server:
        port = re.search(r"\d+", await line(server)).group()
        # Not the bytes: on a slow machine the client asks once whether the server is still there.
        saved = re.search(r"\d+ % saved", await printed("cached_camera.client", "--port", port)).group()
        assert saved in (FOLDER / "README.md").read_text(encoding="utf-8")
        server.terminate()
        assert await asyncio.wait_for(server.wait(), PATIENCE) == 0

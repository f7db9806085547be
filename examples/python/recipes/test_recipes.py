"""Every recipe answers a burst of frames from two sessions, and docs/recipes.md shows it as it is."""

import asyncio
import importlib.util
import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest
from processes import PATIENCE, line, running

from nnrp.adapters import create_tcp_client_configuration
from nnrp.arrays import tensor_section
from nnrp.client import SubmitRequest, dial_client

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[2] / "docs" / "recipes.md"
SHOWN = dict(re.findall(r"<!-- runs as \S*/(\w+)\.py -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL))


def needs(recipe):
    """Skip what needs a package that is not installed."""
    if "import torch" in SHOWN[recipe] and importlib.util.find_spec("torch") is None:
        pytest.skip("PyTorch is not installed")


@pytest.mark.parametrize("recipe", SHOWN)
def test_the_page_shows_the_program(recipe):
    assert (HERE / f"{recipe}.py").read_text() == SHOWN[recipe]


def test_the_page_shows_every_recipe():
    others = {"__init__", "model", Path(__file__).stem}
    assert set(SHOWN) == {path.stem for path in HERE.glob("*.py")} - others


async def burst(port, frames):
    config = create_tcp_client_configuration()
    async with dial_client("127.0.0.1", port, config=config) as session:
        broken = await session.submit(SubmitRequest(frame_id=frames + 1), timeout=PATIENCE)
        assert broken.is_drop, "there is nothing to compute in it"
        requests = [
            SubmitRequest(
                frame_id=number,
                tile_ids=(0, 1),
                sections=(tensor_section(np.full((2, 64), number, np.float32), role_id=1),),
            )
            for number in range(1, frames + 1)
        ]
        return await asyncio.gather(*(answer(session, request) for request in requests))


async def answer(session, request):
    """The answer as an array with a row for each tile, however many parts it came in; `None` for a drop."""
    rows = {}
    async for part in session.stream(request, timeout=PATIENCE):
        if part.is_drop:
            return None
        tiles = zip(part.tile_ids, part.sections[0].tile_arrays(), strict=True)
        rows.update((tile_id, tile) for tile_id, tile in tiles if tile.size)
    return np.stack([rows[tile_id] for tile_id in request.tile_ids])


@pytest.mark.parametrize("recipe", SHOWN)
async def test_every_frame_gets_an_answer(recipe):
    needs(recipe)
    if recipe == "serving":
        pytest.skip("the part that the others share")
    async with running(f"recipes.{recipe}", "0") as server:
        port = int(re.search(r"\d+", await line(server)).group())
        first, second = await asyncio.gather(burst(port, 20), burst(port, 20))
        for one, other in zip(first, second, strict=True):
            if one is None or other is None:
                assert recipe == "backpressure"
                continue
            assert one.shape == (2, 64)
            assert np.abs(one).max() <= 1
            np.testing.assert_allclose(one, other, rtol=1e-5)
        assert any(outputs is not None for outputs in first)
        server.terminate()
        assert await asyncio.wait_for(server.wait(), PATIENCE) == 0


async def test_ctrl_c_costs_the_process_pool_no_frame():
    """A terminal sends it to every process of the program, here in the middle of their work."""
    tiles = tuple(range(4096))  # some milliseconds of work
    section = tensor_section(np.ones((len(tiles), 64), np.float32), role_id=1)
    requests = [
        SubmitRequest(frame_id=number, tile_ids=tiles, sections=(section,)) for number in range(1, 13)
    ]
    async with running("recipes.process_pool", "0") as server:
        port = int(re.search(r"\d+", await line(server)).group())
        async with dial_client("127.0.0.1", port, config=create_tcp_client_configuration()) as session:
            results = [asyncio.create_task(session.submit(one, timeout=PATIENCE)) for one in requests]
            await asyncio.wait(results, return_when=asyncio.FIRST_COMPLETED)
            os.killpg(server.pid, signal.SIGINT)
            assert not any(result.is_drop for result in await asyncio.gather(*results))
        assert await asyncio.wait_for(server.wait(), PATIENCE) == 0

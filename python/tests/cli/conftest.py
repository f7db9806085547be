"""A folder with a handler, and the command in it."""

import pytest
from commands import Commands

APP = '''
"""Handlers of every kind."""

import asyncio
import logging
import time

import numpy as np

from nnrp.arrays import TileGrid
from nnrp.cli import Drop, Reply
from nnrp.core import ResultClass

log = logging.getLogger("nnrp.app")
SIDES = "src_width", "src_height", "tile_width", "tile_height"


def text(submit):
    return submit.request.typed_payloads[0].payload.decode()


def back(submit):
    return list(submit.request.sections)


def negative(submit):
    return 255 - submit.request.sections[0].numpy()


def together_again(submit):
    """Twice as large, tile by tile: the tiles at the edges are smaller."""
    grid = TileGrid(*(getattr(submit.request, name) for name in SIDES))
    image = grid.image(submit.request.sections[0], tile_ids=submit.request.tile_ids)
    larger = image.repeat(2, axis=0).repeat(2, axis=1)
    return grid.scaled(2).section(larger, role_id=1)


def shout(submit):
    return text(submit).upper()


async def shout_later(submit):
    await asyncio.sleep(0.01)
    return text(submit).upper()


async def words(submit):
    for word in text(submit).split():
        yield word + " "


def plain_words(submit):
    for word in text(submit).split():
        yield word + " "


async def endless(submit):
    if text(submit) == "stop":
        return
    try:
        while True:
            yield "more "
            await asyncio.sleep(0.001)
    finally:
        log.warning("the generator was closed")


def arrays(submit):
    first, second = (section.numpy() for section in submit.request.sections)
    return first * 2, second * 2, np.arange(4, dtype=np.uint8).reshape(2, 2)


def all_kinds(submit):
    return [text(submit), b"bytes", {"label": "cat"}, submit.request.typed_payloads[0]]


def degraded(submit):
    return Reply("less", result_class=ResultClass.DEGRADED, status_code=7)


def nothing(submit):
    return None


def busy(submit):
    return Drop("server_busy")


async def leaving(submit):
    raise SystemExit(3)


def broken(submit):
    return 1 / 0


def wrong(submit):
    return 1.5


def slow(submit):
    log.warning("begun")
    time.sleep(float(text(submit)))
    return "at last"


async def slow_too(submit):
    await asyncio.sleep(float(text(submit)))
    return "at last"


async def stuck(submit):
    await asyncio.sleep(3600)


def together(frames):
    return [f"{text(frame)} of {len(frames)}" for frame in frames]


class Model:
    def __call__(self, submit):
        return "a model"


model = Model()
number = 1
'''


@pytest.fixture
def commands(tmp_path):
    made = Commands(tmp_path)
    made.write("app.py", APP)
    return made

"""Runs the command as people do: in a process of its own."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from programs import PATIENCE, running

COMMAND = (sys.executable, "-W", "error", "-m", "nnrp")


@dataclass
class Commands:
    """The command in one folder."""

    folder: object
    variables: dict = field(default_factory=dict)

    def environment(self):
        """What the command finds: the package that is tested, and nothing of the user's."""
        mine = ("NNRP_", "OTEL_", "SSLKEYLOG")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(mine)}
        return {**kept, "XDG_STATE_HOME": str(self.folder / "state"), "COLUMNS": "200", **self.variables}

    @staticmethod
    def line(*arguments):
        return [*COMMAND, *map(str, arguments)]

    def write(self, name, content):
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def run(self, *arguments, stdin=b""):
        """Run it to its end: exit code, standard output, and standard error."""
        done = subprocess.run(
            self.line(*arguments),
            input=stdin,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
            cwd=self.folder,
            env=self.environment(),
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    async def in_thread(self, *arguments, **more):
        """Run it beside a server of the same test."""
        return await asyncio.to_thread(self.run, *arguments, **more)

    async def submit(self, *arguments, **more):
        """Run `nnrp submit` beside a server of the same test."""
        return await self.in_thread("submit", *arguments, **more)

    @asynccontextmanager
    async def serve(self, handler, *arguments):
        """Run `nnrp serve` until the end of the block; it is killed if it does not end."""
        starting = running(
            *self.line("serve", handler, "--port", "0", "--log-format", "json", *arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.folder,
            env=self.environment(),
            limit=1 << 20,
        )
        async with starting as process:
            served = Served(process)
            transports = 1 if {"--plain", "off"} & set(arguments) else 2
            while len(served.addresses) < transports:
                record = await served.record()
                served.http = record.get("health_address") or record.get("metrics_address") or served.http
                if "address" in record:
                    served.addresses[record["transport"]] = record["address"]
            yield served


@dataclass
class Served:
    """A server that runs."""

    process: object
    addresses: dict = field(default_factory=dict)
    http: str = ""

    @property
    def url(self):
        return next(iter(self.addresses.values()))

    @property
    def port(self):
        return int(self.url.rpartition(":")[2])

    async def record(self):
        """The next record of its log."""
        line = await asyncio.wait_for(self.process.stderr.readline(), PATIENCE)
        assert line, "the server ended"
        try:
            return json.loads(line)
        except ValueError:
            raise AssertionError(line.decode() + (await self.process.stderr.read()).decode()) from None

    async def logged(self, words):
        """Wait for a record with these words."""
        while words not in (record := await self.record())["message"]:
            pass
        return record

    async def stop(self, number=signal.SIGTERM):
        """Send a signal, and wait for the end: exit code, and what was logged until then."""
        self.process.send_signal(number)
        return await self.ended()

    async def ended(self):
        """Wait for the end, as `stop` does."""
        _, rest = await asyncio.wait_for(self.process.communicate(), PATIENCE)
        return self.process.returncode, [json.loads(line) for line in rest.splitlines()]


APP = '''
"""Handlers of every kind."""

import asyncio
import logging
import time
from pathlib import Path

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


def held(submit):
    """Until there is a file with the name of the frame."""
    log.warning("begun")
    while not Path(str(submit.frame_id)).exists():
        time.sleep(0.01)
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

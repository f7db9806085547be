"""The demo: start the server, send a photograph over QUIC and then over TCP, show what came back.

    python -m super_resolution.demo

Leaves before.png, after.png, side_by_side.png, report.json and server.log in `demo-output`. Exits with 0 if
both transports answered everything and the model came closer to the original than bicubic interpolation, else
with 1 and a sentence that says what went wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from nnrp import TransportId
from nnrp.errors import NnrpError
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .client import TILES_PER_FRAME, ClientError, Measurements, connect, super_resolve
from .comparison import Column, compose, telling_corners
from .photo import HOLD_OUT, FloatPlane, Photo, crop_to_even, enlarge, halve, load
from .quality import psnr
from .report import summary, table
from .tiles import TOKEN_VARIABLE, Grid

FRAMES = 60
"""Frames sent over each transport: enough for a percentile to mean something, a few seconds in all."""
READY_SECONDS = 20.0
"""How long the server may take to start: loading ONNX Runtime from a cold disk takes a few."""
STOP_SECONDS = 10.0
"""How long it may take to stop; it gives itself five to finish its frames."""
TRANSPORT_SECONDS = 60.0
"""How long one transport may take in all, some fifty times what it needs."""


T = TypeVar("T")


class DemoError(Exception):
    """The demo failed; the text is the sentence for the user."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the server listens and what a client needs to get in."""

    host: str
    quic_port: int
    tcp_port: int
    certificate: Path
    token: str


@contextlib.asynccontextmanager
async def running_server(output: Path) -> AsyncGenerator[Endpoint]:
    """Run the server as a process of its own for the length of the block, then ask it to stop.

    Raises `DemoError` if it does not come up, or does not leave with exit code 0 when its input is closed.
    """
    package = Path(__file__).parent
    token = secrets.token_urlsafe()
    path = os.pathsep.join(filter(None, (str(package.parent), os.environ.get("PYTHONPATH"))))
    command = (
        sys.executable,
        "-m",
        f"{package.name}.server",
        "--quic-port=0",
        "--tcp-port=0",
        "--until-stdin-closes",
    )
    log = output / "server.log"
    with log.open("wb") as log_file:
        process = await asyncio.create_subprocess_exec(
            *command,
            f"--certificate-out={output / 'server-certificate.pem'}",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log_file,
            env={**os.environ, "PYTHONPATH": path, TOKEN_VARIABLE: token},
        )
    assert process.stdin is not None  # noqa: S101 - they are pipes, which the type does not say
    assert process.stdout is not None  # noqa: S101
    try:
        line = await _within(READY_SECONDS, process.stdout.readline(), "the server did not start")
        if not line:
            raise DemoError(f"the server ended before it was ready, see {log}")
        ready = json.loads(line)
        certificate = Path(ready["certificate"])
        yield Endpoint(ready["host"], ready["quic_port"], ready["tcp_port"], certificate, token)
        process.stdin.close()
        code = await _within(STOP_SECONDS, process.wait(), "the server did not stop")
        if code != 0:
            raise DemoError(f"the server ended with exit code {code}, see {log}")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _within(seconds: float, awaitable: Awaitable[T], complaint: str) -> T:
    try:
        return await asyncio.wait_for(awaitable, seconds)
    except TimeoutError:
        raise DemoError(f"{complaint} within {seconds:g} s") from None


async def send_over(
    transport: TransportId, endpoint: Endpoint, small: Photo, passes: int, progress: Progress
) -> tuple[FloatPlane, Measurements]:
    """Send the photograph over one transport and return the residual of its luma. Raises `DemoError`."""
    height, width = small.y.shape
    frames = passes * len(list(Grid(width, height).batches(TILES_PER_FRAME)))
    task = progress.add_task(f"{transport.name:4}", total=frames)
    port = endpoint.quic_port if transport is TransportId.QUIC else endpoint.tcp_port
    try:
        async with asyncio.timeout(TRANSPORT_SECONDS):
            session = await connect(
                transport, endpoint.host, port, certificate=endpoint.certificate, token=endpoint.token
            )
            async with session:
                return await super_resolve(
                    session, small.y, passes=passes, on_frame=lambda: progress.advance(task)
                )
    except (NnrpError, ClientError, TimeoutError, OSError, ValueError) as error:
        raise DemoError(f"{transport.name} failed: {str(error) or type(error).__name__}") from error


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one transport brought back."""

    picture: Photo
    psnr: float
    figures: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Task:
    """The photograph, in all the forms it is needed in."""

    name: str
    original: Image.Image
    sent: Image.Image
    truth: Photo
    small: Photo
    bicubic: Photo
    bicubic_psnr: float

    @classmethod
    def load(cls, name: str) -> Task:
        """Read and halve the photograph. Raises `DemoError` if that is not possible."""
        try:
            original = crop_to_even(load(name))
            sent = halve(original)
            truth, small = Photo.from_image(original), Photo.from_image(sent)
            bicubic = enlarge(small)
            return cls(name, original, sent, truth, small, bicubic, psnr(truth.y, bicubic.y))
        except (OSError, ValueError) as error:
            raise DemoError(f"{name} cannot be used: {error}") from error


async def run(task: Task, output: Path, frames: int, console: Console) -> None:
    """Do it all. Raises `DemoError` if anything is not as it should be."""
    grid = Grid(task.sent.width, task.sent.height)
    frames_per_pass = len(list(grid.batches(TILES_PER_FRAME)))
    passes = max(1, frames // frames_per_pass)
    console.print(
        f"{task.name}: {grid.width}x{grid.height} pixels, {len(grid)} tiles in {frames_per_pass} frames,"
        f" sent {passes} times"
    )
    outcomes: list[Outcome] = []
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    async with running_server(output) as endpoint:
        with Progress(*columns, console=console) as progress:
            for transport in (TransportId.QUIC, TransportId.TCP):
                residual, measured = await send_over(transport, endpoint, task.small, passes, progress)
                picture = enlarge(task.small, residual)
                outcomes.append(Outcome(picture, psnr(task.truth.y, picture.y), summary(measured)))

    show(console, task, outcomes)
    write(output, task, outcomes)
    console.print(f"pictures and figures: {output}")
    for outcome in outcomes:
        if outcome.psnr <= task.bicubic_psnr:
            transport = outcome.figures["transport"]
            raise DemoError(f"over {transport} the model did not beat bicubic interpolation")


def show(console: Console, task: Task, outcomes: Sequence[Outcome]) -> None:
    """Print quality and speed."""
    console.print(table([outcome.figures for outcome in outcomes]))
    console.print(f"luma PSNR, {'bicubic:':16} {task.bicubic_psnr:.2f} dB", highlight=False)
    for outcome in outcomes:
        label = f"model over {outcome.figures['transport']}:"
        gain = outcome.psnr - task.bicubic_psnr
        console.print(f"luma PSNR, {label:16} {outcome.psnr:.2f} dB ({gain:+.2f})", highlight=False)


def write(output: Path, task: Task, outcomes: Sequence[Outcome]) -> None:
    """Write the pictures, those of the last transport, and the report."""
    last = outcomes[-1]
    before, after = task.bicubic.to_image(), last.picture.to_image()
    before.save(output / "before.png")
    after.save(output / "after.png")

    blocks = task.sent.resize(task.original.size, Image.Resampling.NEAREST)
    columns = [
        Column("low resolution", "pixels as blocks", blocks),
        Column("bicubic", f"{task.bicubic_psnr:.2f} dB", before),
        Column("model over NNRP", f"{last.psnr:.2f} dB", after),
        Column("original", "the truth", task.original),
    ]
    corners = telling_corners(task.truth.y, task.bicubic.y, last.picture.y)
    picture = compose(task.sent, columns, corners, caption(task, outcomes))
    picture.save(output / "side_by_side.png", optimize=True)

    report = {
        "photo": task.name,
        "sent_pixels": task.sent.size,
        "luma_psnr_db": {
            "bicubic": round(task.bicubic_psnr, 3),
            "model": {outcome.figures["transport"]: round(outcome.psnr, 3) for outcome in outcomes},
        },
        "transports": [outcome.figures for outcome in outcomes],
    }
    (output / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def caption(task: Task, outcomes: Sequence[Outcome]) -> str:
    """Sum up the run for the picture."""
    lines = [f"luma PSNR {outcomes[-1].psnr - task.bicubic_psnr:+.2f} dB against bicubic"]
    for figures in (outcome.figures for outcome in outcomes):
        latency = figures["latency_ms"]
        lines += [
            "",
            f"{figures['transport']}: {figures['frames']} frames, {figures['megabytes_per_second']:.0f} MB/s",
            f"latency p50 {latency['p50']:.0f} ms, p99 {latency['p99']:.0f} ms",
        ]
    return "\n".join(lines)


def main() -> None:
    """Read the command line and run the demo."""
    parser = argparse.ArgumentParser(description="Super-resolve a photograph over NNRP, on this machine.")
    parser.add_argument(
        "--photo", default=HOLD_OUT, help="a picture file (default: %(default)s of scikit-image)"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("demo-output"), help="folder (default: %(default)s)"
    )
    parser.add_argument(
        "--frames", type=int, default=FRAMES, help="frames per transport (default: %(default)s)"
    )
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    console = Console()
    try:
        asyncio.run(run(Task.load(arguments.photo), arguments.output, arguments.frames, console))
    except DemoError as error:
        sys.exit(f"demo failed: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

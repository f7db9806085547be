"""The client: one luma plane goes out as frames of tiles, several in flight, and its residual comes back.

    python -m super_resolution.client holiday.jpg large.png --certificate
    server.pem

`super_resolve` is the part to read first.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nnrp import InputProfile, ResultClass, TensorDType, TensorSectionData, TileIndexMode, TransportId
from nnrp.adapters import create_quic_client_configuration, create_tcp_client_configuration
from nnrp.client import ClientProfile, ClientSession, Result, SubmitRequest, dial_client
from nnrp.errors import NnrpError

from .photo import FloatPlane, Photo, Plane, enlarge, load
from .tiles import LUMA_ROLE, RAW_CODEC, RESIDUAL_ROLE, TOKEN_VARIABLE, Canvas, Cutter, Grid

TILES_PER_FRAME = 32
"""32 tiles are 50 KiB to send and 256 KiB to receive: enough work for a frame, small beside every limit."""
FRAMES_IN_FLIGHT = 4
"""Two for the server's two or so workers and two on the way to and from them."""
FRAME_TIMEOUT = 10.0
"""Seconds a frame may take; a hundred times what it needs, so only a broken server reaches it."""


class ClientError(Exception):
    """The server answered, but not with what was asked for."""


@dataclass(slots=True)
class Measurements:
    """What one run over one transport was like. Times are in milliseconds, one for each result."""

    transport: str
    seconds: float = 0.0
    sent_bytes: int = 0
    received_bytes: int = 0
    dropped_frames: int = 0
    partial_frames: int = 0
    latency_ms: list[float] = field(default_factory=list[float])
    inference_ms: list[int] = field(default_factory=list[int])
    queue_ms: list[int] = field(default_factory=list[int])
    server_total_ms: list[int] = field(default_factory=list[int])

    def record(self, request: SubmitRequest, result: Result, *, latency: float) -> None:
        """Count one answered frame; `latency` is in seconds."""
        self.sent_bytes += sum(len(tile) for section in request.sections for tile in section.tile_payloads)
        if result.metadata is None:
            self.dropped_frames += 1
            return
        self.received_bytes += sum(len(section.payload) for section in result.sections)
        self.partial_frames += result.metadata.result_class is ResultClass.PARTIAL
        self.latency_ms.append(latency * 1000)
        self.inference_ms.append(result.metadata.inference_ms)
        self.queue_ms.append(result.metadata.queue_ms)
        self.server_total_ms.append(result.metadata.server_total_ms)

    @property
    def frames(self) -> int:
        """Frames that were answered, by a result or by a drop."""
        return len(self.latency_ms) + self.dropped_frames

    @property
    def megabytes_per_second(self) -> float:
        """Bodies of frames and results together, in 10^6 bytes for each second of the run."""
        return (self.sent_bytes + self.received_bytes) / self.seconds / 1e6


def make_requests(luma: Plane, grid: Grid, passes: int) -> Iterator[SubmitRequest]:
    """The frames that send a plane `passes` times over, numbered from 1."""
    cutter = Cutter(luma, grid)
    parts = list(grid.batches(TILES_PER_FRAME))
    for number in range(passes * len(parts)):
        tile_ids = parts[number % len(parts)]
        section = TensorSectionData(
            role_id=LUMA_ROLE,
            default_codec_id=RAW_CODEC,
            dtype_id=TensorDType.UINT8,
            tile_payloads=tuple(cutter.payload(tile_id) for tile_id in tile_ids),
        )
        yield SubmitRequest(
            frame_id=number + 1,
            src_width=grid.width,
            src_height=grid.height,
            tile_width=grid.tile,
            tile_height=grid.tile,
            tile_ids=tile_ids,
            tile_index_mode=TileIndexMode.RAW_U16,
            input_profile=InputProfile.CHANGED_TILES_LUMA,
            sections=(section,),
        )


def paint(canvas: Canvas, result: Result) -> None:
    """Put the tiles of a result in their places; a drop has none. Raises `ClientError` for anything else."""
    for section in result.sections:
        if (section.role_id, section.dtype_id) != (RESIDUAL_ROLE, TensorDType.FP16):
            raise ClientError(f"the server sent role {section.role_id} in dtype {section.dtype_id}")
        for tile_id, payload in zip(result.tile_ids, section.payload_slices(), strict=True):
            if len(payload):  # a tile that a partial result leaves out is empty
                canvas.paint(tile_id, payload)


async def super_resolve(
    session: ClientSession, luma: Plane, *, passes: int = 1, on_frame: Callable[[], None] = lambda: None
) -> tuple[FloatPlane, Measurements]:
    """Send a luma plane and collect the residual of the enlarged one.

    `FRAMES_IN_FLIGHT` frames are under way at a time; `on_frame` is called after each answer. Raises
    `ClientError` if the server answers with something else, or with nothing for some tile in all passes,
    `TimeoutError` if a frame is not answered at all, and what the session raises when it breaks.
    """
    grid = Grid(width=luma.shape[1], height=luma.shape[0])
    canvas = Canvas(grid)
    measured = Measurements(session.transport_id.name)
    requests = make_requests(luma, grid, passes)

    async def send_frames() -> None:
        # All senders draw from one iterator: each takes the next frame as soon as its last one is answered.
        for request in requests:
            begun = time.perf_counter()
            result = await session.submit(request, timeout=FRAME_TIMEOUT)
            measured.record(request, result, latency=time.perf_counter() - begun)
            paint(canvas, result)
            on_frame()

    begun = time.perf_counter()
    try:
        async with asyncio.TaskGroup() as senders:
            for _ in range(FRAMES_IN_FLIGHT):
                senders.create_task(send_frames())
    except ExceptionGroup as failures:
        # The senders share one session: what broke the first broke the others.
        raise failures.exceptions[0] from None
    measured.seconds = time.perf_counter() - begun
    if canvas.missing:
        raise ClientError(f"{len(canvas.missing)} of {len(grid)} tiles were never answered")
    return canvas.residual, measured


async def connect(
    transport: TransportId, host: str, port: int, *, certificate: Path, token: str = ""
) -> ClientSession:
    """Open a session over one transport, which must be there: nothing falls back to the other one.

    TCP is not encrypted, so a token is safe on it only towards the same machine. Raises what `dial_client`
    does.
    """
    config = (
        create_quic_client_configuration(cafile=certificate)
        if transport is TransportId.QUIC
        else create_tcp_client_configuration()
    )
    profile = ClientProfile(enable_cache=False)
    return await dial_client(
        host,
        port,
        profile=profile,
        config=config,
        auth_block=token.encode(),
        requested_session_id=0,  # the server chooses
    )


async def enlarge_file(arguments: argparse.Namespace) -> None:
    """Send one picture file and write it at twice its size."""
    small = Photo.from_image(load(arguments.photo))
    transport = TransportId[arguments.transport.upper()]
    token = os.environ.get(TOKEN_VARIABLE, "")
    session = await connect(
        transport, arguments.host, arguments.port, certificate=arguments.certificate, token=token
    )
    async with session:
        residual, measured = await super_resolve(session, small.y)
    enlarge(small, residual).to_image().save(arguments.output)
    print(
        f"{arguments.output}: {measured.frames} frames over {arguments.transport} in {measured.seconds:.2f} s"
    )


def main() -> None:
    """Read the command line and enlarge one picture."""
    parser = argparse.ArgumentParser(description="Enlarge a picture twofold with a super-resolution server.")
    parser.add_argument("photo", type=Path, help="the picture to send")
    parser.add_argument("output", type=Path, help="where to write the picture at twice its size")
    parser.add_argument("--transport", choices=("quic", "tcp"), default="quic")
    parser.add_argument("--host", default="127.0.0.1", help="the server (default: %(default)s)")
    parser.add_argument(
        "--port", type=int, default=4433, help="its port for the transport (default: %(default)s)"
    )
    parser.add_argument(
        "--certificate",
        type=Path,
        default=Path("demo-output/server-certificate.pem"),
        help="the certificate to trust, for QUIC (default: %(default)s)",
    )
    try:
        asyncio.run(enlarge_file(parser.parse_args()))
    except (NnrpError, ClientError, TimeoutError, OSError, ValueError) as error:
        sys.exit(f"{parser.prog}: {str(error) or type(error).__name__}")


if __name__ == "__main__":
    main()

"""A super-resolution server: luma tiles come in over QUIC and TCP, residuals from an ONNX model go back.

    python -m super_resolution.server --quic-port 4433 --tcp-port 4434

What a server for real clients has to do, and where this one does it:

* never compute on the event loop: `Resolver._compute` runs in a thread pool;
* bound what is computed at once (`workers`) and what may wait (`MAX_PENDING_FRAMES`), and say so with a drop;
* answer every frame, also one that is refused, late or fails: `Resolver._answer`;
* keep to the client's budget, and send the part that was ready in time to a client that takes parts;
* stop in order: accept nothing new, finish what was accepted, flush, leave (`serve_sessions`, in `run`).
"""

from __future__ import annotations

import argparse
import asyncio
import hmac
import json
import logging
import math
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from nnrp import BudgetPolicy, HeaderFlags, ResultClass, ResultFlags, TensorDType, TensorSectionData
from nnrp.adapters import (
    create_quic_server_configuration,
    create_tcp_server_configuration,
    serve_quic,
    serve_tcp,
)
from nnrp.adapters.quic import create_development_certificate
from nnrp.errors import NnrpConnectionClosedError
from nnrp.server import ReceivedSubmit, ServerProfile, ServerSession, serve_sessions

from .engine import MODEL, Engine, Residuals, Tiles
from .tiles import HALO, LUMA_ROLE, RAW_CODEC, RESIDUAL_ROLE, TOKEN_VARIABLE

log = logging.getLogger("super_resolution.server")

MAX_PENDING_FRAMES = 32
"""Frames of one session that may be waiting, computed or sent. One more is dropped: a queue that grows makes
every later frame late, and helps none."""
MAX_BODY_BYTES = 512 * 1024
"""Ten times what the client of this example sends. The answer is eight times as large as the frame, so that
one session can make the server hold 32 times 4 MiB of answers at most, by not reading them."""
MAX_TILE_SIDE = 256
"""Bounds the memory of a batch: 8 tiles of 32 channels of 4 bytes for each pixel make 67 MB."""
TILES_PER_BATCH = 8
"""Tiles computed in one go. The budget is looked at between batches: a frame is late by one at most."""
DRAIN_SECONDS = 5.0
"""How long accepted frames may take to be answered once the server has been told to stop."""


class RefusedError(Exception):
    """A frame this server cannot work on; the text says why."""


def read_tiles(submit: ReceivedSubmit) -> Tiles:
    """The tiles of a submit, as a view of the received body: nothing is copied.

    Raises `RefusedError` unless the frame carries one section of raw 8-bit luma in whole tiles with halos.
    """
    height, width = submit.metadata.tile_height, submit.metadata.tile_width
    count = submit.metadata.tile_count
    if not (0 < height <= MAX_TILE_SIDE and 0 < width <= MAX_TILE_SIDE and count > 0):
        raise RefusedError(
            f"{count} tiles of {width}x{height}; there must be some, of at most {MAX_TILE_SIDE}"
        )
    if submit.tensor_body is None or len(submit.tensor_body.sections) != 1:
        raise RefusedError("exactly one tensor section is expected")
    (section,) = submit.tensor_body.sections
    if (section.role_id, section.dtype_id) != (LUMA_ROLE, TensorDType.UINT8):
        raise RefusedError(f"role {section.role_id} with dtype {section.dtype_id} is not 8-bit luma")
    if section.default_codec_id != RAW_CODEC or section.codec_ids:
        raise RefusedError("the tiles are compressed")
    shape = (count, 1, height + 2 * HALO, width + 2 * HALO)
    tile_bytes = math.prod(shape[1:])
    if set(section.tile_lengths()) != {tile_bytes} or len(section.payload) != count * tile_bytes:
        raise RefusedError(f"a tile of {width}x{height} with its halo has {tile_bytes} bytes")
    return np.frombuffer(section.payload, np.uint8).reshape(shape)


@dataclass(frozen=True, slots=True)
class Job:
    """One frame on its way through the server. Times are those of `time.monotonic`, in seconds."""

    session: ServerSession
    submit: ReceivedSubmit
    arrived: float

    @property
    def frame_id(self) -> int:
        """The client's number for the frame."""
        return self.submit.frame_id

    @property
    def deadline(self) -> float:
        """When the client's budget runs out."""
        budget = self.submit.metadata.latency_budget_ms
        return self.arrived + budget / 1000 if budget else math.inf

    async def drop(self, reason: str) -> None:
        """Tell the client that this frame will have no result."""
        request = self.submit.request
        await self.session.send_result_drop(
            request.frame_id, reason, view_id=request.view_id, trace_id=request.trace_id
        )

    async def send(self, residuals: Residuals, *, started: float, finished: float) -> None:
        """Send the residuals of the first tiles; the tiles they do not reach are marked as dropped."""
        request = self.submit.request
        done, asked = len(residuals), len(request.tile_ids)
        partial = done < asked
        payloads = tuple(tile.tobytes() for tile in residuals) + (b"",) * (asked - done)
        section = TensorSectionData(
            role_id=RESIDUAL_ROLE,
            default_codec_id=RAW_CODEC,
            dtype_id=TensorDType.FP16,
            tile_payloads=payloads,
            element_count_per_tile=residuals[0].size,
        )
        await self.session.send_result(
            frame_id=request.frame_id,
            tile_ids=request.tile_ids,
            sections=(section,),
            inference_ms=_milliseconds(finished - started),
            queue_ms=_milliseconds(started - self.arrived),
            server_total_ms=_milliseconds(time.monotonic() - self.arrived),
            result_class=ResultClass.PARTIAL if partial else ResultClass.COMPLETE,
            result_flags=ResultFlags.PARTIAL if partial else ResultFlags.NONE,
            applied_budget_policy=BudgetPolicy.ALLOW_PARTIAL if partial else BudgetPolicy.NONE,
            covered_tile_count=done,
            dropped_tile_count=asked - done,
            # No more will come for this frame: only this flag tells the client so after a partial result.
            flags=HeaderFlags.EOS if partial else HeaderFlags.NONE,
            view_id=request.view_id,
            trace_id=request.trace_id,
        )


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


class Resolver:
    """Answers the frames of all sessions with one model and one pool of threads."""

    def __init__(self, engine: Engine, workers: int) -> None:
        """Compute at most `workers` frames at once."""
        self._engine = engine
        self._slots = asyncio.Semaphore(workers)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="inference")

    async def serve(self, session: ServerSession) -> None:
        """Answer the frames of one session until it is over."""
        log.info("session %d opened over %s", session.session_id, session.transport_id)
        async with asyncio.TaskGroup() as frames:
            pending: set[asyncio.Task[None]] = set()
            async for submit in session:
                job = Job(session, submit, arrived=time.monotonic())
                if len(pending) >= MAX_PENDING_FRAMES:
                    # Not in a task of its own: a client that does not read its drops is not read either.
                    await self._answer(job, accepted=False)
                    continue
                task = frames.create_task(self._answer(job, accepted=True))
                pending.add(task)
                task.add_done_callback(pending.discard)
        log.info("session %d ended", session.session_id)

    async def __aenter__(self) -> Self:
        """Nothing to prepare."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Release the threads. Does not wait for a computation nobody waits for any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _answer(self, job: Job, *, accepted: bool) -> None:
        """Make sure the frame ends in a result or a drop, whatever happens."""
        try:
            reason = await self._resolve(job) if accepted else "queue_overflow"
            if reason is not None:
                await job.drop(reason)
        except NnrpConnectionClosedError:
            log.info("session %d left before its frame %d was answered", job.session.session_id, job.frame_id)

    async def _resolve(self, job: Job) -> str | None:
        """Send the result of a frame, or return the reason why there is none.

        Only reasons that the protocol has a code for reach the client, as `drop_reason` of its result. Of
        those used here these are `queue_overflow` and `budget_exceeded`; for `unsupported_input` and
        `inference_failed` the client sees a drop whose `drop_reason` is `None`, and why is in the log of this
        server. Trying again helps in neither of the two.
        """
        try:
            tiles = read_tiles(job.submit)
            async with self._slots:
                started = time.monotonic()
                batches = await self._compute(tiles, job.deadline)
                finished = time.monotonic()
        except RefusedError as error:
            log.warning("session %d frame %d refused: %s", job.session.session_id, job.frame_id, error)
            return "unsupported_input"
        except Exception:
            log.exception("session %d frame %d failed", job.session.session_id, job.frame_id)
            return "inference_failed"
        takes_part = bool(job.submit.metadata.budget_policy & BudgetPolicy.ALLOW_PARTIAL)
        done = sum(map(len, batches))
        if done == 0 or (done < len(tiles) and not takes_part):
            return "budget_exceeded"
        # The slot is free again: a client that is slow to read holds up its own results only.
        await job.send(np.concatenate(batches), started=started, finished=finished)
        return None

    async def _compute(self, tiles: Tiles, deadline: float) -> list[Residuals]:
        """The residuals of the tiles, as many batches as could be begun before the deadline."""
        loop = asyncio.get_running_loop()
        batches: list[Residuals] = []
        for first in range(0, len(tiles), TILES_PER_BATCH):
            if time.monotonic() >= deadline:
                break
            batch = tiles[first : first + TILES_PER_BATCH]
            batches.append(await loop.run_in_executor(self._threads, self._engine.run, batch))
        return batches


def token_validator(token: str | None) -> Callable[[bytes], bool] | None:
    """Admit clients that present this token; `None` admits all, which is for loopback listeners only."""
    if not token:
        return None
    expected = token.encode()
    return lambda presented: hmac.compare_digest(presented, expected)


@dataclass(frozen=True, slots=True)
class Settings:
    """Where to listen and how to work. Port 0 takes any free port."""

    host: str
    quic_port: int
    tcp_port: int
    workers: int
    model: Path
    certificate_out: Path
    token: str | None


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Serve both transports until `stop` is set, SIGTERM or Ctrl-C; then finish what was accepted."""
    # Good for localhost, 127.0.0.1 and ::1. The key stays in this process; clients need the certificate.
    identity = create_development_certificate()
    settings.certificate_out.parent.mkdir(parents=True, exist_ok=True)
    settings.certificate_out.write_bytes(identity.certificate)
    quic = create_quic_server_configuration(identity.certificate, identity.private_key)
    tcp = create_tcp_server_configuration()  # not encrypted, hence for this machine only
    profile = ServerProfile(
        max_concurrent_frames=settings.workers,
        enable_cache=False,
        max_sections=1,
        max_body_bytes=MAX_BODY_BYTES,
    )
    async with (
        Resolver(Engine(settings.model), settings.workers) as resolver,
        serve_quic(settings.host, settings.quic_port, quic) as quic_listener,
        serve_tcp(settings.host, settings.tcp_port, tcp) as tcp_listener,
    ):
        announce(settings, quic_port=quic_listener.port, tcp_port=tcp_listener.port)
        drained = await serve_sessions(
            quic_listener,
            tcp_listener,
            handler=resolver.serve,
            profile=profile,
            drain_timeout=DRAIN_SECONDS,
            stop=stop,
            model_name=settings.model.stem,
            auth_validator=token_validator(settings.token),
        )
        log.info("stopped: %s", drained)


def announce(settings: Settings, *, quic_port: int, tcp_port: int) -> None:
    """One line of JSON on standard output, for whoever started this server: clients can connect now."""
    ready = {
        "host": settings.host,
        "quic_port": quic_port,
        "tcp_port": tcp_port,
        "certificate": str(settings.certificate_out),
    }
    print(json.dumps(ready), flush=True)


async def serve_until_stopped(settings: Settings, *, until_stdin_closes: bool) -> None:
    """`run`, which Ctrl-C and SIGTERM stop.

    With `until_stdin_closes` also when the program that started this one closes the pipe, or dies.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def watch_stdin() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        loop.call_soon_threadsafe(stop.set)

    if until_stdin_closes:
        threading.Thread(target=watch_stdin, name="stdin", daemon=True).start()
    await run(settings, stop)


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description="Serve 2x super-resolution over NNRP.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--quic-port", type=int, default=4433, help="UDP port, 0 for any (default: %(default)s)"
    )
    parser.add_argument(
        "--tcp-port", type=int, default=4434, help="TCP port, 0 for any (default: %(default)s)"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="frames computed at once")
    parser.add_argument("--model", type=Path, default=MODEL, help="the ONNX file")
    parser.add_argument(
        "--certificate-out",
        type=Path,
        default=Path("demo-output/server-certificate.pem"),
        help="where to write the development certificate that clients have to trust (default: %(default)s)",
    )
    parser.add_argument("--until-stdin-closes", action="store_true", help="stop when standard input ends")
    arguments = vars(parser.parse_args())
    until_stdin_closes = arguments.pop("until_stdin_closes")
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    settings = Settings(**arguments, token=os.environ.get(TOKEN_VARIABLE))
    try:
        asyncio.run(serve_until_stopped(settings, until_stdin_closes=until_stdin_closes))
    except OSError as error:
        sys.exit(f"the server could not start: {error}")


if __name__ == "__main__":
    main()

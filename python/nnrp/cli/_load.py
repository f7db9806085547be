"""The load that `nnrp bench` makes, and what became of it."""

from __future__ import annotations

import asyncio
import math
import time
from array import array
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

from nnrp.client import SubmitRequest
from nnrp.core import TensorDType, TensorSectionData
from nnrp.errors import NnrpError

if TYPE_CHECKING:
    from collections.abc import Callable

    from nnrp.cli._target import Target
    from nnrp.client import ClientSession
    from nnrp.enums import ResultHintReason

__all__ = ["PERCENTILES", "Load", "Tally"]

#: What the table shows.
PERCENTILES: Final = (50.0, 90.0, 95.0, 99.0, 99.9)

#: Latencies that are kept: eight bytes each, hours of a fast server. Further frames are counted only.
_MAX_LATENCIES: Final = 20_000_000

#: Different errors whose text is kept.
_MAX_ERRORS: Final = 8

#: Seconds between two looks at the counters, for the bar and the curve.
_TICK: Final = 0.25


@dataclass
class Tally:
    """What became of the frames.

    Attributes:
        latencies: seconds from submitting to the last result, of answered frames after the warm-up.
        answered: how many were.
        dropped: frames that the server dropped.
        failed: frames that got an error, or nothing in time.
        sent_bytes: bodies of the answered frames.
        received_bytes: bodies of their results.
        curve: frames per second, once for each tick.
        errors: how often each error was met.
        reasons: how often the server gave each reason for a drop.
        measured: seconds.

    """

    latencies: array[float] = field(default_factory=lambda: array("d"))
    answered: int = 0
    dropped: int = 0
    failed: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0
    curve: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    errors: dict[str, int] = field(default_factory=dict[str, int])
    reasons: dict[str, int] = field(default_factory=dict[str, int])
    measured: float = 0.0

    @property
    def ended(self) -> int:
        """Frames that came to an end."""
        return self.answered + self.dropped + self.failed

    def percentile(self, percent: float) -> float:
        """Return the latency, in seconds, that this share of the frames did not exceed.

        Raises:
            ValueError: no frame was answered.

        """
        if not self.latencies:
            raise ValueError("no frame was answered")
        return self._ranked[max(0, math.ceil(len(self._ranked) * percent / 100) - 1)]

    @cached_property
    def _ranked(self) -> list[float]:
        """The latencies in order; asked for when there will be no more."""
        return sorted(self.latencies)

    def fail(self, error: str) -> None:
        """Count a frame that failed."""
        self.failed += 1
        if error in self.errors or len(self.errors) < _MAX_ERRORS:
            self.errors[error] = self.errors.get(error, 0) + 1

    def drop(self, reason: ResultHintReason | None) -> None:
        """Count a frame that the server dropped."""
        self.dropped += 1
        said = reason.name if reason else "without a reason"
        self.reasons[said] = self.reasons.get(said, 0) + 1


@dataclass
class Load:
    """So many sessions, each with so many frames on their way at any time.

    Attributes:
        target: the server.
        sessions: how many.
        in_flight: frames of each session that wait for their answer.
        size: bytes of a frame's body: one tensor section with one tile.
        duration: seconds that are measured.
        warm_up: seconds before that.

    """

    target: Target
    sessions: int
    in_flight: int
    size: int
    duration: float
    warm_up: float
    tally: Tally = field(default_factory=Tally)
    transport: str = ""

    async def run(self, progress: Callable[[float, float], None]) -> Tally:
        """Make the load; ``progress`` hears the seconds so far and the frames per second.

        Raises:
            OSError, NnrpError: a session could not be opened.

        """
        # One after the other: a crowd at the door is another experiment.
        opened: list[ClientSession] = []
        try:
            for _ in range(self.sessions):
                # All go where the first one came through: those that wait for QUIC need not wait each.
                transport = opened[0].transport_id.name.lower() if opened else None
                opened.append(await self.target.dial(transport))
            self.transport = opened[0].transport_id.name
            return await self._measure(opened, progress)
        finally:
            await asyncio.gather(*(session.close() for session in opened))

    async def _measure(
        self, sessions: list[ClientSession], progress: Callable[[float, float], None]
    ) -> Tally:
        section = TensorSectionData(
            role_id=1,
            default_codec_id=0,
            dtype_id=TensorDType.UINT8,
            tile_payloads=(bytes(self.size),),
            element_count_per_tile=self.size,
        )
        request = SubmitRequest(frame_id=1, tile_ids=(0,), sections=(section,))
        workers = [
            asyncio.create_task(self._work(session, replace(request, frame_id=1 + number)))
            for session in sessions
            for number in range(self.in_flight)
        ]
        try:
            await self._watch(workers, progress)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        return self.tally

    async def _watch(
        self, workers: list[asyncio.Task[None]], progress: Callable[[float, float], None]
    ) -> None:
        """Look at the counters until the time is over, or every worker has given up."""
        pending = set(workers)
        if self.warm_up:
            _, pending = await asyncio.wait(workers, timeout=self.warm_up)
        began = looked = time.perf_counter()
        self.tally = Tally()
        before = 0
        while pending and (left := began + self.duration - time.perf_counter()) > 0:
            _, pending = await asyncio.wait(pending, timeout=min(_TICK, left))
            now = time.perf_counter()
            rate = (self.tally.answered - before) / max(now - looked, 1e-9)
            looked, before = now, self.tally.answered
            self.tally.curve.append((now - began, rate))
            progress(now - began, rate)
        self.tally.measured = time.perf_counter() - began
        for worker in workers:
            if worker.done():
                worker.result()  # raises what no worker expected

    async def _work(self, session: ClientSession, request: SubmitRequest) -> None:
        """Submit one frame after the other, each under an id that no other worker of the session has."""
        while True:
            tally, began = self.tally, time.perf_counter()
            try:
                received, dropped = 0, None
                async for result in session.stream(request, timeout=self.target.timeout):
                    received += result.packet.header.body_len
                    dropped = result if result.is_drop else None
            except (OSError, NnrpError) as error:
                tally.fail(str(error) or type(error).__name__)
                if session.is_closed:
                    return
            else:
                if dropped is None:
                    self._count(tally, time.perf_counter() - began, received)
                else:
                    tally.drop(dropped.drop_reason)
            request = replace(request, frame_id=_following(request.frame_id, self.in_flight))

    def _count(self, tally: Tally, took: float, received: int) -> None:
        tally.answered += 1
        tally.sent_bytes += self.size
        tally.received_bytes += received
        if len(tally.latencies) < _MAX_LATENCIES:
            tally.latencies.append(took)


def _following(frame_id: int, step: int) -> int:
    """Return the next id of a worker; ids are u32, and begin again below ``step``."""
    return frame_id + step if frame_id + step < 1 << 32 else 1 + (frame_id - 1) % step

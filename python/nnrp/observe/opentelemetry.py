"""Counters and spans for OpenTelemetry."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from threading import Lock

from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, TraceFlags, TracerProvider

from nnrp._native import __version__
from nnrp._stats import Stats
from nnrp.observe._families import FAMILIES, Family, Source, read, samples
from nnrp.server import ReceivedSubmit

__all__ = ["FrameTraceIds", "current_trace_id", "frame_span", "observe"]

#: Seconds for which the counters that were read serve: one collection asks for one family after the other.
_FRESH = 0.25

_U64 = (1 << 64) - 1


def observe(sources: Mapping[str, Source], meter_provider: MeterProvider | None = None) -> None:
    """Have these listeners and sessions read whenever metrics are collected.

    Args:
        sources: what to read, each under its name as the attribute ``source``. Looked at anew each time, so
            that sources may come and go.
        meter_provider: whose metrics these are; the global one if ``None``.

    """
    meter = metrics.get_meter("nnrp", __version__, meter_provider)
    reader = _Reader(sources)
    for family in FAMILIES:
        create = (
            meter.create_observable_counter
            if family.kind == "counter"
            else meter.create_observable_up_down_counter
        )
        create(f"nnrp.{family.name}", [_callback(family, reader)], family.unit, family.description)


class _Reader:
    """Reads all sources at once, once for each collection."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._sources = sources
        self._lock = Lock()
        self._read_at = float("-inf")
        self._stats: dict[str, Stats] = {}

    def stats(self) -> dict[str, Stats]:
        with self._lock:
            now = time.monotonic()
            if now - self._read_at > _FRESH:
                self._stats, self._read_at = read(self._sources), now
            return self._stats


def _callback(family: Family, reader: _Reader) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observations(_: CallbackOptions) -> Iterable[Observation]:
        return [metrics.Observation(value, labels) for labels, value in samples(family, reader.stats())]

    return observations


@contextmanager
def frame_span(
    received: ReceivedSubmit, name: str = "nnrp.frame", *, tracer_provider: TracerProvider | None = None
) -> Generator[Span, None, None]:
    """Do what answers a frame in a span of the frame's trace.

    ::

        async for received in session:
            with frame_span(received):
                await session.send_result(…, trace_id=received.packet.header.trace_id)

    The 64 bits of the frame's ``trace_id`` are the lower half of the trace's id, the upper half is 0; a frame
    with ``trace_id`` 0 is in no trace of its client, and the span continues what is current here. NNRP has no
    room for the id of the client's span, so the span's parent has the id of the trace.

    Args:
        received: the frame.
        name: the name of the span.
        tracer_provider: whose span it is; the global one if ``None``.

    """
    header = received.packet.header
    tracer = trace.get_tracer("nnrp", __version__, tracer_provider)
    attributes = {
        "nnrp.session_id": header.session_id,
        "nnrp.frame_id": header.frame_id,
        "nnrp.view_id": header.view_id,
    }
    context = _context(header.trace_id)
    with tracer.start_as_current_span(name, context, SpanKind.SERVER, attributes) as span:
        yield span


def _context(trace_id: int) -> Context | None:
    if trace_id == 0:
        return None
    sampled = TraceFlags(TraceFlags.SAMPLED)
    return trace.set_span_in_context(
        NonRecordingSpan(SpanContext(trace_id, trace_id, is_remote=True, trace_flags=sampled))
    )


def current_trace_id() -> int:
    """Return the ``trace_id`` for a frame submitted in the current span; 0 without one.

    It is the lower half of the trace's id. With :class:`FrameTraceIds` that is all of it, and client and
    server show up in one trace.
    """
    return trace.get_current_span().get_span_context().trace_id & _U64


class FrameTraceIds(RandomIdGenerator):
    """Ids of traces that fit into a frame: ``TracerProvider(id_generator=FrameTraceIds())``."""

    def generate_trace_id(self) -> int:
        """Return a random id of 64 bits that is not 0."""
        return self.generate_span_id()

"""Spans for frames, sent where `--otel` says."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from nnrp.cli._common import Failure

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from nnrp.server import ReceivedSubmit

__all__ = ["EXPORTERS", "Traces"]

EXPORTERS: Final = ("otlp", "console")


class Traces:
    """A tracer of this process; :meth:`span` is a context for each frame."""

    def __init__(self, exporter: str) -> None:
        """Set up the exporter; `otlp` is configured by the usual ``OTEL_EXPORTER_OTLP_*`` variables.

        Raises:
            Failure: a package is missing.

        """
        try:
            from opentelemetry.sdk.resources import Resource  # noqa: PLC0415  # optional
            from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415  # optional
            from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415  # optional

            from nnrp.observe.opentelemetry import frame_span  # noqa: PLC0415  # needs it
        except ImportError:
            raise Failure("--otel needs opentelemetry-sdk: pip install opentelemetry-sdk") from None
        named = "OTEL_SERVICE_NAME" in os.environ
        self._provider = TracerProvider(resource=Resource.create({} if named else {"service.name": "nnrp"}))
        self._provider.add_span_processor(BatchSpanProcessor(_exporter(exporter)))
        self._frame_span: Callable[..., AbstractContextManager[object]] = frame_span

    def span(self, received: ReceivedSubmit) -> AbstractContextManager[object]:
        """Return the span of a frame, to be entered."""
        return self._frame_span(received, tracer_provider=self._provider)

    def close(self) -> None:
        """Send what has not been sent."""
        self._provider.shutdown()


def _exporter(name: str) -> Any:
    """Return what sends spans away.

    Raises:
        Failure: its package is missing.

    """
    if name == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter  # noqa: PLC0415  # optional

        return ConsoleSpanExporter(out=sys.stderr, formatter=lambda span: span.to_json(indent=None) + "\n")
    package = "opentelemetry-exporter-otlp-proto-http"
    try:
        module = import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    except ImportError:
        raise Failure(f"--otel otlp needs an exporter: pip install {package}") from None
    return module.OTLPSpanExporter()

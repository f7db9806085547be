"""What a run was like: percentiles, the table for the terminal, and the same as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from .client import Measurements


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of the values that at least `percent` of them do not exceed; NaN for no values."""
    return float(np.percentile(values, percent, method="inverted_cdf")) if values else float("nan")


def summary(measured: Measurements) -> dict[str, Any]:
    """The figures of one transport."""
    return {
        "transport": measured.transport,
        "frames": measured.frames,
        "dropped_frames": measured.dropped_frames,
        "partial_frames": measured.partial_frames,
        "seconds": round(measured.seconds, 3),
        "megabytes_per_second": round(measured.megabytes_per_second, 1),
        "latency_ms": _spread(measured.latency_ms),
        "inference_ms": _spread(measured.inference_ms),
        "queue_ms": _spread(measured.queue_ms),
        "server_total_ms": _spread(measured.server_total_ms),
    }


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {f"p{percent}": round(percentile(values, percent), 2) for percent in (50, 99)}


def table(summaries: Sequence[dict[str, Any]]) -> Table:
    """One row for each transport; narrow enough for 80 columns."""
    rendered = Table(
        box=box.SIMPLE, caption="durations in ms as p50 / p99; the last three as the server reports them"
    )
    for heading in ("transport", "frames", "MB/s", "latency", "queue", "inference", "server total"):
        rendered.add_column(heading, justify="left" if heading == "transport" else "right", no_wrap=True)
    for row in summaries:
        durations = (row[name] for name in ("latency_ms", "queue_ms", "inference_ms", "server_total_ms"))
        rendered.add_row(
            row["transport"],
            str(row["frames"]),
            f"{row['megabytes_per_second']:.1f}",
            *(f"{spread['p50']:.0f} / {spread['p99']:.0f}" for spread in durations),
        )
    return rendered

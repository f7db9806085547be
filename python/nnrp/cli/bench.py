"""`nnrp bench`: how many frames a server answers, and how fast."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nnrp.cli import _target
from nnrp.cli._common import DROPPED, EXIT_CODES, FAILED, OK, Failure, number, size

if TYPE_CHECKING:
    import argparse

    from nnrp.cli._load import Load, Tally

__all__ = ["add_arguments", "run"]

_BAR: Final = 30
"""Characters of the progress bar."""

_EPILOG: Final = f"""\
examples:
  nnrp bench nnrps://localhost:4433 --dev-cert
  nnrp bench nnrps://localhost:4433 --dev-cert --sessions 8 --in-flight 4 --duration 30 --plot load.png
  nnrp bench nnrp://127.0.0.1:9000 --json > today.json

Each session keeps --in-flight frames on their way; a frame is a tensor of --size bytes, and its latency is
the time from submitting it to its last result. The client runs in one process, on one event loop: a server
that answers faster than that is measured with several of these.

{EXIT_CODES}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.description = "Put a load on a server, and measure latency and throughput."
    parser.epilog = _EPILOG
    parser.add_argument("url", metavar="URL", help="nnrps://host:port, or nnrp://host:port for plain TCP")
    parser.add_argument(
        "--sessions", type=number(1, 10_000, whole=True), default=1, metavar="N", help="default: %(default)s"
    )
    parser.add_argument(
        "--in-flight",
        type=number(1, 1024, whole=True),
        default=1,
        metavar="N",
        help="frames of each session that wait for an answer (default: %(default)s)",
    )
    parser.add_argument(
        "--size", type=size, default=64 << 10, metavar="SIZE", help="of a frame's tensor (default: 64K)"
    )
    parser.add_argument(
        "--duration", type=number(0.1, 86_400), default=10.0, metavar="S", help="default: %(default)s"
    )
    parser.add_argument(
        "--warm-up", type=number(0, 3600), default=1.0, metavar="S", help="before that (default: %(default)s)"
    )
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw a latency histogram and the throughput over time"
    )
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    _target.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure, print and draw; return the exit code."""
    import asyncio  # noqa: PLC0415  # `--help` does without

    from nnrp.cli._load import Load  # noqa: PLC0415  # likewise

    if arguments.plot is not None:
        from nnrp.cli._plot import require  # noqa: PLC0415  # before the load, not after it

        require(arguments.plot)
    target = _target.Target.of(arguments.url, arguments)
    load = Load(
        target, arguments.sessions, arguments.in_flight, arguments.size, arguments.duration, arguments.warm_up
    )
    bar = _Bar(arguments.duration, shown=sys.stderr.isatty() and not arguments.quiet)
    try:
        tally = asyncio.run(load.run(bar.show))
    finally:
        bar.clear()
    if not tally.answered and not tally.dropped:
        raise Failure(f"no frame was answered: {_commonest(tally)}")
    sys.stdout.write(json.dumps(_numbers(load, tally)) + "\n" if arguments.json else _report(load, tally))
    if arguments.plot is not None:
        from nnrp.cli._plot import plot  # noqa: PLC0415  # needs matplotlib

        plot(arguments.plot, tally, _title(load))
        sys.stderr.write(f"{arguments.plot} has the plot\n")
    if tally.failed:
        return FAILED
    return DROPPED if tally.dropped else OK


class _Bar:
    """A bar that grows with the time."""

    def __init__(self, duration: float, *, shown: bool) -> None:
        self._duration, self._shown = duration, shown

    def show(self, seconds: float, rate: float) -> None:
        """Draw it."""
        if self._shown:
            done = min(seconds / self._duration, 1.0)
            bar = "█" * round(done * _BAR)
            text = f"{bar:░<{_BAR}} {seconds:5.1f} of {self._duration:g} s  {rate:9.1f} frames/s"
            encoding = sys.stderr.encoding or "utf-8"
            sys.stderr.write("\r" + text.encode(encoding, "replace").decode(encoding))
            sys.stderr.flush()

    def clear(self) -> None:
        """Remove it: the report takes its place."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _commonest(tally: Tally) -> str:
    if not tally.errors:
        return "not one within the time; is the server busy? --duration and --timeout are longer waits"
    return max(tally.errors, key=lambda error: tally.errors[error])


def _title(load: Load) -> str:
    frames = f"{load.in_flight} frame{'s' * (load.in_flight > 1)} of {load.size} bytes in flight each"
    return f"{load.target.address} over {load.transport}: {load.sessions} sessions, {frames}"


def _numbers(load: Load, tally: Tally) -> dict[str, Any]:
    from nnrp.cli._load import PERCENTILES  # noqa: PLC0415  # `--help` does without

    seconds = tally.measured
    latencies = {
        f"p{percent:g}": 1000 * tally.percentile(percent) for percent in PERCENTILES if tally.answered
    }
    if tally.answered:
        latencies |= {
            "mean": 1000 * sum(tally.latencies) / len(tally.latencies),
            "max": 1000 * max(tally.latencies),
        }
    return {
        "address": load.target.address,
        "transport": load.transport,
        "sessions": load.sessions,
        "in_flight": load.in_flight,
        "size": load.size,
        "seconds": seconds,
        "answered": tally.answered,
        "dropped": tally.dropped,
        "failed": tally.failed,
        "frames_per_second": tally.answered / seconds,
        "sent_bytes_per_second": tally.sent_bytes / seconds,
        "received_bytes_per_second": tally.received_bytes / seconds,
        "latency_ms": latencies,
        "drops": tally.reasons,
        "errors": tally.errors,
    }


def _report(load: Load, tally: Tally) -> str:
    from nnrp.cli._table import table  # noqa: PLC0415  # `--help` does without

    numbers = _numbers(load, tally)
    lines = [_title(load), ""]
    if tally.answered:
        latency = numbers["latency_ms"]
        lines += table([["latency", *latency], ["ms", *(f"{value:.2f}" for value in latency.values())]])
        lines.append("")
    sent, received = (numbers[f"{name}_bytes_per_second"] / 1e6 for name in ("sent", "received"))
    lines.append(
        f"{numbers['frames_per_second']:.1f} frames/s, {sent:.1f} MB/s sent, {received:.1f} MB/s received, "
        f"{tally.answered} answered in {tally.measured:.1f} s, {tally.dropped} dropped, {tally.failed} failed"
    )
    lines += [f"{count} x dropped, {reason}" for reason, count in tally.reasons.items()]
    lines += [f"{count} x {error}" for error, count in tally.errors.items()]
    return "\n".join(lines) + "\n"

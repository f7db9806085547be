"""`nnrp serve`: its arguments. What they make is in `_server.py`, which is imported when it runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nnrp.cli._common import DEFAULT_PORT, EXIT_CODES, add_wire_logs, number, port, seconds, size
from nnrp.cli._logs import LEVELS

if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments", "run"]

_EPILOG: Final = f"""\
examples:
  nnrp serve app:handle --dev-cert --reload
  nnrp serve app:handle --host 0.0.0.0 --cert cert.pem --key key.pem --auth-token-file tokens
  nnrp serve app:handle --plain --tcp-port 9000
  nnrp serve app:handle --dev-cert --metrics-port 9464 --health-port 9464 --log-format json

A handler is a function of a frame, plain (it runs on one of --threads threads) or async:

  def handle(submit):
      image = submit.request.sections[0].numpy()
      return 255 - image

numpy() has one row a tile; nnrp.arrays.TileGrid.of(submit.request).image(...) is the picture. It returns
an array, a str, bytes, a dict, sections, payloads, a list of these, an nnrp.cli.Reply, an
nnrp.cli.Drop, or None; a generator streams its parts. Whatever it does, every frame is answered: what raises
is dropped, and what is too late too. SIGTERM and SIGINT drain: frames that are here are answered, then the
command ends with 0. SIGHUP reads certificate and tokens again.

{EXIT_CODES}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.description = "Serve a function of yours over QUIC and TCP."
    parser.epilog = _EPILOG
    parser.add_argument("handler", metavar="MODULE:FUNCTION", help="what answers frames, such as app:handle")
    parser.add_argument(
        "--app-dir", type=Path, default=Path(), metavar="DIR", help="where the module is (default: here)"
    )
    _add_network(parser)
    _add_limits(parser)
    _add_operations(parser)


def _add_network(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("network")
    group.add_argument("--host", default="127.0.0.1", help="address to serve on (default: %(default)s)")
    group.add_argument(
        "--port", type=port, default=DEFAULT_PORT, help="for QUIC and TCP; 0 for any (default: %(default)s)"
    )
    group.add_argument(
        "--quic-port", type=_port_or_off, metavar="PORT", help="another one for QUIC, or 'off'"
    )
    group.add_argument("--tcp-port", type=_port_or_off, metavar="PORT", help="another one for TCP, or 'off'")
    group.add_argument("--cert", type=Path, metavar="FILE", help="certificate chain, PEM")
    group.add_argument("--key", type=Path, metavar="FILE", help="its private key, PEM (default: in --cert)")
    group.add_argument(
        "--client-ca", type=Path, metavar="FILE", help="admit only clients with a certificate of these"
    )
    group.add_argument(
        "--dev-cert", action="store_true", help="a development certificate for localhost, made when needed"
    )
    group.add_argument("--plain", action="store_true", help="TCP without encryption, and no QUIC")


def _add_limits(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("clients and limits")
    group.add_argument(
        "--auth-token-file", type=Path, metavar="FILE", help="tokens that clients may have, one a line"
    )
    group.add_argument("--model-name", default="", metavar="NAME", help="what clients are told")
    group.add_argument(
        "--max-sessions", type=number(1, whole=True), default=1024, metavar="N", help="default: %(default)s"
    )
    group.add_argument(
        "--in-flight",
        type=number(1, 0xFFFF, whole=True),
        default=16,
        metavar="N",
        help="frames of a session that are handled at once, as clients are told (default: %(default)s)",
    )
    group.add_argument(
        "--enforce-credit",
        action="store_true",
        help="drop frames beyond --in-flight instead of reading them later",
    )
    group.add_argument(
        "--max-body", type=size, default=32 << 20, metavar="SIZE", help="largest frame (default: 32M)"
    )
    group.add_argument(
        "--handshake-timeout", type=seconds, default=10.0, metavar="S", help="default: %(default)s"
    )
    group.add_argument(
        "--idle-timeout", type=seconds, default=120.0, metavar="S", help="default: %(default)s"
    )
    group.add_argument(
        "--threads",
        type=number(1, 1024, whole=True),
        default=min(8, os.cpu_count() or 1),
        metavar="N",
        help="for plain functions (default: one per CPU, at most 8)",
    )
    group.add_argument(
        "--batch",
        type=number(1, 4096, whole=True),
        metavar="N",
        help="the handler takes a list of up to N frames of any sessions, and returns a list",
    )
    group.add_argument(
        "--batch-delay",
        type=number(0, 60_000),
        default=2.0,
        metavar="MS",
        help="how long a frame waits for others (default: %(default)s)",
    )


def _add_operations(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("running it")
    group.add_argument(
        "--drain",
        type=number(0),
        default=30.0,
        metavar="S",
        help="seconds in which frames are answered after a signal (default: %(default)s)",
    )
    group.add_argument("--reload", action="store_true", help="read the handler again when its files change")
    group.add_argument(
        "--metrics-port",
        type=port,
        metavar="PORT",
        help="serve Prometheus metrics on it, /metrics (off by default)",
    )
    group.add_argument(
        "--health-port",
        type=port,
        metavar="PORT",
        help="serve /healthz and /readyz on it; may be the same (off by default)",
    )
    group.add_argument(
        "--http-host", default="127.0.0.1", metavar="HOST", help="of both (default: %(default)s)"
    )
    group.add_argument(
        "--otel", choices=("otlp", "console"), help="a span for each frame, in the trace it names"
    )
    add_wire_logs(group)
    group.add_argument("--log-level", choices=LEVELS, default="info", help="default: %(default)s")
    group.add_argument("--log-format", choices=("text", "json"), default="text", help="default: %(default)s")


def _port_or_off(text: str) -> int | None:
    """Read a port; ``-1`` stands for 'off', as ``None`` means that nothing was said."""
    return -1 if text == "off" else int(port(text))


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal comes; return the exit code."""
    from nnrp.cli._server import serve  # noqa: PLC0415  # asyncio and the transports, for this only

    return serve(arguments)

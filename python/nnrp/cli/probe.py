"""`nnrp probe`: how a server is reached over both transports, and which one a client would pick."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from nnrp.cli import _target
from nnrp.cli._common import DEFAULT_PORT, EXIT_CODES, NOT_REACHED, OK, Failure, number, port, seconds, size
from nnrp.cli._table import table

if TYPE_CHECKING:
    import argparse

    from nnrp.client.probe import TransportProbeSummary

__all__ = ["add_arguments", "run"]

_EPILOG: Final = f"""\
examples:
  nnrp probe localhost --dev-cert
  nnrp probe infer.example --quic-port 4433 --tcp-port 443
  nnrp probe 127.0.0.1 --port 9000 --plain

Handshakes and probes are made one after the other, so that they do not disturb each other. Throughput is a
probe's body divided by its round trip, and the ranking is the one of the package: more answers, then higher
median throughput, then lower round trip, then QUIC.

{EXIT_CODES}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.description = "Measure QUIC and TCP to a server, and show its certificate."
    parser.epilog = _EPILOG
    parser.add_argument("host", metavar="HOST", help="a name or an address")
    parser.add_argument(
        "--port", type=port, default=DEFAULT_PORT, help="of both transports (default: %(default)s)"
    )
    parser.add_argument("--quic-port", type=port, metavar="PORT", help="another one for QUIC")
    parser.add_argument("--tcp-port", type=port, metavar="PORT", help="another one for TCP")
    parser.add_argument("--plain", action="store_true", help="TCP without encryption; QUIC is left out")
    parser.add_argument(
        "--samples", type=number(1, 1000, whole=True), default=5, metavar="N", help="default: %(default)s"
    )
    parser.add_argument(
        "--size", type=size, default=32 << 10, metavar="SIZE", help="of a probe's body (default: 32K)"
    )
    parser.add_argument(
        "--timeout", type=seconds, default=5.0, metavar="S", help="for each connection (default: %(default)s)"
    )
    _target.add_trust(parser)


@dataclass
class Measured:
    """What one transport did.

    Attributes:
        name: of the transport.
        port: the server's.
        handshakes: milliseconds of each.
        certificates: what the server showed, DER.
        summary: its probes, ``None`` if there was no connection.
        error: why there was none.

    """

    name: str
    port: int
    handshakes: list[float] = field(default_factory=list[float])
    certificates: tuple[bytes, ...] = ()
    summary: TransportProbeSummary | None = None
    error: str = ""


def run(arguments: argparse.Namespace) -> int:
    """Measure and print; return the exit code."""
    import asyncio  # noqa: PLC0415  # `--help` does without

    trust = {} if arguments.plain else _target.trust_of(arguments)
    measured = asyncio.run(_measure(arguments, trust))
    sys.stdout.write(_report(arguments, measured))
    return OK if any(one.summary is not None and one.summary.results for one in measured) else NOT_REACHED


async def _measure(arguments: argparse.Namespace, trust: dict[str, Any]) -> list[Measured]:
    """Measure both transports, one after the other."""
    tcp = Measured("TCP", arguments.tcp_port or arguments.port)
    measured = [tcp]
    if not arguments.plain:
        measured.insert(0, Measured("QUIC", arguments.quic_port or arguments.port))
    for one in measured:
        await _handshakes(one, arguments, trust)
    return measured


async def _handshakes(one: Measured, arguments: argparse.Namespace, trust: dict[str, Any]) -> None:
    """Connect as often as there are samples, and probe on each connection."""
    import asyncio  # noqa: PLC0415  # `--help` does without

    from nnrp.cli._common import explain  # noqa: PLC0415  # for this only
    from nnrp.client.probe import TransportProbeSummary, probe_connection  # noqa: PLC0415  # likewise
    from nnrp.core import TransportId  # noqa: PLC0415  # likewise
    from nnrp.errors import NnrpTransportError  # noqa: PLC0415  # likewise

    results: list[Any] = []
    failures = 0
    transport = TransportId[one.name]
    for _ in range(arguments.samples):
        began = time.perf_counter()
        try:
            async with asyncio.timeout(arguments.timeout), _connect(one, arguments, trust) as connection:
                one.handshakes.append(1000 * (time.perf_counter() - began))
                one.certificates = connection.peer_certificates
                results.append(await probe_connection(connection, transport, arguments.size))
        except (OSError, ValueError, NnrpTransportError) as error:
            if not one.handshakes:
                if not str(error):  # the timeout here, which says nothing
                    one.error = f"no answer within {arguments.timeout:g} s"
                else:
                    one.error = explain(error)[0]
                return
            failures += 1
            one.error = one.error or str(error) or f"no answer within {arguments.timeout:g} s"
    one.summary = TransportProbeSummary(transport, tuple(results), failures)


def _connect(one: Measured, arguments: argparse.Namespace, trust: dict[str, Any]) -> Any:
    from nnrp.adapters import (  # noqa: PLC0415  # `--help` does without
        connect_quic,
        connect_tcp,
        create_quic_client_configuration,
        create_tcp_client_configuration,
    )

    if one.name == "QUIC":
        quic = create_quic_client_configuration(**trust, qlog=arguments.qlog)
        return connect_quic(arguments.host, one.port, quic, timeout=arguments.timeout)
    encrypted: dict[str, Any] = {} if arguments.plain else {"tls": True, **trust}
    tcp = create_tcp_client_configuration(connect_timeout=arguments.timeout, **encrypted)
    return connect_tcp(arguments.host, one.port, tcp, timeout=arguments.timeout)


def _report(arguments: argparse.Namespace, measured: list[Measured]) -> str:
    rows = [["", "port", "handshake", "round trip", "throughput", "answered"]]
    for one in measured:
        name = f"{one.name}, plain" if arguments.plain else one.name
        summary = one.summary
        if summary is None or not summary.results:
            rows.append([name, str(one.port), *(["-"] * 3), f"0 of {arguments.samples}"])
            continue
        handshake = sorted(one.handshakes)[len(one.handshakes) // 2]
        rows.append(
            [
                name,
                str(one.port),
                f"{handshake:.1f} ms",
                f"{summary.median_round_trip_us / 1000:.2f} ms",
                f"{summary.median_throughput_bytes_per_sec / 1e6:.1f} MB/s",
                f"{summary.success_count} of {arguments.samples}",
            ]
        )
    lines = [f"{arguments.host}, medians of {arguments.samples}, probes of {arguments.size} bytes", ""]
    lines += [*table(rows), ""]
    lines += [f"{one.name} on port {one.port}: {one.error}" for one in measured if one.error]
    lines.append(_choice(measured))
    lines += _certificate(measured)
    return "\n".join(lines) + "\n"


def _choice(measured: list[Measured]) -> str:
    """Say which transport a client would pick, and why."""
    from nnrp.client.probe import explain_choice  # noqa: PLC0415  # `--help` does without

    answered = [one.summary for one in measured if one.summary is not None and one.summary.results]
    if not answered:
        return "A client could not connect."
    chosen, reason = explain_choice(answered)
    return f"A client that probes would pick {chosen.name}: {reason}."


def _certificate(measured: list[Measured]) -> list[str]:
    from nnrp.cli.cert import described  # noqa: PLC0415  # `--help` does without

    shown: dict[tuple[bytes, ...], list[str]] = {}
    for one in measured:
        if one.certificates:
            shown.setdefault(one.certificates, []).append(one.name)
    lines: list[str] = []
    for certificates, names in shown.items():
        lines += ["", f"Certificate over {' and '.join(names)}"]
        try:
            lines += described(certificates)
        except ValueError as error:
            raise Failure(str(error)) from None
    return lines

"""`nnrp cert`: development certificates, and what a certificate says."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nnrp.cli._common import EXIT_CODES, FAILED, OK, USAGE, Failure, seconds
from nnrp.cli._target import TRANSPORTS, quic_else_tcp

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from nnrp.cli._x509 import Certificate

__all__ = ["add_arguments", "described", "run"]

_EPILOG: Final = f"""\
examples:
  nnrp cert make certificates/            cert.pem and key.pem for localhost, 127.0.0.1 and ::1
  nnrp cert show certificates/cert.pem
  nnrp cert show nnrps://infer.example:4433

`show` ends with 1 if a certificate has expired or is not valid yet.

{EXIT_CODES}"""

_DAY: Final = 86400


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.description = "Make a certificate for development, or show what a certificate says."
    parser.epilog = _EPILOG
    actions = parser.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)
    make = actions.add_parser("make", help="make a self-signed certificate for this machine")
    make.add_argument("folder", type=Path, nargs="?", default=Path(), help="where to (default: here)")
    make.add_argument("--force", action="store_true", help="replace files that are there")
    show = actions.add_parser("show", help="show a PEM or DER file, or what a server presents")
    show.add_argument("what", metavar="FILE|URL", help="a file, or nnrps://host:port")
    show.add_argument(
        "--transport",
        choices=TRANSPORTS,
        default="auto",
        help="to ask a server over; auto: QUIC, and TCP if that fails (default)",
    )
    show.add_argument(
        "--timeout", type=seconds, default=5.0, metavar="S", help="for a server (default: %(default)s)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Make or show; return the exit code."""
    return _make(arguments) if arguments.action == "make" else _show(arguments)


def _make(arguments: argparse.Namespace) -> int:
    from nnrp.cli._development import write_pair  # noqa: PLC0415  # `--help` does without

    certificate, private_key = arguments.folder / "cert.pem", arguments.folder / "key.pem"
    for path in (certificate, private_key):
        if path.exists() and not arguments.force:
            raise Failure(f"{path} is there already; --force replaces it", USAGE)
    write_pair(certificate, private_key)
    sys.stdout.write(f"{certificate}\n{private_key}\n")
    return OK


def _show(arguments: argparse.Namespace) -> int:
    from nnrp.cli._x509 import certificates_of, parse  # noqa: PLC0415  # `--help` does without

    if "://" in arguments.what:
        shown = [parse(der) for der in _presented(arguments)]
    else:
        try:
            shown = certificates_of(Path(arguments.what).read_bytes())
        except ValueError as error:
            raise Failure(f"{arguments.what}: {error}") from None
    sys.stdout.write("\n".join(_lines(shown)) + "\n")
    now = datetime.now(UTC)
    return OK if all(one.not_before <= now <= one.not_after for one in shown) else FAILED


def _presented(arguments: argparse.Namespace) -> tuple[bytes, ...]:
    """Return what a server shows to anybody: nothing is sent to it but a TLS handshake."""
    import asyncio  # noqa: PLC0415  # `--help` does without

    from nnrp.adapters import (  # noqa: PLC0415  # likewise
        connect_quic,
        connect_tcp,
        create_quic_client_configuration,
        create_tcp_client_configuration,
    )
    from nnrp.adapters._tls import parse_address  # noqa: PLC0415  # likewise

    try:
        encrypted, host, port = parse_address(arguments.what)
    except ValueError as error:
        raise Failure(str(error), USAGE) from None
    if not encrypted:
        raise Failure(f"{arguments.what} is plain TCP, where nobody shows a certificate", USAGE)

    async def over(transport: str) -> tuple[bytes, ...]:
        # Looking at a certificate is not trusting it.
        if transport == "quic":
            quic = create_quic_client_configuration(insecure_skip_verify=True)
            async with connect_quic(host, port, quic, timeout=arguments.timeout) as connection:
                return connection.peer_certificates
        tcp = create_tcp_client_configuration(tls=True, insecure_skip_verify=True)
        async with connect_tcp(host, port, tcp, timeout=arguments.timeout) as connection:
            return connection.peer_certificates

    async def ask() -> tuple[bytes, ...]:
        asked = arguments.transport
        return await (quic_else_tcp(over) if asked == "auto" else over(asked))

    return asyncio.run(ask())


def described(certificates: Sequence[bytes]) -> list[str]:
    """Return lines about the certificates of a peer, DER.

    Raises:
        ValueError: one of them is none.

    """
    from nnrp.cli._x509 import parse  # noqa: PLC0415  # `--help` does without

    return _lines([parse(der) for der in certificates])


def _lines(certificates: Sequence[Certificate]) -> list[str]:
    lines: list[str] = []
    for certificate in certificates:
        if lines:
            lines.append("")
        begin, end = (f"{one:%Y-%m-%d %H:%M}" for one in (certificate.not_before, certificate.not_after))
        digits = certificate.fingerprint.hex().upper()
        rows = {
            "subject": certificate.subject,
            "issuer": "itself" if certificate.is_self_signed else certificate.issuer,
            "names": ", ".join(certificate.names) or "none",
            "valid": f"{begin} to {end} UTC, {_remaining(certificate)}",
            "key": certificate.key + (", may sign others" if certificate.is_authority else ""),
            "serial": f"{certificate.serial:x}",
            "SHA-256": ":".join(digits[at : at + 2] for at in range(0, len(digits), 2)),
        }
        lines += [f"  {name:<8} {value}" for name, value in rows.items()]
    return lines


def _remaining(certificate: Certificate) -> str:
    now = datetime.now(UTC)
    if now < certificate.not_before:
        return "not valid yet"
    days = int((certificate.not_after - now).total_seconds() // _DAY)
    return f"{days} days left" if now <= certificate.not_after else "EXPIRED"

"""The listeners of `nnrp serve`."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from nnrp.adapters import (
    create_quic_server_configuration,
    create_tcp_server_configuration,
    serve_quic,
    serve_tcp,
)
from nnrp.cli._common import USAGE, Failure, keylog_of
from nnrp.cli._development import DevelopmentFiles

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncGenerator, Mapping

    from nnrp._opening import Opening
    from nnrp.adapters import NnrpTcpListener
    from nnrp.server.accept import ServerListener

__all__ = ["listen", "tls_settings"]

_L = TypeVar("_L")

#: Ports to try that TCP got and QUIC may not have, when both are to have the same.
_SAME_PORT_ATTEMPTS: Final = 20


def tls_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the TLS settings of both transports, empty for plain TCP.

    Raises:
        Failure: the arguments contradict each other, or name no certificate.
        OSError: the development certificate cannot be written.

    """
    if arguments.plain:
        if arguments.cert or arguments.key or arguments.dev_cert or arguments.client_ca:
            raise Failure("--plain is without encryption, and the other options ask for it", USAGE)
        return {}
    certificate, private_key = arguments.cert, arguments.key
    if arguments.dev_cert:
        if certificate is not None:
            raise Failure("--cert and --dev-cert are two certificates; choose one", USAGE)
        files = DevelopmentFiles()
        files.ensure()
        certificate, private_key = files.certificate, files.private_key
    if certificate is None:
        raise Failure(
            "QUIC and TLS need a certificate: --cert and --key, on your own machine --dev-cert; "
            "--plain serves TCP without encryption",
            USAGE,
        )
    settings: dict[str, Any] = {"certificate": certificate, "private_key": private_key or certificate}
    settings |= keylog_of(arguments)
    if arguments.client_ca is not None:
        settings["cafile"] = arguments.client_ca
    return settings


@asynccontextmanager
async def listen(
    arguments: argparse.Namespace, tls: Mapping[str, Any]
) -> AsyncGenerator[dict[str, ServerListener]]:
    """Bind what the arguments name, to the same port if the system may choose it.

    Yields:
        The listeners by the names of their transports.

    Raises:
        Failure: there is nothing to bind, or it cannot be bound.
        ValueError: the certificate cannot be used.

    """
    quic_port, tcp_port = _ports(arguments, encrypted=bool(tls))
    for attempt in range(_SAME_PORT_ATTEMPTS):
        async with AsyncExitStack() as stack:
            listeners: dict[str, ServerListener] = {}
            number = quic_port
            if tcp_port is not None:
                tcp = await _tcp(arguments, tls, tcp_port)
                listeners["TCP"] = await stack.enter_async_context(tcp)
                number = tcp.port if quic_port == tcp_port == 0 else quic_port
            if number is not None:
                configuration = create_quic_server_configuration(
                    **tls,
                    idle_timeout=arguments.idle_timeout,
                    handshake_timeout=arguments.handshake_timeout,
                    qlog=arguments.qlog,
                )
                opening = serve_quic(arguments.host, number, configuration)
                try:
                    quic = await _bind(opening, "QUIC", arguments.host, number)
                except Failure:
                    if quic_port == tcp_port == 0 and attempt + 1 < _SAME_PORT_ATTEMPTS:
                        continue  # somebody else has that one
                    raise
                listeners["QUIC"] = await stack.enter_async_context(quic)
            yield listeners
            return


def _ports(arguments: argparse.Namespace, *, encrypted: bool) -> tuple[int | None, int | None]:
    """Return the ports of QUIC and TCP, ``None`` for what is off."""
    quic_port = arguments.port if arguments.quic_port is None else arguments.quic_port
    tcp_port = arguments.port if arguments.tcp_port is None else arguments.tcp_port
    if not encrypted:
        if arguments.quic_port not in {None, -1}:
            raise Failure("QUIC is always encrypted: --plain is for TCP alone", USAGE)
        quic_port = -1
    if quic_port < 0 and tcp_port < 0:
        raise Failure("QUIC and TCP are both off: there is nothing to serve on", USAGE)
    return quic_port if quic_port >= 0 else None, tcp_port if tcp_port >= 0 else None


async def _tcp(arguments: argparse.Namespace, tls: Mapping[str, Any], number: int) -> NnrpTcpListener:
    configuration = create_tcp_server_configuration(
        **tls, idle_timeout=arguments.idle_timeout, handshake_timeout=arguments.handshake_timeout
    )
    opening = serve_tcp(arguments.host, number, configuration)
    return await _bind(opening, "TCP", arguments.host, number)


async def _bind(opening: Opening[_L], transport: str, host: str, number: int) -> _L:
    try:
        return await opening
    except OSError as error:
        reason = error.strerror or error
        raise Failure(f"cannot serve {transport} on {host} port {number}: {reason}") from None

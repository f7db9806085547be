"""A loopback network over QUIC, plain TCP, or TCP with TLS."""

from __future__ import annotations

import asyncio
import random
import socket
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from frames import STEP

from nnrp.adapters import (
    connect_quic,
    connect_tcp,
    create_quic_client_configuration,
    create_quic_server_configuration,
    create_tcp_client_configuration,
    create_tcp_server_configuration,
    serve_quic,
    serve_tcp,
)
from nnrp.client import ClientDialPolicy, ClientProfile, connect_client_session
from nnrp.core import TransportId
from nnrp.server import ServerProfile, accept_server_session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nnrp.adapters import DevelopmentCertificate
    from nnrp.client import ClientSession
    from nnrp.server import ServerSession


HOST = "127.0.0.1"
TRANSPORTS = ("quic", "tcp", "tls")

TOLD_PORTS = range(20_000, 30_000)
"""Of these the system gives none to those who ask for any port, so that what is free stays free."""


def free_port() -> int:
    """A port that is free on TCP and on UDP, for programs that have to be told one."""
    for port in random.sample(TOLD_PORTS, len(TOLD_PORTS)):
        with suppress(OSError), socket.create_server((HOST, port)):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
                datagrams.bind((HOST, port))
            return port
    raise OSError("no port is free")


@dataclass(frozen=True)
class Network:
    """One transport on loopback."""

    transport: str
    certificate: DevelopmentCertificate

    @property
    def transport_id(self) -> TransportId:
        return TransportId.QUIC if self.transport == "quic" else TransportId.TCP

    def server_configuration(self, **settings: Any) -> Any:
        if self.transport != "tcp":
            made = self.certificate
            settings = {"certificate": made.certificate, "private_key": made.private_key, **settings}
        quic = self.transport == "quic"
        return (create_quic_server_configuration if quic else create_tcp_server_configuration)(**settings)

    def client_configuration(self, **settings: Any) -> Any:
        if self.transport != "tcp":
            settings = {"cadata": self.certificate.certificate, **settings}
        quic = self.transport == "quic"
        return (create_quic_client_configuration if quic else create_tcp_client_configuration)(**settings)

    def serve(self, port: int = 0, **settings: Any) -> Any:
        serve = serve_quic if self.transport == "quic" else serve_tcp
        return serve(HOST, port, self.server_configuration(**settings))

    def connect(self, port: int, **settings: Any) -> Any:
        connect = connect_quic if self.transport == "quic" else connect_tcp
        return connect(HOST, port, self.client_configuration(**settings))

    def dial(self, port: int, auth_block: bytes = b"", **settings: Any) -> Any:
        name = "quic" if self.transport == "quic" else "tcp"
        configuration: dict[str, Any] = {
            f"{name}_port": port,
            f"{name}_configuration": self.client_configuration(),
        }
        return connect_client_session(HOST, auth_block=auth_block, **configuration, **settings)

    async def handshake(self, connection: Any, auth_block: bytes = b"") -> ClientSession:
        policy = ClientDialPolicy(self.transport_id)
        return await connect_client_session(connection, ClientProfile(), policy, auth_block=auth_block)

    @asynccontextmanager
    async def pair(
        self, profile: ServerProfile | None = None, **accept: Any
    ) -> AsyncIterator[tuple[ServerSession, ClientSession]]:
        """A server session and the client session it serves."""
        async with self.serve() as listener:
            accepting = asyncio.create_task(accept_server_session(listener, profile, timeout=STEP, **accept))
            async with self.dial(listener.port) as client, await accepting as server:
                yield server, client

    @asynccontextmanager
    async def raw_pair(self) -> AsyncIterator[tuple[Any, Any]]:
        """A connection as the server sees it, and as the client does; no session."""
        async with self.serve() as listener:
            async with self.connect(listener.port) as client, await listener.accept(STEP) as server:
                yield server, client

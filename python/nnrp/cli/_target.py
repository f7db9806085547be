"""Which server, whom to trust, and who we are: what `submit`, `probe` and `bench` have in common."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from nnrp.cli._common import REFUSED, USAGE, Failure, add_wire_logs, explain, keylog_of, seconds
from nnrp.cli._development import DevelopmentFiles

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable

    from nnrp._opening import Opening
    from nnrp.adapters import NnrpTcpClientConfiguration, QuicConfiguration
    from nnrp.client import ClientSession

__all__ = ["TRANSPORTS", "Target", "add_arguments", "add_trust", "quic_else_tcp"]

_T = TypeVar("_T")

TRANSPORTS: Final = ("auto", "quic", "tcp")

#: Where a token is looked for when no option names one: in the environment, which other users cannot read.
_TOKEN_VARIABLE: Final = "NNRP_TOKEN"  # noqa: S105  # a name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say how to reach a server, after those of the command itself."""
    group = parser.add_argument_group("server")
    group.add_argument(
        "--transport", choices=TRANSPORTS, default="auto", help="auto: QUIC, and TCP if that fails (default)"
    )
    group.add_argument(
        "--timeout", type=seconds, default=10.0, metavar="S", help="for each wait (default: %(default)s)"
    )
    group.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help=f"the token is its first line (default: from {_TOKEN_VARIABLE})",
    )
    add_trust(parser)


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say whom to trust."""
    group = parser.add_argument_group("TLS")
    group.add_argument("--cafile", type=Path, metavar="FILE", help="trust these certificates, PEM")
    group.add_argument(
        "--dev-cert", action="store_true", help="trust the development certificate of `nnrp serve --dev-cert`"
    )
    group.add_argument("--insecure", action="store_true", help="trust anybody")
    group.add_argument("--server-name", metavar="NAME", help="the name to verify instead of the host")
    group.add_argument(
        "--cert", type=Path, metavar="FILE", help="show this certificate to a server that asks"
    )
    group.add_argument("--key", type=Path, metavar="FILE", help="its private key (default: in --cert)")
    add_wire_logs(group)


@dataclass(frozen=True, slots=True)
class Target:
    """A server, as the command line names it.

    Attributes:
        address: `nnrps://host:port` or `nnrp://host:port`.
        encrypted: whether it is the former.
        host: of the address.
        port: of the address.
        transport: one of :data:`TRANSPORTS`.
        trust: the TLS settings of both transports.
        token: the auth block.
        timeout: seconds for connecting, on each transport tried.
        qlog: where QUIC's events are written, if that is asked for.

    """

    address: str
    encrypted: bool
    host: str
    port: int
    transport: str
    trust: dict[str, Any]
    token: bytes
    timeout: float
    qlog: str | None

    @classmethod
    def of(cls, address: str, arguments: argparse.Namespace) -> Target:
        """Return the target that the arguments name.

        Raises:
            Failure: they contradict each other, or the address is none.
            OSError: a file cannot be read.

        """
        from nnrp.adapters._tls import parse_address  # noqa: PLC0415  # `--help` does without

        try:
            encrypted, host, port = parse_address(address)
        except ValueError as error:
            raise Failure(str(error), USAGE) from None
        if not encrypted and arguments.transport == "quic":
            raise Failure(f"{address} is plain TCP; QUIC is nnrps://", USAGE)
        return cls(
            address,
            encrypted,
            host,
            port,
            arguments.transport,
            trust_of(arguments) if encrypted else {},
            _token(arguments.token_file),
            arguments.timeout,
            arguments.qlog,
        )

    def quic(self) -> QuicConfiguration:
        """Return how to connect over QUIC."""
        from nnrp.adapters import create_quic_client_configuration  # noqa: PLC0415  # as above

        return create_quic_client_configuration(**self.trust, qlog=self.qlog)

    def tcp(self) -> NnrpTcpClientConfiguration:
        """Return how to connect over TCP."""
        from nnrp.adapters import create_tcp_client_configuration  # noqa: PLC0415  # as above

        if not self.encrypted:
            return create_tcp_client_configuration()
        return create_tcp_client_configuration(tls=True, **self.trust)

    def dial(self, transport: str | None = None) -> Opening[ClientSession]:
        """Open a session, over the transport of the command line if none is named."""
        from nnrp._opening import Opening  # noqa: PLC0415  # as above
        from nnrp.errors import NnrpAuthenticationError  # noqa: PLC0415  # as above

        wanted = transport or self.transport

        async def open_() -> ClientSession:
            try:
                if wanted == "auto" and self.encrypted:
                    return await quic_else_tcp(self._open)
                return await self._open("quic" if wanted == "quic" else "tcp")
            except NnrpAuthenticationError as error:
                if self.token:
                    raise
                advice = f"--token-file names a file with one, {_TOKEN_VARIABLE} is one"
                sentence = f"the server did not let us in, and was given no token: {advice} ({error})"
                raise Failure(sentence, REFUSED) from error

        async def leave(session: ClientSession) -> None:
            await session.close()

        return Opening("dial", open_, leave)

    async def _open(self, transport: str) -> ClientSession:
        from nnrp.client import ClientProfile, dial_client  # noqa: PLC0415  # as above
        from nnrp.core import TransportPolicy  # noqa: PLC0415  # as above

        prefers = self.encrypted and self.transport == "auto"
        policy = TransportPolicy.PREFER_QUIC if prefers else TransportPolicy.AUTO
        return await dial_client(
            self.address,
            config=self.quic() if transport == "quic" else self.tcp(),
            profile=ClientProfile(transport_policy=policy),
            auth_block=self.token,
            timeout=self.timeout,
            requested_session_id=0,
        )


async def quic_else_tcp(open_: Callable[[str], Awaitable[_T]]) -> _T:
    """Open over QUIC, or over TCP if QUIC does not reach the server, and say so: it may have taken long."""
    from nnrp.client.dial import may_fall_back  # noqa: PLC0415  # `--help` does without
    from nnrp.errors import NnrpTransportError  # noqa: PLC0415  # likewise

    try:
        return await open_("quic")
    except (OSError, NnrpTransportError) as error:
        if not may_fall_back(error):
            raise
        sys.stderr.write(f"QUIC failed: {explain(error)[0]}\n")
        sys.stderr.write("going on over TCP; --transport tcp does not wait for QUIC\n")
    return await open_("tcp")


def trust_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the TLS settings that the arguments make.

    Raises:
        Failure: they contradict each other, or there is no development certificate yet.

    """
    if sum((arguments.insecure, arguments.dev_cert, arguments.cafile is not None)) > 1:
        raise Failure("--cafile, --dev-cert and --insecure each say whom to trust; choose one", USAGE)
    trust: dict[str, Any] = {"server_name": arguments.server_name, **keylog_of(arguments)}
    if arguments.insecure:
        trust["insecure_skip_verify"] = True
    if arguments.dev_cert:
        files = DevelopmentFiles()
        if not files.certificate.is_file():
            raise Failure(f"there is no {files.certificate} yet: `nnrp serve --dev-cert` makes it")
        trust["cafile"] = files.certificate
    if arguments.cafile is not None:
        trust["cafile"] = arguments.cafile
    if arguments.cert is not None:
        trust |= {"certificate": arguments.cert, "private_key": arguments.key or arguments.cert}
    elif arguments.key is not None:
        raise Failure("--key needs --cert", USAGE)
    return trust


def _token(path: Path | None) -> bytes:
    if path is None:
        return os.environ.get(_TOKEN_VARIABLE, "").encode()
    lines = path.read_bytes().splitlines()
    token = next((line.strip() for line in lines if line.strip() and not line.startswith(b"#")), b"")
    if not token:
        raise Failure(f"{path} holds no token")
    return token

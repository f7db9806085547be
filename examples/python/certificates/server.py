"""A server that lets only known cameras in, and reads renewed certificates on SIGHUP."""

import argparse
import asyncio
import contextlib
import hashlib
import signal
from pathlib import Path

from nnrp import NnrpConnectionClosedError
from nnrp.adapters import (
    create_quic_server_configuration,
    create_tcp_server_configuration,
    serve_quic,
    serve_tcp,
)
from nnrp.server import ClientHelloContext, ServerSession, accept_server_session


def fingerprint(certificate: bytes) -> str:
    """What names a client here; a parser of certificates would give its subject."""
    return hashlib.sha256(certificate).hexdigest()[:16]


def known(_auth_block: bytes, hello: ClientHelloContext) -> bool:
    """TLS has checked that our authority signed the certificate; here it could be looked up in a list."""
    return bool(hello.peer_certificates)


async def handle(session: ServerSession) -> None:
    print("camera", fingerprint(session.peer_certificates[0]), flush=True)
    async with session:
        with contextlib.suppress(NnrpConnectionClosedError):
            while True:
                received = await session.receive_submit()
                await session.send_result(
                    frame_id=received.metadata.frame_id, sections=received.request.sections
                )


async def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=Path, help="where make.sh put the certificates")
    arguments.add_argument("--transport", choices=("quic", "tcp"), default="tcp")
    arguments.add_argument("--port", type=int, default=4433)
    chosen = arguments.parse_args()

    certificates = {
        "certificate": chosen.folder / "server.pem",
        "private_key": chosen.folder / "server.key",
        "cafile": chosen.folder / "authority.pem",  # whose clients are let in; without it nobody is asked
    }
    serving = (
        serve_quic("127.0.0.1", chosen.port, create_quic_server_configuration(**certificates))
        if chosen.transport == "quic"
        else serve_tcp("127.0.0.1", chosen.port, create_tcp_server_configuration(**certificates))
    )
    async with serving as listener:

        def reload() -> None:
            try:
                listener.reload_certificate()
                print("reloaded", flush=True)
            except (OSError, ValueError) as error:
                print("the old certificate stays in use:", error, flush=True)

        with contextlib.suppress(NotImplementedError):  # Windows has no such signal
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)
        print("port", listener.port, flush=True)
        while True:
            session = await accept_server_session(listener, auth_validator=known)
            asyncio.create_task(handle(session))


with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main())

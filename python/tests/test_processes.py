"""Forks, and the end of the interpreter."""

import asyncio
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from frames import STEP, frame

from nnrp.errors import NnrpConnectionClosedError

PREAMBLE = """
import asyncio, os, sys, threading, warnings
from conftest import Network
from frames import STEP, echo, frame
from nnrp.adapters import DevelopmentCertificate, create_development_certificate
from nnrp.server import accept_server_session
if len(sys.argv) > 2:
    certificate = DevelopmentCertificate(sys.argv[2].encode(), sys.argv[3].encode())
else:
    certificate = create_development_certificate()
network = Network(sys.argv[1], certificate)
"""

ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join((str(Path(__file__).parent), os.environ.get("PYTHONPATH", ""))),
}


def command(program, *arguments):
    return [sys.executable, "-W", "error", "-c", PREAMBLE + textwrap.dedent(program), *arguments]


def run(program, transport):
    """Run a program in an interpreter of its own; it must end by itself, and silently."""
    done = subprocess.run(
        command(program, transport), capture_output=True, text=True, timeout=30, check=False, env=ENVIRONMENT
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout.split()


@pytest.fixture(params=["quic", "tcp", "tls"])
def transport(request):
    return request.param


def test_a_program_that_does_nothing_ends(transport):
    assert run("print('done')", transport) == ["done"]


def test_exiting_with_everything_open_ends(transport):
    program = """
    warnings.simplefilter("ignore", ResourceWarning)
    kept = []
    async def main():
        listener = await network.serve()
        accepting = asyncio.create_task(accept_server_session(listener))
        client = await network.dial(listener.port)
        server = await accepting
        await client.submit_frame(frame(1))
        await echo(server)
        print((await client.receive_result(STEP)).frame_id)
        kept.extend((listener, client, server))
    asyncio.run(main())
    """
    assert run(program, transport) == ["1"]


async def test_the_result_sent_right_before_the_exit_arrives(network, certificate):
    program = """
    warnings.simplefilter("ignore", ResourceWarning)
    async def main():
        listener = await network.serve()
        print(listener.port, flush=True)
        session = await accept_server_session(listener, timeout=STEP)
        await echo(session)
        return listener, session
    kept = asyncio.run(main())
    """
    keys = (certificate.certificate.decode(), certificate.private_key.decode())
    server = await asyncio.create_subprocess_exec(
        *command(program, network.transport, *keys), stdout=subprocess.PIPE, env=ENVIRONMENT
    )
    port = int(await asyncio.wait_for(server.stdout.readline(), 30))
    async with network.dial(port) as client:
        result = await client.submit(frame(1, b"x" * 300_000), timeout=STEP)
        assert result.sections[0].tile_payloads == (b"x" * 300_000,)
    assert await asyncio.wait_for(server.wait(), 30) == 0


async def test_every_wait_ends_when_the_server_is_killed(network, certificate):
    program = """
    async def main():
        listener = await network.serve()
        print(listener.port, flush=True)
        session = await accept_server_session(listener, timeout=STEP)
        for taken in range(8):
            await session.receive_submit(STEP)
        print("taken", flush=True)
        await asyncio.Event().wait()
    asyncio.run(main())
    """
    interval, patience, slack = 0.25, 2.0, 5.0
    keys = (certificate.certificate.decode(), certificate.private_key.decode())
    server = await asyncio.create_subprocess_exec(
        *command(program, network.transport, *keys), stdout=subprocess.PIPE, env=ENVIRONMENT
    )
    port = int(await asyncio.wait_for(server.stdout.readline(), 30))
    async with network.connect(port, keepalive_interval=interval, keepalive_timeout=patience) as connection:
        client = await network.handshake(connection)
        waiting = [asyncio.create_task(client.submit(frame(frame_id))) for frame_id in range(1, 8)]
        await client.submit_frame(frame(8))
        waiting.append(asyncio.create_task(client.receive_result(frame_id=8)))
        assert await asyncio.wait_for(server.stdout.readline(), 30) == b"taken\n"
        await client.ping(STEP)

        server.kill()
        killed = time.monotonic()
        outcomes = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 30)
        noticed = time.monotonic() - killed
        for outcome in outcomes:
            assert isinstance(outcome, NnrpConnectionClosedError), outcome
            assert f"connection lost: 127.0.0.1:{port}: " in str(outcome)
        assert noticed < interval + patience + slack
        with pytest.raises(NnrpConnectionClosedError, match="connection lost"):
            await client.submit_frame(frame(9))
    await asyncio.wait_for(server.wait(), 30)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_starts_afresh(transport):
    program = """
    async def child(inherited):
        try:
            await inherited.receive_submit(0)
        except RuntimeError as error:
            assert "process" in str(error), error
        async with network.pair() as (server, client):
            await client.submit_frame(frame(1))
            await echo(server)
            await client.receive_result(STEP)

    def leave_as_child(server):
        outcome = []
        thread = threading.Thread(target=lambda: outcome.append(asyncio.run(child(server))))
        thread.start()
        thread.join(20)
        os._exit(0 if outcome == [None] else 1)

    async def main():
        async with network.pair() as (server, client):
            pid = os.fork()
            if pid == 0:
                leave_as_child(server)
            _, status = os.waitpid(pid, 0)
            await client.submit_frame(frame(1))
            await echo(server)
            await client.receive_result(STEP)
            print("child", status)

    asyncio.run(main())
    """
    assert run(program, transport) == ["child", "0"]

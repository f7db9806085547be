"""Programs that run in an interpreter of their own, as servers do."""

import asyncio
import os
import subprocess
import sys
import textwrap
from contextlib import asynccontextmanager, suppress
from pathlib import Path

PREAMBLE = """
import asyncio, os, signal, sys, threading, time, warnings
# A shell that runs the tests in the background has its children ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
from networks import Network
from frames import STEP, echo, frame, section
from nnrp.adapters import DevelopmentCertificate, create_development_certificate
from nnrp.server import ServerProfile, accept_server_session
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

PATIENCE = 30
"""Seconds for an interpreter to start, and to end, on a busy machine."""


def command(program, *arguments):
    return [sys.executable, "-W", "error", "-c", PREAMBLE + textwrap.dedent(program), *arguments]


def run(program, transport):
    """Run a program; it must end by itself, and silently. What it printed, in words."""
    done = subprocess.run(
        command(program, transport),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env=ENVIRONMENT,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout.split()


@asynccontextmanager
async def running(*command, **options):
    """A process that does not outlive the block: what a test leaves behind makes others fail."""
    process = await asyncio.create_subprocess_exec(*map(str, command), **options)
    try:
        yield process
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):  # it has just ended by itself
                process.kill()
        await process.communicate()  # closes the pipes, too


@asynccontextmanager
async def server(program, network):
    """A program that serves, and the port that is its first line; it is killed if it does not end."""
    keys = (network.certificate.certificate.decode(), network.certificate.private_key.decode())
    starting = running(
        *command(program, network.transport, *keys),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    )
    async with starting as process:
        port = await asyncio.wait_for(process.stdout.readline(), PATIENCE)
        if not port:
            raise AssertionError((await process.stderr.read()).decode())
        yield process, int(port)

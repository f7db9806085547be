"""The Rust programs that speak with Python programs, with those programs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
PYTHON_EXAMPLES = ROOT / "examples" / "python"
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join((str(PYTHON_EXAMPLES), os.environ.get("PYTHONPATH", ""))),
}
PATIENCE = 60
"""Seconds for each step; every one takes less than two."""
pytestmark = pytest.mark.timeout(900)
"""The first of them builds the programs."""


@pytest.fixture(scope="session")
def programs() -> Path:
    """The folder with the Rust programs, built."""
    cargo = os.environ.get("CARGO", "cargo")
    command = [cargo, "build", "--quiet", "--package", "nnrp-examples", "--message-format", "json"]
    built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True)
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    (proxy,) = [
        message["executable"]
        for message in messages
        if message.get("executable") and message["target"]["name"] == "proxy"
    ]
    return Path(proxy).parent


@contextmanager
def running(*command: str | Path) -> Iterator[str]:
    """A program that says where it listens in its first line."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def python(module: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *arguments)


def run(*command: str | Path) -> str:
    done = subprocess.run(
        command, env=ENVIRONMENT, stdout=subprocess.PIPE, check=True, timeout=PATIENCE, text=True
    )
    return done.stdout


def test_a_picture_is_enlarged_by_the_python_server(programs: Path, tmp_path: Path) -> None:
    # Rings, sharp ones: what interpolation alone blurs.
    y, x = np.mgrid[0:160, 0:192]
    truth = (127 + 120 * np.sign(np.sin(np.hypot(x - 90, y - 70) / 5))).astype(np.uint8)
    small = Image.fromarray(truth).resize((96, 80), Image.Resampling.BICUBIC)
    small.save(tmp_path / "small.pgm")
    certificate = tmp_path / "server.pem"
    server = python(
        "super_resolution.server",
        "--quic-port",
        "0",
        "--tcp-port",
        "0",
        "--certificate-out",
        str(certificate),
    )
    with running(*server) as ready:
        address = f"127.0.0.1:{json.loads(ready)['quic_port']}"
        run(
            programs / "super_resolution_client",
            address,
            certificate,
            tmp_path / "small.pgm",
            tmp_path / "large.pgm",
        )
    large = np.asarray(Image.open(tmp_path / "large.pgm"), np.float64)
    interpolated = np.asarray(small.resize((192, 160), Image.Resampling.BICUBIC), np.float64)
    error = np.sqrt(np.mean((large - truth) ** 2))
    error_interpolated = np.sqrt(np.mean((interpolated - truth) ** 2))
    assert large.shape == truth.shape
    assert error < 0.97 * error_interpolated, (error, error_interpolated)


def test_the_python_client_reads_tokens(programs: Path) -> None:
    with running(programs / "token_server", "0", "5") as line:
        port = line.rsplit(" ", 1)[1]
        said = run(*python("token_stream.client", "Tell me", "--port", port))
    assert said.startswith("Tell me that every frame is answered,"), said
    assert "20 tokens in" in said, said


def test_the_proxy_forwards_to_a_python_server(programs: Path, tmp_path: Path) -> None:
    behind = python("token_stream.server", "--port", "0", "--pace", "0.005")
    certificate = tmp_path / "proxy.pem"
    with (
        running(*behind) as listening,
        running(programs / "proxy", listening.rsplit(" ", 1)[1], certificate, "0") as forwarding,
    ):
        address = forwarding.split(" ")[1]
        script = (
            "import asyncio, sys\n"
            "from nnrp.adapters import create_quic_client_configuration\n"
            "from nnrp.client import SubmitRequest, TypedPayload, dial_client\n"
            "from nnrp.core import PayloadKind\n"
            "async def main():\n"
            "    config = create_quic_client_configuration(cafile=sys.argv[2])\n"
            "    prompt = TypedPayload(PayloadKind.TOKEN_CHUNK, b'The server')\n"
            "    request = SubmitRequest(frame_id=1, typed_payloads=(prompt,))\n"
            "    port = int(sys.argv[1].rsplit(':', 1)[1])\n"
            "    async with dial_client('127.0.0.1', port, config=config) as session:\n"
            "        parts = [part async for part in session.stream(request, timeout=10)]\n"
            "    print(session.transport_id.name, len(parts))\n"
            "asyncio.run(main())\n"
        )
        transport, parts = run(sys.executable, "-c", script, address, certificate).split()
    assert transport == "QUIC"
    assert int(parts) > 10

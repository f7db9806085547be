"""The example does what its page says, and certificates are renewed while it runs."""

import asyncio
import hashlib
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join((str(FOLDER), os.environ.get("PYTHONPATH", "")))}

pytestmark = pytest.mark.skipif(
    not hasattr(signal, "SIGHUP") or not shutil.which("openssl"), reason="needs openssl and SIGHUP"
)


def make(folder):
    script = Path(__file__).with_name("make.sh")
    subprocess.run(["sh", script, folder], check=True, capture_output=True, timeout=30)


def fingerprint(file):
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(file.read_text())).hexdigest()[:16]


@asynccontextmanager
async def server(*arguments):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "certificates.server", "--port", "0", *arguments,
        stdout=asyncio.subprocess.PIPE, env=ENVIRONMENT,
    )  # fmt: skip
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 30)
        yield re.search(rb"\d+", line).group().decode(), process
    finally:
        process.kill()
        await process.wait()


async def client(*arguments):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "certificates.client", *arguments,
        stdout=asyncio.subprocess.PIPE, env=ENVIRONMENT,
    )  # fmt: skip
    printed, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    return printed.decode().split()


@pytest.mark.parametrize("transport", ["tcp", "quic"])
async def test_both_sides_are_known_and_certificates_are_renewed(tmp_path, transport):
    make(tmp_path)
    async with server(str(tmp_path), "--transport", transport) as (port, process):

        async def said():
            return (await asyncio.wait_for(process.stdout.readline(), 10)).decode().split()

        call = (str(tmp_path), "--transport", transport, "--address", f"nnrps://localhost:{port}")
        first = fingerprint(tmp_path / "server.pem")
        assert await client(*call) == ["server", first, "picture"]
        assert await said() == ["camera", fingerprint(tmp_path / "camera.pem")]

        make(tmp_path)
        process.send_signal(signal.SIGHUP)
        assert await said() == ["reloaded"]
        assert await client(*call) == ["server", fingerprint(tmp_path / "server.pem"), "picture"]
        assert first != fingerprint(tmp_path / "server.pem")
        assert await said() == ["camera", fingerprint(tmp_path / "camera.pem")]

        (tmp_path / "server.key").write_text("not a key")
        process.send_signal(signal.SIGHUP)
        assert " ".join(await said()).startswith("the old certificate stays in use: private key")
        assert (await client(*call))[2] == "picture"

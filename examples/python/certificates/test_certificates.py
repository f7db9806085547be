"""The example does what its page says, and certificates are renewed while it runs."""

import hashlib
import re
import shutil
import signal
import ssl
import subprocess
from pathlib import Path

import pytest
from processes import line, printed, running

pytestmark = pytest.mark.skipif(
    not hasattr(signal, "SIGHUP") or not shutil.which("openssl"), reason="needs openssl and SIGHUP"
)


def make(folder):
    script = Path(__file__).with_name("make.sh")
    subprocess.run(["sh", script, folder], check=True, capture_output=True, timeout=30)


def fingerprint(file):
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(file.read_text())).hexdigest()[:16]


@pytest.mark.parametrize("transport", ["tcp", "quic"])
async def test_both_sides_are_known_and_certificates_are_renewed(tmp_path, transport):
    make(tmp_path)

    async def client():
        return (await printed("certificates.client", *call)).split()

    async def said():
        return (await line(process)).split()

    options = (str(tmp_path), "--transport", transport)
    async with running("certificates.server", "--port", "0", *options) as process:
        port = re.search(r"\d+", await line(process)).group()
        call = (*options, "--address", f"nnrps://localhost:{port}")
        first = fingerprint(tmp_path / "server.pem")
        assert await client() == ["server", first, "picture"]
        assert await said() == ["camera", fingerprint(tmp_path / "camera.pem")]

        make(tmp_path)
        process.send_signal(signal.SIGHUP)
        assert await said() == ["reloaded"]
        assert await client() == ["server", fingerprint(tmp_path / "server.pem"), "picture"]
        assert first != fingerprint(tmp_path / "server.pem")
        assert await said() == ["camera", fingerprint(tmp_path / "camera.pem")]

        (tmp_path / "server.key").write_text("not a key")
        process.send_signal(signal.SIGHUP)
        assert " ".join(await said()).startswith("the old certificate stays in use: private key")
        assert (await client())[2] == "picture"

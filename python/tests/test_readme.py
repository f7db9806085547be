"""What the README says about encryption is done to its programs, and they run."""

import asyncio
import re
import sys
from pathlib import Path

import pytest
from networks import free_port
from programs import PATIENCE, running
from test_pages import ENVIRONMENT, printed

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
PROGRAM = re.compile(r"<!-- runs as \S+/(\w+\.py) -->\n```python\n(.*?)```", re.DOTALL)
CERTIFICATE = re.compile(r"^nnrp (cert make \.)", re.MULTILINE)
ROW = re.compile(r"^\| (server|client)[^|]*\| ([^|]*)\| `(.*?)` \|$", re.MULTILINE)


def replacements(transport):
    """What to write, for server and client."""
    rows = ROW.findall(README)
    assert len(rows) == 4
    return {side: code for side, _, code in rows if ("quic" in code) is (transport == "quic")}


def changed(name, code, port):
    """The program with its line replaced, and what that names imported as the README says."""
    side = name.removesuffix(".py")
    text = dict(PROGRAM.findall(README))[name].replace("4433", port)
    plain = {
        "server": f'serve_tcp("127.0.0.1", {port}, config=create_tcp_server_configuration())',
        "client": "config=create_tcp_client_configuration()",
    }[side]
    assert text.count(plain) == 1
    names = ", ".join(sorted(set(re.findall(r"\b(?:create|serve)_\w+", code))))
    text = text.replace(plain, code.replace("4433", port))
    return re.sub(r"^from nnrp\.adapters.*$", f"from nnrp.adapters import {names}", text, flags=re.MULTILINE)


@pytest.mark.parametrize("transport", ["quic", "tls"])
async def test_the_programs_of_the_readme_run_encrypted(transport, tmp_path):
    port = str(free_port())
    await printed(tmp_path, "-m", "nnrp", *CERTIFICATE.search(README)[1].split())
    for side, code in replacements(transport).items():
        (tmp_path / f"{side}.py").write_text(changed(f"{side}.py", code, port))
    async with started("server.py", tmp_path) as server:
        async with asyncio.timeout(PATIENCE):
            assert await until_served(tmp_path) == "(3, 7) [b'left', b'right']\n"
            server.terminate()
            assert await server.communicate() == (b"", b"")
    assert server.returncode == 0


def started(program, folder):
    pipe = asyncio.subprocess.PIPE
    return running(sys.executable, program, cwd=folder, env=ENVIRONMENT, stdout=pipe, stderr=pipe)


async def until_served(folder):
    """What the client prints once the server is there."""
    while True:
        async with started("client.py", folder) as client:
            out, err = await client.communicate()
        if client.returncode == 0:
            return out.decode()
        assert b"refused" in err or b"NnrpConnect" in err or b"cannot connect" in err, err.decode()


def test_what_the_package_index_shows_is_the_server_of_the_readme():
    page = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    assert f"```python\n{dict(PROGRAM.findall(README))['server.py']}```" in page

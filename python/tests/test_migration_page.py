"""The programs of the page about moving sessions do what it says."""

import asyncio
import re
from pathlib import Path

import pytest
from frames import STEP, frame
from networks import free_port

from nnrp import adapters, client, errors, server
from nnrp.adapters import create_quic_client_configuration
from nnrp.client import dial_client
from nnrp.core import TransportId

PAGE = Path(__file__).parents[2] / "docs" / "migration.md"
PROGRAMS = dict(re.findall(r"<!-- (\w+) -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL))
TOKEN = b"the page's client"


@pytest.fixture
def program(tmp_path, monkeypatch, certificate):
    """Both programs of the page in one namespace, on free ports of this machine."""
    (tmp_path / "cert.pem").write_bytes(certificate.certificate)
    (tmp_path / "key.pem").write_bytes(certificate.private_key)
    monkeypatch.chdir(tmp_path)
    ports = {"4433": free_port(), "4434": free_port(), "0.0.0.0": "127.0.0.1"}  # noqa: S104

    async def handle(session):
        async for received in session:
            await session.send_result(frame_id=received.frame_id, sections=received.request.sections)

    names = {"asyncio": asyncio, "handle": handle, "check": TOKEN.__eq__}
    for module in (adapters, client, errors, server):
        names.update({name: getattr(module, name) for name in module.__all__})
    for text in PROGRAMS.values():
        for there, here in ports.items():
            text = text.replace(there, str(here))  # noqa: PLW2901
        exec(text, names)  # noqa: S102  # our own page
    names["quic_port"] = ports["4433"]
    return names


async def test_the_client_moves_to_tcp_when_the_path_is_bad(program, monkeypatch, capsys):
    serving = asyncio.create_task(program["serve"]())
    configuration = create_quic_client_configuration(cafile="cert.pem")
    dial = dial_client(
        "127.0.0.1", program["quic_port"], config=configuration, auth_block=TOKEN, timeout=STEP
    )
    async with dial as session:
        await session.submit(frame(41), timeout=STEP)

        async def silence(_session, timeout):
            raise TimeoutError(timeout)

        monkeypatch.setattr(client.ClientSession, "ping", silence)
        monkeypatch.setitem(program, "asyncio", Hurried())
        await asyncio.wait_for(program["watch"](session, "127.0.0.1"), STEP)
        assert session.transport_id is TransportId.TCP
        assert (await session.submit(frame(42), timeout=STEP)).is_push
    assert capsys.readouterr().out == "moved; frame ids go on from 42\n"
    serving.cancel()
    await asyncio.wait([serving])


async def test_a_refusal_is_told_and_the_session_goes_on(program, capsys):
    program["check"] = lambda block: block == TOKEN and not moved.is_set()
    moved = asyncio.Event()
    serving = asyncio.create_task(program["serve"]())
    configuration = create_quic_client_configuration(cafile="cert.pem")
    dial = dial_client(
        "127.0.0.1", program["quic_port"], config=configuration, auth_block=TOKEN, timeout=STEP
    )
    async with dial as session:
        moved.set()
        await program["move"](session, "127.0.0.1")
        assert (await session.submit(frame(1), timeout=STEP)).is_push
    assert capsys.readouterr().out.startswith("not moved: AUTH_FAILED the server refused the migration")
    serving.cancel()
    await asyncio.wait([serving])


class Hurried:
    """What the page uses of `asyncio`, without the pauses."""

    @staticmethod
    async def sleep(_seconds):
        await asyncio.sleep(0)

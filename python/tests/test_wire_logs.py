"""Logs of what is below NNRP, for those who ask: TLS secrets, and what QUIC does."""

import asyncio
import json

import pytest
from frames import STEP, echo, frame
from networks import Network

from nnrp.client import dial_client
from nnrp.server import accept_server_session


async def one_frame(network, on_server, on_client):
    """A frame there and back, with these settings."""
    async with network.serve(**on_server) as listener:
        accepting = asyncio.create_task(accept_server_session(listener, timeout=STEP))
        dialling = dial_client("127.0.0.1", listener.port, config=network.client_configuration(**on_client))
        async with dialling as client, await accepting as server:
            await client.submit_frame(frame(1))
            await echo(server)
            await client.receive_result(STEP, frame_id=1)


@pytest.mark.parametrize("transport", ["quic", "tls"])
async def test_both_sides_write_the_same_secrets(transport, certificate, tmp_path):
    network = Network(transport, certificate)
    await one_frame(network, {"key_log": tmp_path / "server"}, {"key_log": str(tmp_path / "client")})
    written = [set((tmp_path / name).read_text().splitlines()) for name in ("server", "client")]
    assert written[0] == written[1]
    assert {line.split()[0] for line in written[0]} >= {"CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"}


async def test_a_file_that_cannot_be_written_is_an_os_error(network, tmp_path):
    if network.transport == "tcp":
        pytest.skip("nothing is encrypted")
    with pytest.raises(FileNotFoundError):
        await network.serve(key_log=tmp_path / "absent" / "file")


async def test_both_sides_write_what_quic_does(certificate, tmp_path):
    network = Network("quic", certificate)
    await one_frame(network, {"qlog": tmp_path}, {"qlog": str(tmp_path)})
    sides = set()
    for path in tmp_path.iterdir():
        sides.add(path.name.split("-")[1])
        records = [json.loads(line.lstrip("\x1e")) for line in path.read_text().split("\n") if line]
        assert records[0]["qlog_format"] == "JSON-SEQ"
        assert {"transport:packet_sent", "transport:packet_received"} <= {one.get("name") for one in records}
    assert sides == {"server", "client"}


async def test_the_environment_asks_for_nothing(network, monkeypatch, tmp_path):
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "unasked"))
    monkeypatch.setenv("QLOGDIR", str(tmp_path))
    await one_frame(network, {}, {})
    assert list(tmp_path.iterdir()) == []

"""What operators see: metrics, health, logs, traces, secrets."""

import asyncio
import json
import signal
import urllib.error
import urllib.request

import pytest
from programs import running

from nnrp.adapters import create_tcp_client_configuration
from nnrp.client import SubmitRequest, TypedPayload, dial_client

STEP = 20.0


def prompt(text, frame_id=1, **fields):
    return SubmitRequest(
        frame_id=frame_id, typed_payloads=(TypedPayload.token_chunk(text.encode()),), **fields
    )


def dial(served):
    return dial_client(served.url, config=create_tcp_client_configuration(), timeout=STEP)


async def get(address):
    """Status and text of a page."""

    def fetch():
        try:
            with urllib.request.urlopen(address, timeout=STEP) as answer:  # noqa: S310  # our own server
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    return await asyncio.to_thread(fetch)


async def test_metrics_and_health_have_a_port_when_asked_for(commands):
    options = ("--plain", "--metrics-port", "0", "--health-port", "0")
    async with commands.serve("app:shout", *options) as served, dial(served) as session:
        await session.submit(prompt("hello"), timeout=STEP)
        code, text = await get(f"{served.http}/metrics")
        assert code == 200
        assert 'nnrp_frames_ended_total{outcome="delivered",source="tcp"} 1.0' in text
        assert 'nnrp_sessions{source="tcp"} 1.0' in text
        assert await get(f"{served.http}/healthz") == (200, "ok\n")
        assert await get(f"{served.http}/readyz") == (200, "ok\n")
        assert (await get(f"{served.http}/else"))[0] == 404


async def test_health_alone_has_no_metrics(commands):
    async with commands.serve("app:shout", "--plain", "--health-port", "0") as served:
        assert await get(f"{served.http}/healthz") == (200, "ok\n")
        assert (await get(f"{served.http}/metrics"))[0] == 404


async def test_a_server_that_drains_is_alive_and_not_ready(commands):
    options = ("--plain", "--health-port", "0")
    async with commands.serve("app:held", *options) as served, dial(served) as session:
        await session.submit_frame(prompt("x"), timeout=STEP)
        await served.logged("begun")
        served.process.send_signal(signal.SIGTERM)
        await served.logged("draining")
        assert await get(f"{served.http}/readyz") == (503, "draining\n")
        assert await get(f"{served.http}/healthz") == (200, "ok\n")
        commands.write("1", b"")
        result = await session.receive_result(STEP, frame_id=1)
        assert result.token_chunks == (b"at last",)
        assert (await served.ended())[0] == 0


async def test_a_port_that_is_taken_is_a_sentence(commands):
    async with commands.serve("app:shout", "--plain", "--health-port", "0") as served:
        port = served.http.rpartition(":")[2]
        code, _, err = await commands.in_thread(
            "serve", "app:shout", "--plain", "--port", "0", "--metrics-port", port
        )
    assert code == 1
    assert err.endswith(
        f"nnrp serve: cannot serve metrics on 127.0.0.1 port {port}: Address already in use\n"
    )


async def test_records_are_json_and_say_what_they_are_about(commands):
    options = ("--plain", "--log-level", "debug")
    async with commands.serve("app:broken", *options) as served, dial(served) as session:
        await session.submit(prompt("x", trace_id=0xABC), timeout=STEP)
        record = await served.logged("the handler failed")
    assert record["level"] == "error"
    assert record["logger"] == "nnrp.cli"
    assert (record["frame_id"], record["trace_id"]) == (1, 0xABC)
    assert record["session_id"] == session.session_id
    assert "ZeroDivisionError" in record["exception"]
    assert record["time"].endswith("+00:00")


async def test_a_frame_is_a_span_in_the_trace_it_names(commands):
    options = ("--plain", "--otel", "console")
    async with commands.serve("app:shout", *options) as served:
        async with dial(served) as session:
            await session.submit(prompt("hello", trace_id=0xABC), timeout=STEP)
        served.process.send_signal(signal.SIGTERM)
        while "trace_id" not in str(record := await served.record()):
            pass
    assert int(record["context"]["trace_id"], 16) == 0xABC
    assert record["attributes"]["nnrp.frame_id"] == 1


@pytest.mark.parametrize("transport", ["quic", "tcp"])
async def test_secrets_are_written_when_asked_for_and_only_then(commands, transport):
    commands.variables["SSLKEYLOGFILE"] = "unasked"
    async with commands.serve("app:shout", "--dev-cert", "--keylog", "server.keys") as served:
        options = ("--dev-cert", "--transport", transport)
        assert (await commands.submit(served.url, "-", *options, stdin=b"x"))[0] == 0
        assert not (commands.folder / "unasked").exists()
        server = secrets(commands, "server.keys")
        assert (await commands.submit(served.url, "-", *options, "--keylog", stdin=b"x"))[0] == 0
    assert len(server) == 5
    assert secrets(commands, "unasked") == secrets(commands, "server.keys") - server


async def test_what_quic_does_is_written_when_asked_for(commands):
    folder = commands.folder / "qlog"
    folder.mkdir()
    async with commands.serve("app:shout", "--dev-cert", "--qlog", folder) as served:
        assert (await commands.submit(served.url, "-", "--dev-cert", "--qlog", folder, stdin=b"x"))[0] == 0
    records = {path.name.split("-")[1]: events(path) for path in folder.iterdir()}
    assert set(records) == {"server", "client"}
    for of_one_side in records.values():
        assert of_one_side[0]["qlog_format"] == "JSON-SEQ"
        assert "transport:packet_sent" in {record.get("name") for record in of_one_side}
    absent = commands.folder / "absent"
    code, _, err = await commands.in_thread(
        "serve", "app:shout", "--dev-cert", "--port", "0", "--qlog", absent
    )
    assert code == 1
    assert "cannot serve QUIC on 127.0.0.1 port " in err
    assert err.endswith("No such file or directory\n")


def events(path):
    """The records of a JSON text sequence."""
    return [json.loads(line.lstrip("\x1e")) for line in path.read_text().split("\n") if line]


def secrets(commands, name):
    return set((commands.folder / name).read_text().splitlines())


def test_a_key_log_needs_a_file(commands):
    code, _, err = commands.run("serve", "app:shout", "--dev-cert", "--keylog")
    assert (code, err) == (2, "nnrp serve: --keylog needs a file, or SSLKEYLOGFILE to name one\n")


async def test_text_logs_are_lines_for_people(commands):
    starting = running(
        *commands.line("serve", "app:broken", "--plain", "--port", "0"),
        stderr=asyncio.subprocess.PIPE,
        cwd=commands.folder,
        env=commands.environment(),
    )
    async with starting as process:
        line = (await asyncio.wait_for(process.stderr.readline(), STEP)).decode()
        process.terminate()
        _, rest = await asyncio.wait_for(process.communicate(), STEP)
    assert line.split(maxsplit=2)[1:] == ["INFO", line.split(maxsplit=2)[2]]
    assert " serves app:broken over TCP" in line
    assert "draining 0 sessions" in rest.decode()
    assert not line.startswith("{")

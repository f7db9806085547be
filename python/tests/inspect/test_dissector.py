"""The Wireshark dissector: made from the tables, and tried on a session between our own server and client."""

import asyncio
import importlib
import shutil
import subprocess
import sys
from itertools import chain
from pathlib import Path

import captures
import pytest
from captures import CLIENT, SERVER
from frames import STEP, echo, frame
from packets import INVALID, VALID

from nnrp.core import MessageType
from nnrp.inspect import dissect
from nnrp.inspect._source import find_packets
from nnrp.server import accept_server_session

TOOLS = Path(__file__).resolve().parents[3] / "tools"
DISSECTOR = TOOLS / "wireshark" / "nnrp.lua"
TSHARK = shutil.which("tshark")
needs_tshark = pytest.mark.skipif(
    TSHARK is None, reason="tshark is not installed (on Debian and Ubuntu: apt-get install tshark)"
)


@pytest.fixture
def generate(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    yield importlib.import_module("generate_dissector")
    for name in ("generate_dissector", "generate_core", "core_overlay"):
        sys.modules.pop(name, None)


def test_the_dissector_is_up_to_date(generate):
    stale = [path.name for path, text in generate.render().items() if path.read_text() != text]
    assert stale == [], "run tools/generate_dissector.py"


def tshark(capture, *options):
    """What tshark says about a capture; tshark prints the errors of a dissector where its fields would be."""
    process = subprocess.run(
        [TSHARK, "-n", "-X", f"lua_script:{DISSECTOR}", "-r", str(capture), *options],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert "Lua" not in process.stderr, process.stderr
    assert "Lua Error" not in process.stdout
    assert process.returncode == 0, process.stderr
    return process.stdout


def fields(capture, *names, only="nnrp"):
    """The values of some fields, one row for each frame that `only` is about."""
    wanted = [argument for name in names for argument in ("-e", name)]
    out = tshark(capture, "-Y", only, "-T", "fields", "-E", "occurrence=a", *wanted)
    return [line.split("\t") for line in out.splitlines()]


@pytest.fixture
def capture(tmp_path):
    def write(segments, name="capture.pcap"):
        path = tmp_path / name
        path.write_bytes(captures.pcap(captures.loopback(segments)))
        return path

    return write


class Relay:
    """A TCP relay that keeps what it passes on: capturing an interface takes rights that tests lack."""

    def __init__(self, port):
        self.port = port
        self.recorder = captures.Recorder()
        self.passing = []

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.connect, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_):
        self.server.close()
        await asyncio.gather(*self.passing)
        await self.server.wait_closed()

    @property
    def own_port(self):
        return self.server.sockets[0].getsockname()[1]

    async def connect(self, reader, writer):
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.passing += [
            asyncio.create_task(self.relay(CLIENT, reader, server_writer)),
            asyncio.create_task(self.relay(SERVER, server_reader, writer)),
        ]

    async def relay(self, source, reader, writer):
        # Small pieces, so that packets are split over segments.
        while data := await reader.read(100):
            self.recorder.record(source, data)
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()


async def recorded_session(tcp):
    """The segments of a session with two frames."""
    async with tcp.serve() as listener, Relay(listener.port) as relay:
        accepting = asyncio.create_task(accept_server_session(listener, timeout=STEP))
        async with tcp.dial(relay.own_port, auth_block=b"let me in") as client, await accepting as server:
            for frame_id in (1, 2):
                await client.submit_frame(frame(frame_id, b"first tile", b"second " * 40))
                await echo(server)
                await client.receive_result(STEP)
            await client.close()
            await server.close()
    return relay.recorder.segments


@pytest.fixture
async def recording(tcp, capture):
    return capture(await recorded_session(tcp))


async def test_our_own_session_is_legal(recording):
    pieces = find_packets(recording.read_bytes()).pieces
    packets = [dissect(piece.raw) for piece in pieces]
    assert [violation for packet in packets for violation in packet.violations] == []
    # The client asks by itself whether the server is there.
    messages = [packet.message for packet in packets if packet.message not in {"PING", "PONG"}]
    assert messages[:6] == [
        "CLIENT_HELLO",
        "SERVER_HELLO_ACK",
        *(["FRAME_SUBMIT", "RESULT_PUSH"] * 2),
    ]


@needs_tshark
async def test_tshark_finds_the_packets_of_a_session(recording):
    ours = [dissect(piece.raw) for piece in find_packets(recording.read_bytes()).pieces]
    rows = fields(recording, "nnrp.header.msg_type", "nnrp.header.frame_id", "nnrp.header.body_len")
    for column, name in enumerate(("msg_type", "frame_id", "body_len")):
        theirs = [int(value) for row in rows for value in row[column].split(",") if value]
        assert sorted(theirs) == sorted(packet.header[name] for packet in ours)
    assert fields(recording, "nnrp.violation", "nnrp.cut", only="nnrp.violation || nnrp.cut") == []
    assert fields(recording, "nnrp.auth_block") != []


@needs_tshark
async def test_tshark_lists_message_session_and_frame(recording):
    lines = [line for line in tshark(recording).splitlines() if "NNRP" in line]
    assert any("CLIENT_HELLO" in line for line in lines)
    assert any("RESULT_PUSH session=1 frame=2" in line for line in lines)


@needs_tshark
def test_tshark_shows_every_message(capture):
    raws = [bytes.fromhex(vector["hex"]) for vector in VALID]
    for piece in (37, 1400):
        path = capture(captures.session(b"".join(raws), b"", piece=piece))
        (rows,) = zip(*fields(path, "nnrp.header.msg_type"), strict=True)
        found = [int(value) for row in rows for value in row.split(",")]
        assert sorted(found) == sorted(raw[6] for raw in raws)
        assert set(found) == set(MessageType)
        # One vector has a critical extension frame, which is for the session to refuse.
        assert fields(path, "nnrp.violation", only="nnrp.violation") == []
        assert fields(path, "nnrp.cut", only="nnrp.cut") == []


@needs_tshark
def test_tshark_shows_what_composed_bodies_hold(capture):
    mixed = next(bytes.fromhex(one["hex"]) for one in VALID if one["name"] == "frame_submit-mixed-delta_u16")
    path = capture(captures.session(mixed, b"", piece=1400))
    names = (
        "nnrp.tile_id",
        "nnrp.tile_length",
        "nnrp.tensor_section_desc.role_id",
        "nnrp.typed_payload_descriptor.payload_kind",
    )
    ((ids, lengths, roles, kinds),) = fields(path, *names)
    nodes = {}
    for node in dissect(mixed).root.walk():
        nodes.setdefault(node.name, []).append(node.value)
    assert [int(value) for value in ids.split(",")] == nodes["tile_index_block"][0]
    assert [int(value) for value in lengths.split(",")] == [*chain(*nodes["length_table"])]
    assert [int(value) for value in roles.split(",")] == nodes["role_id"]
    assert [int(value, 16) for value in kinds.split(",")] == nodes["payload_kind"]


@needs_tshark
def test_damage_does_not_break_the_dissector(capture):
    raws = [bytes.fromhex(vector["hex"]) for vector in INVALID if vector["hex"]]
    segments = [captures.Segment(10000 + number, SERVER, 1, raw) for number, raw in enumerate(raws)]
    path = capture(segments)
    text = tshark(path, "-o", f"nnrp.port:{SERVER}", "-V")
    for rule in ("R-HDR-1", "R-HDR-4", "R-PKT-1", "R-SEC-4", "R-TYP-3", "R-SUB-1"):
        assert rule in text

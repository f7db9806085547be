"""A server session over an object that only passes packets around: how applications test handlers."""

import asyncio
from dataclasses import fields

import pytest
from frames import frame, section

from nnrp.client import TypedPayload
from nnrp.core import (
    BudgetPolicy,
    ClientHelloMetadata,
    FlowUpdateMetadata,
    FlowUpdateScopeKind,
    MessageType,
    NnrpPacket,
    ResultClass,
    ResultHintCongestionState,
    ResultHintReason,
    ResultPushMetadata,
    TransportId,
    build_frame_submit_packet,
    build_ping_packet,
)
from nnrp.server import ClientHelloContext, ServerProfile, ServerSession


class FakeConnection:
    """Hands out packets it was given, and keeps those it is sent."""

    def __init__(self, *packets):
        self.packets = list(packets)
        self.sent = []
        self.closed = 0

    async def receive_submit_packet(self, timeout=None):
        if not self.packets:
            raise TimeoutError(timeout)
        return self.packets.pop(0)

    async def send_result_packet(self, packet):
        self.sent.append(packet)
        return 3

    async def send_control_packet(self, packet):
        self.sent.append(packet)

    def close(self):
        self.closed += 1


class AsyncFakeConnection(FakeConnection):
    """The same with coroutines for closing."""

    async def close(self):
        self.closed += 1

    async def wait_closed(self):
        self.closed += 10


@pytest.fixture
def hello():
    packet = NnrpPacket.build(MessageType.CLIENT_HELLO, metadata=bytes(64))
    return ClientHelloContext(packet, ClientHelloMetadata(1, 1, 1, 1, 1, *[0] * 17), b"", ())


def session(connection, hello, session_id=5):
    return ServerSession(connection, TransportId.TCP, hello, session_id)


def submit(frame_id=1, session_id=5, **changes):
    request = frame(frame_id, b"abc", b"d")
    return build_frame_submit_packet(
        session_id=session_id,
        frame_id=frame_id,
        tile_ids=request.tile_ids,
        sections=request.sections,
        **changes,
    )


def test_the_fields_are_the_documented_ones(hello):
    names = [field.name for field in fields(ServerSession)]
    assert names == [
        "connection",
        "transport_id",
        "hello",
        "session_id",
        "active_model_name",
        "server_profile",
    ]
    made = session(FakeConnection(), hello)
    assert made.active_model_name == ""
    assert made.server_profile == ServerProfile()
    made.active_model_name = "model"


async def test_it_decodes_submits(hello):
    packet = submit(frame_id=9, trace_id=4)
    received = await session(FakeConnection(packet), hello).receive_submit()
    assert received.packet == packet
    assert received.metadata.frame_id == 9
    assert received.request.sections[0].tile_payloads == (b"abc", b"d")
    assert (received.request.frame_id, received.request.trace_id) == (9, 4)
    assert received.tensor_body.sections[0].payload.tobytes() == b"abcd"


async def test_it_passes_the_timeout_on(hello):
    with pytest.raises(asyncio.TimeoutError, match=r"2\.5"):
        await session(FakeConnection(), hello).receive_submit(timeout=2.5)


@pytest.mark.parametrize(
    ("packet", "words"),
    [
        (build_ping_packet(session_id=5), "expected FRAME_SUBMIT, got PING"),
        (submit(session_id=6), "expected session_id 5, got 6"),
        (NnrpPacket.build(MessageType.FRAME_SUBMIT, session_id=5, metadata=b"x"), "expected 72 bytes, got 1"),
    ],
)
async def test_it_refuses_what_is_no_submit(hello, packet, words):
    with pytest.raises(ValueError, match=words):
        await session(FakeConnection(packet), hello).receive_submit()


async def test_it_sends_results(hello):
    connection = FakeConnection()
    sent = await session(connection, hello).send_result(
        frame_id=1,
        sections=(section(b"a", b"b"),),
        typed_payloads=(TypedPayload.token_chunk(b"t"),),
        result_class=ResultClass.DEGRADED,
        tile_base_id=4,
        trace_id=8,
    )
    [packet] = connection.sent
    assert sent == len(packet.pack())
    assert (packet.header.session_id, packet.header.frame_id, packet.header.trace_id) == (5, 1, 8)
    metadata = ResultPushMetadata.unpack(packet.metadata)
    assert metadata.applied_budget_policy is BudgetPolicy.ALLOW_DEGRADED
    assert (metadata.tile_count, metadata.payload_frame_count) == (2, 1)


async def test_it_sends_drops_hints_and_flow_updates(hello):
    connection = FakeConnection()
    over = session(connection, hello)
    assert await over.send_result_drop(frame_id=3, reason="busy") == 40
    assert await over.send_result_hint(ResultHintCongestionState.ELEVATED) == 56
    await over.send_flow_update(FlowUpdateMetadata(session_credit=2))
    await over.send_flow_update(FlowUpdateMetadata(FlowUpdateScopeKind.CONNECTION, connection_credit=2))
    kinds = [packet.header.msg_type.name for packet in connection.sent]
    assert kinds == ["RESULT_HINT", "RESULT_DROP", "RESULT_HINT", "FLOW_UPDATE", "FLOW_UPDATE"]
    assert connection.sent[0].metadata[8] == ResultHintReason.SERVER_BUSY
    assert [packet.header.session_id for packet in connection.sent] == [5, 5, 5, 5, 0]


@pytest.mark.parametrize(("kind", "count"), [(FakeConnection, 1), (AsyncFakeConnection, 11)])
async def test_it_closes_plain_and_async(hello, kind, count):
    connection = kind()
    async with session(connection, hello):
        pass
    assert connection.closed == count

"""Measuring transports, ranking them, and connecting over the better one."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from frames import STEP, frame
from networks import Network

from nnrp.client import (
    ClientProfile,
    TransportProbeResult,
    TransportProbeSelection,
    TransportProbeSummary,
    connect_client_control_with_probe,
    connect_client_session_with_probe,
    probe_client_transport,
)
from nnrp.client.probe import select_transport
from nnrp.core import (
    MessageType,
    NnrpPacket,
    TransportId,
    TransportProbeAckMetadata,
    TransportProbeMetadata,
)
from nnrp.errors import NnrpTransportError
from nnrp.server import accept_server_session


def result(transport_id, round_trip_us):
    return TransportProbeResult(transport_id, 1, 1000, 0, 5, round_trip_us)


def summary(transport_id, *round_trips):
    return TransportProbeSummary(transport_id, tuple(result(transport_id, each) for each in round_trips))


QUIC, TCP = TransportId.QUIC, TransportId.TCP


def test_the_numbers_of_a_summary():
    measured = summary(QUIC, 100, 201, 50)
    assert measured.success_count == 3
    assert measured.median_round_trip_us == 100
    assert measured.median_throughput_bytes_per_sec == 10_000_000.0
    assert measured.representative_result.round_trip_us == 100
    assert summary(QUIC, 100, 201).median_round_trip_us == 150
    assert result(QUIC, 0).round_trip_us == 1
    empty = TransportProbeSummary(QUIC)
    assert empty.representative_result is None
    for name in ("median_round_trip_us", "median_throughput_bytes_per_sec"):
        with pytest.raises(ValueError, match="successful samples"):
            getattr(empty, name)


def test_the_ranking():
    assert select_transport(summary(QUIC, 10, 10), summary(TCP, 1)).selected_transport_id is QUIC
    assert select_transport(summary(QUIC, 10), summary(TCP, 9)).selected_transport_id is TCP
    assert select_transport(summary(QUIC, 10), summary(TCP, 10)).selected_transport_id is QUIC
    assert select_transport(TransportProbeSummary(QUIC), summary(TCP, 10)).selected_transport_id is TCP
    with pytest.raises(NnrpTransportError):
        select_transport(TransportProbeSummary(QUIC), TransportProbeSummary(TCP))


def test_a_selection_knows_its_winner():
    selection = TransportProbeSelection(QUIC, quic_summary=summary(QUIC, 10))
    assert selection.selected_summary is selection.quic_summary
    assert selection.selected_result == result(QUIC, 10)
    for name in ("selected_summary", "selected_result"):
        with pytest.raises(ValueError, match="not available"):
            getattr(TransportProbeSelection(TCP), name)


@asynccontextmanager
async def both(certificate):
    """A server on both transports, which keeps accepting."""
    networks = [Network(name, certificate) for name in ("quic", "tcp")]
    sessions = []

    async def accept(listener):
        while True:
            sessions.append(await accept_server_session(listener))

    async with networks[0].serve() as quic, networks[1].serve() as tcp:
        accepting = [asyncio.create_task(accept(listener)) for listener in (quic, tcp)]
        try:
            yield {
                "quic_port": quic.port,
                "tcp_port": tcp.port,
                "quic_configuration": networks[0].client_configuration(),
                "tcp_configuration": networks[1].client_configuration(),
                "timeout": STEP,
            }
        finally:
            for task in accepting:
                task.cancel()
            await asyncio.wait(accepting)
            for session in sessions:
                await session.close()


async def test_a_server_answers_probes_on_both(certificate):
    async with both(certificate) as server:
        selection = await probe_client_transport("127.0.0.1", include_warmup_probe=True, **server)
        for measured in (selection.quic_summary, selection.tcp_summary):
            assert measured.success_count == 3
            assert measured.failure_count == 0
            assert measured.median_round_trip_us > 0


# Rules R-PROBE-4
async def test_an_answer_with_a_body_is_a_failed_probe(certificate):
    networks = [Network(name, certificate) for name in ("quic", "tcp")]

    async def answer(listener):
        async with await listener.accept(STEP) as server:
            probe = await server.receive_control_packet(STEP)
            ack = TransportProbeAckMetadata(TransportProbeMetadata.unpack(probe.metadata).probe_id, 0, 0)
            await server.send_control_packet(
                NnrpPacket.build(MessageType.TRANSPORT_PROBE_ACK, metadata=ack.pack(), body=b"a body")
            )
            await server.wait_closed()

    async with networks[0].serve() as quic, networks[1].serve() as tcp:
        answering = [asyncio.create_task(answer(listener)) for listener in (quic, tcp)]
        began = asyncio.get_running_loop().time()
        with pytest.raises(NnrpTransportError, match="no transport answered"):
            await probe_client_transport(
                "127.0.0.1",
                quic_port=quic.port,
                tcp_port=tcp.port,
                quic_configuration=networks[0].client_configuration(),
                tcp_configuration=networks[1].client_configuration(),
                probe_sample_count=1,
                timeout=STEP,
            )
        assert asyncio.get_running_loop().time() - began < STEP
        await asyncio.gather(*answering)


async def test_connecting_over_the_winner(certificate):
    async with both(certificate) as server:
        profile = ClientProfile(max_views=2)
        connect = connect_client_session_with_probe(
            "127.0.0.1", client_profile=profile, probe_sample_count=1, **server
        )
        async with connect as session:
            selection = session.control.bootstrap.probe_selection
            assert session.transport_id is selection.selected_transport_id
            await session.submit_frame(frame(1))
        async with connect_client_control_with_probe("127.0.0.1", probe_sample_count=1, **server) as control:
            assert control.session.session_id == control.ack_metadata.session_id


async def test_a_transport_nobody_serves_loses(certificate):
    async with both(certificate) as server:
        server["quic_port"], server["timeout"] = server["tcp_port"], 0.3
        selection = await probe_client_transport("127.0.0.1", probe_sample_count=1, **server)
        assert selection.selected_transport_id is TCP
        assert selection.quic_summary.failure_count == 1


async def test_there_must_be_something_to_measure():
    with pytest.raises(ValueError, match="probe_sample_count"):
        await probe_client_transport("127.0.0.1", quic_port=1, tcp_port=1, probe_sample_count=0)

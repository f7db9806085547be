"""Watching a path, and asking a server to take over a session on another one."""

import asyncio
import contextlib
import logging

import pytest
from frames import STEP, echo, frame
from networks import Network

from nnrp.adapters import NnrpQuicConnection, NnrpTcpConnection
from nnrp.client import (
    MigrationTriggerMonitor,
    MigrationTriggerPolicy,
    PathHealthSample,
    TransportProbeResult,
)
from nnrp.core import (
    ErrorCode,
    SessionMigrateAckMetadata,
    SessionMigrateMetadata,
    TransportId,
    build_session_migrate_packet,
)
from nnrp.errors import NnrpProtocolError
from nnrp.server import accept_server_session


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ({"window_size": 0}, "window_size"),
        ({"consecutive_degraded_windows": 0}, "consecutive_degraded_windows"),
        ({"max_timeout_rate": 1.5}, "max_timeout_rate"),
        ({"max_jitter_us": -1}, "max_jitter_us"),
    ],
)
def test_policies_that_could_never_be_evaluated(policy, words):
    with pytest.raises(ValueError, match=words):
        MigrationTriggerPolicy(**policy)
    with pytest.raises(ValueError, match="non-negative"):
        PathHealthSample(-1)


def test_a_path_that_degrades_twice_in_a_row_triggers():
    policy = MigrationTriggerPolicy(
        max_jitter_us=10, max_median_round_trip_us=100, min_median_throughput_bytes_per_sec=50.0
    )
    monitor = MigrationTriggerMonitor(TransportId.QUIC, policy)
    for round_trip, throughput in ((50, 100.0), (80, 100.0), (200, 10.0)):
        assert not monitor.observe(PathHealthSample(round_trip, throughput)).is_degraded
    first = monitor.observe(PathHealthSample(300, 10.0))
    assert (first.median_round_trip_us, first.median_effective_throughput_bytes_per_sec) == (140, 55.0)
    assert first.jitter_us == 100
    assert first.degraded_reasons == ("round_trip", "jitter")
    assert not first.should_trigger
    second = monitor.observe(PathHealthSample(400, 10.0))
    assert second.degraded_reasons == ("throughput", "round_trip", "jitter")
    assert second.consecutive_degraded_windows == 2
    assert second.should_trigger


def test_timeouts_count_and_leave_the_medians_alone():
    monitor = MigrationTriggerMonitor(TransportId.TCP)
    for _ in range(4):
        snapshot = monitor.observe(PathHealthSample(timed_out=True))
    assert snapshot.timeout_rate == 1.0
    assert snapshot.median_round_trip_us is None
    assert snapshot.degraded_reasons == ("timeout_rate",)


def test_probe_results_are_samples_of_their_own_transport():
    monitor = MigrationTriggerMonitor(TransportId.TCP)
    probe = TransportProbeResult(TransportId.TCP, 1, 1000, 0, 5, 100)
    assert monitor.observe_probe_result(probe).sample_count == 1
    assert PathHealthSample.from_probe_result(probe) == PathHealthSample(100, 10_000_000.0)
    with pytest.raises(ValueError, match="QUIC"):
        monitor.observe_probe_result(TransportProbeResult(TransportId.QUIC, 1, 1000, 0, 5, 100))


async def test_a_refused_migration_leaves_the_session_as_it_is(network, certificate):
    other = Network("tcp" if network.transport == "quic" else "quic", certificate)
    async with network.pair() as (server, client), other.serve() as listener:
        target = {f"{other.transport}_port": listener.port}
        target[f"{other.transport}_configuration"] = other.client_configuration()
        accepting = asyncio.create_task(accept_server_session(listener))
        with pytest.raises(NnrpProtocolError, match="refused") as refused:
            await client.migrate_session("127.0.0.1", **target, timeout=STEP)
        accepting.cancel()
        assert refused.value.packet is not None
        await client.submit_frame(frame(1))
        await echo(server)
        assert (await client.receive_result(STEP)).is_push
        assert client.monitor_migration().active_transport_id is network.transport_id


async def test_a_migration_needs_one_target(tcp):
    async with tcp.pair() as (_, client):
        with pytest.raises(ValueError, match="exactly one"):
            client.migrate_session("127.0.0.1")


TOKEN = b"whose session this is"


@contextlib.asynccontextmanager
async def movable(network, certificate):
    """A session on ``network``, its server, and where else it can go."""
    other = Network("tcp" if network.transport == "quic" else "quic", certificate)
    terms = {"auth_validator": lambda block: block == TOKEN, "allow_migration": True}
    async with network.serve() as listener, other.serve() as elsewhere:
        accepting = asyncio.create_task(accept_server_session(listener, **terms))
        client = await network.dial(listener.port, auth_block=TOKEN)
        async with client, await accepting as server:
            waiting = [
                asyncio.create_task(accept_server_session(each, **terms)) for each in (listener, elsewhere)
            ]
            target, back = (
                {f"{name}_port": each.port, f"{name}_configuration": on.client_configuration()}
                for on, each in ((other, elsewhere), (network, listener))
                for name in ["quic" if on.transport == "quic" else "tcp"]
            )
            yield server, client, target, back
            assert not any(task.done() for task in waiting), "a migration is no new session"
            for task in waiting:
                task.cancel()


async def test_a_session_goes_on_over_the_other_transport_and_back(network, certificate):
    async with movable(network, certificate) as (server, client, target, back):
        await client.submit_frame(frame(1))
        waiting = asyncio.create_task(client.receive_result(STEP))
        there = await client.migrate_session("127.0.0.1", **target, trigger="a test", timeout=STEP)
        assert there.accepted
        assert there.previous_transport_id is network.transport_id
        assert there.session is client
        assert client.transport_id is there.current_transport_id is not network.transport_id
        kind = NnrpTcpConnection if client.transport_id is TransportId.TCP else NnrpQuicConnection
        assert type(client.connection) is type(client.control.connection) is kind
        for session in (client, server):
            assert f" over {client.transport_id}, session {client.session_id}>" in repr(session.connection)
        await echo(server)
        assert (await waiting).is_push
        await client.submit_frame(frame(2))
        await echo(server)
        assert (await client.receive_result(STEP)).frame_id == 2
        await client.migrate_session("127.0.0.1", **back, timeout=STEP)
        assert type(client.connection) is type(server.connection)
        assert client.transport_id is network.transport_id
        await client.submit_frame(frame(3))
        await echo(server)
        assert (await client.receive_result(STEP)).frame_id == 3


async def test_a_migration_is_logged_on_the_side_it_is_about(network, certificate, caplog):
    with caplog.at_level(logging.INFO, "nnrp"):
        async with movable(network, certificate) as (_, client, target, _):
            await client.migrate_session("127.0.0.1", **target, timeout=STEP)
            wanted = {("nnrp.client", "the session has moved"), ("nnrp.server", "a session has moved")}
            async with asyncio.timeout(STEP):
                # Native records come from a thread of their own.
                while not wanted <= {(r.name, r.getMessage().partition(",")[0]) for r in caplog.records}:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)


async def test_frame_ids_grow_after_a_migration(network, certificate):
    async with movable(network, certificate) as (server, client, target, _):
        await client.submit_frame(frame(821))
        await echo(server)
        outcome = await client.migrate_session("127.0.0.1", **target, timeout=STEP)
        assert outcome.resume_from_frame_id == 822
        with pytest.raises(ValueError, match="requires frame_id >= 822, got 821"):
            await client.submit_frame(frame(821))
        await client.submit_frame(frame(822))
        with pytest.raises(ValueError, match="strictly increasing: 822 <= 822"):
            await client.submit_frame(frame(822))


async def test_the_right_id_and_a_wrong_token_move_nothing(network, certificate):
    async with movable(network, certificate) as (server, client, _, back):
        port = next(value for name, value in back.items() if name.endswith("_port"))
        async with network.connect(port) as stranger:
            metadata = SessionMigrateMetadata(
                old_transport_id=network.transport_id,
                new_transport_id=network.transport_id,
                last_result_frame_id=0,
                client_migrate_ts_us=0,
            )
            packet = build_session_migrate_packet(
                metadata=metadata, session_id=client.session_id, body=b"a guess"
            )
            await stranger.send_control_packet(packet)
            answer = await stranger.receive_control_packet(STEP)
        assert SessionMigrateAckMetadata.unpack(answer.metadata).accept_code == ErrorCode.AUTH_FAILED
        await client.submit_frame(frame(1))
        await echo(server)
        assert (await client.receive_result(STEP)).is_push

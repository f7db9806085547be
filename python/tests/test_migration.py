"""Watching a path, and asking a server to take over a session on another one."""

import asyncio

import pytest
from conftest import Network
from frames import STEP, echo, frame

from nnrp.client import (
    MigrationTriggerMonitor,
    MigrationTriggerPolicy,
    PathHealthSample,
    TransportProbeResult,
)
from nnrp.core import TransportId
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


async def test_a_migration_goes_to_the_other_transport(tcp):
    async with tcp.pair() as (_, client):
        with pytest.raises(ValueError, match="on TCP already"):
            client.migrate_session("127.0.0.1", tcp_port=1)
        with pytest.raises(ValueError, match="exactly one"):
            client.migrate_session("127.0.0.1")

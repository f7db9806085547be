"""Counters of sessions and listeners."""

import asyncio
import contextlib
from collections.abc import Mapping

import pytest
from frames import STEP, echo, frame

from nnrp.errors import NnrpAuthenticationError, NnrpProtocolError
from nnrp.server import Busy, ServerProfile, accept_server_session

#: Seconds a frame takes at least.
WORK = 0.02


async def until(reached):
    """Wait for counters that grow when the other end has done its part."""
    async with asyncio.timeout(STEP):
        while not reached():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_a_session_counts_on_both_sides(network):
    async with network.pair() as (server, client):
        for number in (1, 2):
            await client.submit_frame(frame(number))
            await echo(server)
            await client.receive_result(STEP)
        for session in (server, client):
            stats = session.stats
            assert (stats["frames_submitted"], stats["frames_delivered"], stats["results"]) == (2, 2, 2)
            assert stats["bytes_received"] > 40
            assert stats["limits_hit"] == stats["frames_dropped"] == 0


async def test_latencies_are_measured_on_both_sides_and_by_the_listener(network):
    async with network.serve() as listener:
        accepting = asyncio.create_task(accept_server_session(listener, timeout=STEP))
        async with network.dial(listener.port) as client, await accepting as server:
            assert client.stats.latency.quantile(0.5) is None
            assert repr(client.stats.latency) == "<no frame yet>"
            for number in (1, 2):
                await client.submit_frame(frame(number))
                received = await server.receive_submit(STEP)
                await asyncio.sleep(WORK)
                await server.send_result(frame_id=number, sections=received.request.sections)
                await client.receive_result(STEP)
            await client.submit_frame(frame(3))
            await server.send_result_drop((await server.receive_submit(STEP)).metadata.frame_id)
            assert (await client.receive_result(STEP)).is_drop
            for stats in (server.stats, client.stats, listener.stats):
                latency = stats.latency
                assert latency.frames == stats["frames_delivered"] == 2
                assert WORK <= latency.mean == latency.total / 2 < STEP
                assert latency.mean / 2 < latency.quantile(1) < 4 * STEP
                assert "2 frames, half within" in repr(stats)
            with pytest.raises(ValueError, match="99 % is 0"):
                latency.quantile(99)


async def test_counters_are_a_snapshot_that_gives_fresh_ones(network):
    async with network.pair() as (server, client):
        before = server.stats
        await client.submit_frame(frame(1))
        await echo(server)
        assert isinstance(before, Mapping)
        assert before["results"] == 0
        assert before()["results"] == server.stats()["results"] == server.stats["results"] == 1
        with pytest.raises(TypeError):
            before["results"] = 5
        assert "results" in repr(server.stats)
        assert not before.gauges


async def test_a_listener_counts_what_became_of_clients(network):
    verdicts = {b"yes": True, b"no": False, b"later": Busy(1.0)}
    async with network.serve() as listener:

        async def accept():
            while True:
                sessions.append(await accept_server_session(listener, auth_validator=verdicts.__getitem__))

        sessions = []
        accepting = asyncio.create_task(accept())
        with pytest.raises(NnrpAuthenticationError):
            await network.dial(listener.port, b"no")
        for _ in range(2):
            with pytest.raises(NnrpProtocolError):
                await network.dial(listener.port, b"later")
        async with network.dial(listener.port, b"yes"):
            stats = listener.stats
            assert (stats["accepted"], stats["refused_authentication"], stats["refused_busy"]) == (1, 1, 2)
            assert stats["sessions"] == 1
            assert stats["pending"] == 0
            assert stats.gauges == {"pending", "connections", "sessions"}
        await until(lambda: listener.stats["sessions"] == 0)
        assert listener.stats()["packets_received"] >= stats["packets_received"] > 0
        accepting.cancel()


async def test_limits_that_were_hit_are_counted(network):
    async with network.pair(ServerProfile(max_body_bytes=4096)) as (server, client):
        await client.submit_frame(frame(1, b"x" * 10_000))
        # Told in an ERROR and in a drop; on QUIC either may be first.
        with contextlib.suppress(NnrpProtocolError):
            await client.receive_result(STEP)
        await until(lambda: server.stats["limits_hit"] == 1)
        assert server.stats["packets_refused"] == 1

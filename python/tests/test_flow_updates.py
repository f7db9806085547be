"""Credit, in both directions, and the local gate."""

import asyncio

import pytest
from frames import STEP, frame

from nnrp.core import (
    FlowUpdateBackpressureLevel,
    FlowUpdateFlags,
    FlowUpdateMetadata,
    FlowUpdateReason,
    FlowUpdateScopeKind,
    MessageType,
    ResultHintCongestionState,
)


def update(epoch, credit=2, scope=FlowUpdateScopeKind.SESSION):
    return FlowUpdateMetadata(
        scope_kind=scope,
        update_reason=FlowUpdateReason.GRANT,
        backpressure_level=FlowUpdateBackpressureLevel.SOFT,
        session_credit=credit if scope is FlowUpdateScopeKind.SESSION else 0,
        connection_credit=credit if scope is FlowUpdateScopeKind.CONNECTION else 0,
        credit_epoch=epoch,
        flags=FlowUpdateFlags.CREDIT_VALID,
    )


async def test_the_client_reads_past_other_control_packets(network):
    async with network.pair() as (server, client):
        await server.send_result_hint(ResultHintCongestionState.STEADY)
        assert await server.send_flow_update(update(1)) == 72
        packet, metadata = await client.receive_flow_update(STEP)
        assert packet.header.session_id == server.session_id
        assert metadata == update(1)
        hint = await client.connection.receive_control_packet(STEP)
        assert hint.header.msg_type is MessageType.RESULT_HINT


async def test_connection_scope_speaks_for_no_session(network):
    async with network.pair() as (server, client):
        await server.send_flow_update(update(1, scope=FlowUpdateScopeKind.CONNECTION))
        packet, metadata = await client.receive_flow_update(STEP)
        assert packet.header.session_id == 0
        assert metadata.connection_credit == 2


async def test_updates_can_be_iterated_over(network):
    async with network.pair() as (server, client):
        updates = client.flow_updates()
        for epoch in (1, 2):
            await server.send_flow_update(update(epoch))
        assert [(await anext(updates)).credit_epoch for _ in range(2)] == [1, 2]
        await server.close()
        assert [metadata async for metadata in updates] == []


async def test_the_client_advises_the_server(network):
    async with network.pair() as (server, client):
        await client.send_flow_update(update(1, credit=9))
        packet = await server.receive_control(STEP)
        assert FlowUpdateMetadata.unpack(packet.metadata).session_credit == 9


async def test_broken_scope_rules_send_nothing(network):
    broken = FlowUpdateMetadata(scope_kind=FlowUpdateScopeKind.SESSION, connection_credit=1)
    async with network.pair() as (server, client):
        for side in (server, client):
            with pytest.raises(ValueError, match="session-scope FLOW_UPDATE"):
                await side.send_flow_update(broken)


async def test_submits_wait_while_paused(network):
    async with network.pair() as (server, client):
        await client.pause_submit()
        submitting = [asyncio.create_task(client.submit_frame(frame(number))) for number in range(2)]
        with pytest.raises(TimeoutError):
            await server.receive_submit(0.05)
        submitting[1].cancel()
        await client.resume_submit()
        await submitting[0]
        assert (await server.receive_submit(STEP)).metadata.frame_id == 0
        with pytest.raises(TimeoutError):
            await server.receive_submit(0)

"""Changing parameters of a session, and objects that are sent once and referred to."""

import asyncio

import pytest
from frames import STEP, section

from nnrp.client import SubmitRequest
from nnrp.core import (
    SERVER_HELLO_ACK_METADATA_LENGTH,
    SESSION_PATCH_ACK_METADATA_LENGTH,
    CacheAckMetadata,
    CacheAckStatus,
    CacheInvalidateScope,
    CacheObjectKind,
    CachePutMetadata,
    ErrorCode,
    MessageType,
    NnrpPacket,
    ServerHelloAckMetadata,
    SessionPatchAckMetadata,
    SessionPatchAckStatus,
    SessionPatchField,
    SessionPatchRejectReason,
    SubmitMode,
    build_camera_reference_block,
)
from nnrp.errors import NnrpProtocolError
from nnrp.server import ServerProfile

CAMERA = b"camera parameters, 32 bytes long"


async def test_a_patch_is_applied_and_reported(network):
    async with network.pair() as (server, client):
        ack = await client.patch_session(
            SessionPatchField.TARGET_CADENCE | SessionPatchField.QUALITY_TIER,
            target_cadence=30,
            quality_tier=1,
        )
        assert ack.ack_status is SessionPatchAckStatus.ACCEPTED
        assert ack.effective_target_cadence_x100 == 3000
        assert (server.parameters["target_cadence_x100"], server.parameters["quality_tier"]) == (3000, 1)


# Rules R-PATCH-3
async def test_what_cannot_be_changed_is_named(network):
    async with network.pair() as (_, client):
        ack = await client.patch(fields=SessionPatchField.ACTIVE_LANE_MASK, active_lane_mask=0)
        assert ack.ack_status is SessionPatchAckStatus.REJECTED
        assert ack.rejected_fields == {
            SessionPatchField.ACTIVE_LANE_MASK: SessionPatchRejectReason.INVALID_LANE_MASK
        }


def referring(frame_id, key):
    return SubmitRequest(
        frame_id=frame_id,
        tile_ids=(0,),
        sections=(section(b"tile"),),
        submit_mode=SubmitMode.MIXED,
        camera_reference=build_camera_reference_block(
            cache_namespace=0, cache_key_hi=key[0], cache_key_lo=key[1]
        ),
    )


@pytest.mark.parametrize("key", [b"any bytes", 1 << 40 | 7, (3, 4)])
async def test_an_object_is_stored_once_and_referred_to(network, key):
    async with network.pair() as (server, client):
        ack = await client.put_cache(kind=CacheObjectKind.CAMERA_BLOCK, key=key, data=CAMERA)
        assert ack.status is CacheAckStatus.ACCEPTED
        await client.submit_frame(referring(1, ack.key))
        request = (await server.receive_submit(STEP)).request
        assert request.camera_block == CAMERA
        assert (request.camera_reference.cache_key_hi, request.camera_reference.cache_key_lo) == ack.key


# Rules R-OBJ-24, R-CACHE-7
async def test_an_object_that_was_removed_is_missed(network):
    async with network.pair() as (_, client):
        ack = await client.put_cache(kind=CacheObjectKind.CAMERA_BLOCK, key=(1, 2), data=CAMERA)
        await client.invalidate_cache(scope=CacheInvalidateScope.OBJECT_KEY, key=(1, 2))
        await client.ping(STEP)
        await client.submit_frame(referring(1, ack.key))
        with pytest.raises(NnrpProtocolError) as missed:
            await client.receive_result(STEP, frame_id=1)
        assert missed.value.error_code is ErrorCode.CACHE_MISS


# Rules R-CACHE-6
async def test_without_a_cache_references_reach_the_application(network):
    async with network.pair(ServerProfile(enable_cache=False)) as (server, client):
        assert client.control.ack_metadata.max_cache_entries == 0
        ack = await client.put_cache(kind=CacheObjectKind.CAMERA_BLOCK, key=(1, 2), data=CAMERA)
        assert ack.status is CacheAckStatus.REJECTED
        await client.submit_frame(referring(1, (1, 2)))
        request = (await server.receive_submit(STEP)).request
        assert request.camera_block == b""
        assert request.camera_reference.cache_key_lo == 2


async def serve_by_hand(listener):
    """A server that says nothing but what a test lets it say."""
    server = await listener.accept(STEP)
    await server.receive_control_packet(STEP)
    ack = ServerHelloAckMetadata.unpack(bytes(SERVER_HELLO_ACK_METADATA_LENGTH))
    ack.selected_version_major = ack.session_id = ack.accepted_profile_bitmap = 1
    packet = NnrpPacket.build(MessageType.SERVER_HELLO_ACK, session_id=1, metadata=ack.pack())
    await server.send_control_packet(packet)
    return server


async def acknowledge_next(server):
    while True:
        packet = await server.receive_control_packet(STEP)
        if packet.header.msg_type is MessageType.CACHE_PUT:  # and no PING
            break
    key = CachePutMetadata.unpack(packet.metadata)
    ack = CacheAckMetadata(
        key.cache_namespace, key.cache_key_hi, key.cache_key_lo, CacheAckStatus.ACCEPTED, 0, 0, 0
    )
    await server.send_control_packet(
        NnrpPacket.build(MessageType.CACHE_ACK, session_id=1, metadata=ack.pack())
    )


# Rules R-CACHE-10
async def test_an_acknowledgement_that_comes_too_late_is_not_that_of_the_next_object(network):
    async with network.serve() as listener:
        serving = asyncio.create_task(serve_by_hand(listener))
        async with network.dial(listener.port) as client, await serving as server:
            put = {"kind": CacheObjectKind.CAMERA_BLOCK, "data": CAMERA}
            with pytest.raises(TimeoutError, match=r"no CACHE_ACK within 0\.1 s"):
                await client.put_cache(key=(0, 1), timeout=0.1, **put)
            waiting = [
                asyncio.create_task(client.put_cache(key=(0, key), timeout=STEP, **put)) for key in (2, 3)
            ]
            for _ in range(3):
                await acknowledge_next(server)
            assert [(await ack).key for ack in waiting] == [(0, 2), (0, 3)]


async def answer_next_patch(server, quality_tier):
    while (await server.receive_control_packet(STEP)).header.msg_type is not MessageType.SESSION_PATCH:
        pass
    ack = SessionPatchAckMetadata.unpack(bytes(SESSION_PATCH_ACK_METADATA_LENGTH))
    ack.effective_quality_tier = quality_tier
    await server.send_control_packet(
        NnrpPacket.build(MessageType.SESSION_PATCH_ACK, session_id=1, metadata=ack.pack())
    )


async def test_an_answer_that_comes_too_late_is_not_that_of_the_next_patch(network):
    async with network.serve() as listener:
        serving = asyncio.create_task(serve_by_hand(listener))
        async with network.dial(listener.port) as client, await serving as server:
            field = SessionPatchField.QUALITY_TIER
            with pytest.raises(TimeoutError, match=r"no SESSION_PATCH_ACK within 0\.1 s"):
                await client.patch_session(field, quality_tier=1, timeout=0.1)
            waiting = [
                asyncio.create_task(client.patch_session(field, quality_tier=tier, timeout=STEP))
                for tier in (2, 3)
            ]
            for tier in (1, 2, 3):
                await answer_next_patch(server, tier)
            assert [(await ack).effective_quality_tier for ack in waiting] == [2, 3]


async def test_scopes_need_what_they_name(tcp):
    async with tcp.pair() as (_, client):
        with pytest.raises(ValueError, match="key"):
            await client.invalidate_cache(scope=CacheInvalidateScope.OBJECT_KEY)
        with pytest.raises(ValueError, match="kind"):
            await client.invalidate_cache(scope=CacheInvalidateScope.OBJECT_KIND)

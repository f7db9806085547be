"""What a client asks of its server beside frames: to change the session, and to keep objects in its cache.

One request of a kind is on its way at a time, because an answer names its object at most, and not its
request. Answers to requests that were given up come all the same, and have to be told from the one that is
waited for.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

from nnrp._checks import check_timeout
from nnrp.client._state import client_state
from nnrp.core import (
    CacheAckMetadata,
    CacheInvalidateMetadata,
    CacheInvalidateScope,
    CacheObjectKind,
    CachePutFlags,
    CachePutMetadata,
    MessageType,
    NnrpPacket,
    SessionPatchAckMetadata,
    SessionPatchMetadata,
)
from nnrp.core._base import as_bytes

if TYPE_CHECKING:
    from nnrp.client.session import ClientSession

_CACHE_KEY_BYTES = 8
_U32_MAX = 0xFFFF_FFFF


async def patch_session(
    session: ClientSession, metadata: SessionPatchMetadata, timeout: float | None
) -> SessionPatchAckMetadata:
    """Send a SESSION_PATCH and return its answer."""
    check_timeout(timeout)
    state = client_state(session.connection)
    try:
        async with asyncio.timeout(timeout):
            await state.patching.pass_alone()
            try:
                await _send(session, MessageType.SESSION_PATCH, metadata.pack())
                state.patches_unanswered += 1
                while True:
                    packet = await session.control._receive(MessageType.SESSION_PATCH_ACK, None)
                    # Answers name no patch and come in order: all but the last are of calls that gave up.
                    state.patches_unanswered -= 1
                    if state.patches_unanswered <= 0:
                        return SessionPatchAckMetadata.unpack(packet.metadata)
            finally:
                state.patching.open()
    except TimeoutError:
        raise TimeoutError(f"no SESSION_PATCH_ACK within {timeout:g} s") from None


async def put_cache(
    session: ClientSession,
    kind: CacheObjectKind,
    key: bytes | int | tuple[int, int],
    data: bytes,
    flags: CachePutFlags,
    namespace: int,
    ttl_ms: int,
    timeout: float | None,
) -> CacheAckMetadata:
    """Send a CACHE_PUT and return its answer."""
    check_timeout(timeout)
    high, low = _halves(key)
    payload = as_bytes(data)
    metadata = CachePutMetadata(
        cache_namespace=namespace,
        cache_key_hi=high,
        cache_key_lo=low,
        object_kind=CacheObjectKind(kind),
        ttl_ms=ttl_ms,
        object_bytes=len(payload),
        codec_bitmap=0,
        flags=CachePutFlags(flags),
    )
    installing = client_state(session.connection).installing
    try:
        async with asyncio.timeout(timeout):
            await installing.pass_alone()
            try:
                await _send(session, MessageType.CACHE_PUT, metadata.pack(), payload)
                while True:
                    packet = await session.control._receive(MessageType.CACHE_ACK, None)
                    ack = CacheAckMetadata.unpack(packet.metadata)
                    # One that comes too late is about an object that counts as rejected.
                    if (ack.cache_namespace, ack.key) == (namespace, (high, low)):
                        return ack
            finally:
                installing.open()
    except TimeoutError:
        raise TimeoutError(f"no CACHE_ACK within {timeout:g} s") from None


async def invalidate_cache(
    session: ClientSession,
    scope: CacheInvalidateScope,
    kind: CacheObjectKind | None,
    key: bytes | int | tuple[int, int] | None,
    namespace: int,
) -> None:
    """Send a CACHE_INVALIDATE, which has no answer."""
    scope = CacheInvalidateScope(scope)
    high, low = 0, 0
    if scope is CacheInvalidateScope.OBJECT_KEY:
        if key is None:
            raise ValueError("invalidating one object needs its key")
        high, low = _halves(key)
    elif scope is CacheInvalidateScope.OBJECT_KIND:
        if kind is None:
            raise ValueError("invalidating a kind of object needs the kind")
        low = int(kind)
    metadata = CacheInvalidateMetadata(
        invalidate_scope=scope,
        cache_namespace=namespace,
        cache_key_hi=high,
        cache_key_lo=low,
        reason_code=0,
    )
    await _send(session, MessageType.CACHE_INVALIDATE, metadata.pack())


async def _send(session: ClientSession, message: MessageType, metadata: bytes, body: bytes = b"") -> None:
    packet = NnrpPacket.build(message, session_id=session.session_id, metadata=metadata, body=body)
    await session.connection.send_control_packet(packet)


def _halves(key: bytes | int | tuple[int, int]) -> tuple[int, int]:
    if isinstance(key, tuple):
        high, low = key
        return high, low
    if not isinstance(key, int):
        key = int.from_bytes(hashlib.blake2b(key, digest_size=_CACHE_KEY_BYTES).digest(), "big")
    return key >> 32, key & _U32_MAX

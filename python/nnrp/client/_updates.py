"""What a server tells its client by itself, to iterate over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Self, TypeVar

from nnrp import _native
from nnrp._lazy import packet_from_native
from nnrp.core import FlowUpdateMetadata, NnrpPacket, ResultHintMetadata

_T = TypeVar("_T")


class Updates(Generic[_T]):
    """Iterates over packets of one type, from the moment it was made until the session ends."""

    __slots__ = ("_decode", "_subscription")

    def __init__(self, subscription: _native.Subscription, decode: Callable[[NnrpPacket], _T]) -> None:
        self._subscription = subscription
        self._decode = decode

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _T:
        native = await self._subscription.next()
        if native is None:
            raise StopAsyncIteration
        return self._decode(packet_from_native(native))


def hints(native: _native.ClientSession) -> Updates[ResultHintMetadata]:
    """Return the hints of a session from now on."""
    return Updates(native.hints(), _hint)


def flow_updates(native: _native.ClientSession) -> Updates[FlowUpdateMetadata]:
    """Return the flow updates of a session from now on."""
    return Updates(native.flow_updates(), _flow_update)


def _hint(packet: NnrpPacket) -> ResultHintMetadata:
    hint = ResultHintMetadata.unpack(packet.metadata)
    hint._frame_id = packet.header.frame_id  # type: ignore[misc]  # a slot of the base class
    return hint


def _flow_update(packet: NnrpPacket) -> FlowUpdateMetadata:
    return FlowUpdateMetadata.unpack(packet.metadata)

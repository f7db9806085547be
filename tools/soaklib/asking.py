"""What the soak's client asks of its server, and what it has to get for it.

Every byte of a frame follows from its number, so either side can check what it gets without being told.
"""

from __future__ import annotations

from enum import IntEnum
from random import Random

from nnrp.client import Result, SubmitRequest, TypedPayload
from nnrp.core import TensorDType, TensorSectionData

__all__ = ["CHUNKS", "Ask", "is_answer", "request", "tiles_of", "token", "token_count"]

#: Tiles are slices of this, at an offset that the frame's number gives: cheap to make and to compare.
_NOISE = memoryview(Random(1).randbytes(1 << 21))
_HALF = len(_NOISE) // 2

#: Most frames are small; one in sixty-four has a tile of up to a megabyte, which occupies a connection for a
#: while.
_SMALL = 16 * 1024
_LARGE_EVERY = 64

#: Parts of the longest token stream.
CHUNKS = 12


class Ask(IntEnum):
    """What a frame asks for. It travels as the frame's ``route_id``."""

    #: The sections come back.
    ECHO = 0
    #: Partial results, one token each, and a last one.
    TOKENS = 1
    #: A drop that says "superseded".
    DROP = 2
    #: Nothing, until the client cancels the frame.
    WAIT = 3
    #: The server ends the session, with whatever it still owes.
    LEAVE = 4


def _mixed(frame_id: int) -> int:
    """A number that looks nothing like its neighbours' (Knuth's multiplicative hash)."""
    return frame_id * 2_654_435_761 % (1 << 32)


def tiles_of(frame_id: int) -> tuple[memoryview, ...]:
    """The tiles of an ``ECHO``; one to eight, of all sizes."""
    number = _mixed(frame_id)
    large = number % _LARGE_EVERY == 0
    count = 1 if large else 1 + number // 7 % 8
    limit = _HALF if large else _SMALL
    tiles = []
    for index in range(count):
        seed = _mixed(frame_id + 31 * index)
        start = seed % _HALF
        tiles.append(_NOISE[start : start + seed // 3 % limit])
    return tuple(tiles)


def token_count(frame_id: int) -> int:
    """Parts of a token stream, the last one included."""
    return 1 + _mixed(frame_id) // 11 % CHUNKS


def token(frame_id: int, index: int) -> bytes:
    """One part of a token stream."""
    return f"{frame_id}:{index};".encode()


def request(frame_id: int, ask: Ask) -> SubmitRequest:
    """The frame that asks for it."""
    if ask is Ask.ECHO:
        tiles = tiles_of(frame_id)
        section = TensorSectionData(
            role_id=1, default_codec_id=0, dtype_id=TensorDType.UINT8, tile_payloads=tiles
        )
        ids = tuple(range(frame_id % 100, frame_id % 100 + len(tiles)))
        return SubmitRequest(frame_id=frame_id, route_id=ask, tile_ids=ids, sections=(section,))
    payload = TypedPayload.token_chunk(token(frame_id, 0))
    return SubmitRequest(frame_id=frame_id, route_id=ask, typed_payloads=(payload,))


def is_answer(result: Result, ask: Ask, index: int) -> bool:
    """Whether a result is what part ``index`` of the answer has to be, byte for byte."""
    if ask is Ask.ECHO:
        if not result.is_push or len(result.sections) != 1:
            return False
        slices = result.sections[0].payload_slices()
        wanted = tiles_of(result.frame_id)
        first = result.frame_id % 100
        return result.tile_ids == tuple(range(first, first + len(wanted))) and all(
            got == tile for got, tile in zip(slices, wanted, strict=True)
        )
    if ask is Ask.TOKENS:
        return result.is_push and result.token_chunks == (token(result.frame_id, index),)
    return result.is_drop

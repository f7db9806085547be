"""A packet with a name, and how to put one together."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

from nnrp import core
from nnrp.core import HeaderFlags, MessageType

U16 = 0xFFFF
U32 = 0xFFFFFFFF
U64 = 0xFFFFFFFFFFFFFFFF


@dataclass(frozen=True)
class Vector:
    """One packet with its name, and the extension frame kinds its reader knows."""

    name: str
    raw: bytes
    known: tuple[int, ...] = field(default=())


def build(name: str, message: MessageType, metadata: Any = None, body: bytes = b"", **header: Any) -> Vector:
    """Put a packet together from its parts."""
    packet = core.NnrpPacket.build(
        version_major=1,
        wire_format=core.WireFormat.CURRENT,
        msg_type=message,
        metadata=metadata.pack() if metadata else b"",
        body=body,
        **header,
    )
    return Vector(name, packet.pack())


def corners(random: Random) -> dict[str, Any]:
    """Header fields with large values now and then."""
    pick = random.choice
    return {
        "session_id": pick([1, 7, U32, random.getrandbits(32) or 1]),
        "route_id": pick([0, 1, U16]),
        "trace_id": pick([0, 1, 0x1122334455667788, U64, random.getrandbits(64)]),
        "flags": HeaderFlags(pick([0, 1, 2, 4, 8, 16, 32, 63])),
    }


def frame_corners(random: Random) -> dict[str, Any]:
    """Header fields of a message about a frame."""
    return {
        **corners(random),
        "frame_id": random.choice([1, 42, U32, random.getrandbits(32)]),
        "view_id": random.choice([0, 3, U16]),
    }

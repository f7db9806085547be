"""One side of the comparison: packets in, a line of hex each; what the installed ``nnrp`` makes of them out.

Run by the interpreter that has the package to be asked. An answer is one line of JSON: ``fields`` for a
packet that is taken, ``refusal`` for one that is not. Ours may also be ``unread``: the codec takes the packet
but the functions of ``nnrp.core``, which are those of the peer, do not show all that is in it.
"""

from __future__ import annotations

import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from nnrp import core
from vectorlib.judge import ACK_PARSERS, HELLO_PARSERS, METADATA, read

try:
    from nnrp._native import codec
except ImportError:
    # The published peer: what it checks is what `read` calls.
    codec = None

KNOWN = set(range(32))
"""Extension frame kinds that both sides know, so that what is behind a critical one is compared too."""

HEADER_FIELDS = (
    "version_major",
    "wire_format",
    "msg_type",
    "flags",
    "meta_len",
    "body_len",
    "session_id",
    "frame_id",
    "view_id",
    "route_id",
    "trace_id",
)


def describe(raw: bytes) -> dict[str, Any]:
    """Read a packet with the functions of ``nnrp.core`` and say everything that is in it."""
    packet = core.NnrpPacket.unpack(raw)
    found: dict[str, Any] = {"header": {name: int(getattr(packet.header, name)) for name in HEADER_FIELDS}}
    layout = METADATA.get(packet.header.msg_type)
    if layout:
        metadata = layout.unpack(packet.metadata)
        found["metadata"] = {one.name: int(getattr(metadata, one.name)) for one in fields(layout)}
        found["extensions"] = _extensions(packet, metadata)
    found["frame"] = {key: value for key, value in read(raw, KNOWN).items() if value}
    return found


def _extensions(packet: Any, metadata: Any) -> list[Any]:
    parsers = {
        core.MessageType.CLIENT_HELLO: HELLO_PARSERS,
        core.MessageType.SERVER_HELLO_ACK: ACK_PARSERS,
    }.get(packet.header.msg_type)
    if parsers is None:
        return []
    block = packet.body[: metadata.control_extension_bytes]
    entries = core.unpack_control_extension_block(block, known_types=set(parsers))
    return [[entry.ext_type, int(entry.ext_flags), bytes(entry.payload).hex()] for entry in entries]


def answer(raw: bytes) -> dict[str, Any]:
    """Give the answer for one packet."""
    taken = False
    try:
        if codec:
            taken = _judge(raw)
        return {"fields": describe(raw)}
    except Exception as error:  # noqa: BLE001 - whatever is raised is the answer
        return {"unread" if taken else "refusal": f"{type(error).__name__}: {error}"}


def _judge(raw: bytes) -> bool:
    """Apply every codec rule in the order of the protocol; false when one is left to ``read``."""
    packet = core.NnrpPacket.unpack(raw)
    header = packet.header
    try:
        codec.check_message(header.msg_type, header.session_id, packet.metadata, packet.body)
    except ValueError as error:
        # A session knows no extension frame; here they are known, and `read` looks at them.
        if "R-XF-4)" not in str(error):
            raise
        return False
    return True


def main() -> None:
    """Answer until the input ends."""
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(bytes.fromhex(line.strip())), sort_keys=True) + "\n")


if __name__ == "__main__":
    main()

"""The golden packets and ways to look at what became of them."""

from __future__ import annotations

import json
from pathlib import Path

from nnrp._native import codec
from nnrp.core import HEADER_LENGTH

VECTORS = Path(__file__).resolve().parents[3] / "vectors"
VALID = json.loads((VECTORS / "valid.json").read_text())["vectors"]
INVALID = json.loads((VECTORS / "invalid.json").read_text())["vectors"]


def packet(name):
    """The bytes of a valid vector."""
    return next(bytes.fromhex(vector["hex"]) for vector in VALID if vector["name"] == name)


def one_of(message):
    """A packet of each kind, the longest one for there is most to show in it."""
    found = [bytes.fromhex(vector["hex"]) for vector in VALID]
    return max((raw for raw in found if raw[6] == message), key=len)


def native_refusal(raw):
    """What the codec says about a packet, or nothing."""
    try:
        codec.check_header(raw[:HEADER_LENGTH])
        meta_len, body_len, session_id = (int.from_bytes(raw[at : at + 4], "little") for at in (12, 16, 20))
        body = HEADER_LENGTH + meta_len
        if len(raw) != body + body_len:
            return "the packet is not as long as it says"
        codec.check_message(raw[6], session_id, raw[HEADER_LENGTH:body], raw[body:])
    except ValueError as error:
        return str(error)
    return None


def leaves(node):
    """The nodes that show bytes."""
    if not node.children:
        yield node
    for child in node.children:
        yield from leaves(child)

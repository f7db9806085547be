"""Packets as JSON for programs. The shape is described in docs/debugging.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nnrp.inspect._packet import Packet
    from nnrp.inspect._region import Options
    from nnrp.inspect._tree import Node

__all__ = ["packet_to_json"]


def packet_to_json(packet: Packet, options: Options) -> dict[str, Any]:
    """Return `packet` as what `json.dumps` takes."""
    return {
        "message": packet.message or None,
        "length": len(packet.raw),
        "legal": not packet.violations,
        "violations": [
            {
                "rule": violation.rule or None,
                "sentence": violation.sentence,
                "field": violation.field or None,
                "offset": violation.offset,
            }
            for violation in packet.violations
        ],
        "fields": [_node_to_json(child, packet.raw, options) for child in packet.root.children],
    }


def _node_to_json(node: Node, raw: bytes, options: Options) -> dict[str, Any]:
    result: dict[str, Any] = {"name": node.name, "offset": node.offset, "length": node.length}
    if node.value is not None:
        result["value"] = node.value
    if node.text:
        result["text"] = node.text
    if node.note:
        result["note"] = node.note
    if node.is_secret:
        result["hidden"] = True
    elif not node.children and not node.is_group:
        result["hex"] = raw[node.offset : node.end][: options.limit].hex()
    if node.violations:
        result["violations"] = [violation.rule or violation.sentence for violation in node.violations]
    if node.children:
        result["fields"] = [_node_to_json(child, raw, options) for child in node.children]
    return result

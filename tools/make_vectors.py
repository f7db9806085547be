"""Make the golden packets in ``vectors/`` by running the published reference peer.

Run it with the Python of a virtual environment that has ``nnrp-py==1.0.0rc2``::

    python tools/make_vectors.py

The files are the same for the same seed. ``vectors/README.md`` describes them.
"""

from __future__ import annotations

import json
import struct
import sys
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from random import Random
from typing import Any

from nnrp import core
from vectorlib.control_packets import control_packets, handshake_packets
from vectorlib.damage import all_damaged
from vectorlib.frame_packets import result_packets, submit_packets
from vectorlib.judge import METADATA, judge, read
from vectorlib.vector import Vector

SEED = 20250921
PEER = "1.0.0rc2"
FORMAT = 1
DIRECTORY = Path(__file__).resolve().parent.parent / "vectors"

HEADER_FIELDS = (
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


def describe(vector: Vector) -> dict[str, Any]:
    """One entry of ``valid.json``."""
    problem = judge(vector.raw, set(vector.known))
    if problem:
        sys.exit(f"the peer refuses {vector.name}: {problem}")
    packet = core.NnrpPacket.unpack(vector.raw)
    entry: dict[str, Any] = {
        "name": vector.name,
        "header": [int(getattr(packet.header, name)) for name in HEADER_FIELDS],
    }
    layout = METADATA.get(packet.header.msg_type)
    if layout:
        metadata = layout.unpack(packet.metadata)
        names = [one.name for one in fields(layout)]
        entry["metadata"] = {name: int(getattr(metadata, name)) for name in names}
    frame = read(vector.raw, set(vector.known))
    if frame:
        entry["frame"] = {key: value for key, value in frame.items() if value}
    if vector.known:
        entry["known"] = list(vector.known)
    entry["hex"] = vector.raw.hex()
    return entry


def write(name: str, entries: list[dict[str, Any]]) -> None:
    """Write one file, one entry a line."""
    head = json.dumps({"format": FORMAT, "peer": f"nnrp-py {PEER}", "seed": SEED, "count": len(entries)})
    lines = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in entries)
    (DIRECTORY / name).write_text(f'{head[:-1]}, "vectors": [\n{lines}\n]}}\n')


def main() -> None:
    """Make both files."""
    if version("nnrp-py") != PEER:
        sys.exit(f"this needs nnrp-py {PEER}")
    random = Random(SEED)
    vectors = [
        *handshake_packets(),
        *control_packets(random),
        *submit_packets(random),
        *result_packets(random),
    ]
    write("valid.json", [describe(vector) for vector in vectors])
    entries: list[dict[str, Any]] = []
    seen = {vector.raw for vector in vectors}
    for damaged in all_damaged(vectors, random):
        raw = damaged.vector.raw
        if raw in seen:
            continue
        seen.add(raw)
        entry: dict[str, Any] = {"name": damaged.vector.name, "defect": damaged.defect}
        if damaged.vector.known:
            entry["known"] = list(damaged.vector.known)
        entry["peer"] = judge(raw, set(damaged.vector.known))
        entry["hex"] = raw.hex()
        entries.append(entry)
    write("invalid.json", entries)
    refused = sum(bool(entry["peer"]) for entry in entries)
    sys.stdout.write(f"{len(vectors)} valid, {len(entries)} damaged, the peer refuses {refused}\n")


if __name__ == "__main__":
    try:
        main()
    except struct.error as error:
        sys.exit(f"a damage does not fit its place: {error}")

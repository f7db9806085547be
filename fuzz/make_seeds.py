"""Write the golden packets as seeds, one folder a target: ``python fuzz/make_seeds.py``."""

from __future__ import annotations

import json
import struct
import sys
from hashlib import sha256
from pathlib import Path

HERE = Path(__file__).resolve().parent
VECTORS = HERE.parent / "vectors"
CORPUS = HERE / "corpus"

HEADER = 40
FRAME_SUBMIT_LEN = 72
LARGEST_INDEX_SEED = 64
BITSET = 3
BITSET_OF_ALL_IDS = 65536 // 8
CLIENT_HELLO, SERVER_HELLO_ACK, FRAME_SUBMIT, RESULT_PUSH = 0x01, 0x02, 0x10, 0x12


def write(target: str, data: bytes) -> None:
    """Add one seed; its name is its content, so a second run changes nothing."""
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / sha256(data).hexdigest()[:16]).write_bytes(data)


def seeds_of(packet: bytes) -> None:
    """Add a packet to the targets that read such bytes."""
    write("packet", packet)
    write("header", packet[:HEADER])
    # Any bytes are values. The first one makes a submit of them, below 0xA0 a result, else a message.
    for kind in (0x00, 0x60, 0xA0):
        write("values", bytes([kind]) + packet[HEADER:])
    if len(packet) < HEADER or len(packet) < HEADER + int.from_bytes(packet[12:16], "little"):
        return
    (meta_len,) = struct.unpack_from("<I", packet, 12)
    write("metadata", packet[HEADER : HEADER + meta_len])
    body = packet[HEADER + meta_len :]
    message = packet[6]
    if message in (CLIENT_HELLO, SERVER_HELLO_ACK):
        write("control_extensions", body)
    elif message in (FRAME_SUBMIT, RESULT_PUSH):
        write("submit_body" if message == FRAME_SUBMIT else "result_body", packet[HEADER:])
    if message == FRAME_SUBMIT and meta_len == FRAME_SUBMIT_LEN and len(body) < LARGEST_INDEX_SEED:
        metadata = packet[HEADER : HEADER + meta_len]
        write("tile_index", metadata[14:15] + metadata[24:28] + metadata[8:10] + body)


def main() -> None:
    """Read both vector files."""
    for name in ("valid.json", "invalid.json"):
        for vector in json.loads((VECTORS / name).read_text())["vectors"]:
            seeds_of(bytes.fromhex(vector["hex"]))
    # An id that 16 bits cannot say, which no golden packet is long enough for.
    write("tile_index", bytes([BITSET]) + bytes(6) + bytes(BITSET_OF_ALL_IDS) + b"\x01")
    folders = sorted(folder for folder in CORPUS.iterdir() if folder.is_dir())
    for folder in folders:
        sys.stdout.write(f"{folder.name}: {len(list(folder.iterdir()))} seeds\n")


if __name__ == "__main__":
    main()

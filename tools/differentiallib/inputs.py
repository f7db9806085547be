"""What both codecs are given: golden packets, fuzz corpora as packets, seeded mutations of all of them."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from random import Random

HEADER = struct.Struct("<4sBBBBIIIIIHHQ")
META_LEN = {
    0x01: 64,
    0x02: 80,
    0x03: 36,
    0x04: 48,
    0x06: 32,
    0x10: 72,
    0x12: 64,
    0x14: 32,
    0x15: 28,
    0x16: 20,
    0x17: 32,
    0x18: 16,
    0x19: 16,
    0x1A: 16,
    0x1B: 24,
    0x1C: 24,
}
"""Bytes of metadata of the messages that have some; a packet with another number never gets to its fields."""

CLIENT_HELLO, SERVER_HELLO_ACK, FRAME_SUBMIT, RESULT_PUSH = 0x01, 0x02, 0x10, 0x12
TARGETS = ("packet", "header", "metadata", "submit_body", "result_body", "control_extensions")
LARGEST = 16 * 1024
"""Longer corpus files repeat themselves and only cost time."""

EXTREMES = {1: (0, 1, 2, 3, 4, 7, 8, 0x7F, 0x80, 0xFF), 2: (0, 1, 2, 8, 0x8000, 0xFFFF)}
LARGE = (0, 1, 4, 8, 15, 16, 17, 32, 0x7FFF_FFFF, 0xFFFF_FFFF)


def packet(message: int, metadata: bytes, body: bytes) -> bytes:
    """Put a packet around metadata and body."""
    head = HEADER.pack(b"NNRP", 1, 0, message, HEADER.size, 0, len(metadata), len(body), 7, 42, 0, 0, 0)
    return head + metadata + body


def golden(file: Path) -> Iterator[bytes]:
    """Read the packets of a vector file."""
    for vector in json.loads(file.read_text())["vectors"]:
        yield bytes.fromhex(vector["hex"])


def written_order(hello: bytes) -> Iterator[bytes]:
    """Turn a CLIENT_HELLO with both parts into the order of the written protocol, auth block first."""
    body_start = HEADER.size + META_LEN[CLIENT_HELLO]
    if hello[6] == CLIENT_HELLO and len(hello) > body_start:
        auth, extensions = struct.unpack_from("<II", hello, body_start - 8)
        body = hello[body_start:]
        if auth and extensions and auth + extensions == len(body):
            yield hello[:body_start] + body[extensions:] + body[:extensions]


def wrap(target: str, data: bytes) -> Iterator[bytes]:
    """Turn an input of a fuzz target into packets that bring its bytes before the same part of a codec."""
    if target in {"packet", "header"}:
        yield data
    elif target in {"submit_body", "result_body"}:
        message = FRAME_SUBMIT if target == "submit_body" else RESULT_PUSH
        length = META_LEN[message]
        yield packet(message, data[:length], data[length:])
    elif target == "metadata":
        for message, length in META_LEN.items():
            if len(data) >= length:
                yield packet(message, data[:length], b"")
    elif target == "control_extensions":
        hello = bytearray(META_LEN[CLIENT_HELLO])
        hello[0:4] = b"\x01\x01\x01\x00"
        struct.pack_into("<I", hello, 60, len(data))
        yield packet(CLIENT_HELLO, bytes(hello), data)
        ack = bytearray(META_LEN[SERVER_HELLO_ACK])
        struct.pack_into("<B3xI", ack, 0, 1, 7)
        struct.pack_into("<I", ack, 72, len(data))
        yield packet(SERVER_HELLO_ACK, bytes(ack), data)


def corpus(folder: Path) -> Iterator[bytes]:
    """Read the corpora under a folder that has one subfolder a fuzz target; each input in packets."""
    for target in TARGETS:
        files = sorted((folder / target).glob("*")) if (folder / target).is_dir() else []
        for file in files:
            if file.stat().st_size <= LARGEST:
                yield from wrap(target, file.read_bytes())


def mutations(sources: list[list[bytes]], count: int, random: Random) -> Iterator[bytes]:
    """Damage packets: one to three changes, after which the lengths in the header mostly fit again.

    As many are made from the packets of one source as from those of another.
    """
    sources = [[raw for raw in source if HEADER.size < len(raw) <= LARGEST] for source in sources]
    sources = [source for source in sources if source]
    for _ in range(count):
        raw = bytearray(random.choice(random.choice(sources)))
        for _ in range(random.choice((1, 1, 1, 2, 3))):
            _change(raw, random)
        meta_len = META_LEN.get(raw[6])
        if meta_len is not None and len(raw) >= HEADER.size + meta_len and random.random() < 0.95:
            struct.pack_into("<II", raw, 12, meta_len, len(raw) - HEADER.size - meta_len)
        yield bytes(raw)


def _change(raw: bytearray, random: Random) -> None:
    """Make one change; most of them near the front, where the fields are."""
    if len(raw) <= HEADER.size:
        return
    end = len(raw) if random.random() < 0.3 else min(len(raw), 240)
    at = random.randrange(HEADER.size, end)
    if random.random() < 0.05:
        at = random.randrange(HEADER.size)
    kind = random.randrange(7)
    if kind == 0:
        raw[at] ^= 1 << random.randrange(8)
    elif kind == 1:
        raw[at] = random.randrange(256)
    elif kind == 2:
        raw[at] = random.choice(EXTREMES[1])
    elif kind == 3:
        at -= at % 2
        raw[at : at + 2] = random.choice(EXTREMES[2]).to_bytes(2, "little")
    elif kind == 4:
        at -= at % 4
        raw[at : at + 4] = random.choice(LARGE).to_bytes(4, "little")
    elif kind == 5:
        # A small step, so that lengths stay plausible.
        at -= at % 4
        number = int.from_bytes(raw[at : at + 4], "little") + random.choice((-16, -8, -4, -1, 1, 4, 8, 16))
        raw[at : at + 4] = (number % (1 << 32)).to_bytes(4, "little")
    elif random.random() < 0.5:
        raw[at:at] = bytes(random.choice((1, 2, 4, 8, 16)))
    else:
        del raw[at : at + random.choice((1, 2, 4, 8, 16))]

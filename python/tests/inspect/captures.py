"""Capture files and dumps, written by the tests themselves."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass
from itertools import count

ETHERNET, NULL, RAW, LINUX_COOKED, LINUX_COOKED_2 = 1, 0, 101, 113, 276
SYN, PUSH = 0x02, 0x08
CLIENT, SERVER = 40001, 9000
START = 1_700_000_000


@dataclass(frozen=True)
class Segment:
    """A TCP segment on loopback; the addresses are the same on both sides, so the ports tell them apart."""

    source: int
    target: int
    sequence: int
    payload: bytes = b""
    flags: int = PUSH

    def tcp(self) -> bytes:
        offset = 5 << 4
        return (
            struct.pack(
                ">2H2I2B3H",
                self.source,
                self.target,
                self.sequence % (1 << 32),
                0,
                offset,
                self.flags,
                0xFFFF,
                0,
                0,
            )
            + self.payload
        )


def ipv4(payload: bytes, protocol: int = 6) -> bytes:
    address = ipaddress.IPv4Address("127.0.0.1").packed
    return struct.pack(">2B3H2BH", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0) + 2 * address + payload


def ipv6(payload: bytes) -> bytes:
    """With a hop-by-hop header in front of TCP."""
    options = bytes([6, 0, 1, 4, 0, 0, 0, 0])
    address = ipaddress.IPv6Address("::1").packed
    return struct.pack(">IHBB", 6 << 28, len(options + payload), 0, 64) + 2 * address + options + payload


def framed(packet: bytes, link_type: int) -> bytes:
    ether_type = b"\x86\xdd" if packet[0] >> 4 == 6 else b"\x08\x00"
    return {
        ETHERNET: bytes(12) + b"\x81\x00\x00\x07" + ether_type,  # with a VLAN tag
        NULL: b"\x02\x00\x00\x00",
        RAW: b"",
        LINUX_COOKED: bytes(14) + ether_type,
        LINUX_COOKED_2: ether_type + bytes(18),
    }[link_type] + packet


def pcap(packets: list[bytes], link_type: int = RAW, order: str = "<", magic: int = 0xA1B2C3D4) -> bytes:
    out = [struct.pack(order + "I2H4I", magic, 2, 4, 0, 0, 65535, link_type)]
    for number, packet in enumerate(packets):
        frame = framed(packet, link_type)
        out.append(struct.pack(order + "4I", START, 1000 * number, len(frame), len(frame)) + frame)
    return b"".join(out)


def block(block_type: int, content: bytes, order: str) -> bytes:
    content += bytes(-len(content) % 4)
    length = struct.pack(order + "I", 12 + len(content))
    return struct.pack(order + "I", block_type) + length + content + length


def pcapng(packets: list[bytes], link_type: int = RAW, order: str = "<") -> bytes:
    nanoseconds = struct.pack(order + "2HB3x2H", 9, 1, 9, 0, 0)
    out = [
        block(0x0A0D0D0A, struct.pack(order + "I2HQ", 0x1A2B3C4D, 1, 0, 0xFFFFFFFFFFFFFFFF), order),
        block(1, struct.pack(order + "2HI", link_type, 0, 0) + nanoseconds, order),
        block(5, b"statistics", order),
    ]
    for number, packet in enumerate(packets):
        frame = framed(packet, link_type)
        time = START * 10**9 + 1000 * number
        numbers = struct.pack(order + "5I", 0, time >> 32, time & 0xFFFFFFFF, len(frame), len(frame))
        out.append(block(6, numbers + frame, order))
    return b"".join(out)


def session(to_server: bytes, to_client: bytes, piece: int = 37, start: int = 0xFFFFFFF0) -> list[Segment]:
    """Both directions of a connection in small segments; the sequence numbers wrap around."""
    segments = [Segment(CLIENT, SERVER, start - 1, flags=SYN), Segment(SERVER, CLIENT, 99, flags=SYN)]
    for source, target, first, data in ((CLIENT, SERVER, start, to_server), (SERVER, CLIENT, 100, to_client)):
        segments += [
            Segment(source, target, first + at, data[at : at + piece]) for at in range(0, len(data), piece)
        ]
    return segments


def loopback(segments: list[Segment]) -> list[bytes]:
    return [ipv4(segment.tcp()) for segment in segments]


def xxd(data: bytes) -> str:
    rows = ((at, data[at : at + 16]) for at in range(0, len(data), 16))
    return "\n".join(f"{at:08x}: {row.hex(' ', 2):<39}  {ascii_of(row)}" for at, row in rows)


def hexdump_canonical(data: bytes) -> str:
    """`hexdump -C`, which shows repeated lines as one star."""
    lines, previous = [], b""
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        if row == previous and len(row) == 16:
            if lines[-1] != "*":
                lines.append("*")
            continue
        halves = f"{row[:8].hex(' ')}  {row[8:].hex(' ')}".rstrip()
        lines.append(f"{at:08x}  {halves:<49} |{ascii_of(row)}|")
        previous = row
    return "\n".join([*lines, f"{len(data):08x}"])


def hexdump_words(data: bytes) -> str:
    """`hexdump` without options: little-endian words."""
    rows = ((at, data[at : at + 16]) for at in range(0, len(data), 16))
    lines = [f"{at:07x} " + " ".join(words(row)) for at, row in rows]
    return "\n".join([*lines, f"{len(data):07x}"])


def words(row: bytes) -> list[str]:
    return [(row[at : at + 2] + b"\0")[:2][::-1].hex() for at in range(0, len(row), 2)]


def wireshark(data: bytes) -> str:
    rows = ((at, data[at : at + 16]) for at in range(0, len(data), 16))
    return "\n".join(f"{at:04x}   {row.hex(' '):<47}   {ascii_of(row)}" for at, row in rows)


def ascii_of(row: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)


class Recorder:
    """What a relay saw, as the segments of one connection."""

    def __init__(self) -> None:
        self.segments = [
            Segment(CLIENT, SERVER, 0, flags=SYN),
            Segment(SERVER, CLIENT, 0, flags=SYN),
        ]
        self.sequences = {CLIENT: count(1), SERVER: count(1)}
        self.positions = {CLIENT: 1, SERVER: 1}

    def record(self, source: int, payload: bytes) -> None:
        target = SERVER if source == CLIENT else CLIENT
        self.segments.append(Segment(source, target, self.positions[source], payload))
        self.positions[source] += len(payload)

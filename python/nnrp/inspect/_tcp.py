"""TCP streams out of captured frames: the headers around them, and reassembly by sequence number."""

from __future__ import annotations

import ipaddress
import struct
from bisect import bisect_left
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nnrp.inspect._capture import CapturedFrame

__all__ = ["Assembly", "Stream", "assemble"]

_IPV4, _IPV6 = 0x0800, 0x86DD
_VLAN: Final = frozenset({0x8100, 0x88A8})
_TCP, _UDP = 6, 17
_IPV6_EXTENSIONS: Final = frozenset({0, 43, 60})
"""Headers between IPv6 and TCP that only have to be skipped: hop-by-hop, routing, destination."""
_SYN: Final = 0x02
_SEQUENCES: Final = 1 << 32

_FAMILY_LINKS: Final = frozenset({0, 108})
"""Loopback of the BSDs and of macOS: four bytes with the number of an address family."""
_IP_LINKS: Final = frozenset({12, 14, 101, 228, 229})
"""Bare IP."""
_LINK_HEADERS: Final = {1: (14, 12), 113: (16, 14), 276: (20, 0)}
"""Ethernet and the two forms of Linux cooked captures: length, and where the protocol is in it."""


class _Segment(NamedTuple):
    source: str
    target: str
    ports: tuple[int, int]
    sequence: int
    is_syn: bool
    payload: bytes
    time: float


@dataclass(slots=True)
class Stream:
    """What one side of a connection sent."""

    source: str
    """Address and port of the sender."""
    target: str
    """Address and port of the receiver."""
    ports: tuple[int, int]
    """The two ports."""
    has_start: bool = False
    """Whether the beginning of the connection was captured."""
    runs: list[bytearray] = field(default_factory=list[bytearray])
    """The bytes. Between two runs, some were not captured."""
    _times: list[tuple[list[int], list[float]]] = field(default_factory=list[tuple[list[int], list[float]]])
    _origin: int | None = None
    """The sequence number of position 0."""
    _end: int = 0
    """The position behind the last byte that is in a run; positions do not wrap around."""
    _early: list[tuple[int, float, bytes]] = field(default_factory=list[tuple[int, float, bytes]])
    """A heap of what came before its turn: position, time, bytes."""

    def time_at(self, run: int, end: int) -> float:
        """Return when the byte before `end` of a run was captured."""
        ends, times = self._times[run]
        return times[min(bisect_left(ends, end), len(times) - 1)]

    def add(self, segment: _Segment) -> None:
        """Put the bytes of a segment where they belong. Bytes that are there already stay as they are."""
        sequence = segment.sequence
        if segment.is_syn:  # which counts as a byte
            self.has_start = True
            sequence = (sequence + 1) % _SEQUENCES
        if self._origin is None:
            self._origin = sequence
        if not segment.payload:
            return
        ahead = (sequence - self._origin - self._end) % _SEQUENCES
        if ahead >= _SEQUENCES // 2:
            ahead -= _SEQUENCES
        heappush(self._early, (self._end + ahead, segment.time, segment.payload))
        self._take_what_follows(segment.time)

    def finish(self) -> None:
        """Take what is left behind gaps."""
        while self._early:
            self._end = self._early[0][0]
            self._start_run()
            self._take_what_follows(0.0)

    def _start_run(self) -> None:
        self.runs.append(bytearray())
        self._times.append(([], []))

    def _take_what_follows(self, now: float) -> None:
        """Append what starts at or before the end, until there is a gap."""
        while self._early and self._early[0][0] <= self._end:
            position, seen, payload = heappop(self._early)
            fresh = payload[self._end - position :]
            if not fresh:
                continue
            if not self.runs:
                self._start_run()
            self.runs[-1] += fresh
            ends, times = self._times[-1]
            ends.append(len(self.runs[-1]))
            times.append(max(now, seen))
            self._end += len(fresh)


@dataclass(slots=True)
class Assembly:
    """What a capture holds."""

    streams: list[Stream]
    """One for each direction of each connection, in the order of their first segments."""
    udp_datagrams: int
    """Datagrams between the ports that were asked for, which may be QUIC."""


def assemble(frames: Iterable[CapturedFrame], port: int | None) -> Assembly:
    """Put the TCP streams of a capture together, of all ports or of one."""
    streams: dict[tuple[str, str], Stream] = {}
    done: list[Stream] = []
    datagrams = 0
    for frame in frames:
        for protocol, source, target, packet in _network_packets(frame):
            ports = struct.unpack_from(">2H", packet) if len(packet) >= 4 else (0, 0)  # noqa: PLR2004
            if port is not None and port not in ports:
                continue
            datagrams += protocol == _UDP
            segment = _segment(source, target, packet, frame.time) if protocol == _TCP else None
            if segment is None:
                continue
            key = (segment.source, segment.target)
            if segment.is_syn and key in streams and streams[key].runs:
                done.append(streams.pop(key))  # the same ports, used again
            stream = streams.setdefault(key, Stream(segment.source, segment.target, segment.ports))
            stream.add(segment)
    done += streams.values()
    for stream in done:
        stream.finish()
    return Assembly([stream for stream in done if stream.runs], datagrams)


def _network_packets(frame: CapturedFrame) -> Iterator[tuple[int, str, str, bytes]]:
    """Yield protocol, addresses and contents of the IP packet in a frame, if there is one."""
    data = _after_link(frame)
    version = data[0] >> 4 if data else 0
    if version == 4:  # noqa: PLR2004  # the version
        yield from _ipv4(data)
    elif version == 6:  # noqa: PLR2004  # the other one
        yield from _ipv6(data)


def _after_link(frame: CapturedFrame) -> bytes:
    data = frame.data
    if frame.link_type in _IP_LINKS:
        return data
    if frame.link_type in _FAMILY_LINKS:
        return data[4:]
    if frame.link_type not in _LINK_HEADERS:
        return b""
    length, where = _LINK_HEADERS[frame.link_type]
    if len(data) < length:
        return b""
    protocol = int.from_bytes(data[where : where + 2], "big")
    while protocol in _VLAN and len(data) >= length + 4:
        protocol = int.from_bytes(data[length + 2 : length + 4], "big")
        length += 4
    return data[length:] if protocol in (_IPV4, _IPV6) else b""


def _ipv4(data: bytes) -> Iterator[tuple[int, str, str, bytes]]:
    header = 4 * (data[0] & 0x0F)
    if header < 20 or len(data) < header:  # noqa: PLR2004  # the shortest header
        return
    total, fragment = struct.unpack_from(">H2xH", data, 2)
    if fragment & 0x3FFF:  # part of a datagram; TCP avoids that
        return
    # Segments that the network card would have cut have no length.
    end = total if total >= header else len(data)
    source, target = (str(ipaddress.IPv4Address(data[at : at + 4])) for at in (12, 16))
    yield data[9], source, target, data[header:end]


def _ipv6(data: bytes) -> Iterator[tuple[int, str, str, bytes]]:
    position = 40
    if len(data) < position:
        return
    length, protocol = struct.unpack_from(">HB", data, 4)
    end = position + length if length else len(data)
    while protocol in _IPV6_EXTENSIONS and position + 8 <= len(data):
        protocol, position = data[position], position + 8 * (data[position + 1] + 1)
    source, target = (f"[{ipaddress.IPv6Address(data[at : at + 16])}]" for at in (8, 24))
    yield protocol, source, target, data[position:end]


def _segment(source: str, target: str, packet: bytes, time: float) -> _Segment | None:
    if len(packet) < 20:  # noqa: PLR2004  # the shortest header
        return None
    sender, receiver, sequence = struct.unpack_from(">2HI", packet)
    start = 4 * (packet[12] >> 4)
    ports = (sender, receiver)
    payload = packet[start:] if start >= 20 else b""  # noqa: PLR2004  # the shortest header
    is_syn = bool(packet[13] & _SYN)
    return _Segment(f"{source}:{sender}", f"{target}:{receiver}", ports, sequence, is_syn, payload, time)

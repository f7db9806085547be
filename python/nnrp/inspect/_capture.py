"""Capture files: pcap and pcapng, as tcpdump and Wireshark write them."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CaptureError", "CapturedFrame", "is_capture", "read_capture"]

_PCAP: Final = {
    b"\xd4\xc3\xb2\xa1": ("<", 1_000_000),
    b"\xa1\xb2\xc3\xd4": (">", 1_000_000),
    b"\x4d\x3c\xb2\xa1": ("<", 1_000_000_000),
    b"\xa1\xb2\x3c\x4d": (">", 1_000_000_000),
}
"""Byte order and ticks per second of the four kinds of pcap files, by their first four bytes."""

_PCAPNG: Final = b"\x0a\x0d\x0d\x0a"
_SECTION, _INTERFACE, _SIMPLE, _ENHANCED = 0x0A0D0D0A, 1, 3, 6
"""The types of the pcapng blocks that matter here."""
_BYTE_ORDER: Final = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
_BLOCK_OVERHEAD: Final = 12
"""Type and length before the contents of a block, the length again behind them."""
_PCAP_HEADER, _PCAP_RECORD = 24, 16
_OPTION_TIME_RESOLUTION: Final = 9
_DEFAULT_TICKS: Final = 1_000_000


class CaptureError(ValueError):
    """The file is no capture that can be read; the text says why."""


@dataclass(frozen=True, slots=True)
class CapturedFrame:
    """One frame of a link."""

    link_type: int
    """What the first bytes are, as libpcap numbers it."""
    time: float
    """When it was seen, in seconds since 1970; 0 when the file does not say."""
    data: bytes
    """Its bytes; the last ones are missing where the capture has cut them."""


def is_capture(data: bytes) -> bool:
    """Return whether `data` starts like a capture file."""
    return data[:4] in _PCAP or data[:4] == _PCAPNG


def read_capture(data: bytes) -> Iterator[CapturedFrame]:
    """Yield the frames of a capture file. A last record that is cut is left out.

    Raises:
        CaptureError: the file is damaged before its first record.

    """
    if data[:4] == _PCAPNG:
        return _read_pcapng(data)
    return _read_pcap(data)


def _read_pcap(data: bytes) -> Iterator[CapturedFrame]:
    if len(data) < _PCAP_HEADER or data[:4] not in _PCAP:
        raise CaptureError("the pcap file ends inside its header")
    order, ticks = _PCAP[data[:4]]
    # The upper bits of the link type say how long a checksum is.
    link_type = struct.unpack_from(order + "I", data, 20)[0] & 0xFFFF
    position = _PCAP_HEADER
    while position + _PCAP_RECORD <= len(data):
        seconds, fraction, captured, _ = struct.unpack_from(order + "4I", data, position)
        position += _PCAP_RECORD
        if position + captured > len(data):
            return
        yield CapturedFrame(link_type, seconds + fraction / ticks, data[position : position + captured])
        position += captured


@dataclass(frozen=True, slots=True)
class _Interface:
    link_type: int
    ticks: int
    """Per second."""


def _read_pcapng(data: bytes) -> Iterator[CapturedFrame]:
    order = ""
    interfaces: list[_Interface] = []
    for block_type, block_order, content in _blocks(data):
        order = block_order
        if block_type == _SECTION:
            interfaces = []
        elif block_type == _INTERFACE and len(content) >= 8:  # noqa: PLR2004  # type, reserved, limit
            interfaces.append(_interface(order, content))
        elif block_type == _ENHANCED and len(content) >= 20:  # noqa: PLR2004  # five numbers
            numbers: tuple[int, ...] = struct.unpack_from(order + "5I", content)
            number, high, low, captured, _ = numbers
            if number < len(interfaces):
                interface = interfaces[number]
                time = (high << 32 | low) / interface.ticks
                yield CapturedFrame(interface.link_type, time, content[20 : 20 + captured])
        elif block_type == _SIMPLE and len(content) >= 4 and interfaces:  # noqa: PLR2004  # one number
            yield CapturedFrame(interfaces[0].link_type, 0.0, content[4:])


def _blocks(data: bytes) -> Iterator[tuple[int, str, bytes]]:
    """Yield type, byte order and contents of the blocks of a pcapng file, as far as they are whole."""
    position, order = 0, ""
    while position + _BLOCK_OVERHEAD <= len(data):
        if data[position : position + 4] == _PCAPNG:
            order = _BYTE_ORDER.get(data[position + 8 : position + 12], order)
            if not order:
                raise CaptureError("the pcapng file does not say its byte order")
        block_type, length = struct.unpack_from(order + "2I", data, position)
        if length < _BLOCK_OVERHEAD or length % 4 or position + length > len(data):
            return
        yield block_type, order, data[position + 8 : position + length - 4]
        position += length


def _interface(order: str, content: bytes) -> _Interface:
    link_type = struct.unpack_from(order + "H", content)[0]
    ticks = _DEFAULT_TICKS
    position = 8
    while position + 4 <= len(content):
        code, length = struct.unpack_from(order + "2H", content, position)
        value = content[position + 4 : position + 4 + length]
        if code == _OPTION_TIME_RESOLUTION and len(value) == 1:
            exponent = value[0] & 0x7F
            ticks = 2**exponent if value[0] & 0x80 else 10 ** min(exponent, 18)
        position += 4 + (length + 3) // 4 * 4
    return _Interface(link_type, ticks)

"""What a file holds: packets, whatever form they are written down in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from nnrp.inspect._capture import CaptureError, is_capture, read_capture
from nnrp.inspect._hextext import HexTextError, read_hex
from nnrp.inspect._packet import split
from nnrp.inspect._tables import MAGIC
from nnrp.inspect._tcp import assemble
from nnrp.inspect._values import byte_count

if TYPE_CHECKING:
    from nnrp.inspect._tcp import Stream

__all__ = ["FORMATS", "Found", "Piece", "UnreadableError", "find_packets"]

FORMATS: Final = ("auto", "binary", "hex", "capture")
"""How the input may be written down."""

_TLS_HANDSHAKE: Final = b"\x16\x03"
"""What a TLS connection starts with: a handshake record."""


class UnreadableError(ValueError):
    """The input holds no packets; the text says why."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The bytes of one packet, or bytes that are none, and where they were found."""

    raw: bytes
    offset: int
    """From the start of the file, of the stream, or of the part of a stream that was captured."""
    stream: str = ""
    """Who sent it to whom; empty when the input is no capture."""
    time: float | None = None
    """When its last byte was captured, in seconds since 1970."""

    @property
    def clock(self) -> str:
        """The time of day, in UTC; empty when it is not known."""
        if not self.time or self.time > _LAST_TIME:
            return ""
        return datetime.fromtimestamp(self.time, UTC).strftime("%H:%M:%S.%f")


_LAST_TIME: Final = 253402300799.0
"""The end of the year 9999, where clocks stop; only a damaged capture is later."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was found, and what there is to say about the input."""

    pieces: list[Piece]
    notes: list[str]


def find_packets(data: bytes, form: str = "auto", port: int | None = None) -> Found:
    """Find the packets in the contents of a file.

    Args:
        data: the contents.
        form: one of `FORMATS`; `auto` goes by the first bytes.
        port: the TCP port whose packets are meant; only captures have ports.

    Raises:
        UnreadableError: there are none, or the contents are not in this form.

    """
    if not data:
        raise UnreadableError("the input is empty")
    if form == "capture" or (form == "auto" and is_capture(data)):
        return _from_capture(data, port)
    if form == "hex" or (form == "auto" and not data.startswith(MAGIC)):
        data = _from_hex(data, must_be=form == "hex")
    return Found([Piece(raw, offset) for offset, raw in split(data)], [])


def _from_hex(data: bytes, *, must_be: bool) -> bytes:
    """Return the bytes that a text spells; a text that spells none may be binary when it does not have to."""
    try:
        text = data.decode("utf-8-sig")
        found = read_hex(text)
    except (HexTextError, UnicodeDecodeError) as error:
        is_text = isinstance(error, HexTextError) and "odd number" in str(error)
        if must_be or is_text:
            raise UnreadableError(f"the input is not hexadecimal text: {error}") from error
        return data
    if not found:
        raise UnreadableError("the input holds no bytes")
    return found


def _from_capture(data: bytes, port: int | None) -> Found:
    try:
        assembly = assemble(read_capture(data), port)
    except CaptureError as error:
        raise UnreadableError(str(error)) from error
    pieces: list[Piece] = []
    notes: list[str] = []
    for stream in assembly.streams:
        found, remarks = _from_stream(stream, is_chosen=port is not None)
        pieces += found
        notes += remarks
    if assembly.udp_datagrams:
        notes.append(
            f"{assembly.udp_datagrams} UDP datagrams were left out: NNRP over QUIC is encrypted, "
            "record it at one of its ends instead"
        )
    if not pieces:
        where = f"on TCP port {port}" if port is not None else "on any TCP port"
        raise UnreadableError("; ".join([f"the capture has no NNRP packets {where}", *notes]))
    pieces.sort(key=lambda piece: piece.time or 0.0)
    return Found(pieces, notes)


def _from_stream(stream: Stream, *, is_chosen: bool) -> tuple[list[Piece], list[str]]:
    name = f"{stream.source} > {stream.target}"
    if stream.runs[0].startswith(_TLS_HANDSHAKE):
        note = f"{name} is TLS and was left out: its packets cannot be read without the keys"
        return [], [note] if is_chosen else []
    pieces: list[Piece] = []
    notes: list[str] = []
    for number, run in enumerate(stream.runs):
        data, start = bytes(run), 0
        if number or not stream.has_start:
            # After a gap, and in a connection that is older than the capture, the front may be missing.
            start = max(data.find(MAGIC), 0) if MAGIC in data else len(data)
        elif not is_chosen and not data.startswith(MAGIC):
            return [], []  # another protocol
        if start and (is_chosen or pieces):
            notes.append(f"{name}: {byte_count(start)} before the first whole packet were left out")
        if number:
            notes.append(f"{name}: bytes are missing from the capture")
        for offset, raw in split(data[start:]):
            end = start + offset + len(raw)
            pieces.append(Piece(raw, start + offset, name, stream.time_at(number, end)))
    return pieces, notes

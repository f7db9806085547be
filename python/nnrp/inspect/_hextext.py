"""Bytes out of hexadecimal text: plain digits, or what xxd, hexdump and Wireshark print."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["HexTextError", "read_hex"]

_OFFSET: Final = re.compile(r"(?:0x)?(?P<digits>[0-9a-fA-F]{4,16})(?P<colon>:?)(?:\s+|$)")
_SEPARATORS: Final = re.compile(r"0[xX]|[\s,:;]")
_BYTES_PER_DUMP_LINE: Final = 16
"""What dumps print in a line; more digits than that are in the column of characters."""
_WORD_DIGITS: Final = 4
_MAX_REPEATED: Final = 64 * 1024 * 1024
"""Bytes that a `*` may stand for: twice the largest body, so that a wrong offset cannot fill the memory."""


class HexTextError(ValueError):
    """The text is not hexadecimal; the text of the error says why and where."""


def read_hex(text: str) -> bytes:
    """Return the bytes that `text` spells.

    White space, commas, colons, `0x` and lines that start with `#` do not matter. A line may start with its
    offset and end with a column of characters, as dumps have them; a `*` repeats the line before it.

    Raises:
        HexTextError: something else is in the text, or a byte is only half there.

    """
    data = bytearray()
    row = b""
    is_repeating = False
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()  # noqa: PLW2901  # the line without its frame is the line
        if not line or line.startswith("#"):
            continue
        if line == "*":
            is_repeating = True
            continue
        if _is_end(line, len(data)):
            del data[int(line, 16) :]
            continue
        offset = _offset_of(line, len(data), is_repeating=is_repeating)
        if is_repeating:
            _repeat(data, row, int(offset["digits"], 16) if offset else len(data), number)
            is_repeating = False
        row = _dump_line(line, offset) if offset else _plain_line(line, number)
        data += row
    return bytes(data)


def _offset_of(line: str, position: int, *, is_repeating: bool) -> re.Match[str] | None:
    """Return the offset that the line starts with, if it does: one with a colon, or one that is right."""
    match = _OFFSET.match(line)
    if match is None:
        return None
    is_right = int(match["digits"], 16) == position or is_repeating
    has_colon = bool(match["colon"]) and len(match["digits"]) > _WORD_DIGITS
    return match if is_right or has_colon else None


def _is_end(line: str, position: int) -> bool:
    """Return whether the line is the offset that a dump ends with.

    Where words are printed, that may be one byte before the end of the last word.
    """
    is_offset = re.fullmatch(r"[0-9a-fA-F]{7,8}", line) is not None
    return is_offset and position > 0 and position - int(line, 16) in (0, 1)


def _repeat(data: bytearray, row: bytes, end: int, number: int) -> None:
    missing = end - len(data)
    if not row or missing < 0 or missing > _MAX_REPEATED:
        raise HexTextError(f"line {number}: the line after a * must start with the offset that it goes on at")
    data += (row * (missing // len(row) + 1))[:missing]


def _dump_line(line: str, offset: re.Match[str]) -> bytes:
    """Return the bytes of a dump's line without its column of characters."""
    rest = line[offset.end() :]
    # Characters follow a bar (hexdump), two blanks (xxd) or three (Wireshark); hexdump has two in the middle.
    rest = rest.split("|")[0]
    rest = re.split(r"\s{2,}" if offset["colon"] else r"\s{3,}", rest)[0]
    digits = ""
    groups = rest.split()
    for group in groups:
        if not re.fullmatch(r"(?:[0-9a-fA-F]{2})+", group):
            break
        digits += group
    row = bytes.fromhex(digits)[:_BYTES_PER_DUMP_LINE]
    if not offset["colon"] and groups and all(len(group) == _WORD_DIGITS for group in groups):
        # Without options hexdump prints little-endian words.
        row = b"".join(row[at : at + 2][::-1] for at in range(0, len(row), 2))
    return row


def _plain_line(line: str, number: int) -> bytes:
    digits = _SEPARATORS.sub("", line)
    try:
        return bytes.fromhex(digits)
    except ValueError:
        if re.fullmatch(r"[0-9a-fA-F]*", digits):
            raise HexTextError(f"line {number} has an odd number of hexadecimal digits") from None
        raise HexTextError(f"line {number} is not hexadecimal") from None

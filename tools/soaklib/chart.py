"""A line chart as a PNG, drawn with nothing but the standard library."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Line", "draw"]

_WIDTH, _HEIGHT = 960, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 44, 46
_TICKS = 6
_ZOOM = 2
_INK, _GRID, _PAPER = (40, 40, 40), (225, 225, 225), (255, 255, 255)

#: Letters of three columns and five rows, each row an octal digit.
_FONT = {
    "0": "75557", "1": "26227", "2": "71747", "3": "71717", "4": "55711", "5": "74717", "6": "74757",
    "7": "71122", "8": "75757", "9": "75717", ".": "00002", "-": "00700", ":": "02020", "/": "11244",
    "A": "25755", "B": "65656", "C": "34443", "D": "65556", "E": "74647", "F": "74644", "G": "34553",
    "H": "55755", "I": "72227", "J": "11152", "K": "55655", "L": "44447", "M": "57755", "N": "65555",
    "O": "25552", "P": "65644", "Q": "25563", "R": "65655", "S": "34216", "T": "72222", "U": "55557",
    "V": "55552", "W": "55775", "X": "55255", "Y": "55222", "Z": "71247", " ": "00000",
}  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One curve: what it is, its colour, and its points."""

    name: str
    colour: tuple[int, int, int]
    points: list[tuple[float, float]]


class _Canvas:
    def __init__(self) -> None:
        self._rows = [bytearray(bytes(_PAPER) * _WIDTH) for _ in range(_HEIGHT)]

    def dot(self, x: int, y: int, colour: tuple[int, int, int]) -> None:
        if 0 <= x < _WIDTH and 0 <= y < _HEIGHT:
            self._rows[y][3 * x : 3 * x + 3] = bytes(colour)

    def line(self, a: tuple[float, float], b: tuple[float, float], colour: tuple[int, int, int]) -> None:
        steps = max(1, round(max(abs(b[0] - a[0]), abs(b[1] - a[1]))))
        for step in range(steps + 1):
            x, y = (a[i] + (b[i] - a[i]) * step / steps for i in (0, 1))
            self.dot(round(x), round(y), colour)
            self.dot(round(x), round(y) + 1, colour)

    def text(self, x: int, y: int, words: str, colour: tuple[int, int, int] = _INK) -> None:
        for letter in words.upper():
            for row, bits in enumerate(_FONT.get(letter, _FONT["-"])):
                for column in range(3):
                    if int(bits, 8) >> (2 - column) & 1:
                        for zoomed in range(_ZOOM * _ZOOM):
                            across, down = zoomed % _ZOOM, zoomed // _ZOOM
                            self.dot(x + column * _ZOOM + across, y + row * _ZOOM + down, colour)
            x += 4 * _ZOOM

    def png(self) -> bytes:
        raw = b"".join(b"\0" + bytes(row) for row in self._rows)
        header = struct.pack(">IIBBBBB", _WIDTH, _HEIGHT, 8, 2, 0, 0, 0)
        parts = ((b"IHDR", header), (b"IDAT", zlib.compress(raw, 9)), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in parts)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def draw(path: Path, title: str, lines: list[Line], *, warm_up: float) -> None:
    """Draw values over seconds, from zero up; a vertical line marks the end of the warm-up."""
    canvas = _Canvas()
    last = max((x for line in lines for x, _ in line.points), default=1.0) or 1.0
    highest = max((y for line in lines for _, y in line.points), default=1.0) * 1.1 or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        across = _LEFT + (_WIDTH - _LEFT - _RIGHT) * x / last
        return across, _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * y / highest

    canvas.text(_LEFT, 8, title)
    for tick in range(_TICKS + 1):
        x, y = last * tick / _TICKS, highest * tick / _TICKS
        canvas.line(place(0, y), place(last, y), _GRID)
        canvas.text(8, round(place(0, y)[1]) - 5, f"{y:6.1f}")
        canvas.text(round(place(x, 0)[0]) - 16, _HEIGHT - _BOTTOM + 10, f"{x:.0f} s")
    canvas.line(place(warm_up, 0), place(warm_up, highest), (180, 180, 180))
    for number, line in enumerate(lines):
        canvas.text(_LEFT + number * 220, 24, line.name, line.colour)
        for a, b in zip(line.points, line.points[1:], strict=False):
            canvas.line(place(*a), place(*b), line.colour)
    path.write_bytes(canvas.png())

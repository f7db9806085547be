"""Packets as text for people: one line for each field, in columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from nnrp.inspect._values import byte_count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nnrp.inspect._packet import Packet
    from nnrp.inspect._region import Options
    from nnrp.inspect._tree import Node

__all__ = ["Style", "render"]

_BYTES_PER_LINE: Final = 8
_HEX_WIDTH: Final = 3 * _BYTES_PER_LINE - 1
_OFFSET_WIDTH: Final = 7
"""Digits of an offset: enough for a packet of the largest body that receivers take by default."""


@dataclass(frozen=True, slots=True)
class Style:
    """The escape sequences that give text its colours; all empty where there are none."""

    heading: str = ""
    group: str = ""
    faint: str = ""
    wrong: str = ""
    reset: str = ""

    @classmethod
    def coloured(cls) -> Style:
        """Return the style for a terminal."""
        return cls("\x1b[1;36m", "\x1b[1m", "\x1b[2m", "\x1b[1;31m", "\x1b[0m")

    def __call__(self, colour: str, text: str) -> str:
        """Return `text` in one of this style's colours."""
        return f"{colour}{text}{self.reset}" if colour else text


@dataclass(frozen=True, slots=True)
class _Page:
    packet: Packet
    options: Options
    style: Style
    name_width: int


def render(packet: Packet, title: str, options: Options, style: Style) -> Iterator[str]:
    """Yield the lines that show `packet`, the first one with `title`."""
    yield style(style.heading, f"{title}  {_summary(packet)}")
    yield style(style.faint, f"{'packet':>{_OFFSET_WIDTH}}{'body':>{_OFFSET_WIDTH + 1}}  bytes")
    widths = (2 * depth + len(node.name) for depth, node in _nodes(packet.root, 0))
    page = _Page(packet, options, style, max(widths, default=0))
    for violation in packet.root.violations:
        yield _violation_line(page, violation.rule, violation.sentence)
    for child in packet.root.children:
        yield from _lines(page, child, 0)


def _nodes(node: Node, depth: int) -> Iterator[tuple[int, Node]]:
    for child in node.children:
        yield depth, child
        yield from _nodes(child, depth + 1)


def _summary(packet: Packet) -> str:
    header = packet.header
    parts = [packet.message or (f"message type 0x{header['msg_type']:02x}" if header else "no whole header")]
    ids = ("session_id", "frame_id", "view_id")
    parts += [f"{name.removesuffix('_id')} {header[name]}" for name in ids if header.get(name)]
    parts.append(byte_count(len(packet.raw)))
    count = len(packet.violations)
    if count:
        parts.append("1 violation" if count == 1 else f"{count} violations")
    return ", ".join(parts)


def _lines(page: _Page, node: Node, depth: int) -> Iterator[str]:
    style = page.style
    rows = _hex_rows(page, node)
    colour = style.faint if node.note else style.group if node.is_group else ""
    name = style(colour, f"{'  ' * depth}{node.name}".ljust(page.name_width))
    note = f"({node.note})" if node.note and node.note != node.name else ""
    value = "  ".join(part for part in (style(colour, node.text), style(style.faint, note)) if part)
    yield f"{_offsets(page, node.offset)}  {rows[0]:<{_HEX_WIDTH}}  {name}  {value}".rstrip()
    for violation in node.violations:
        yield _violation_line(page, violation.rule, violation.sentence)
    for number, row in enumerate(rows[1:], 1):
        offset = node.offset + number * _BYTES_PER_LINE
        yield f"{_offsets(page, offset)}  {row}"
    for child in node.children:
        yield from _lines(page, child, depth + 1)


def _offsets(page: _Page, offset: int) -> str:
    body = page.packet.body_start
    in_body = str(offset - body) if page.packet.header.get("body_len") and offset >= body else ""
    text = f"{offset:>{_OFFSET_WIDTH}}{in_body:>{_OFFSET_WIDTH + 1}}"
    return page.style(page.style.faint, text)


def _hex_rows(page: _Page, node: Node) -> list[str]:
    """Return the bytes of a leaf as lines; those beyond the limit are left out."""
    if node.children or node.is_group:
        return [""]
    if node.is_secret:
        return ["--"]
    shown = page.packet.raw[node.offset : node.end][: max(page.options.limit, _BYTES_PER_LINE)]
    rows = [shown[at : at + _BYTES_PER_LINE].hex(" ") for at in range(0, len(shown), _BYTES_PER_LINE)] or [""]
    if len(shown) < node.length:
        rows.append(f"... {byte_count(node.length - len(shown))} more")
    return rows


def _violation_line(page: _Page, rule: str, sentence: str) -> str:
    indent = " " * (2 * _OFFSET_WIDTH + 3)
    return indent + page.style(page.style.wrong, f"^ {rule}: {sentence}" if rule else f"^ {sentence}")

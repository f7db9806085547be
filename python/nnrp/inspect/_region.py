"""Taking bytes from the front of a region, never more than it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from nnrp.inspect._tree import Node
from nnrp.inspect._values import as_text, byte_count, describe, printable

if TYPE_CHECKING:
    from nnrp.inspect._tables import Layout

__all__ = ["ALIGNMENT", "Options", "Region", "Values", "align"]

ALIGNMENT: Final = 8
"""What blocks in bodies are padded to a multiple of."""

_CHARACTERS: Final = 8
"""Characters of a text that are shown for each byte of the limit: a text takes less room than its bytes."""

_NOTES: Final = {"rsv": "reserved", "mbz": "reserved, must be zero"}

Values: TypeAlias = dict[str, int]
"""The fields of a layout that was there as a whole."""

Seen: TypeAlias = "list[tuple[Node, Layout]]"
"""The fixed layouts that were found, for checking each by itself."""


def align(length: int) -> int:
    """Return `length`, rounded up to a multiple of `ALIGNMENT`."""
    return -(-length // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True, slots=True)
class Options:
    """How much is shown."""

    limit: int = 16
    """Bytes shown of each run, and entries of each list."""
    secrets: bool = False
    """Whether auth blocks and migration tokens are shown."""


class Region:
    """The bytes of `node` up to `end`, taken from the front; every taken part becomes a child of `node`.

    Lengths come from the peer, so they are only wishes: what is taken is what is there, and the node says
    what is missing.
    """

    def __init__(self, raw: bytes, end: int, node: Node, options: Options, seen: Seen) -> None:
        start = node.offset
        self.raw = raw
        self.start = start
        self.position = start
        self.end = max(start, min(end, len(raw)))
        self.node = node
        self.options = options
        self.seen = seen

    @property
    def remaining(self) -> int:
        """Bytes that nothing has taken yet."""
        return self.end - self.position

    def group(self, name: str, length: int, text: str = "") -> Region:
        """Take `length` bytes as a region of its own."""
        node = self.take(name, length, text)
        node.is_group = True
        return Region(self.raw, node.end, node, self.options, self.seen)

    def take(self, name: str, length: int, text: str = "") -> Node:
        """Take `length` bytes as one node."""
        found = min(length, self.remaining)
        node = Node(name, self.position, found, text)
        if found < length:
            node.note = f"{length - found} of {length} bytes are missing"
        self.position += found
        self.node.children.append(node)
        return node

    def data(self, name: str, length: int) -> Node:
        """Take `length` opaque bytes; they are shown as text too where they are text."""
        node = self.take(name, length)
        text = as_text(self.raw[node.offset : node.end])
        node.text = byte_count(node.length) + (f", {self._quote(text)}" if text else "")
        return node

    def text(self, name: str, length: int) -> Node:
        """Take `length` bytes that are a text for people; bad UTF-8 is replaced."""
        node = self.take(name, length)
        node.value = self.raw[node.offset : node.end].decode("utf-8", "replace")
        node.text = self._quote(node.value)
        return node

    def _quote(self, text: str) -> str:
        """Return the front of a text, as much as is shown."""
        shown = _CHARACTERS * self.options.limit
        return f'"{printable(text[:shown])}"' + (", cut" if len(text) > shown else "")

    def secret(self, name: str, length: int) -> Node:
        """Take `length` bytes that nobody should see who was not given them."""
        if self.options.secrets:
            return self.data(name, length)
        node = self.take(name, length)
        node.is_secret = node.length > 0
        node.text = byte_count(node.length) + (", shown with --secrets only" if node.is_secret else "")
        return node

    def padding(self, length: int) -> None:
        """Take the zeros that fill up to the next block, if there are any."""
        if length > 0:
            self.take("padding", length, "zeros").note = "padding"

    def rest(self, name: str = "unexpected bytes") -> None:
        """Take what is left, if anything."""
        if self.remaining:
            self.data(name, self.remaining)

    def more(self, count: int, length: int) -> None:
        """Take `length` bytes for `count` further entries that are not taken apart one by one."""
        self.take(f"{count} more", length, f"{byte_count(length)}, see --limit").is_group = True

    def peek(self, layout: Layout) -> Values | None:
        """Return the values of a fixed layout without taking it; nothing when it is cut."""
        if self.remaining < layout.length:
            return None
        raw = self.raw[self.position : self.position + layout.length]
        return {
            field.name: int.from_bytes(raw[field.offset : field.offset + field.size], "little")
            for field in layout.fields
        }

    def layout(self, layout: Layout, name: str = "") -> tuple[Node, Values | None]:
        """Take a fixed layout. The values are there when all of its bytes are."""
        inner = self.group(name or layout.name, layout.length)
        values: Values = {}
        for field in layout.fields:
            if inner.remaining < field.size:
                inner.rest(f"{field.name} (cut)")
                return inner.node, None
            node = inner.take(field.name, field.size)
            value = int.from_bytes(self.raw[node.offset : node.end], "little")
            node.value, node.text = value, describe(field, value)
            node.note = _NOTES.get(field.reserved or "", "")
            values[field.name] = value
        self.seen.append((inner.node, layout))
        return inner.node, values

"""What a packet is taken apart into: a tree of named runs of bytes, and the rules that are broken in them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Node", "Violation", "read_refusal"]

_PLACE: Final = re.compile(
    r"(?P<sentence>.*) \((?:(?:[A-Z_]+ )?(?P<part>header|metadata|body|extension)"
    r"(?:, (?P<field>\w+))? at offset (?P<offset>\d+), )?(?P<rule>R-[A-Z]+-\d+)\)",
    re.DOTALL,
)
"""How the native codec ends the sentence of a refusal: where it happened, and the rule."""


@dataclass(slots=True)
class Violation:
    """A rule that the packet breaks."""

    rule: str
    """The rule's id; empty when the refusal names none."""
    sentence: str
    """What is wrong, in the words of the native check."""
    offset: int
    """Where, from the first byte of the packet."""
    field: str = ""
    """The field concerned, when it is one."""


@dataclass(slots=True)
class Node:
    """A run of bytes of the packet that means one thing."""

    name: str
    offset: int
    """From the first byte of the packet."""
    length: int
    text: str = ""
    """The value for people."""
    value: int | str | list[int] | None = None
    """The value for programs: a number, a text, or tile ids; nothing for bytes and for groups."""
    note: str = ""
    """Something to know about the bytes that is not their value."""
    is_group: bool = False
    """Whether the children are all of it, so that showing its own bytes would show them twice."""
    is_secret: bool = False
    """Whether the bytes must not be shown."""
    children: list[Node] = field(default_factory=list["Node"])
    violations: list[Violation] = field(default_factory=list["Violation"])

    @property
    def end(self) -> int:
        """The offset behind the last byte."""
        return self.offset + self.length

    def walk(self) -> Iterator[Node]:
        """Yield this node and everything below it, in the order of the packet."""
        yield self
        for child in self.children:
            yield from child.walk()

    def mark(self, violation: Violation) -> None:
        """Attach `violation` to the smallest part that it is about, once."""
        place = self._place(violation)
        if not any(old.rule == violation.rule for old in place.violations):
            place.violations.append(violation)

    def _place(self, violation: Violation) -> Node:
        best, last = self, self
        for node in self.walk():
            is_here = node.offset <= violation.offset < node.end
            if node.name == violation.field and (is_here or node.offset == violation.offset):
                return node
            if is_here and node.length <= best.length:
                best = node
            if node.length and node.end == violation.offset:
                last = node
        # Bytes that are missing are missing behind the last ones that are there.
        return last if best is self else best


def read_refusal(error: ValueError) -> tuple[Violation, str]:
    """Return what a native check said, and the part its offset counts from; `header` when it names none."""
    text = str(error)
    match = _PLACE.fullmatch(text)
    if match is None:
        return Violation("", text, 0), "header"
    offset = int(match["offset"] or 0)
    return Violation(match["rule"], match["sentence"], offset, match["field"] or ""), match[
        "part"
    ] or "header"

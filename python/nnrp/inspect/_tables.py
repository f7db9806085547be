"""The protocol's tables, as the native codec has them, in a form that is quick to look things up in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from nnrp._native import codec

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CODES",
    "EXTENSIONS",
    "EXTENSION_ENTRY",
    "HEADER",
    "HEADER_LENGTH",
    "INHERIT",
    "LAYOUTS",
    "MAGIC",
    "MESSAGE_NAMES",
    "METADATA",
    "CodeTable",
    "Field",
    "Layout",
]

_TABLES: Final = codec.tables()


@dataclass(frozen=True, slots=True)
class Field:
    """One number of a fixed layout."""

    name: str
    offset: int
    size: int
    """Bytes: 1, 2, 4 or 8."""
    kind: str | None = None
    """The code table its value is from, if any."""
    reserved: str | None = None
    """`mbz` when it must be zero, `rsv` when a receiver ignores it."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A fixed layout: fields without gaps."""

    name: str
    length: int
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class CodeTable:
    """The names of an enumeration or of the bits of a mask."""

    is_mask: bool
    names: Mapping[int, str]


def _layout(row: codec._Layout) -> Layout:
    fields = tuple(
        Field(column["name"], column["offset"], column["size"], column["kind"], column["reserved"])
        for column in row["fields"]
    )
    return Layout(row["name"], row["length"], fields)


def _codes(row: codec._CodeTable, *, is_mask: bool) -> CodeTable:
    return CodeTable(is_mask, {value: name for name, value, _ in row["members"]})


HEADER: Final = _layout(_TABLES["header"])
HEADER_LENGTH: Final = HEADER.length
MAGIC: Final[bytes] = _TABLES["constants"]["HEADER_MAGIC"]

LAYOUTS: Final = {row["name"]: _layout(row) for row in _TABLES["layouts"]}
"""Metadata records and the fixed parts of bodies, by name."""

METADATA: Final = {
    message: LAYOUTS[row["name"]] for row in _TABLES["layouts"] if (message := row["message"]) is not None
}
"""The metadata of the messages that have one, by the message's name."""

EXTENSIONS: Final = {ext_type: _layout(row) for ext_type, row in _TABLES["extensions"].items()}
"""The payloads of the handshake extensions, by type."""

EXTENSION_ENTRY: Final = Layout(
    "ControlExtension",
    8,
    (
        Field("ext_type", 0, 2),
        Field("ext_flags", 2, 2, "ControlExtensionFlags"),
        Field("ext_len", 4, 4),
    ),
)
"""What an entry of an extension block starts with. The codec reads it by hand, so no table of it has one."""

CODES: Final = {row["name"]: _codes(row, is_mask=False) for row in _TABLES["enums"]} | {
    row["name"]: _codes(row, is_mask=True) for row in _TABLES["masks"]
}

MESSAGE_NAMES: Final = CODES["MessageType"].names
INHERIT: Final[int] = _TABLES["constants"]["INHERIT_LOSS_TOLERANCE"]

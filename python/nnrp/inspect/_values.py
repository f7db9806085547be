"""Numbers and bytes as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nnrp.inspect._tables import CODES, INHERIT, MAGIC

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nnrp.inspect._tables import CodeTable, Field

__all__ = ["as_text", "byte_count", "describe", "hexadecimal", "printable"]

_BIT_NAMES: Final = {
    "supported_wire_format_bitmap": ("WireFormat", 0),
    "supported_dtype_bitmap": ("TensorDType", 0),
    "accepted_dtype_bitmap": ("TensorDType", 0),
    "supported_layout_bitmap": ("TensorLayout", 0),
    "accepted_layout_bitmap": ("TensorLayout", 0),
    "cache_object_bitmap": ("CacheObjectKind", 1),
}
"""Bitmaps whose bits stand for the values of an enumeration: which one, and the value of bit 0."""

_MORE_KINDS: Final = {"loss_tolerance_policy": "LossTolerance", "detail_code": "ErrorCode"}
"""Fields that are plain numbers in their layouts because they have one value more than the enumeration."""

_EXTRA: Final = {("loss_tolerance_policy", INHERIT): "INHERIT", ("detail_code", 0): "none"}
"""That value, and what it is called."""

_HEXADECIMAL: Final = frozenset({"trace_id", "cache_key_hi", "cache_key_lo", "operation_id", "ext_type"})
"""Fields whose values are opaque, so that the digits are compared rather than counted."""

_UNITS: Final = (("_ms", " ms"), ("_us", " us"))


def hexadecimal(value: int, size: int) -> str:
    """Return `value` with all the digits that `size` bytes have."""
    return f"0x{value:0{2 * size}x}"


def byte_count(count: int) -> str:
    """Return `count` with its unit."""
    return "1 byte" if count == 1 else f"{count} bytes"


def describe(field: Field, value: int) -> str:
    """Return what `value` says in `field`: names where there are some, units, hundredths as decimals."""
    name = field.name
    if name == "magic":
        return printable(value.to_bytes(len(MAGIC), "little").decode("latin-1"))
    if field.kind is not None or name in _MORE_KINDS:
        return _named(CODES[field.kind or _MORE_KINDS[name]], field, value)
    if name in _BIT_NAMES:
        table, first = _BIT_NAMES[name]
        return _bits({1 << (code - first): label for code, label in CODES[table].names.items()}, field, value)
    return _plain(field, value)


def _plain(field: Field, value: int) -> str:
    name = field.name
    if name.endswith(("_bitmap", "_mask", "flags")) or name in _HEXADECIMAL:
        return hexadecimal(value, field.size)
    if name.endswith("_x100"):
        return f"{value // 100}.{value % 100:02d}"
    for suffix, unit in _UNITS:
        if name.endswith(suffix):
            return f"{value}{unit}"
    return str(value)


def _named(table: CodeTable, field: Field, value: int) -> str:
    if table.is_mask:
        return _bits(table.names, field, value)
    number = hexadecimal(value, field.size) if field.kind == "MessageType" else str(value)
    name = table.names.get(value) or _EXTRA.get((field.name, value), "not assigned")
    return f"{name} ({number})"


def _bits(names: Mapping[int, str], field: Field, value: int) -> str:
    number = hexadecimal(value, field.size)
    found = [label for bit, label in names.items() if value & bit]
    unknown = value & ~sum(names)
    if unknown:
        found.append(f"unknown {unknown:#x}")
    return f"{' | '.join(found)} ({number})" if found else f"none ({number})"


def printable(text: str) -> str:
    """Return `text` with everything escaped that a terminal could take for a command."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )


def as_text(data: bytes) -> str | None:
    """Return `data` as text when it looks like one: UTF-8 of printable characters and white space."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    if not text or not all(char.isprintable() or char in "\t\r\n" for char in text):
        return None
    return text

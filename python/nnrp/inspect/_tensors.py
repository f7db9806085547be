"""Tile indexes and tensor sections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from nnrp._native import codec
from nnrp.core import SectionFlags, TileIndexMode
from nnrp.inspect._region import align
from nnrp.inspect._tables import LAYOUTS
from nnrp.inspect._values import byte_count

if TYPE_CHECKING:
    from nnrp.inspect._region import Region, Values

__all__ = ["Tiles", "take_sections", "take_tile_index"]

_LENGTH_SIZE: Final = 4
"""Bytes of an entry of a length table."""

_TABLES: Final = ("codec_table_bytes", "length_table_bytes", "payload_bytes")
"""What follows a descriptor, in this order."""


@dataclass(slots=True)
class Tiles:
    """What the metadata of a frame or result says about its tiles, and the ids when they could be read."""

    mode: int
    count: int
    base: int
    sections: int
    ids: tuple[int, ...] | None = None

    @classmethod
    def of_metadata(cls, metadata: Values) -> Tiles:
        """Read the columns; a result has no mode, there the presence of the block is the mode."""
        by_presence = TileIndexMode.RAW_U16 if metadata["tile_index_bytes"] else TileIndexMode.DENSE_RANGE
        mode = metadata.get("tile_index_mode", int(by_presence))
        return cls(mode, metadata["tile_count"], metadata["tile_base_id"], metadata["section_count"])

    def name_of(self, index: int) -> str:
        """Return what the tile at `index` is called."""
        known = self.ids is not None and index < len(self.ids)
        return f"tile {self.ids[index]}" if self.ids is not None and known else f"tile #{index}"


def take_tile_index(region: Region, length: int, tiles: Tiles) -> None:
    """Take a tile index block and show the ids in it."""
    node = region.take("tile_index_block", length)
    limit = region.options.limit
    try:
        tiles.ids = codec.decode_tile_index(
            region.raw[node.offset : node.end], tiles.mode, tiles.count, tiles.base
        )
    except ValueError:  # the check of the whole packet says why
        node.text = byte_count(node.length)
        return
    node.value = list(tiles.ids)
    shown = ", ".join(map(str, tiles.ids[:limit])) or "no tiles"
    rest = len(tiles.ids) - limit
    node.text = f"{TileIndexMode(tiles.mode).name}: {shown}" + (f", {rest} more" if rest > 0 else "")


def take_sections(region: Region, tiles: Tiles) -> None:
    """Take the sections of `region`, which start at multiples of 8 bytes from its start, and what is left."""
    for index in range(tiles.sections):
        offset = region.position - region.start
        region.padding(min(align(offset) - offset, region.remaining))
        if not region.remaining:
            return
        if index == region.options.limit:
            region.more(tiles.sections - index, region.remaining)
            return
        _take_section(region, index, tiles)
    region.rest()


def _take_section(region: Region, index: int, tiles: Tiles) -> None:
    layout = LAYOUTS["TensorSectionDesc"]
    desc = region.peek(layout)
    tables = sum(desc[name] for name in _TABLES) if desc else 0
    section = region.group(f"section {index}", min(layout.length + tables, region.remaining))
    section.layout(layout, "descriptor")
    if desc is None:
        return
    if desc["codec_table_bytes"]:
        codecs = section.take("codec_table", desc["codec_table_bytes"])
        codecs.value = list(section.raw[codecs.offset : codecs.end][: region.options.limit])
        codecs.text = _listed(codecs.value, codecs.length, region.options.limit)
    lengths = _take_lengths(section, desc["length_table_bytes"])
    payload = section.group("payload", desc["payload_bytes"], byte_count(desc["payload_bytes"]))
    _take_tiles(payload, lengths, desc, tiles)


def _take_lengths(section: Region, length: int) -> list[int]:
    """Take a length table; only as many entries are read as are shown."""
    table = section.take("length_table", length)
    shown = section.raw[table.offset : table.end][: _LENGTH_SIZE * section.options.limit]
    whole = len(shown) - len(shown) % _LENGTH_SIZE
    lengths = [
        int.from_bytes(shown[at : at + _LENGTH_SIZE], "little") for at in range(0, whole, _LENGTH_SIZE)
    ]
    table.value = lengths
    table.text = _listed(lengths, table.length // _LENGTH_SIZE, section.options.limit)
    return lengths


def _listed(values: list[int], count: int, limit: int) -> str:
    rest = f", {count - limit} more" if count > limit else ""
    return (", ".join(map(str, values)) or "none") + rest


def _take_tiles(payload: Region, lengths: list[int], desc: Values, tiles: Tiles) -> None:
    """Take the bytes of each tile; with a fixed stride, each is followed by the unused part of its slot."""
    stride = desc["payload_stride_bytes"] if desc["flags"] & SectionFlags.FIXED_STRIDE else 0
    count = desc["length_table_bytes"] // _LENGTH_SIZE
    for index, length in enumerate(lengths):
        payload.data(tiles.name_of(index), min(length, stride) if stride else length)
        if stride:
            payload.padding(min(stride - length, payload.remaining))
    if payload.remaining and count > len(lengths):
        payload.more(count - len(lengths), payload.remaining)
    payload.rest()

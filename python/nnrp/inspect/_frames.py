"""The bodies of FRAME_SUBMIT and RESULT_PUSH."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nnrp.core import CacheObjectKind, PayloadKind, SubmitMode
from nnrp.inspect._region import align
from nnrp.inspect._tables import CODES, LAYOUTS
from nnrp.inspect._tensors import Tiles, take_sections, take_tile_index

if TYPE_CHECKING:
    from nnrp.inspect._region import Region, Values
    from nnrp.inspect._tables import Layout

__all__ = ["take_frame_body"]


def take_frame_body(body: Region, metadata: Values | None) -> None:
    """Take the body apart in the layout that follows from the metadata."""
    if metadata is None:  # nothing says what the body holds
        body.rest("body")
        return
    match _layout_of(metadata, body.remaining):
        case "plain":
            body.node.text = "plain layout: no prelude, tensors only"
            _take_plain(body, metadata)
        case "composed":
            body.node.text = "composed layout: prelude and six regions"
            _take_composed(body, metadata)
        case "empty":
            body.node.text = "no payload"
        case _:
            body.node.text = "skipped: a result without announced payload"
            body.rest()


def _layout_of(metadata: Values, body_length: int) -> str:
    kinds = metadata["payload_kind_bitmap"]
    has_references = metadata.get("submit_mode", SubmitMode.INLINE) or metadata.get("object_ref_mask", 0)
    if metadata["payload_frame_count"] or has_references:
        return "composed"
    if kinds == PayloadKind.TENSOR:
        return "plain"
    if not kinds & PayloadKind.TENSOR and not body_length:
        return "empty"
    is_result = "submit_mode" not in metadata
    return "skipped" if is_result and not kinds else "composed"


def _take_plain(body: Region, metadata: Values) -> None:
    tiles = Tiles.of_metadata(metadata)
    camera = metadata.get("camera_bytes", 0)
    if camera:
        body.data("camera_block", camera)
        body.padding(min(align(camera) - camera, body.remaining))
    take_tile_index(body, metadata["tile_index_bytes"], tiles)
    take_sections(body, tiles)


def _take_composed(body: Region, metadata: Values) -> None:
    _, prelude = body.layout(LAYOUTS["BodyRegionPrelude"], "prelude")
    if prelude is None:
        return
    if prelude["inline_object_bytes"]:
        objects = body.group("inline objects", prelude["inline_object_bytes"])
        _take_inline_objects(objects, metadata)
    if prelude["object_reference_bytes"]:
        references = body.group("object references", prelude["object_reference_bytes"])
        _take_all(references, LAYOUTS["ObjectReferenceBlock"], "reference")
    for name, layout, descriptor_bytes, payload_bytes in (
        (
            "typed payload",
            LAYOUTS["TypedPayloadDescriptor"],
            prelude["typed_payload_descriptor_bytes"],
            prelude["typed_payload_frame_bytes"],
        ),
        (
            "extension frame",
            LAYOUTS["ExtensionFrameDescriptor"],
            prelude["extension_descriptor_bytes"],
            prelude["extension_payload_bytes"],
        ),
    ):
        found: list[Values] = []
        if descriptor_bytes:
            found = _take_all(body.group(f"{name} descriptors", descriptor_bytes), layout, name)
        if payload_bytes:
            _take_payloads(body.group(f"{name} bytes", payload_bytes), found, name)
    body.rest()


def _take_inline_objects(region: Region, metadata: Values) -> None:
    tiles = Tiles.of_metadata(metadata)
    layout = LAYOUTS["InlineObjectBlockHeader"]
    for index in range(region.options.limit):
        if not region.remaining:
            return
        header = region.peek(layout)
        length = header["object_bytes"] if header else 0
        block = region.group(f"inline object {index}", min(layout.length + align(length), region.remaining))
        block.layout(layout, "header")
        if header is None:
            return
        match header["object_kind"]:
            case CacheObjectKind.TILE_INDEX_BLOCK:
                take_tile_index(block, length, tiles)
            case CacheObjectKind.TENSOR_SECTION_TABLE:
                take_sections(block.group("tensor_section_table", length), tiles)
            case kind:
                block.data(CODES["CacheObjectKind"].names.get(kind, "object").lower(), length)
        block.padding(block.remaining)
    region.rest("more inline objects")


def _take_all(region: Region, layout: Layout, name: str) -> list[Values]:
    """Take as many records as there are; those beyond the limit together."""
    found: list[Values] = []
    while region.remaining and len(found) < region.options.limit:
        _, values = region.layout(layout, f"{name} {len(found)}")
        if values is None:
            return found
        found.append(values)
    if region.remaining:
        region.more(region.remaining // layout.length, region.remaining)
    return found


def _take_payloads(region: Region, descriptors: list[Values], name: str) -> None:
    """Take the payloads that the descriptors point to; what lies between and behind them is unused."""
    for index, values in enumerate(descriptors):
        at = region.start + values["payload_offset"]
        if not region.position <= at <= region.end:
            continue
        if at > region.position:
            region.data("unused bytes", at - region.position)
        kind = CODES["PayloadKind"].names.get(values.get("payload_kind", 0))
        region.data(f"{name} {index}" + (f" {kind}" if kind else ""), values["payload_length"])
    region.rest("unused bytes")

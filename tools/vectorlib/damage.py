"""Damaged packets: one defect each, placed where the layout says, and seeded bit flips on top."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

from nnrp import core
from nnrp.core import MessageType

from vectorlib.judge import METADATA, align8
from vectorlib.vector import Vector

HEADER = 40
SIZES = {1: "<B", 2: "<H", 4: "<I", 8: "<Q"}

# Message, field, offset in the metadata, size, values that are not allowed or not expected there.
METADATA_DAMAGE: tuple[tuple[str, str, int, int, tuple[int, ...]], ...] = (
    ("client_hello", "supported_payload_kind_bitmap", 8, 4, (0x80, 0xFFFFFFFF)),
    ("client_hello", "auth_bytes", 56, 4, (1, 0xFFFFFFFF)),
    ("client_hello", "control_extension_bytes", 60, 4, (1, 8, 0xFFFFFFFF)),
    ("server_hello_ack", "reserved0", 3, 1, (1,)),
    ("server_hello_ack", "control_extension_bytes", 72, 4, (1, 8, 0x80000000)),
    ("session_patch", "reserved0", 2, 2, (1,)),
    ("session_patch", "patch_mask", 4, 4, (0x80, 0xFFFFFFFF)),
    ("session_patch", "profile_patch_bytes", 32, 4, (8, 15, 16, 17, 0xFFFFFFFF)),
    ("session_patch_ack", "ack_status", 0, 2, (3, 0xFFFF)),
    ("session_patch_ack", "reject_reason", 2, 2, (6, 0xFFFF)),
    ("session_patch_ack", "profile_patch_ack_bytes", 44, 4, (8, 16, 32)),
    ("error", "error_code", 0, 4, (0, 0xFFFF)),
    ("error", "error_scope", 4, 4, (3, 0xFFFFFFFF)),
    ("error", "is_fatal", 8, 4, (2,)),
    ("error", "diagnostic_bytes", 28, 4, (1, 0xFFFFFFFF)),
    ("frame_submit", "tile_count", 8, 2, (0, 1, 0xFFFF)),
    ("frame_submit", "section_count", 10, 2, (0, 1, 3, 0xFFFF)),
    ("frame_submit", "frame_class", 12, 1, (4, 255)),
    ("frame_submit", "input_profile", 13, 1, (3, 255)),
    ("frame_submit", "tile_index_mode", 14, 1, (4, 255)),
    ("frame_submit", "reserved1", 36, 8, (1,)),
    ("frame_submit", "tile_base_id", 24, 4, (65534, 0xFFFFFFFF)),
    ("frame_submit", "camera_bytes", 28, 4, (1, 9, 0xFFFFFFFF)),
    ("frame_submit", "tile_index_bytes", 32, 4, (0, 1, 0xFFFFFFFF)),
    ("frame_submit", "submit_mode", 52, 1, (1, 2, 3)),
    ("frame_submit", "budget_policy", 53, 1, (0x10, 0x80)),
    ("frame_submit", "loss_tolerance_policy", 54, 1, (4, 254)),
    ("frame_submit", "object_ref_mask", 56, 4, (1, 8, 16, 0xFFFFFFFF)),
    ("frame_submit", "payload_kind_bitmap", 64, 4, (0, 2, 3, 0x80)),
    ("frame_submit", "payload_frame_count", 68, 2, (1, 0xFFFF)),
    ("result_push", "result_flags", 2, 2, (8, 4)),
    ("result_push", "section_count", 4, 2, (0, 1, 3)),
    ("result_push", "tile_count", 6, 2, (0, 1, 0xFFFF)),
    ("result_push", "tile_index_bytes", 24, 4, (0, 5, 0xFFFFFFFF)),
    ("result_push", "reserved2", 28, 8, (1,)),
    ("result_push", "result_class", 44, 1, (1, 4, 255)),
    ("result_push", "applied_budget_policy", 45, 1, (0x10, 0xF0)),
    ("result_push", "covered_tile_count", 52, 2, (0, 0xFFFF)),
    ("result_push", "payload_kind_bitmap", 56, 4, (0, 2, 3, 0x80)),
    ("result_push", "payload_frame_count", 60, 2, (1, 0xFFFF)),
    ("cache_put", "object_kind", 12, 4, (0, 10, 0x10001)),
    ("cache_put", "object_bytes", 20, 4, (1, 0xFFFFFFFF)),
    ("cache_put", "flags", 28, 4, (4, 0xFFFFFFFF)),
    ("cache_ack", "status", 12, 4, (3,)),
    ("cache_invalidate", "invalidate_scope", 0, 4, (4, 0xFFFFFFFF)),
    ("flow_update", "scope_kind", 0, 1, (3, 255)),
    ("flow_update", "update_reason", 1, 1, (5, 255)),
    ("flow_update", "backpressure_level", 2, 1, (3, 255)),
    ("flow_update", "connection_credit", 4, 2, (1,)),
    ("flow_update", "session_credit", 6, 2, (1,)),
    ("flow_update", "operation_credit", 8, 2, (1,)),
    ("flow_update", "operation_id", 12, 8, (0, 1)),
    ("flow_update", "retry_after_ms", 20, 4, (1,)),
    ("flow_update", "flow_flags", 28, 4, (0, 16, 0x80000000)),
    ("result_hint", "applied_budget_policy", 0, 4, (5, 256)),
    ("result_hint", "congestion_state", 4, 4, (4, 256)),
    ("result_hint", "reason", 8, 4, (5, 0xFFFFFFFF)),
    ("transport_probe", "probe_payload_bytes", 4, 4, (2, 0xFFFFFFFF)),
    ("session_migrate", "old_transport_id", 0, 4, (0, 3)),
    ("session_migrate", "new_transport_id", 4, 4, (0, 3, 0xFFFFFFFF)),
)

# Field, offset, size, values: layouts inside bodies.
PRELUDE = (
    *((f"region{n}", n * 4, 4, (1, 16, 0xFFFFFFF0)) for n in range(6)),
    ("body_flags", 24, 4, (1,)),
    ("reserved", 28, 4, (1,)),
)
INLINE = (
    ("object_kind", 0, 2, (0, 10, 0xFFFF)),
    ("object_flags", 2, 2, (1,)),
    ("reserved0", 6, 2, (1,)),
    ("object_bytes", 8, 4, (0, 1, 0xFFFFFFFF)),
    ("reserved1", 12, 4, (1,)),
)
REFERENCE = (("object_kind", 0, 2, (0, 2, 7, 10)), ("ref_flags", 2, 2, (1,)))
TYPED = (
    ("payload_kind", 0, 1, (0, 1, 3, 0x40, 0x80)),
    ("descriptor_flags", 1, 1, (1,)),
    ("payload_offset", 4, 4, (1, 0xFFFFFFFF)),
    ("payload_length", 8, 4, (0, 0xFFFFFFFF)),
    ("reserved", 12, 4, (1,)),
)
EXTENSION_FRAME = (
    ("extension_flags", 2, 2, (2, 3, 0x8000)),
    ("extension_kind", 0, 2, (8,)),
    ("reserved0", 6, 2, (1,)),
    ("payload_offset", 8, 4, (1, 0xFFFFFFFF)),
    ("payload_length", 12, 4, (0, 0xFFFFFFFF)),
)
SECTION = (
    ("role_id", 0, 2, (0xFFFF,)),
    ("dtype_id", 3, 1, (8, 255)),
    ("layout_id", 4, 1, (2,)),
    ("scale_policy", 5, 1, (3,)),
    ("flags", 6, 2, (1, 2, 4)),
    ("codec_table_bytes", 12, 4, (1, 0xFFFFFFFF)),
    ("length_table_bytes", 16, 4, (0, 4, 0xFFFFFFFF)),
    ("payload_bytes", 20, 4, (0, 0xFFFFFFFF)),
    ("payload_stride_bytes", 24, 4, (0, 1, 3)),
    ("reserved", 28, 4, (1,)),
    ("length0", 32, 4, (0xFFFFFFFF, 1, 0)),
)
CONTROL_EXTENSION = (
    ("ext_type", 0, 2, (0x0102, 0x0103, 0)),
    ("ext_flags", 2, 2, (1, 2)),
    ("ext_len", 4, 4, (0, 7, 9, 0xFFFFFFFF)),
    ("payload", 8, 1, (5, 0xFF)),
    ("payload1", 9, 1, (1,)),
    ("payload4", 12, 4, (3, 0x80, 0xFFFFFFFF)),
)


@dataclass(frozen=True)
class Damaged:
    """A damaged packet and what was done to it."""

    vector: Vector
    defect: str


def put(vector: Vector, where: str, offset: int, size: int, value: int) -> Iterator[Damaged]:
    """Replace one number, unless it is that already or lies outside."""
    raw = bytearray(vector.raw)
    if offset + size > len(raw):
        return
    new = struct.pack(SIZES[size], value & (1 << 8 * size) - 1)
    if raw[offset : offset + size] == new:
        return
    raw[offset : offset + size] = new
    yield Damaged(replace(vector, raw=bytes(raw)), f"{where} = {value}")


def fields(
    vector: Vector, layout: str, start: int, table: tuple[tuple[str, int, int, tuple[int, ...]], ...]
) -> Iterator[Damaged]:
    """Damage every field of a layout that starts at ``start``."""
    for name, offset, size, values in table:
        for value in values:
            yield from put(vector, f"{layout}.{name}", start + offset, size, value)


def body_start(vector: Vector) -> int:
    """Offset of the body in the packet."""
    (length,) = struct.unpack_from("<I", vector.raw, 12)
    return HEADER + int(length)


def header_damage(vector: Vector) -> Iterator[Damaged]:
    """Damage the header and the outer lengths."""
    raw = vector.raw
    meta_len, body_len = struct.unpack_from("<II", raw, 12)
    for name, offset, size, values in (
        ("magic", 0, 4, (0x50524E4E,)),
        ("version_major", 4, 1, (0, 2, 255)),
        ("wire_format", 5, 1, (1, 255)),
        ("msg_type", 6, 1, (0, 7, 0x1D, 0x22, 255)),
        ("header_len", 7, 1, (0, 39, 48)),
        ("flags", 8, 4, (0x40, 0xFFFFFFFF)),
        ("meta_len", 12, 4, (meta_len + 4, max(meta_len - 4, 0), 0xFFFFFFFF)),
        ("body_len", 16, 4, (body_len + 1, 0xFFFFFFFF)),
    ):
        for value in values:
            yield from put(vector, f"header.{name}", offset, size, value)
    for length in sorted({0, 1, 39, 40, HEADER + meta_len - 1, len(raw) - 1} - {len(raw)}):
        if 0 <= length < len(raw):
            yield Damaged(replace(vector, raw=raw[:length]), f"cut to {length}")
    yield Damaged(replace(vector, raw=raw + b"\0"), "one byte more")
    yield Damaged(replace(vector, raw=raw + raw), "twice")
    shifted = (
        struct.pack("<II", meta_len + 1, body_len - 1) if body_len else struct.pack("<II", meta_len - 1, 1)
    )
    yield Damaged(replace(vector, raw=raw[:12] + shifted + raw[20:]), "border between metadata and body")
    swapped = struct.pack(">II", meta_len, body_len)
    yield Damaged(replace(vector, raw=raw[:12] + swapped + raw[20:]), "lengths big-endian")


def resize_body(vector: Vector, change: int, what: str) -> Damaged:
    """Lengthen or shorten the body; the header says so too."""
    body_len = len(vector.raw) - body_start(vector) + change
    raw = vector.raw + b"\0" * change if change > 0 else vector.raw[:change]
    return Damaged(replace(vector, raw=raw[:16] + struct.pack("<I", body_len) + raw[20:]), what)


def region_starts(vector: Vector) -> list[int]:
    """Offsets of the six regions of a composed body."""
    start = body_start(vector)
    lengths = struct.unpack_from("<6I", vector.raw, start)
    starts = [start + 32]
    for length in lengths[:-1]:
        starts.append(starts[-1] + length)
    return starts


def section_start(vector: Vector) -> int:
    """Offset of the first section of a plain body."""
    metadata = METADATA[MessageType(vector.raw[6])].unpack(vector.raw[HEADER : body_start(vector)])
    camera = getattr(metadata, "camera_bytes", 0)
    return body_start(vector) + align8(align8(camera) + metadata.tile_index_bytes)


def every_nth(damaged: Iterator[Damaged], random: Random, share: float) -> Iterator[Damaged]:
    """A seeded part of what is there."""
    return (one for one in damaged if random.random() < share)


def all_damaged(vectors: list[Vector], random: Random) -> list[Damaged]:
    """Damaged packets in a fixed order."""
    found: list[Damaged] = []
    named = {vector.name: vector for vector in vectors}
    small = [vector for vector in vectors if len(vector.raw) < 600]
    for vector in random.sample(small, 12):
        found += every_nth(header_damage(vector), random, 0.4)
    for message, field, offset, size, values in METADATA_DAMAGE:
        candidates = [vector for vector in small if vector.name.startswith(f"{message}-")]
        for value in values:
            chosen = random.choice(candidates)
            found += put(chosen, f"metadata.{field}", HEADER + offset, size, value)
    for name in ("client_hello-all-three", "server_hello_ack-all-three", "client_hello-padding-3"):
        vector = named[name]
        found += fields(vector, "control_extension", body_start(vector), CONTROL_EXTENSION)
        found += fields(vector, "second_extension", body_start(vector) + 16, CONTROL_EXTENSION)
        found += put(vector, "extension padding", body_start(vector) + 12, 1, 1)
    for name in (
        "frame_submit-plain-raw_u16-camera",
        "frame_submit-stride-mixed-codec",
        "result_push-plain-fp32",
    ):
        vector = named[name]
        found += fields(vector, "section", section_start(vector), SECTION)
        found += put(vector, "tile index", section_start(vector) - 8, 1, 0xFF)
        found.append(resize_body(vector, 1, "body one byte longer"))
        found.append(resize_body(vector, 8, "body eight bytes longer"))
        found.append(resize_body(vector, -1, "body one byte shorter"))
        found.append(resize_body(vector, -20, "body twenty bytes shorter"))
    for name in (
        "frame_submit-mixed-bitset",
        "frame_submit-extension-frames",
        "frame_submit-table-by-reference",
        "result_push-mixed-dense_range",
        "result_push-by-reference",
    ):
        vector = named[name]
        starts = region_starts(vector)
        found += fields(vector, "prelude", body_start(vector), PRELUDE)
        for layout, table, region in (
            ("inline", INLINE, 0),
            ("reference", REFERENCE, 1),
            ("typed", TYPED, 2),
            ("extension_frame", EXTENSION_FRAME, 4),
        ):
            following = starts[region + 1]
            if following > starts[region]:
                found += fields(vector, layout, starts[region], table)
        found.append(resize_body(vector, 1, "body one byte longer"))
        found.append(resize_body(vector, -1, "body one byte shorter"))
    for mode in core.TileIndexMode:
        vector = named[f"frame_submit-plain-{mode.name.lower()}-index-only"]
        for value in (0, 1, 0x80, 0xFF):
            found += put(vector, "tile index byte 2", body_start(vector) + 2, 1, value)
        found.append(resize_body(vector, 2, "tile index two bytes longer"))
    for _ in range(150):
        vector = random.choice(small)
        bit = random.randrange(len(vector.raw) * 8)
        raw = bytearray(vector.raw)
        raw[bit // 8] ^= 1 << bit % 8
        found.append(Damaged(replace(vector, raw=bytes(raw)), f"bit {bit} flipped"))
    return found

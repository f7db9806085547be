"""Whole packets: taking one apart, and marking what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nnrp._native import codec
from nnrp.inspect._control import BODIES, EXTENSIONS_NAME, SECRET_MESSAGES
from nnrp.inspect._frames import take_frame_body
from nnrp.inspect._region import Options, Region, Seen, Values
from nnrp.inspect._tables import EXTENSIONS, HEADER, HEADER_LENGTH, LAYOUTS, MAGIC, MESSAGE_NAMES, METADATA
from nnrp.inspect._tree import Node, Violation, read_refusal
from nnrp.inspect._values import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Packet", "dissect", "split"]


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet that was taken apart, as far as its bytes go."""

    raw: bytes
    root: Node
    """Its children are `header`, `metadata` and `body`, each as far as it is there."""
    message: str
    """The message's name; empty when the header does not say one."""
    header: Values
    """The header's fields; empty when it is cut."""

    @property
    def body_start(self) -> int:
        """Where the body starts, from the first byte of the packet."""
        return HEADER_LENGTH + self.header.get("meta_len", 0)

    @property
    def violations(self) -> list[Violation]:
        """Every violation that is marked in the tree, in the order of the packet."""
        return [violation for node in self.root.walk() for violation in node.violations]


def split(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield packets that lie back to back, each with its offset.

    The last one may be cut. Bytes that are no packet are yielded up to the next magic number, so that what
    follows damage is still found.
    """
    position = 0
    while position < len(data):
        if data.startswith(MAGIC, position):
            header = data[position : position + HEADER_LENGTH]
            end = position + _announced_length(header)
        else:
            found = data.find(MAGIC, position + 1)
            end = found if found > 0 else len(data)
        yield position, data[position:end]
        position = end


def _announced_length(header: bytes) -> int:
    """Return how long a packet is according to its header, of which the end may be missing."""
    lengths = [field for field in HEADER.fields if field.name in ("meta_len", "body_len")]
    parts = (int.from_bytes(header[field.offset : field.offset + field.size], "little") for field in lengths)
    return HEADER_LENGTH + sum(parts)


def dissect(raw: bytes, options: Options | None = None) -> Packet:
    """Take one packet apart. Nothing is raised, whatever the bytes are.

    Args:
        raw: the packet. Bytes that are missing or too many are marked like everything else that is wrong.
        options: how much is kept for showing.

    """
    options = options or Options()
    seen: Seen = []
    root = Node("packet", 0, len(raw), is_group=True)
    whole = Region(raw, len(raw), root, options, seen)
    refusal = _header_refusal(raw)
    if not raw.startswith(MAGIC):
        return _no_packet(whole, refusal)
    node, header = whole.layout(HEADER, "header")
    if header is None:
        root.mark(_too_short(raw))
        return Packet(raw, root, "", {})
    if refusal is not None:
        node.mark(refusal)
    packet = Packet(raw, root, MESSAGE_NAMES.get(header["msg_type"], ""), header)
    _take_parts(whole, packet)
    if whole.remaining:
        count = whole.remaining
        whole.secret("bytes after the packet", count)
        root.mark(Violation("R-PKT-3", f"there are {count} bytes after the packet", whole.position - count))
    missing = _announced_length(raw) - len(raw)
    if missing > 0:
        sentence = f"the header announces {len(raw) + missing} bytes, {missing} of them are missing"
        root.mark(Violation("R-PKT-3", sentence, 0))
    if refusal is None and packet.message:
        _mark_body_rules(packet, is_cut=missing > 0)
    _mark_layout_rules(packet, seen)
    return packet


def _no_packet(whole: Region, refusal: Violation | None) -> Packet:
    """Show bytes that do not start like a packet; they may be anything, credentials included."""
    node = whole.take("magic", min(len(MAGIC), whole.remaining))
    node.text = printable(whole.raw[: node.end].decode("latin-1"))
    node.mark(refusal or _too_short(whole.raw))
    if whole.remaining:
        whole.secret("bytes that are no packet", whole.remaining)
    return Packet(whole.raw, whole.node, "", {})


def _too_short(raw: bytes) -> Violation:
    return Violation("R-PKT-3", f"expected at least {HEADER_LENGTH} bytes, got {len(raw)}", 0)


def _header_refusal(raw: bytes) -> Violation | None:
    """Return what is wrong with the header; nothing when it is good, or too short to say."""
    if len(raw) < HEADER_LENGTH:
        return None
    try:
        codec.check_header(raw[:HEADER_LENGTH])
    except ValueError as error:
        violation, _ = read_refusal(error)
        if not violation.field:  # the check of the type comes after the layout's and names no place
            field = next(field for field in HEADER.fields if field.name == "msg_type")
            violation.field, violation.offset = field.name, field.offset
        return violation
    return None


def _take_parts(whole: Region, packet: Packet) -> None:
    """Take metadata and body, which are as long as the header says."""
    metadata: Values | None = None
    meta_len, body_len = packet.header["meta_len"], packet.header["body_len"]
    layout = METADATA.get(packet.message)
    if meta_len:
        part = whole.group("metadata", meta_len, layout.name if layout else "")
        if layout is None:
            part.secret("metadata bytes", part.remaining)
        else:
            _, metadata = part.layout(layout)
            _flatten(part.node)
            if part.remaining:
                _rest(part, packet.message, "bytes after the metadata")
    if not body_len:
        if packet.message in ("FRAME_SUBMIT", "RESULT_PUSH"):
            take_frame_body(whole.group("body", 0), metadata)
        return
    body = whole.group("body", body_len)
    if packet.message in ("FRAME_SUBMIT", "RESULT_PUSH"):
        take_frame_body(body, metadata)
    elif packet.message in BODIES:
        BODIES[packet.message](body, metadata)
    else:
        _rest(body, packet.message, "unexpected bytes")


def _rest(part: Region, message: str, name: str) -> None:
    """Take bytes that no table explains."""
    if message in SECRET_MESSAGES or not message:
        part.secret(name, part.remaining)
    else:
        part.rest(name)


def _flatten(part: Node) -> None:
    """Show the fields of the metadata as children of the part, which has the layout's name already."""
    layout = part.children[0]
    part.note = part.note or layout.note
    part.children = layout.children


def _mark_body_rules(packet: Packet, *, is_cut: bool) -> None:
    """Mark the first rule that the packet as a whole breaks; of a cut packet nobody can say."""
    if is_cut:
        return
    start, end = packet.body_start, packet.body_start + packet.header["body_len"]
    raw = packet.raw
    try:
        codec.check_message(
            packet.header["msg_type"], packet.header["session_id"], raw[HEADER_LENGTH:start], raw[start:end]
        )
    except ValueError as error:
        violation, part = read_refusal(error)
        if part == "extension":
            violation.offset += _extension_base(packet, violation)
        else:
            violation.offset += {"header": 0, "metadata": HEADER_LENGTH, "body": start}[part]
        packet.root.mark(violation)


def _extension_base(packet: Packet, violation: Violation) -> int:
    """Return what an offset in an extension counts from: the payload that is refused, else the block."""
    block = next((node for node in packet.root.walk() if node.name == EXTENSIONS_NAME), None)
    if block is None:
        return packet.body_start
    for entry in block.children if violation.rule.startswith("R-HX") else ():
        ext_type = entry.children[0].children[0].value if entry.children else None
        payload = entry.children[1] if len(entry.children) > 1 else None
        if payload is not None and isinstance(ext_type, int) and ext_type in EXTENSIONS:
            try:
                codec.check_extension(ext_type, ext_type, packet.raw[payload.offset : payload.end])
            except ValueError:
                return payload.offset
    return block.offset


def _mark_layout_rules(packet: Packet, seen: Seen) -> None:
    """Mark what the fixed layouts of a refused packet break each by itself: the first rule is not always all.

    A packet that was accepted is not looked at again, for some messages are read more leniently than their
    layouts are.
    """
    if not packet.violations or packet.message == "ERROR":
        return
    for node, layout in seen:
        if layout.name not in LAYOUTS or node.length != layout.length:
            continue
        try:
            codec.check_metadata(layout.name, packet.raw[node.offset : node.end])
        except ValueError as error:
            violation, _ = read_refusal(error)
            violation.offset += node.offset
            packet.root.mark(violation)

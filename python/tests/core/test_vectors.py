"""The golden packets: decoded to the listed values, encoded to the listed bytes, damage refused."""

import contextlib
import inspect
import json
from pathlib import Path

import pytest

from nnrp import core
from nnrp._native import codec
from nnrp.core import MessageType, NnrpPacket, PayloadKind, TensorSectionData, TypedPayloadFrame

VECTORS = Path(__file__).resolve().parents[3] / "vectors"
VALID = json.loads((VECTORS / "valid.json").read_text())["vectors"]
INVALID = json.loads((VECTORS / "invalid.json").read_text())["vectors"]
HEADER = (
    "msg_type",
    "flags",
    "meta_len",
    "body_len",
    "session_id",
    "frame_id",
    "view_id",
    "route_id",
    "trace_id",
)
CLASSES = {layout["message"]: getattr(core, layout["name"]) for layout in codec.tables()["layouts"]}
KNOWN_TYPES = {
    MessageType.CLIENT_HELLO: {
        0x0101: core.parse_client_hello_transport_policy_extension,
        0x0103: core.parse_client_hello_loss_tolerance_extension,
        0x0105: core.parse_client_hello_payload_capabilities_extension,
    },
    MessageType.SERVER_HELLO_ACK: {
        0x0102: core.parse_server_hello_ack_transport_policy_extension,
        0x0104: core.parse_server_hello_ack_loss_tolerance_extension,
        0x0106: core.parse_server_hello_ack_payload_capabilities_extension,
    },
}


def decode(raw, known):
    """Everything that the public functions say about a packet."""
    packet = NnrpPacket.unpack(raw)
    kind = packet.header.msg_type
    cls = CLASSES.get(kind.name)
    metadata = cls.unpack(packet.metadata) if cls else None
    body = None
    if kind in (MessageType.FRAME_SUBMIT, MessageType.RESULT_PUSH):
        body = core.unpack_body(packet, known_extension_kinds=set(known))
    else:
        codec.check_message(kind, packet.header.session_id, packet.metadata, packet.body)
    if kind in KNOWN_TYPES:
        parsers = KNOWN_TYPES[kind]
        block = packet.body[: metadata.control_extension_bytes]
        for entry in core.unpack_control_extension_block(block, known_types=set(parsers)):
            parsers[entry.ext_type](entry)
    return packet, metadata, body


@pytest.mark.parametrize("vector", VALID, ids=lambda vector: vector["name"])
def test_valid(vector):
    raw = bytes.fromhex(vector["hex"])
    packet, metadata, body = decode(raw, vector.get("known", ()))
    assert [int(getattr(packet.header, name)) for name in HEADER] == vector["header"]
    assert packet.pack() == raw
    if metadata is not None:
        assert {name: int(getattr(metadata, name)) for name in vector["metadata"]} == vector["metadata"]
        assert metadata.pack() == packet.metadata
    if body is not None and "frame" in vector:
        check_frame(vector["frame"], body)


def check_frame(frame, body):
    assert body.camera_block.hex() == frame.get("camera", "")
    assert [payload(p) for p in body.typed_payloads] == frame.get("typed", [])
    if "sections" in frame:
        assert [section.to_data() for section in body.tensor_body.sections] == [
            section(row) for row in frame["sections"]
        ]
    if "references" in frame:
        region = core.unpack_object_reference_blocks(body.body_view.object_reference_region)
        assert [[int(b.object_kind), b.cache_namespace, b.cache_key_hi, b.cache_key_lo] for b in region] == [
            list(row) for row in frame["references"]
        ]


def payload(frame):
    return [int(frame.payload_kind), frame.profile_id, frame.payload.hex()]


def section(row):
    role, codec_id, dtype, layout, scale, elements, stride, codecs, tiles = row
    return TensorSectionData(
        role_id=role,
        default_codec_id=codec_id,
        dtype_id=dtype,
        tile_payloads=tuple(map(bytes.fromhex, tiles)),
        codec_ids=tuple(bytes.fromhex(codecs)),
        layout_id=layout,
        scale_policy=scale,
        payload_stride_bytes=stride,
        element_count_per_tile=elements,
    )


REFERENCES = {1: "camera_reference", 2: "tile_index_reference", 3: "tensor_section_table_reference"}
# Metadata that a builder works out by itself, or that the packet's header has.
DERIVED = {"tile_count", "section_count", "camera_bytes", "tile_index_bytes", "payload_frame_count"}


def builder_call(packet, metadata, body, frame):
    """The builder for a packet and its arguments, or `None` when no builder makes such a packet."""
    message = packet.header.msg_type.name.lower()
    typed = [
        TypedPayloadFrame(kind, bytes.fromhex(data), profile)
        for kind, profile, data in frame.get("typed", [])
    ]
    references = frame.get("references", [])
    has_tensor = bool(metadata.payload_kind_bitmap & PayloadKind.TENSOR)
    objects = core.unpack_inline_object_blocks(body.body_view.inline_object_region) if body.body_view else ()
    if (
        "extensions" in frame
        or any(getattr(metadata, name) for name in type(metadata).__slots__ if name.startswith("reserved"))
        or (packet.body and not body.body_view and not has_tensor)
        or (typed and references)
        or any(kind not in REFERENCES for kind, *_ in references)
        or any(view.header.object_kind > 3 or view.header.profile_id for view in objects)
        or (body.body_view and not typed and not references)
    ):
        return None
    arguments = {
        name: getattr(metadata, name)
        for name in type(metadata).__slots__
        if name not in DERIVED and not name.startswith("reserved") and name not in ("frame_id", "deadline_ms")
    }
    arguments |= {name: getattr(packet.header, name) for name in ("flags", "view_id", "route_id", "trace_id")}
    arguments |= {
        "tile_ids": frame.get("tiles", ()),
        "sections": [section(row) for row in frame.get("sections", [])],
    }
    arguments |= {"camera_block": bytes.fromhex(frame.get("camera", "")), "frames": typed}
    if message == "result_push":
        arguments["tile_index_mode"] = metadata.tile_index_mode
    for kind, *key in references:
        arguments[REFERENCES[kind]] = core.ObjectReferenceBlock(kind, 0, *key)
    variant = ("_mixed" if has_tensor else "_typed_payload") if typed else ""
    build = getattr(core, f"build_{message}{variant}_packet")
    known = inspect.signature(build).parameters
    if any(arguments.get(name) for name in ("tile_ids", "sections") if name not in known):
        return None
    return build, {name: value for name, value in arguments.items() if name in known}


def by_builder():
    for vector in VALID:
        packet = NnrpPacket.unpack(bytes.fromhex(vector["hex"]))
        if packet.header.msg_type not in (MessageType.FRAME_SUBMIT, MessageType.RESULT_PUSH):
            continue
        _, metadata, body = decode(packet.pack(), vector.get("known", ()))
        frame = vector.get("frame", {})
        # A referenced index or table says only how long it is; a builder needs things to count.
        if len(frame.get("tiles", ())) == metadata.tile_count and (
            len(frame.get("sections", ())) == metadata.section_count
        ):
            call = builder_call(packet, metadata, body, frame)
            if call:
                yield pytest.param(packet, *call, id=vector["name"])


BUILDABLE = list(by_builder())


@pytest.mark.parametrize(("packet", "build", "arguments"), BUILDABLE)
def test_builders_make_the_same_bytes(packet, build, arguments):
    header = packet.header
    assert build(header.session_id, header.frame_id, **arguments).pack() == packet.pack()


def test_most_frames_have_a_builder():
    assert len(BUILDABLE) >= 50
    assert {param.values[1].__name__ for param in BUILDABLE} >= {
        "build_frame_submit_packet",
        "build_frame_submit_mixed_packet",
        "build_frame_submit_typed_payload_packet",
        "build_result_push_packet",
        "build_result_push_mixed_packet",
        "build_result_push_typed_payload_packet",
    }


@pytest.mark.parametrize("vector", INVALID, ids=lambda vector: f"{vector['name']}-{vector['defect']}"[:60])
def test_invalid(vector):
    raw = bytes.fromhex(vector["hex"])
    if vector["peer"]:
        with pytest.raises(ValueError):  # noqa: PT011  # any sentence will do
            decode(raw, vector.get("known", ()))
    else:
        with contextlib.suppress(ValueError):
            decode(raw, vector.get("known", ()))

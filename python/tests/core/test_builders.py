"""How the packet builders may be called, and what they refuse."""

import inspect

import pytest

from nnrp import core
from nnrp.core import (
    FrameSubmitMetadata,
    MessageType,
    PayloadKind,
    ResultClass,
    ResultFlags,
    ResultPushMetadata,
    SubmitMode,
    TensorDType,
    TensorSectionData,
    TileIndexMode,
)

SECTION = TensorSectionData(5, 0, TensorDType.UINT8, (b"abc", b"de"))
TENSOR = {"tile_ids": (5, 6), "sections": (SECTION,)}
TOKEN = core.build_token_chunk_frame(b"hi")
KEY = {"cache_namespace": 1, "cache_key_hi": 2, "cache_key_lo": 3}
BUILDERS = [
    getattr(core, name) for name in core.__all__ if name.startswith("build_") and name.endswith("_packet")
]


@pytest.mark.parametrize("build", BUILDERS, ids=lambda build: build.__name__)
def test_ids_are_positional_and_the_rest_is_not(build):
    parameters = list(inspect.signature(build).parameters.values())
    by_position = [p.name for p in parameters if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    names = [p.name for p in parameters]
    assert by_position == [name for name in ("session_id", "frame_id") if name in names]
    assert {"version_major", "wire_format"} <= set(names)


@pytest.mark.parametrize(
    ("build", "msg_type"),
    [
        (core.build_frame_cancel_packet, MessageType.FRAME_CANCEL),
        (core.build_result_drop_packet, MessageType.RESULT_DROP),
        (core.build_ping_packet, MessageType.PING),
        (core.build_pong_packet, MessageType.PONG),
    ],
)
def test_packets_that_are_a_header(build, msg_type):
    packet = build(7, 42, trace_id=9)
    assert packet.header.msg_type is msg_type
    assert (packet.header.session_id, packet.header.frame_id, packet.header.trace_id) == (7, 42, 9)
    assert len(packet.pack()) == core.HEADER_LENGTH


def test_control_packets_carry_their_metadata():
    hint = core.ResultHintMetadata(retry_after_ms=60)
    packet = core.build_result_hint_packet(7, 303, metadata=hint)
    assert core.ResultHintMetadata.unpack(packet.metadata) == hint
    assert packet.header.frame_id == 303
    probe = core.TransportProbeMetadata(1, 3, 5)
    assert core.build_transport_probe_packet(metadata=probe, body=bytearray(b"PPP")).body == b"PPP"
    with pytest.raises(ValueError, match="R-PROBE-1"):
        core.build_transport_probe_packet(metadata=probe, body=b"PP")


def test_flow_update_scope_goes_with_the_session_id():
    connection = core.FlowUpdateMetadata(core.FlowUpdateScopeKind.CONNECTION)
    assert core.build_flow_update_packet(metadata=connection).header.session_id == 0
    assert core.build_flow_update_packet(7, metadata=core.FlowUpdateMetadata()).header.session_id == 7
    for session_id, metadata in ((7, connection), (0, core.FlowUpdateMetadata())):
        with pytest.raises(ValueError, match="R-FLOW-5"):
            core.build_flow_update_packet(session_id, metadata=metadata)


def test_everything_but_the_ids_has_a_default():
    submit = core.build_frame_submit_packet(7, 42)
    assert FrameSubmitMetadata.unpack(submit.metadata).payload_kind_bitmap is PayloadKind.TENSOR
    assert submit.body == b""
    assert core.build_result_push_packet(7, 42).body == b""


def test_inference_budget_is_another_name():
    build = core.build_frame_submit_packet
    assert build(7, 42, inference_budget_ms=50) == build(7, 42, latency_budget_ms=50)
    assert build(7, 42, inference_budget_ms=50, latency_budget_ms=50) == build(7, 42, latency_budget_ms=50)
    with pytest.raises(ValueError, match="inference_budget_ms"):
        build(7, 42, inference_budget_ms=50, latency_budget_ms=40)


def test_durations_saturate():
    metadata = FrameSubmitMetadata.unpack(
        core.build_frame_submit_packet(7, 1, latency_budget_ms=70_000).metadata
    )
    assert metadata.latency_budget_ms == 0xFFFF
    times = dict.fromkeys(("inference_ms", "queue_ms", "server_total_ms"), 1 << 40)
    result = ResultPushMetadata.unpack(core.build_result_push_packet(7, 1, **times).metadata)
    assert {getattr(result, name) for name in times} == {0xFFFF}


@pytest.mark.parametrize(
    ("field", "bad"),
    [("src_width", -1), ("src_width", 1 << 16), ("retry_of_frame", 1 << 32), ("tile_ids", (1 << 16,))],
)
def test_numbers_that_do_not_fit(field, bad):
    with pytest.raises(ValueError, match="must be between 0 and"):
        core.build_frame_submit_packet(7, 42, **{field: bad})


def test_floats_are_type_errors():
    for fields in ({"src_width": 1.0}, {"latency_budget_ms": 1.5}, {"latency_budget_ms": 70_000.0}):
        with pytest.raises(TypeError, match="integer"):
            core.build_frame_submit_packet(7, 42, **fields)


def test_result_classes_fill_in_flag_and_policy():
    partial = core.build_partial_result_push_packet(
        7, 42, **TENSOR, covered_tile_count=1, dropped_tile_count=1
    )
    degraded = core.build_degraded_result_push_packet(7, 42, **TENSOR)
    stale = core.build_stale_reuse_result_push_packet(7, 42, **TENSOR, reused_frame_id=4)
    read = [ResultPushMetadata.unpack(packet.metadata) for packet in (partial, degraded, stale)]
    assert [m.result_class for m in read] == [
        ResultClass.PARTIAL,
        ResultClass.DEGRADED,
        ResultClass.STALE_REUSE,
    ]
    assert [m.result_flags for m in read] == [ResultFlags.PARTIAL, ResultFlags.FALLBACK, ResultFlags.STALE]
    assert [m.applied_budget_policy for m in read] == [1, 4, 2]
    assert [(m.covered_tile_count, m.dropped_tile_count) for m in read] == [(1, 1), (2, 0), (2, 0)]
    assert read[2].reused_frame_id == 4


@pytest.mark.parametrize("mode", [TileIndexMode.DELTA_U16, TileIndexMode.BITSET])
def test_results_cannot_say_every_tile_index_mode(mode):
    with pytest.raises(ValueError, match="tile index mode"):
        core.build_result_push_packet(7, 42, **TENSOR, tile_index_mode=mode)


@pytest.mark.parametrize(
    "counts", [{"covered_tile_count": 1}, {"dropped_tile_count": 1}, {"result_class": ResultClass.PARTIAL}]
)
def test_tile_counts_of_results_have_to_agree(counts):
    with pytest.raises(ValueError, match=r"R-RES-[67]"):
        core.build_result_push_packet(7, 42, **TENSOR, **counts)


def test_sections_and_tiles_have_to_agree():
    with pytest.raises(ValueError, match="R-SEC-2"):
        core.build_frame_submit_packet(7, 42, tile_ids=(5,), sections=(SECTION,))


@pytest.mark.parametrize("message", ["frame_submit", "result_push"])
def test_typed_and_mixed_builders_need_payloads(message):
    with pytest.raises(ValueError, match="at least one frame"):
        getattr(core, f"build_{message}_typed_payload_packet")(7, 42, frames=())
    with pytest.raises(ValueError, match="at least one frame"):
        getattr(core, f"build_{message}_mixed_packet")(7, 42, **TENSOR, frames=())
    with pytest.raises(ValueError, match="tensor body content"):
        getattr(core, f"build_{message}_mixed_packet")(7, 42, frames=(TOKEN,))


def test_references_decide_mode_and_mask():
    camera = core.build_camera_reference_block(**KEY)
    packet = core.build_frame_submit_packet(
        7, 42, **TENSOR, submit_mode=SubmitMode.MIXED, camera_reference=camera
    )
    metadata = FrameSubmitMetadata.unpack(packet.metadata)
    assert (metadata.submit_mode, metadata.object_ref_mask, metadata.camera_bytes) == (SubmitMode.MIXED, 1, 0)
    for wrong in (
        {"camera_reference": camera},
        {"object_ref_mask": 1},
        {"submit_mode": SubmitMode.MIXED},
        {"submit_mode": SubmitMode.REFERENCE, "camera_reference": camera},
        {"submit_mode": SubmitMode.MIXED, "camera_reference": camera, "object_ref_mask": 2},
        {"submit_mode": SubmitMode.MIXED, "tile_index_reference": camera},
    ):
        with pytest.raises(ValueError, match=r"submit_mode|object_ref_mask|reference"):
            core.build_frame_submit_packet(7, 42, **TENSOR, **wrong)


def test_stated_kinds_and_counts_are_taken_as_they_are():
    packet = core.build_frame_submit_packet(
        7, 42, **TENSOR, payload_kind_bitmap=PayloadKind(3), payload_frame_count=1
    )
    metadata = FrameSubmitMetadata.unpack(packet.metadata)
    assert (metadata.payload_kind_bitmap, metadata.payload_frame_count) == (PayloadKind(3), 1)


def test_the_version_can_be_chosen():
    assert core.build_result_drop_packet(7, 42, version_major=1).header.version_major == 1
    assert core.build_frame_submit_packet(7, 42, version_major=2).pack()[4] == 2

//! The packet that the protocol's description takes apart byte by byte, and its short vectors.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use bytes::Bytes;
use common::hex;
use nnrp_wire::{
    BodyLayout, BudgetPolicy, CacheInvalidateMetadata, CacheInvalidateScope, CacheObjectKind, CachePutFlags,
    CachePutMetadata, ErrorCode, ErrorMetadata, ErrorScope, ExtensionFrames, FlowUpdateBackpressureLevel,
    FlowUpdateFlags, FlowUpdateReason, FrameBody, FrameClass, FrameSubmitMetadata, Header, HeaderFlags,
    InputProfile, Message, MessageType, Packet, PayloadKind, ResultClass, ResultHintReason, Revision,
    Section, Sections, SessionPatchAckMetadata, SessionPatchAckStatus, SessionPatchField,
    SessionPatchRejectReason, SubmitFrame, SubmitMode, TensorDType, TileIndexMode, TransportId,
    TransportPolicy, TransportPolicyExtension,
};

const WORKED: &str = "
    4e4e52500100102820000000480000003d000000070000002a0000000000000088776655443322110001200020002000
    02000100000101003200701700000000000000000300000004000000000000000000000000000000000000000009ff00
    0000000000000000010000000000000063616d0000000000050006000000000005000005000000000300000000000000
    0800000005000000000000000000000003000000020000001112132122";

fn message(text: &str) -> (Header, Message) {
    let packet = Packet::decode(hex(text)).unwrap();
    (packet.header, packet.message().unwrap())
}

fn submit(text: &str) -> (Header, FrameSubmitMetadata, FrameBody) {
    match message(text) {
        (header, Message::FrameSubmit { metadata, body }) => (header, metadata, body),
        (_, other) => panic!("{other:?}"),
    }
}

/// The worked packet as an application would hand it in.
fn worked_frame() -> SubmitFrame {
    SubmitFrame {
        trace_id: 0x1122_3344_5566_7788,
        flags: HeaderFlags::KEYFRAME,
        src_width: 256,
        src_height: 32,
        tile_width: 32,
        tile_height: 32,
        input_profile: InputProfile::ChangedTilesLuma,
        latency_budget_ms: 50,
        target_fps_x100: 6000,
        budget_policy: BudgetPolicy::ALLOW_PARTIAL | BudgetPolicy::ALLOW_DROP,
        camera: Bytes::from_static(b"cam"),
        tile_ids: vec![5, 6],
        sections: vec![
            Section::new(5, TensorDType::Uint8).elements(3).tiles([&b"\x11\x12\x13"[..], &b"\x21\x22"[..]]),
        ],
        ..SubmitFrame::new(42)
    }
}

#[test]
fn the_worked_packet_decodes() {
    let (header, metadata, body) = submit(WORKED);
    assert_eq!((header.session_id, header.frame_id, header.trace_id), (7, 42, 0x1122_3344_5566_7788));
    assert_eq!(header.flags, HeaderFlags::KEYFRAME);
    assert_eq!(metadata.frame_class, FrameClass::Keyframe);
    assert_eq!(metadata.tile_index_mode, TileIndexMode::RawU16);
    assert_eq!(body.layout(), BodyLayout::Plain);
    assert_eq!(body.camera().unwrap(), "cam");
    assert_eq!(body.tile_ids().collect::<Vec<_>>(), [5, 6]);
    let section = body.sections().next().unwrap();
    assert_eq!((section.role_id(), section.desc.dtype_id), (5, TensorDType::Uint8));
    assert_eq!(section.tile_lengths().collect::<Vec<_>>(), [3, 2]);
    assert_eq!(section.tiles().collect::<Vec<_>>(), [&b"\x11\x12\x13"[..], &b"\x21\x22"[..]]);
}

#[test]
fn the_worked_packet_encodes() {
    let encoded = worked_frame().encode(7, Revision::Current).unwrap();
    assert_eq!(encoded.to_bytes(), hex(WORKED));
    assert_eq!(encoded.len(), 173);
}

#[test]
fn hello_with_an_extension_and_a_token() {
    let (header, message) = message(
        "4e4e52500100012801000000400000001300000000000000000000000000000000000000000000000101010001000000
         0100000003000000030000001f0000000300000001000700010001000001000000008000701732000200000009000000
         030000001000000001010000080000000200000002000000746f6b",
    );
    assert_eq!(header.flags, HeaderFlags::ACK_REQUIRED);
    let Message::ClientHello(hello) = message else { panic!() };
    assert_eq!(hello.auth_block, "tok");
    assert_eq!(hello.metadata.requested_session_id, 9);
    let policy = TransportPolicyExtension::find(&hello.extensions).unwrap().unwrap();
    assert_eq!(policy.transport_policy, TransportPolicy::PreferTcp);
    assert_eq!(policy.preferred_transport_id, TransportId::Tcp);
    assert!(!format!("{hello:?}").contains("tok"), "credentials are printed");
}

#[test]
fn ack_with_a_model_name() {
    let (_, message) = message(
        "4e4e52500100022801000000500000000900000009000000000000000000000000000000000000000100000009000000
         010000007f00000003000000030000001f00000003000000000000000000000000000000000000000100010000000000
         000000000000000200000000000000000000000000000000656e67696e652d7372",
    );
    let Message::ServerHelloAck(ack) = message else { panic!() };
    assert_eq!(ack.model_name, "engine-sr");
    assert_eq!((ack.metadata.session_id, ack.metadata.max_concurrent_frames), (9, 1));
}

#[test]
fn partial_result_with_a_dropped_tile() {
    let (_, message) = message(
        "4e4e525001001228000000004000000032000000070000002a0000000000000000000000000000000000040001000200
         010000000c0002000e000000000000000400000000000000000000000000000000000000010100000000000001000100
         010000000000000005000600000000006400000000000000000000000000000008000000020000000000000000000000
         0200000000000000a1a2",
    );
    let Message::ResultPush { metadata, body } = message else { panic!() };
    assert_eq!(metadata.result_class, ResultClass::Partial);
    assert_eq!((metadata.covered_tile_count, metadata.dropped_tile_count), (1, 1));
    assert_eq!(body.tile_ids().collect::<Vec<_>>(), [5, 6]);
    let tiles: Vec<_> = body.sections().next().unwrap().tiles().collect();
    assert_eq!(tiles, [&b"\xa1\xa2"[..], &b""[..]]);
}

#[test]
fn typed_payloads() {
    let (header, metadata, body) = submit(
        "4e4e525001001028000000004800000047000000070000002b0000000000000000000000000000000000000000000000
         00000000000001000000000000000000000000000000000000000000000000000000000000000000000000000000ff00
         000000000000000022000000020000000000000000000000200000000700000000000000000000000000000000000000
         020003000000000005000000000000002000000005000000020000000000000068656c6c6f7b7d",
    );
    assert_eq!(body.layout(), BodyLayout::Composed);
    let payloads: Vec<_> = body.typed_payloads().collect();
    assert_eq!((payloads[0].kind, payloads[0].profile_id), (PayloadKind::TOKEN_CHUNK, 3));
    assert_eq!(payloads[0].data, "hello");
    assert_eq!((payloads[1].kind, &payloads[1].data[..]), (PayloadKind::TOOL_DELTA, &b"{}"[..]));
    let again = SubmitFrame::from_received(&header, &metadata, &body).encode(7, Revision::Current).unwrap();
    assert_eq!(
        again.metadata(),
        Packet::build(header, Bytes::copy_from_slice(&metadata.encode()), Bytes::new()).metadata
    );
    assert_eq!(again.body_to_bytes(), *body.body());
}

#[test]
fn camera_by_reference() {
    let (_, metadata, body) = submit(
        "4e4e525001001028000000004800000088000000070000002c0000000000000000000000000000000001200020002000
         02000100000001000000000000000000000000000000000004000000000000000000000000000000000000000200ff00
         010000000000000001000000000000005800000010000000000000000000000000000000000000000000000000000000
         02000000000000000400000000000000050006000000000003000000000000002a000000000000000500000500000000
         000000000000000008000000020000000000000000000000010000000100000011220000000000000100000001000000
         ddccbbaa44332211",
    );
    assert_eq!(metadata.submit_mode, SubmitMode::Mixed);
    let reference = body.references().next().unwrap();
    assert_eq!(reference.object_kind, CacheObjectKind::CameraBlock);
    assert_eq!((reference.cache_key_hi, reference.cache_key_lo), (0xAABB_CCDD, 0x1122_3344));
    assert_eq!(body.camera(), None);
    let resolved = body.with_resolved(CacheObjectKind::CameraBlock, Bytes::from_static(b"camera")).unwrap();
    assert_eq!(resolved.camera().unwrap(), "camera");
}

#[test]
fn result_with_a_zero_prelude() {
    let (_, message) = message(
        "4e4e525001001228000000004000000020000000070000002d0000000000000000000000000000000000000000000000
         000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
         02000000000000000000000000000000000000000000000000000000000000000000000000000000",
    );
    let Message::ResultPush { metadata, body } = message else { panic!() };
    assert_eq!(metadata.payload_kind_bitmap, PayloadKind::TOKEN_CHUNK);
    assert_eq!((body.layout(), body.typed_payloads().len()), (BodyLayout::Composed, 0));
}

#[test]
fn mixed_codec_with_a_fixed_stride() {
    let table = hex(
        "020000040000030000000000020000000800000008000000040000000000000000010300000001000000010203000400
         0000",
    );
    let section = Sections::decode(&table, 1, Some(2)).unwrap().next().unwrap();
    assert_eq!((section.codec_id(0), section.codec_id(1)), (0, 1));
    assert_eq!(section.tiles().collect::<Vec<_>>(), [&b"\x01\x02\x03"[..], &b"\x04"[..]]);
    assert_eq!(section.payload(), &b"\x01\x02\x03\0\x04\0\0\0"[..]);
    assert_eq!(section.to_section().encode().unwrap(), table);
}

#[test]
fn flow_update() {
    let (header, message) = message(
        "4e4e5250010017280000000020000000000000001500000000000000000006000d000000000000000104020000000100
         000000000000000000000000280000000500000003000000",
    );
    let Message::FlowUpdate(update) = message else { panic!() };
    assert_eq!((header.session_id, header.trace_id), (21, 13));
    assert_eq!(update.update_reason, FlowUpdateReason::Congestion);
    assert_eq!(update.backpressure_level, FlowUpdateBackpressureLevel::Hard);
    assert_eq!((update.session_credit, update.retry_after_ms, update.credit_epoch), (1, 40, 5));
    assert_eq!(update.flow_flags, FlowUpdateFlags::CREDIT_VALID | FlowUpdateFlags::RETRY_AFTER_VALID);
}

#[test]
fn result_hint() {
    let (header, message) = message(
        "4e4e525001001828000000001000000000000000150000002f010000000007000e000000000000000300000003000000
         030000003c000000",
    );
    let Message::ResultHint(hint) = message else { panic!() };
    assert_eq!(
        (header.frame_id, hint.reason, hint.retry_after_ms),
        (303, ResultHintReason::BudgetExceeded, 60)
    );
}

#[test]
fn migration_answer_with_its_unaligned_number() {
    let (_, message) = message(
        "4e4e525001001c280000000018000000000000005d000000000000000000000000000000000000000000000036030000
         0000000032000000a4420f0000000000",
    );
    let Message::SessionMigrateAck(ack) = message else { panic!() };
    assert_eq!((ack.metadata.accept_code, ack.metadata.resume_from_frame_id), (0, 822));
    assert_eq!(ack.metadata.grace_window_ms, 50);
}

#[test]
fn a_drop_is_its_header() {
    let text = "4e4e5250010013280200000000000000000000000b0000004d000000020000006700000000000000";
    let (header, message) = message(text);
    assert_eq!(message.message_type(), MessageType::ResultDrop);
    assert_eq!((header.frame_id, header.view_id, header.flags), (77, 2, HeaderFlags::CAN_DROP));
    assert_eq!(message.encode(header).unwrap().to_bytes(), hex(text));
}

#[test]
fn metadata_alone() {
    let ack = hex(
        "010003000b00000010000000000000000100000028230000020002000300000000000000010000000300000000000000",
    );
    let ack = SessionPatchAckMetadata::decode(&ack).unwrap();
    assert_eq!(ack.ack_status, SessionPatchAckStatus::PartiallyApplied);
    assert_eq!(ack.reject_reason, SessionPatchRejectReason::UnsupportedStrategy);
    assert_eq!(ack.rejected_patch_mask, SessionPatchField::PREFERRED_CODEC);
    assert_eq!((ack.effective_target_cadence_x100, ack.effective_lane_mask), (9000, 3));

    let error =
        ErrorMetadata::decode(&hex("0a000000020000000000000000000000070000002a0000000000000000000000"))
            .unwrap();
    assert_eq!((error.error_code, error.error_scope), (ErrorCode::CacheMiss, ErrorScope::Frame));
    assert_eq!((error.related_session_id, error.related_frame_id), (7, 42));

    let put =
        CachePutMetadata::decode(&hex("01000000040302010807060502000000983a0000000800000300000003000000"))
            .unwrap();
    assert_eq!((put.cache_key_hi, put.cache_key_lo), (0x0102_0304, 0x0506_0708));
    assert_eq!((put.object_kind, put.flags), (CacheObjectKind::TileIndexBlock, CachePutFlags::KNOWN));

    let invalidate =
        CacheInvalidateMetadata::decode(&hex("0300000001000000040302010807060502000000")).unwrap();
    assert_eq!((invalidate.invalidate_scope, invalidate.reason_code), (CacheInvalidateScope::ObjectKey, 2));
}

#[test]
fn an_extension_frame() {
    let bytes = hex("090000000000000000000000020000007a7a");
    let mut frames = ExtensionFrames::decode(&bytes.slice(..16), &bytes.slice(16..), Some(&[])).unwrap();
    let frame = frames.next().unwrap();
    assert_eq!((frame.kind, &frame.data[..]), (9, &b"zz"[..]));
}
